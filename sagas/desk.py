"""What handles and operators ask of an open coordinator: a run's rows, and messages to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import TypeVar

from amends.persistence.approval_records import ApprovalRow, ApprovalStatus
from amends.persistence.database import Database
from amends.persistence.records import AuditRow, Loaded, NewRun, Receipt, RunRow, Write
from amends.persistence.records import Status as Stored
from amends.sagas import checked
from amends.sagas.errors import RunNotFound, RunRemoved
from amends.sagas.handle import fold
from amends.sagas.joining import Joinable, Joining
from amends.sagas.journal import Entry, from_row
from amends.sagas.missing import missing, not_found
from amends.sagas.obligations import Owed, owed_by
from amends.sagas.parts import Parts
from amends.sagas.registry import HANDLERS
from amends.sagas.states import ENDS, Status, seen
from amends.sagas.undo_plan import UndoPlan, undo_plan
from amends.sagas.waits import Settled
from amends.sagas.watch import Wanted, Watch

T = TypeVar("T")


class Desk:
    """Reads about runs, and messages to them; `opened` gives the coordinator's parts, or raises."""

    def __init__(self, opened: Callable[[], Parts]) -> None:
        self._opened = opened
        self.joining = Joining()

    def now(self) -> int:
        """Give milliseconds of database time."""
        return self._opened().database.now()

    def born(self, new: NewRun) -> NewRun:
        """Decide which trace a new run belongs to; its worker tells that it was created."""
        telemetry = self._opened().telemetry
        return new if telemetry is None else telemetry.unanchored(new)

    async def row(self, run_id: str, connection: Joinable | None = None) -> RunRow:
        """Give a run's row, as a caller's transaction sees it if one is given.

        Raises `RunNotFound`, `RunRemoved`.
        """
        parts = self._asked(run_id)
        if connection is None:
            row = await parts.scheduler.read(parts.database.run, run_id)
        else:
            row = await self.joining.run(connection, lambda on: parts.database.run_on(on, run_id))
        if row is None:
            raise await self.missing(run_id)
        return row

    async def missing(self, run_id: str) -> RunNotFound | RunRemoved:
        """Make the error for a run that isn't there, or is no longer."""
        return missing(run_id, await self.ask(lambda database: database.removals.tombstones(run_id)))

    async def status(self, run_id: str) -> Status:
        """Give a run's status. Raises `RunNotFound`."""
        return seen(await self.row(run_id), self.now())

    async def journal(self, run_id: str) -> list[Entry]:
        """Give a run's journal so far. Raises `RecordUnreadable`."""
        parts = self._asked(run_id)
        return [from_row(row) for row in await parts.scheduler.read(parts.database.journal, run_id)]

    async def load(self, run_id: str) -> Loaded:
        """Give a run's row and its journal, all of one moment. Raises `RunNotFound`."""
        parts = self._asked(run_id)
        loaded = await parts.scheduler.read(parts.database.load, run_id)
        if loaded is None:
            raise await self.missing(run_id)
        return loaded

    async def audit(self, run_id: str) -> list[AuditRow]:
        """Give a run's audit trail, in order."""
        parts = self._asked(run_id)
        return await parts.scheduler.read(parts.database.audit, run_id)

    async def approvals(
        self,
        *,
        id: str | None = None,
        status: ApprovalStatus | None = None,
        run_id: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[ApprovalRow]:
        """List approvals, the oldest first, behind approval `after`."""
        parts = self._opened()
        ask = functools.partial(
            parts.database.approvals, id=id, status=status, run_id=run_id, limit=limit, after=after
        )
        return await parts.scheduler.read(ask)

    async def owed(self) -> list[Owed]:
        """Give the compensations owed by runs that haven't ended. Raises `RecordUnreadable`."""
        parts = self._opened()

        def look() -> list[Owed]:
            with contextlib.closing(parts.database.unended()) as rows:
                return owed_by(rows, set(HANDLERS.keys()))

        return await parts.scheduler.read(look)

    async def undo_plan(self, run_id: str, *, with_parent: bool = False) -> UndoPlan:
        """Plan the undoing of a run, with that of the child runs below it."""
        history = fold(await self.journal(run_id))
        below = [step.key for step in history.steps.values() if step.child is not None and step.owed]
        plans = {child: await self.undo_plan(child, with_parent=True) for child in below}
        return undo_plan(run_id, history, set(HANDLERS.keys()), plans, with_parent=with_parent)

    async def settled(self, run_id: str) -> Settled:
        """Wait until a run has ended or is parked. Raises `RunNotFound`, `CoordinatorClosed`."""
        parts = self._opened()

        async def look() -> Settled | None:
            return None if parts.driver.holds(run_id) else await self.settled_now(run_id)

        return await parts.waits.settled(run_id, look)

    async def settled_now(self, run_id: str) -> Settled | None:
        """Tell how a run has ended or why it is parked; None while it goes on. Raises `RunNotFound`."""
        row = await self.row(run_id)
        settled = row.status in ENDS or row.status is Stored.PARKED
        return Settled(row.status, row.cause, row.result, row.error) if settled else None

    def watch(self, wanted: Wanted) -> Watch:
        """Watch runs from now on. Raises `RunNotFound` for an id that no run can have."""
        parts = self._opened() if wanted.run_id is None else self._asked(wanted.run_id)
        return parts.watching.watch(wanted)

    def watch_run(self, run_id: str) -> Watch:
        """Watch one run."""
        return self.watch(Wanted(run_id))

    async def write(
        self, write: Write, connection: Joinable | None = None, *, claim: bool = False
    ) -> Receipt:
        """Have a message written, by itself or with a caller's transaction; gives what became of it.

        With `claim`, look at once for the run that it wakes. Raises what `Joining.write` raises, and
        `WaitsForItself`.
        """
        parts = self._asked(write.run_id)
        if connection is not None:
            return (await self.joining.write(parts.database, connection, [write]))[0]
        self.joining.check(parts.database)
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        parts.writer.submit(write, lambda receipt: None if future.done() else future.set_result(receipt))
        if claim and not parts.driver.holds(write.run_id):
            # It stands behind the message in the writer's queue: both go into one transaction.
            parts.scheduler.claim()
        return await asyncio.shield(future)

    async def ask(self, question: Callable[[Database], T]) -> T:
        """Ask the database something, in a thread."""
        parts = self._opened()
        return await parts.scheduler.read(question, parts.database)

    def _asked(self, run_id: str) -> Parts:
        """Give the parts.

        Raises `RunNotFound` for an id that no database can hold, and so none does, and `InputInvalid` for
        what is no text.
        """
        if not checked.an_id(run_id, "a run's id").isprintable():
            raise not_found(run_id)
        return self._opened()

    def look_for(self, run_id: str) -> None:
        """Look at once for a message that was written to a run."""
        parts = self._opened()
        if parts.driver.holds(run_id):
            parts.scheduler.look_for_mail()
        else:
            parts.scheduler.claim()
