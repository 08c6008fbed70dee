"""The order in which ``asyncio.as_completed`` starts its tasks, made to replay.

``as_completed`` puts what it is given into a set first. Coroutines hash by
their address, so it would start them in another order on every replay.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType
from typing import Any

_wrapping = {
    part.__code__
    for name in ("ensure_future", "_ensure_future")
    if (part := getattr(asyncio.tasks, name, None)) is not None
}
_arguments = {asyncio.as_completed.__code__: "fs"}
if (_iterator := getattr(asyncio.tasks, "_AsCompletedIterator", None)) is not None:
    _arguments[_iterator.__init__.__code__] = "aws"


def given_to_as_completed(frame: FrameType) -> Sequence[Any] | None:
    """Return what `asyncio.as_completed` was given, if `frame` makes a task for it.

    Args:
        frame: The caller of ``create_task``.

    Returns:
        The awaitables in the order in which the body gave them; None if the task
        is for something else.

    Raises:
        TypeError: The body gave a set or a generator, which have no order that
            could be found out afterwards.

    """
    if frame.f_code not in _wrapping:
        return None
    above: FrameType | None = frame
    while above is not None and (above.f_code in _wrapping or above.f_code.co_name == "<setcomp>"):
        above = above.f_back
    if above is None or above.f_code not in _arguments:
        return None
    given: Iterable[Any] = above.f_locals[_arguments[above.f_code]]
    if not isinstance(given, Sequence | Mapping):
        raise TypeError(
            f"asyncio.as_completed() over a {type(given).__name__} starts its coroutines in an "
            "order that can't be replayed: give it a list, or tasks"
        )
    return list(given)


def wrapped_by_ensure_future(coro: Any) -> Any:
    """Return the awaitable for which `asyncio.ensure_future` made `coro`, or `coro` itself."""
    frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
    if frame is not None and frame.f_code.co_name == "_wrap_awaitable":
        return frame.f_locals["awaitable"]
    return coro
