"""What a test gives as its world."""

from __future__ import annotations

from typing import Any, Protocol


class World(Protocol):
    """The participants of a test, fake or real, in this process.

    Steps are executed at least once: a participant must treat two calls with one idempotency key as one.
    """

    def reset(self) -> Any:
        """Bring everything back to the beginning; may be `async`."""

    def snapshot(self) -> Any:
        """Tell what the participants hold: plain data to compare with `==`; may be `async`."""
