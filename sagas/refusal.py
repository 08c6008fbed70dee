"""The error for real I/O in a body: it names the line that asked for it."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType
from typing import Any

from amends.sagas import context
from amends.sagas.errors import NotInBody
from amends.sagas.loop import BodyLoop


def refusal(what: str) -> BaseException:
    """Make the error for a refused method of the loop."""
    frame = _calling() or _waiting()
    where = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name}): "
    return NotInBody(
        f"{where}{what} in a saga's body. "
        "A body is replayed, so what touches the world belongs in a step: put it in a step"
    )


def _calling() -> FrameType | None:
    """Find the body's line on the stack, which ends where the loop begins."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - to name the line, the frames are walked
    while frame is not None and frame.f_code is not _BOTTOM:
        if not _is_machinery(frame.f_code.co_filename):
            return frame
        frame = frame.f_back
    return None


def _waiting() -> FrameType | None:
    """Find the line at which the body waits for a library's own task."""
    coroutine: Any = getattr(getattr(context.running_body(), "main", None), "get_coro", lambda: None)()
    found: FrameType | None = None
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if not _is_machinery(frame.f_code.co_filename):
            found = frame
        coroutine = coroutine.cr_await
    return found


def _is_machinery(filename: str) -> bool:
    return filename.startswith((_STDLIB, _HERE, "<")) or "site-packages" in filename


_BOTTOM = BodyLoop._drain.__code__  # noqa: SLF001 - the loop's own
_STDLIB = asyncio.__file__.rpartition("asyncio")[0]
_HERE = __file__.rpartition("refusal.py")[0]
