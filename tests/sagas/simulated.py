"""One run on a simulated store: turns are written whole or not at all, workers are lost at any point."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from amends.persistence.records import EntryRow, InboxRow, RunChange, RunRow, Status
from amends.sagas import Saga
from amends.sagas.held import overlooked
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind, from_row
from amends.sagas.late import late_message
from amends.sagas.news import Attempt, Attempted, News, Turn
from amends.sagas.reloading import reload
from amends.sagas.run import Limits, LiveRun
from amends.sagas.states import ENDS
from amends.sagas.step_record import Phase, Undoing
from tests.sagas.world import World, answer

BEGINNING = 1_700_000_000_000
LIMITS = Limits(max_lost=1_000)


@dataclass(slots=True)
class Flight:
    """An attempt under way. `reports` tells whether its worker still lives to say what came of it."""

    attempt: Attempt
    started: int
    reports: bool = True

    @property
    def until(self) -> int:
        """When it times out."""
        return self.started + self.attempt.timeout_ms


@dataclass(slots=True)
class Simulation:
    """A run, its rows, its worker, and what is under way. Time moves only when told to."""

    saga: Saga[..., Any]
    arguments: Mapping[str, Any]
    world: World = field(default_factory=World)
    limits: Limits = LIMITS
    deadline_ms: int | None = None
    now: int = BEGINNING
    rows: list[EntryRow] = field(default_factory=list)
    inbox: list[InboxRow] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    live: LiveRun | None = None
    news: list[News] = field(default_factory=list)
    flying: list[Flight] = field(default_factory=list)
    strays: list[Flight] = field(default_factory=list)
    boundaries: list[int] = field(default_factory=list)
    wake_at: int | None = None
    wrongs: list[str] = field(default_factory=list)
    ticks: int = 0
    letters: Sequence[tuple[str, int]] = ()
    posted: int = 0
    row: RunRow = field(init=False)

    def __post_init__(self) -> None:
        deadline = None if self.deadline_ms is None else BEGINNING + self.deadline_ms
        data = self.saga.arguments.encode_named(self.arguments)
        self.row = RunRow(
            "run-1", self.saga.name, self.saga.version, "default", Status.OPEN, None, data, None, None, None,
            BEGINNING, deadline, BEGINNING, None, 0, 0, None,
        )  # fmt: skip

    @property
    def journal(self) -> list[Entry]:
        """The durable journal."""
        return [from_row(row) for row in self.rows]

    @property
    def history(self) -> History:
        """The fold of the durable journal."""
        return fold(self.journal)

    @property
    def ended(self) -> bool:
        """Tell whether the run has ended and nothing more can come."""
        return self.row.status in ENDS

    @property
    def due(self) -> bool:
        """Tell whether a worker would claim the run now."""
        waits = self.live is None and self.row.status in (Status.OPEN, Status.COMPENSATING)
        return waits and self.row.due_at is not None and self.row.due_at <= self.now

    def claim(self, *, write: bool = True) -> None:
        """Load the run into a worker and make its next turn; without `write` the worker dies before that."""
        unread = [row for row in self.inbox if row.number not in self.taken]
        self._begin(unread, write=write)

    def turn(self, *, write: bool = True, most: int | None = None) -> None:
        """Make the run's next turn with the news there is."""
        if self.live is None:
            return
        news, self.news = self.news[:most], self.news[len(self.news[:most]) :]
        self._carry(self.live.turn(news, self.now), news, write=write)

    def land(self, number: int, *, word: str | None = None) -> None:
        """End one attempt under way; `word` overrules the script, "timeout" leaves the world alone."""
        flight = self.flying.pop(number)
        self.news.append(self._learned(flight, word))

    def land_stray(self, number: int) -> None:
        """End an attempt of a lost worker; a frozen one that woke reports it to the inbox."""
        flight = self.strays.pop(number)
        learned = self._learned(flight, None)
        if flight.reports and flight.attempt.key and not flight.attempt.probing:
            self._tell_late(learned)

    def report(self, learned: Attempted) -> None:
        """Tell what came of an attempt: to the run, where it is held, or to its inbox."""
        if self.live is not None:
            self.news.append(learned)
        else:
            self._tell_late(learned)

    def kill(self, *, frozen: bool = False) -> None:
        """Lose the worker; what it had sent may still land, and is reported only by a frozen one."""
        if self.live is None:
            return
        for item in self.news:
            if not frozen or not isinstance(item, Attempted) or item.probing:
                continue
            if item.undoing or item.ref not in self.live.reads:
                self._tell_late(item)
        self.strays += [replace(flight, reports=frozen) for flight in self.flying]
        self.flying, self.news = [], []
        self.live.close()
        self.live = None
        self.row = replace(self.row, lost=self.row.lost + 1, due_at=self.now)

    def flush(self) -> None:
        """Write what reads have left in memory."""
        if self.live is not None and self.live.held:
            self._carry(self.live.flush(self.now), [], write=True)

    def cut(self) -> None:
        """Shut the worker down: what is under way is stopped, and may have landed."""
        if self.live is None:
            return
        if self.news:
            turn = self.live.turn(self.news, self.now)
            turn.durable, self.news = True, []
            self._apply(turn)
            if turn.change is not None and turn.change.release:
                self.live.close()
                self.live = None
                return
        stopped = {(flight.attempt.ref, flight.attempt.undoing) for flight in self.flying}
        self.strays += [replace(flight, reports=False) for flight in self.flying]
        self.flying = []
        self._apply(self.live.cut(self.now, stopped))
        self.live.close()
        self.live = None

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self.row.status in ENDS:
            return
        if self.row.status is Status.PARKED and self.row.cause is None:
            self.row = replace(self.row, status=Status.OPEN, due_at=self.now, needs=None)
        self.tell(Kind.CANCEL, "cancel", {"reason": None, "by": "test"})

    def tell(self, kind: Kind, key: str, meta: Mapping[str, Any], payload: bytes | None = None) -> None:
        """Write an inbox row, unless its key is there."""
        if any(row.key == key for row in self.inbox):
            return
        number = len(self.inbox) + 1
        self.inbox.append(InboxRow("run-1", key, kind.value, self.now, json.dumps(meta), payload, number))
        due = self.row.due_at
        if self.live is None and (due is None or due > self.now):
            due = self.now
        self.row = replace(self.row, mail=number, due_at=due)

    def post(self, again: int = 0) -> bool:
        """Send the next signal, or one that was sent before once more; tell whether there was any."""
        if self.ended or not (again or self.posted < len(self.letters)):
            return False
        self.posted += not again
        number = self.posted if not again else 1 + again % self.posted
        name, value = self.letters[number - 1]
        meta = {"name": name, "id": f"letter-{number}"}
        self.tell(Kind.SIGNAL, f"signal:letter-{number}", meta, str(value).encode())
        return True

    def read_mail(self) -> None:
        """Bring unread inbox rows to the worker."""
        known = {row.number for row in self.news if isinstance(row, InboxRow)} | self.taken
        self.news += [row for row in self.inbox if row.number not in known]

    def advance(self) -> bool:
        """Move time to the next thing that is due; tell whether there is one."""
        moments = [flight.until for flight in (*self.flying, *self.strays)]
        if self.live is not None and self.wake_at is not None:
            moments.append(self.wake_at)
        if self.live is None and self.row.due_at is not None and not self.ended:
            moments.append(self.row.due_at)
        if not moments:
            return False
        self.now = max(self.now, min(moments))
        self._expire()
        return True

    def _expire(self) -> None:
        for flight in [flight for flight in self.flying if flight.until <= self.now]:
            self.flying.remove(flight)
            self.news.append(answer(flight.attempt, "timeout", flight.started, self.now))
        self.strays = [flight for flight in self.strays if flight.until > self.now]

    def _begin(self, news: Sequence[News], *, write: bool = True) -> None:
        self.live = LiveRun(self.saga, self.row, self.limits, worker="worker")
        taken: list[News] = [*news]
        self._carry(reload(self.live, self.journal, taken, self.now), taken, write=write)

    def _carry(self, turn: Turn, news: list[News], *, write: bool) -> None:
        if not write:
            self.kill()
            return
        change = turn.change
        if turn.durable:
            if change is not None and change.release and self._unread(overlooked(change)):
                self._beaten(news)
                return
            self._apply(turn)
        if change is not None and change.release:
            if any(attempt.key for attempt in (*turn.attempts, *(flight.attempt for flight in self.flying))):
                self.wrongs.append("a run is released while attempts are under way")
            if self.live is not None:
                self.live.close()
            self.live, self.wake_at = None, None
            self.flying = []
            return
        self.wake_at = turn.wake_at
        for attempt in turn.attempts:
            self._check_written(attempt)
            self.flying.append(Flight(attempt, self.now))

    def _unread(self, overlooked: Sequence[str]) -> bool:
        """Tell whether there is mail that the run doesn't know and that matters to what it writes."""
        known = self.row.mail if self.live is None else self.live.mail
        return any(row.number > known and row.kind not in overlooked for row in self.inbox)

    def _beaten(self, news: list[News]) -> None:
        """Load the run again, with what the beaten turn knew and with the mail that beat it."""
        if self.live is not None:
            self.live.close()
        unread = [row for row in self.inbox if row.number not in self.taken]
        known: list[News] = [item for item in (*news, *self.news) if isinstance(item, Attempted)]
        self.news = []
        self._begin([*known, *unread])

    def _apply(self, turn: Turn) -> None:
        """Write a turn, whole."""
        self.rows += [entry.to_row("run-1") for entry in turn.entries]
        self.boundaries.append(len(self.rows))
        self.taken.update(turn.taken)
        if [row.seq for row in self.rows] != list(range(1, len(self.rows) + 1)):
            self.wrongs.append("the journal has gaps")
        if turn.progressed:
            self.row = replace(self.row, lost=0)
        if turn.change is not None:
            self._change(turn.change)

    def _change(self, change: RunChange) -> None:
        lost = 0 if change.release else self.row.lost
        due = None if change.status in ENDS else change.due_at
        self.row = replace(
            self.row, status=change.status, cause=change.cause, result=change.result, error=change.error,
            ended_at=change.ended_at, due_at=due, needs=change.needs, lost=lost,
        )  # fmt: skip

    def _check_written(self, attempt: Attempt) -> None:
        """Check that what starts is on record as it starts (S1, S9)."""
        if not attempt.key or attempt.probing:
            return
        step = self.history.steps.get(attempt.ref)
        if step is None:
            self.wrongs.append(f"step {attempt.ref} starts before its intent is written (S1)")
        elif attempt.undoing:
            recorded = step.undo_attempt == attempt.attempt and step.undoing in (
                Undoing.RUNNING,
                Undoing.WAITING,
            )
            if not recorded:
                self.wrongs.append(f"attempt {attempt.attempt} of undoing {attempt.ref} isn't on record (S9)")
            calls = [f.attempt for f in (*self.flying, *self.strays) if not f.attempt.probing]
            if any(call.ref == attempt.ref and not call.undoing for call in calls):
                self.wrongs.append(f"{attempt.ref} is undone while it may still land (S6)")
        elif self.history.compensating:
            self.wrongs.append(f"step {attempt.ref} starts after the decision to compensate (S4)")
        elif step.attempt != attempt.attempt or step.phase not in (Phase.RUNNING, Phase.WAITING):
            self.wrongs.append(f"attempt {attempt.attempt} of {attempt.ref} isn't on record (S1)")

    def _learned(self, flight: Flight, word: str | None) -> Attempted:
        if word is None:
            return self.world.execute(flight.attempt, flight.started, self.now)
        return answer(flight.attempt, word, flight.started, self.now)

    def _tell_late(self, item: Attempted) -> None:
        """Write a late outcome as a driver does for a run that it no longer holds."""
        landed = item.outcome == "landed" and not item.undoing
        if self.row.status in ENDS:
            if not landed or self.row.status is Status.COMPLETED:
                return
            self.row = replace(self.row, status=Status.COMPENSATING, due_at=self.now, ended_at=None)
        row, _ = late_message(self.row.id, item, "worker", self.now)
        key = f"late:{item.ref}:{item.attempt}:{item.undoing}"
        self.tell(Kind.LATE, key, json.loads(row.meta or "{}"), row.payload)


def fold(entries: list[Entry]) -> History:
    """Fold a journal."""
    history = History(at=BEGINNING)
    for entry in entries:
        history.apply(entry)
    return history
