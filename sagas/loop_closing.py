"""How a body is closed without a trace: its ``finally`` blocks run, nothing is printed."""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CoroutineType, GeneratorType
from typing import Any

CLOSE_ATTEMPTS = 64
"""How often a coroutine is closed that answers by awaiting something else."""

_quiet = threading.RLock()


@contextmanager
def silence() -> Iterator[None]:
    """Keep the interpreter from printing what coroutines of this thread leave behind.

    Two things are kept quiet: "Exception ignored in" and "coroutine ... was
    never awaited". Other threads are heard as before.
    """
    # warnings.catch_warnings would swap the filters of every thread. The lock
    # keeps two threads from restoring each other's hooks.
    here = threading.get_ident()

    def elsewhere(loud: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda what: None if threading.get_ident() == here else loud(what)

    with _quiet:
        unraisable = sys.unraisablehook
        unawaited = getattr(warnings, "_warn_unawaited_coroutine", None)
        sys.unraisablehook = elsewhere(unraisable)
        if unawaited is not None:
            setattr(warnings, "_warn_unawaited_coroutine", elsewhere(unawaited))  # noqa: B010
        try:
            yield
        finally:
            sys.unraisablehook = unraisable
            if unawaited is not None:
                setattr(warnings, "_warn_unawaited_coroutine", unawaited)  # noqa: B010


def close_coroutine(coro: Any) -> None:
    """Close a suspended or unstarted coroutine and drop whatever it raises or awaits.

    The innermost coroutine of an ``await`` chain is closed first: closing the
    outermost would throw ``RuntimeError`` into a caller whose callee awaits in
    its ``finally``, and run the caller's ``except Exception``.

    A coroutine that swallows ``GeneratorExit`` for ever is given up after
    `CLOSE_ATTEMPTS` and kept in memory for good.
    """
    for _ in range(CLOSE_ATTEMPTS):
        _end(_innermost(coro))
        if _frame(coro) is None:
            return
    _keep_for_ever(coro)


def close_generator(generator: Any) -> None:
    """Close an asynchronous generator and drop whatever it raises, yields or awaits."""
    for _ in range(CLOSE_ATTEMPTS):
        if generator.ag_frame is None:
            return
        closing = generator.aclose()
        with suppress(BaseException):
            closing.send(None)
            for _ in range(CLOSE_ATTEMPTS):
                closing.throw(GeneratorExit)


def _awaited(coro: Any) -> Any:
    return getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)


def _innermost(coro: Any) -> Any:
    while True:
        inner = _awaited(coro)
        if not isinstance(inner, CoroutineType | GeneratorType) or _frame(inner) is None:
            return coro
        coro = inner


def _end(coro: Any) -> None:
    awaited = _awaited(coro)
    if type(awaited).__name__ in ("async_generator_asend", "async_generator_athrow"):
        # On CPython 3.11 closing the coroutine would leave the generator behind
        # it suspended, its finally blocks never run.
        with suppress(BaseException):
            awaited.throw(GeneratorExit)
            return
    with suppress(BaseException):
        coro.close()


def _frame(coro: Any) -> Any:
    return getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)


def _keep_for_ever(coro: Any) -> None:
    # CPython has no way to end such a coroutine, and its finaliser would print.
    try:
        import ctypes  # noqa: PLC0415 - a Python built without libffi has none
    except ImportError:
        _kept.append(coro)
    else:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(coro))


_kept: list[Any] = []
