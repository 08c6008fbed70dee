"""The coordinator: owns a database, drives runs and executes steps in this process."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple, Unpack

from sqlalchemy import Engine

from amends.persistence.codec import Codec
from amends.persistence.database import Database
from amends.persistence.records import AuditRow, InboxRow, NewRun, Receipt, RunRow, Wake, Write, Written
from amends.persistence.records import Status as Stored
from amends.sagas import checked
from amends.sagas.body import too_large
from amends.sagas.desk import Desk, not_found
from amends.sagas.errors import (
    AmendsError,
    CoordinatorClosed,
    DefinitionError,
    InputInvalid,
    RunEnded,
    StartConflict,
)
from amends.sagas.executor import Settings
from amends.sagas.handle import Run, RunInfo
from amends.sagas.journal import Entry, Kind
from amends.sagas.obligations import Owed
from amends.sagas.operators import Operator
from amends.sagas.options import CoordinatorOptions
from amends.sagas.parts import Parts, Plan, assemble, dismantle
from amends.sagas.registry import SAGAS
from amends.sagas.run import Limits
from amends.sagas.saga import Saga
from amends.sagas.states import Status, seen
from amends.sagas.undo_plan import UndoPlan

if TYPE_CHECKING:
    from amends.sagas.sync import SyncCoordinator

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

Infos = list[RunInfo]
Entries = list[Entry]
Obligations = list[Owed]

LONGEST_ID = 200
DORMANT_AFTER_MS = 1_000
"""So long a run with nothing to do stays in memory. Under a given clock, nobody knows when that is over."""


class Coordinator:
    """Owns a database, drives runs and executes their steps in this process.

    Use it as an async context manager; leaving it never cancels a run: steps in flight get `grace` to end,
    the rest goes on at the next start, here or elsewhere.

    >>> async with Coordinator("sqlite:///orders.db") as coordinator:
    ...     run = await coordinator.start(fulfil_order, order, id="order-7")
    ...     receipt = await run.result()

    `work=False` claims nothing and executes nothing (web processes, command line). `resources` is what steps
    get as `current_step().resources`. `sagas` limits what this worker serves; left out, it serves every saga
    that is defined. `max_running` bounds the runs in memory, `max_steps` the attempts under way, `threads`
    the threads for sync steps, `max_payload` the bytes of JSON in one payload. `lease` is how long a
    silent worker keeps its runs, `grace` how long attempts may take to end when the coordinator closes.
    `poison_after` is how often a run may be lost with its worker before it is parked. `clock` replaces the
    database's time (milliseconds) in tests. `schema`, `migrate` and `codec` are the database's.
    Raises `InputInvalid` for a value that means nothing, `DefinitionError` for a saga that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        work: bool = True,
        resources: Any = None,
        sagas: Iterable[Saga[..., Any]] | None = None,
        max_running: int = 10_000,
        max_steps: int = 1_000,
        threads: int = 32,
        max_payload: int = 1 << 20,
        lease: dt.timedelta = dt.timedelta(seconds=10),
        grace: dt.timedelta = dt.timedelta(seconds=10),
        poison_after: int = 5,
        schema: str = "amends",
        migrate: bool = True,
        codec: Codec | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        lease_ms = round(checked.duration(lease, "lease", InputInvalid) / checked.MILLISECOND)
        self._plan = Plan(
            functools.partial(
                Database.open,
                url,
                schema=schema,
                migrate=migrate,
                codec=codec,
                clock=clock,
                lease_ms=lease_ms,
            ),
            work,
            None if sagas is None else _all_defined(sagas),
            Settings(
                resources,
                checked.count(max_steps, "max_steps"),
                checked.count(threads, "threads"),
                checked.count(max_payload, "max_payload"),
            ),
            Limits(
                max_payload,
                checked.count(poison_after, "poison_after"),
                DORMANT_AFTER_MS if clock is None else 0,
            ),
            checked.count(max_running, "max_running"),
            lease_ms,
            checked.duration(grace, "grace", InputInvalid, dt.timedelta(0)).total_seconds(),
        )
        self._parts: Parts | None = None
        self.desk = Desk(self._open_parts)
        self._starting: dict[str, asyncio.Future[Receipt]] = {}

    @classmethod
    def sync(cls, url: str, **options: Unpack[CoordinatorOptions]) -> SyncCoordinator:
        """Give the blocking twin, for code that isn't async; it takes the same options."""
        from amends.sagas.sync import SyncCoordinator  # noqa: PLC0415 - it is made from this class

        return SyncCoordinator(cls(url, **options))

    async def __aenter__(self) -> Self:
        """Open the database, upgrade it where needed, and begin to work.

        Raises `UnsupportedDatabase`, `DatabaseUnavailable`, `DatabaseReadOnly`, `DatabaseNewer`,
        `DatabaseNotReady`.
        """
        if self._parts is not None:
            raise CoordinatorClosed("this coordinator is open already; make another one")
        self._parts = await assemble(self._plan)
        self._parts.scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let attempts under way end, release every run, give the lease back and close the database."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await asyncio.shield(asyncio.get_running_loop().create_task(dismantle(parts, self._plan.grace)))

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine of the coordinator's database."""
        return self._open_parts().database.engine

    @property
    def worker(self) -> str | None:
        """The name under which this coordinator works; None with `work=False`."""
        return self._open_parts().worker

    async def start(
        self,
        saga: Callable[[*Ts], Awaitable[R]],
        *args: *Ts,
        id: str | None = None,
    ) -> Run[R]:
        """Start a run, durably; the same id, saga and input again give the same run.

        `id` is the run's id, unique in the database; left out, it is a fresh UUID.
        Raises `InputInvalid` when the arguments don't fit, `PayloadTooLarge`, and `StartConflict` when the id
        belongs to a run of another saga or with other input.
        """
        parts = self._open_parts()
        defined = _defined(saga)
        run_id = _checked_id(id)
        data = defined.arguments.encode(args, {})
        if len(data) > self._plan.limits.max_payload:
            raise too_large(f"saga {defined.name!r}: its input", len(data), self._plan.limits.max_payload)
        await self._start(parts, defined, run_id, data)
        return Run(self, run_id, defined)

    async def get(self, id: str) -> Run[Any]:
        """Give a run by its id. Raises `RunNotFound`."""
        row = await self.desk.row(id)
        return Run(self, id, SAGAS.get((row.saga, row.version)))

    async def list(
        self,
        *,
        status: Status | str | None = None,
        saga: str | None = None,
        since: dt.datetime | None = None,
        limit: int = 100,
        after: str | None = None,
        parent: str | None = None,
    ) -> Infos:
        """List runs, newest first.

        `status` is one of `Status`, `since` the earliest creation, `after` the last id of the page before;
        `parent` gives that run's children.
        """
        parts = self._open_parts()
        wanted = None if status is None else _status(status)
        checked.storable(saga, "the saga's name")
        checked.storable(after, "the run's id")
        checked.storable(parent, "the parent's id")
        page = functools.partial(
            parts.database.runs,
            status=_stored(wanted),
            saga=saga,
            since=None if since is None else round(since.timestamp() * 1000),
            limit=limit,
            parent=parent,
        )
        found: Infos = []
        while len(found) < limit:
            rows = await parts.scheduler.read(functools.partial(page, after=after))
            now = parts.database.now()
            seen_now = [_info(row, now) for row in rows]
            found += [info for info in seen_now if wanted in (None, info.status)]
            if len(rows) < limit:
                break
            after = rows[-1].id
        return found[:limit]

    async def cancel(self, run_id: str, *, reason: str | None = None, by: str = "api") -> None:
        """Ask a run to stop and undo what it has done; see `Run.cancel`. `by` is who asks, for the record."""
        parts = self._open_parts()
        now = parts.database.now()
        checked.storable(reason, "the reason")
        checked.storable(by, "who asks")
        key = f"cancel:{uuid.uuid4().hex}"
        meta = json.dumps({"reason": reason, "by": by})
        row = InboxRow(run_id, key, Kind.CANCEL.value, now, meta)
        audit = AuditRow(run_id, now, by, Kind.CANCEL.value, meta)
        receipt = await self.desk.write(Write(run_id, inbox=row, wake=Wake.CANCEL, audit=(audit,)))
        if receipt.written is Written.UNKNOWN_RUN:
            raise not_found(run_id)
        if receipt.written is Written.ENDED:
            ended = await self.desk.row(run_id)
            raise RunEnded(
                f"run {run_id!r} has ended already: {ended.status}; it can't be cancelled any more"
            )
        self.desk.look_for(run_id)

    def operator(self, by: str, *, dry_run: bool = False) -> Operator:
        """Give what a person may do about runs that need one; `by` is whom the audit trail names.

        With `dry_run` every act is only checked: it is refused as it would be, and nothing is written.
        """
        return Operator(self.desk, by, dry_run=dry_run)

    async def undo(self, run_id: str, *, by: str = "api", reason: str | None = None) -> None:
        """Have a completed run undone as a unit; returns once that is durable.

        Raises `RunNotFound`, and `ActionRefused` for a run that isn't completed or has passed its pivot.
        """
        await self.operator(by).undo(run_id, reason=reason)

    async def undo_plan(self, run_id: str) -> UndoPlan:
        """Say what `undo` would undo, in which order, what would stay, and whether it would be refused.

        Raises `RunNotFound`.
        """
        await self.desk.row(run_id)
        return await self.desk.undo_plan(run_id)

    async def owed(self) -> Obligations:
        """Give the compensations that runs which haven't ended may need: a check before a deployment.

        It reads the journals of all these runs. Raises `RecordUnreadable` where newer code has written one.
        """
        return await self.desk.owed()

    async def run_until_idle(self) -> dt.datetime | None:
        """Drive everything that is due now; give the moment at which the next run is due, if there is one."""
        due = await self._open_parts().scheduler.until_idle()
        return None if due is None else dt.datetime.fromtimestamp(due / 1000, dt.UTC)

    def _open_parts(self) -> Parts:
        if self._parts is None:
            raise CoordinatorClosed(
                "the coordinator isn't open: use it inside `async with Coordinator(url) as ...:`"
            )
        return self._parts

    async def _start(self, parts: Parts, saga: Saga[..., Any], run_id: str, data: bytes) -> None:
        """Write the run, together with its first turn where it can be made here."""
        while (starting := self._starting.get(run_id)) is not None:
            await asyncio.wait((starting,))
        now = parts.database.now()
        deadline = (
            None if saga.deadline is None else now + round(saga.deadline / dt.timedelta(milliseconds=1))
        )
        new = NewRun(run_id, saga.name, saga.version, data, now, deadline)
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def done(receipt: Receipt) -> None:
            self._starting.pop(run_id, None)
            if not future.done():
                future.set_result(receipt)

        if parts.driver.holds(run_id):
            await self._compare(saga, run_id, data)
            return
        self._starting[run_id] = future
        if self._runs_here(parts, saga):
            parts.driver.begin(new, done)
        else:
            parts.writer.submit(Write(run_id, start=new), done)
        receipt = await asyncio.shield(future)
        if receipt.written is Written.TAKEN:
            await self._compare(saga, run_id, data)
        elif receipt.written is Written.FENCED:
            await self._start(parts, saga, run_id, data)
        elif receipt.written is not Written.DONE:
            raise AmendsError(f"run {run_id!r} could not be started: {receipt.reason or receipt.written}")
        elif parts.worker is not None:
            parts.scheduler.claim_if_unheld(run_id)

    def _runs_here(self, parts: Parts, saga: Saga[..., Any]) -> bool:
        served = self._plan.sagas is None or saga in self._plan.sagas
        taken = parts.driver.holding + parts.scheduler.claiming
        return parts.worker is not None and served and taken < self._plan.max_running

    async def _compare(self, saga: Saga[..., Any], run_id: str, data: bytes) -> None:
        """Check that the run that has the id is the same one (S17). Raises `StartConflict`."""
        row = await self.desk.row(run_id)
        if row.saga != saga.name:
            raise StartConflict(
                f"the id {run_id!r} belongs to a run of saga {row.saga!r}; give this run another id"
            )
        try:
            same = row.input == data or saga.arguments.json.canonical(row.input) == data
        except ValueError:
            same = False
        if not same:
            raise StartConflict(
                f"the id {run_id!r} belongs to a run of saga {saga.name!r} with other input; the same id "
                "gives the same run, so give a run with other input another id"
            )


