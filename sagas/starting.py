"""Starting runs: a row, together with the first turn where this process can make it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from amends.persistence.records import NewRun, Receipt, RunRow, Write, Written
from amends.sagas.desk import Desk
from amends.sagas.errors import AmendsError, StartConflict
from amends.sagas.joining import Joinable
from amends.sagas.new_runs import encoded, new_run
from amends.sagas.parts import Parts
from amends.sagas.places import DEFAULT
from amends.sagas.planning import Plan
from amends.sagas.saga import Saga
from amends.tracing.identity import Trace


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run is started: what becomes of its caller's span, and its priority in its queue."""

    trace: Trace | None = None
    priority: int = 0


class Starts:
    """The starts of one coordinator; those of one id that come together wait for one another."""

    def __init__(self, plan: Plan, desk: Desk) -> None:
        self._plan = plan
        self._desk = desk
        self._under_way: dict[str, asyncio.Future[Receipt]] = {}

    def encode(self, saga: Saga[..., Any], args: tuple[Any, ...]) -> bytes:
        """Encode a run's input. Raises `InputInvalid`, `PayloadTooLarge`."""
        return encoded(saga, args, self._plan.limits.max_payload)

    async def start(
        self, parts: Parts, saga: Saga[..., Any], run_id: str, data: bytes, how: Manner | None = None
    ) -> None:
        """Start a run, or see that it is the one that has the id. Raises `StartConflict`, `AmendsError`."""
        self._desk.joining.check(parts.database)
        while (starting := self._under_way.get(run_id)) is not None:
            await asyncio.wait((starting,))
        if parts.driver.holds(run_id):
            await self._compare(saga, run_id, data)
            return
        new = self._new(parts, saga, run_id, data, how, anchored=True)
        receipt = await asyncio.shield(self._write(parts, saga, new))
        if receipt.written is Written.TAKEN:
            await self._compare(saga, run_id, data)
        elif receipt.written is Written.FENCED:
            await self.start(parts, saga, run_id, data, how)
        elif receipt.written is not Written.DONE:
            raise AmendsError(f"run {run_id!r} could not be started: {receipt.reason or receipt.written}")
        elif parts.worker is not None:
            parts.scheduler.claim_if_unheld(run_id)

    async def join(
        self,
        parts: Parts,
        saga: Saga[..., Any],
        run_id: str,
        data: bytes,
        connection: Joinable,
        how: Manner | None = None,
    ) -> None:
        """Start a run with a caller's transaction, or see that it is the one that has the id.

        Whether it will ever be there nobody knows yet: its worker tells its trace of its creation.
        """
        new = self._new(parts, saga, run_id, data, how, anchored=False)
        receipt = await self._desk.write(Write(run_id, start=new), connection)
        if receipt.written is Written.TAKEN:
            compare(await self._desk.row(run_id, connection), saga, data)

    def _new(
        self,
        parts: Parts,
        saga: Saga[..., Any],
        run_id: str,
        data: bytes,
        how: Manner | None,
        *,
        anchored: bool,
    ) -> NewRun:
        """Describe the run, and decide which trace it belongs to."""
        how = how or Manner()
        new = new_run(saga, run_id, data, parts.database.now(), how.priority)
        return new if parts.telemetry is None else parts.telemetry.born(new, how.trace, anchored=anchored)

    def _write(self, parts: Parts, saga: Saga[..., Any], new: NewRun) -> asyncio.Future[Receipt]:
        """Have the run written, together with its first turn where it can be made here."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def done(receipt: Receipt) -> None:
            self._under_way.pop(new.id, None)
            if receipt.written is Written.DONE and parts.telemetry is not None:
                parts.telemetry.created(new)
            if not future.done():
                future.set_result(receipt)

        self._under_way[new.id] = future
        try:
            if not new.queued and self._runs_here(parts, saga):
                parts.driver.begin(new, done)
            else:
                parts.writer.submit(Write(new.id, start=new), done)
        except BaseException:
            # Whoever starts the same run next must not wait for this one.
            self._under_way.pop(new.id, None)
            raise
        return future

    def _runs_here(self, parts: Parts, saga: Saga[..., Any]) -> bool:
        served = self._plan.sagas is None or saga in self._plan.sagas
        served = served and (self._plan.queues is None or DEFAULT in self._plan.queues)
        taken = parts.driver.holding + parts.scheduler.claiming
        return parts.worker is not None and served and taken < self._plan.max_running

    async def _compare(self, saga: Saga[..., Any], run_id: str, data: bytes) -> None:
        """Check that the run that has the id is the same one (S17). Raises `StartConflict`."""
        compare(await self._desk.row(run_id), saga, data)


def compare(row: RunRow, saga: Saga[..., Any], data: bytes) -> None:
    """Check that a run that has an id is one of `saga` with this input (S17). Raises `StartConflict`."""
    if row.saga != saga.name:
        raise StartConflict(
            f"the id {row.id!r} belongs to a run of saga {row.saga!r}; give this run another id"
        )
    try:
        same = row.input == data or saga.arguments.json.canonical(row.input) == data
    except ValueError:
        same = False
    if not same:
        raise StartConflict(
            f"the id {row.id!r} belongs to a run of saga {saga.name!r} with other input; the same id "
            "gives the same run, so give a run with other input another id"
        )
