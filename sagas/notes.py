"""What code of a run says about it on the way: attributes and progress, until they are on record."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amends.sagas.attributes import MOST
from amends.sagas.errors import InputInvalid

OFTEN = 1.0
"""Seconds between two reports of an attempt under way: what it says between them is one."""


_GUARD = threading.Lock()
"""One for all: it is held for a moment, and most attempts say nothing."""


@dataclass(slots=True)
class Notes:
    """Attributes and progress as JSON values; an attribute that is None is to be removed."""

    attributes: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(self.attributes) or self.progress is not None

    def add(self, later: Notes) -> None:
        """Put later notes over these."""
        self.attributes.update(later.attributes)
        if later.progress is not None:
            self.progress = later.progress

    def forget(self, *, attributes: bool) -> None:
        """Drop the attributes, or else the progress: they are on record."""
        if attributes:
            self.attributes = {}
        else:
            self.progress = None

    def check_number(self, later: Notes, known: Mapping[str, Any]) -> None:
        """Raise `InputInvalid` where a run that has `known` would have too many attributes with `later`."""
        if not later.attributes:
            return
        after = {**dict(known), **self.attributes, **later.attributes}
        if sum(value is not None for value in after.values()) > MOST:
            raise InputInvalid(
                f"set_attributes({', '.join(later.attributes)}): a run may have {MOST} attributes; "
                "remove some by setting them to None"
            )


class Notebook:
    """Takes what an attempt says, from any thread, and reports it, at most once a second.

    What hasn't been reported when the attempt ends goes with its outcome: `take` it. `known` are the
    attributes that the run has.
    """

    __slots__ = ("_asked", "_known", "_loop", "_next", "_notes", "_report", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, known: Mapping[str, Any], report: Callable[[Notes], None]
    ) -> None:
        self._loop = loop
        self._known = known
        self._report = report
        self._notes: Notes | None = None
        self._asked = False
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, notes: Notes) -> None:
        """Take notes. Raises `InputInvalid` where there are too many attributes."""
        with _GUARD:
            mine = self._notes or Notes()
            mine.check_number(notes, self._known)
            mine.add(notes)
            self._notes = mine
            asked, self._asked = self._asked, True
        if not asked:
            self._loop.call_soon_threadsafe(self._come)

    def take(self) -> Notes | None:
        """Give what hasn't been reported; it counts as reported then."""
        if self._notes is None:
            return None
        with _GUARD:
            notes, self._notes = self._notes, None
            self._asked = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return notes

    def _come(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_at(max(self._next, self._loop.time()), self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._next = self._loop.time() + OFTEN
        notes = self.take()
        if notes is not None:
            self._report(notes)
