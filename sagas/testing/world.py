"""What a test gives as its world."""

from __future__ import annotations

from typing import Any, Protocol


class World(Protocol):
    """The participants of a test, fake or real, in this process.

    Steps are executed at least once: a participant must treat two calls with one idempotency key as one.
    For transactional steps it also has an attribute `engine`, SQLAlchemy's, on a database of the test's: they
    are executed there exactly once, with the help of a table `amends_transactions`.
    """

    def reset(self) -> Any:
        """Bring everything back to the beginning; may be `async`."""

    def snapshot(self) -> Any:
        """Tell what the participants hold: plain data to compare with `==`; may be `async`."""