def _defined(saga: Callable[..., Any]) -> Saga[..., Any]:
    if not isinstance(saga, Saga):
        raise DefinitionError(f"{saga!r} is not a saga; decorate it with @saga")
    return saga


def _all_defined(sagas: Iterable[Saga[..., Any]]) -> list[Saga[..., Any]]:
    if not isinstance(sagas, Iterable):
        raise DefinitionError(f"sagas= takes a list of sagas, not {sagas!r}")
    return [_defined(saga) for saga in sagas]


def _checked_id(run_id: object) -> str:
    if run_id is None:
        return str(uuid.uuid4())
    if not isinstance(run_id, str) or not 0 < len(run_id) <= LONGEST_ID or not run_id.isprintable():
        raise InputInvalid(f"a run's id is a printable text of 1 to {LONGEST_ID} characters, not {run_id!r}")
    return run_id


def _status(status: Status | str) -> Status:
    try:
        return Status(status)
    except ValueError:
        raise InputInvalid(f"there is no status {status!r}; there are: {', '.join(Status)}") from None


def _stored(status: Status | None) -> Stored | None:
    if status is None:
        return None
    return Stored.OPEN if status in (Status.READY, Status.RUNNING, Status.WAITING) else Stored(status.value)


def _info(row: RunRow, now: int) -> RunInfo:
    return RunInfo(
        row.id,
        row.saga,
        row.version,
        seen(row, now),
        None if row.cause is None else row.cause.value,
        _moment(row.created_at),
        None if row.ended_at is None else _moment(row.ended_at),
        None if row.due_at is None else _moment(row.due_at),
        None if row.deadline_at is None else _moment(row.deadline_at),
        row.owner,
        row.parent,
    )


def _moment(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
