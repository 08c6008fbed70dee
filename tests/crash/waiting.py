"""Waiting for something that another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 30.0
_PAUSE_S = 0.02


def eventually(ask: Callable[[], T], *, seconds: float = PATIENCE_S, what: str = "") -> T:
    """Ask until the answer is true, and give it. Raises `AssertionError` when it isn't in time."""
    until = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < until, (
            f"not within {seconds:g} s: {what or ask!r}; the last answer: {answer!r}"
        )
        time.sleep(_PAUSE_S)
    return answer
