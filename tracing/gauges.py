"""Gauges: what is so at the moment somebody collects, in the whole database or in this process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

EVERY: Final = 15.0
"""Seconds that an answer of the database is good for."""
PATIENCE: Final = 2.0
"""Seconds that whoever collects waits for it; after that, what was known last is told."""
DATABASE: Final = "db.namespace"
"""The attribute that tells databases apart."""

log = logging.getLogger("amends.tracing")


class Standing(Protocol):
    """What a database says, of parked runs, of runs that owe something, and of approvals; times in ms."""

    @property
    def parked(self) -> int:
        """Count the parked runs."""

    @property
    def owed(self) -> int:
        """Count the runs that have turned round and haven't ended."""

    @property
    def pending(self) -> int:
        """Count the approvals that nobody has decided."""

    @property
    def oldest(self) -> int | None:
        """Tell when the oldest of them was asked for; milliseconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An open coordinator: its database's name, how to ask it and its clock (ms), and the runs held here.

    `holding` is None for one that doesn't work.
    """

    database: str
    ask: Callable[[], Standing]
    now: Callable[[], int]
    holding: Callable[[], int] | None
    pid: int = field(default_factory=os.getpid)


class Asked:
    """What one database said last. It is asked in a thread of its own, at most every 15 s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()
        self._thread: threading.Thread | None = None
        self._failed = False
        self.last: Standing | None = None

    def latest(self, source: Source) -> Standing | None:
        """Give what the database says, or said last; None where it has never been heard."""
        with self._lock:
            if self._clock() < self._next or (self._thread is not None and self._thread.is_alive()):
                return self.last
            self._next = self._clock() + EVERY
            self._thread = thread = threading.Thread(
                target=self._ask, args=(source,), name="amends-gauges", daemon=True
            )
            thread.start()
        thread.join(PATIENCE)
        return self.last

    def settle(self) -> None:
        """Wait for the answer that is under way, but not for long: the database is about to be closed."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(PATIENCE)

    def _ask(self, source: Source) -> None:
        try:
            self.last = source.ask()
            self._failed = False
        except Exception as problem:  # noqa: BLE001 - whatever it is, the next collection asks again
            if not self._failed:
                log.warning("what stands in the database can't be counted, the last counts stay: %s", problem)
            self._failed = True


class Gauges:
    """The observable instruments, and the coordinators that are asked for them."""

    def __init__(self, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changing = threading.Lock()
        self._sources: tuple[Source, ...] = ()
        self._asked: dict[str, Asked] = {}
        meter.create_observable_up_down_counter(
            "amends.run.active", [self._active], "{run}", "Runs that workers of this process hold in memory."
        )
        meter.create_observable_gauge(
            "amends.run.parked", [self._parked], "{run}", "Runs in the database that need a person."
        )
        meter.create_observable_gauge(
            "amends.compensation.owed",
            [self._owed],
            "{run}",
            "Runs in the database that have turned round and haven't ended.",
        )
        meter.create_observable_gauge(
            "amends.approval.pending",
            [self._pending],
            "{approval}",
            "Approvals in the database that nobody has decided.",
        )
        meter.create_observable_gauge(
            "amends.approval.oldest.age",
            [self._oldest],
            "s",
            "Age of the oldest pending approval, or 0.",
        )

    def add(self, source: Source) -> None:
        """Ask a coordinator from now on."""
        with self._changing:
            self._sources = (*self._sources, source)
            self._asked.setdefault(source.database, Asked(self._clock))

    def remove(self, source: Source) -> None:
        """Ask it no more; what is under way is waited for, a while."""
        with self._changing:
            self._sources = tuple(one for one in self._sources if one is not source)
            left = any(one.database == source.database for one in self._sources)
            asked = self._asked.get(source.database) if left else self._asked.pop(source.database, None)
        if asked is not None:
            asked.settle()

    def _mine(self) -> Iterator[Source]:
        """Give the sources of this process, and not those of one that was forked into it."""
        pid = os.getpid()
        return (source for source in self._sources if source.pid == pid)

    def _active(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        held: dict[str, int] = {}
        for source in self._mine():
            if source.holding is not None:
                held[source.database] = held.get(source.database, 0) + source.holding()
        return [Observation(count, {DATABASE: database}) for database, count in held.items()]

    def _each(self) -> Iterator[tuple[Source, Standing]]:
        """Give what each database says, through one of the coordinators that have it open."""
        for source in {one.database: one for one in self._mine()}.values():
            asked = self._asked.get(source.database)
            found = None if asked is None else asked.latest(source)
            if found is not None:
                yield source, found

    def _parked(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(found.parked, {DATABASE: one.database}) for one, found in self._each()]

    def _owed(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(found.owed, {DATABASE: one.database}) for one, found in self._each()]

    def _pending(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(found.pending, {DATABASE: one.database}) for one, found in self._each()]

    def _oldest(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(_age(one, found.oldest), {DATABASE: one.database}) for one, found in self._each()]


def _age(source: Source, since: int | None) -> float:
    """Give how long ago something was, in seconds by the database's clock."""
    return 0.0 if since is None else max(source.now() - since, 0) / 1000
