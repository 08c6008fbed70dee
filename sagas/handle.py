"""A run as its caller sees it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from amends.persistence.records import AuditRow
from amends.persistence.records import Status as Stored
from amends.sagas.attributes import AttributeValue, Progress
from amends.sagas.compensation import owed, standing
from amends.sagas.errors import NonDeterminism, ResultInvalid, RunFailed, RunParked
from amends.sagas.exported import export_loaded
from amends.sagas.failure import Failure, rebuild
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.replay import NON_DETERMINISM
from amends.sagas.states import Status
from amends.sagas.trail import trace_id_of
from amends.sagas.waits import Settled

if TYPE_CHECKING:
    from amends.sagas.coordinator import Coordinator
    from amends.sagas.saga import Saga
    from amends.sagas.watch import Watch

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Standing:
    """An effect that stays in the world after a run that didn't complete."""

    step: str
    ref: int
    effect: Effect
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run in a list: what it is, how it stands, and when.

    `cause` says what ended it, `parent` names the run above a child run, `scheduled_for` is the occurrence
    for which a schedule has started it. `waits_for` says what a waiting run waits for beside the time:
    `signal 'paid'`. `attributes` and `progress` are what the run, or a step of it, has said last.
    """

    id: str
    saga: str
    version: str
    status: Status
    cause: str | None
    created_at: dt.datetime
    ended_at: dt.datetime | None
    due_at: dt.datetime | None
    deadline_at: dt.datetime | None
    worker: str | None
    parent: str | None = None
    scheduled_for: dt.datetime | None = None
    waits_for: str | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    progress: Progress | None = None


class Run(Generic[R]):
    """A handle on one run; it holds nothing but the id, so it may be dropped and made again with `get`."""

    def __init__(self, coordinator: Coordinator, run_id: str, saga: Saga[..., Any] | None) -> None:
        self._coordinator = coordinator
        self._saga = saga
        self.id = run_id

    def __repr__(self) -> str:
        return f"<Run {self.id!r}>"

    async def result(self, timeout: float | dt.timedelta | None = None) -> R:
        """Wait for the run's result.

        Giving up the wait never cancels the run. `timeout` is in seconds or a `timedelta`; with 0, a run
        that has ended gives its result, and any other raises `TimeoutError` at once.
        Raises `RunFailed` when the run ends without a result, `RunParked` when it waits for a person,
        `TimeoutError` when it takes longer than `timeout`.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
        settled = await self._settled(seconds)
        if settled.status is Stored.COMPLETED:
            return self._decoded(settled)
        raise await self._failure(settled)

    async def status(self) -> Status:
        """Give the run's status. Raises `RunNotFound`."""
        return await self._coordinator.desk.status(self.id)

    def watch(self) -> Watch:
        """Watch the run: `async for` gives it as it is, then as it changes, and ends when the run has ended.

        Driven by what is committed, from any process; changes that follow one another quickly may come as
        one. A parked run goes on being watched. Leaving the loop stops it.
        Raises `RunNotFound`, and `CoordinatorClosed` when the coordinator closes.

        >>> async for change in run.watch():
        ...     print(change.status, change.progress)
        """
        return self._coordinator.desk.watch_run(self.id)

    async def cancel(self, reason: str | None = None) -> None:
        """Ask the run to stop and undo what it has done. Returns once that is durable.

        A run that compensates already isn't changed. Raises `RunEnded` when it has ended, `RunNotFound`,
        `InputInvalid` for a reason that no database can store.
        """
        await self._coordinator.cancel(self.id, reason=reason)

    async def wake_up(self, *, by: str = "api") -> None:
        """End the run's sleeping now; returns once that is durable. `by` is who asks, for the record.

        Every `sleep` that its body is in comes to its end, as if its time were over; time limits and other
        waiting stay as they are. A run that doesn't sleep goes on as it was.
        Raises `RunEnded` when it has ended, `RunNotFound`.
        """
        await self._coordinator.wake_up(self.id, by=by)

    async def journal(self) -> list[Entry]:
        """Give the run's journal so far."""
        return await self._coordinator.desk.journal(self.id)

    async def export(self) -> dict[str, Any]:
        """Give the run and its journal so far as one document of plain JSON values, to be kept and replayed.

        Arguments and results stand in it in the clear. Raises `RunNotFound`, and `RecordUnreadable` where a
        record can't be decoded or newer code wrote it.

        >>> Path("order-7.json").write_text(json.dumps(await run.export()))
        """
        return export_loaded(await self._coordinator.desk.load(self.id))

    async def trace_id(self) -> str:
        """Give the id of the run's trace, 32 hexadecimal digits. Raises `RunNotFound`."""
        return trace_id_of(await self._coordinator.desk.row(self.id))

    async def left_standing(self) -> list[Standing]:
        """Give the effects that stay in the world although the run didn't complete; none while it goes on."""
        row = await self._coordinator.desk.row(self.id)
        if row.ended_at is None or row.status is Stored.COMPLETED:
            return []
        history = fold(await self.journal())
        return [Standing(step.name, step.ref, step.effect, step.outcome) for step in standing(history.steps)]

    async def audit(self) -> list[AuditRow]:
        """Give the run's audit trail, in order: who did what to it, and why."""
        return await self._coordinator.desk.audit(self.id)

    async def _settled(self, seconds: float | None) -> Settled:
        desk = self._coordinator.desk
        if seconds is None or seconds > 0:
            async with asyncio.timeout(seconds):
                return await desk.settled(self.id)
        settled = await desk.settled_now(self.id)
        if settled is None:
            raise TimeoutError
        return settled

    def _decoded(self, settled: Settled) -> R:
        data = settled.result or b"null"
        if self._saga is None:
            plain: R = json.loads(data)
            return plain
        try:
            result: R = self._saga.result.decode(data)
        except ValueError as error:
            raise ResultInvalid(
                f"run {self.id!r}: its stored result doesn't fit {self._saga.name!r}'s annotation: {error}"
            ) from error
        return result

    async def _failure(self, settled: Settled) -> RunFailed:
        error = None
        if settled.error is not None:
            failure = Failure.from_json(settled.error)
            error = rebuild(failure, self._saga.known if self._saga is not None else lambda _name: None)
        cause = settled.cause.value if settled.cause is not None else None
        if settled.status is Stored.PARKED:
            reason, names = await self._why_parked()
            undone = f"; still owed: {', '.join(names)}" if names else ""
            kind: type[RunFailed] = RunParked
            if reason.startswith(NON_DETERMINISM):
                error = NonDeterminism(reason.removeprefix(NON_DETERMINISM))
            told = f"run {self.id!r} is parked: {reason}{undone}"
        else:
            kind = RunFailed
            why = f": {type(error).__name__}: {error}" if error is not None else ""
            told = f"run {self.id!r} ended {settled.status} ({cause}){why}"
        failed = kind(told, run_id=self.id, status=settled.status.value, cause=cause, error=error)
        failed.__cause__ = error
        return failed

    async def _why_parked(self) -> tuple[str, list[str]]:
        entries = await self.journal()
        reason = next(
            (e.meta.get("reason", "") for e in reversed(entries) if e.kind is Kind.PARKED), "unknown reason"
        )
        return reason, [f"{step.name} ({step.ref})" for step in owed(fold(entries).steps)]


def fold(entries: list[Entry]) -> History:
    """Fold a journal into a history, as far as it makes sense."""
    history = History()
    for entry in entries:
        try:
            history.apply(entry)
        except (ValueError, KeyError):
            continue
    return history
