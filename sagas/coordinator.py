"""The coordinator: owns a database, drives runs and executes steps in this process."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple, Unpack

from sqlalchemy import Engine

from amends.persistence.codec import Codec
from amends.sagas import messages
from amends.sagas.approval_links import ApprovalLinks
from amends.sagas.attributes import AttributeValue
from amends.sagas.deciding import Deciding
from amends.sagas.desk import Desk
from amends.sagas.errors import CoordinatorClosed
from amends.sagas.fleet import Worker, seen
from amends.sagas.handle import Run, RunInfo
from amends.sagas.health import Health, health_of
from amends.sagas.joining import Joinable
from amends.sagas.linking import Linking
from amends.sagas.listing import list_runs
from amends.sagas.new_runs import checked_id
from amends.sagas.notifier import Notifier
from amends.sagas.obligations import Owed
from amends.sagas.operators import Operator
from amends.sagas.options import CoordinatorOptions
from amends.sagas.parts import Parts, dismantle, opened
from amends.sagas.people import People
from amends.sagas.places import checked_priority
from amends.sagas.planning import checked_trace, planned
from amends.sagas.queues import Queues
from amends.sagas.registry import SAGAS
from amends.sagas.retention import Collected, collect, policy
from amends.sagas.saga import Saga, as_saga
from amends.sagas.schedules import Schedules
from amends.sagas.signalling import Signalling
from amends.sagas.starting import Manner, Starts
from amends.sagas.states import Status
from amends.sagas.undo_plan import UndoPlan
from amends.sagas.watch import Watch
from amends.sagas.watching import watched
from amends.sagas.webhook_urls import Webhooks
from amends.tracing.identity import Trace, TraceMode

if TYPE_CHECKING:
    from amends.sagas.sync import SyncCoordinator

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

Infos = list[RunInfo]
Workers = list[Worker]
Obligations = list[Owed]


class Coordinator(People):
    """Owns a database, drives runs and executes their steps in this process.

    Use it as an async context manager; leaving it never cancels a run: steps in flight get `grace` to end,
    the rest goes on at the next start, here or elsewhere.

    >>> async with Coordinator("sqlite:///orders.db") as coordinator:
    ...     run = await coordinator.start(fulfil_order, order, id="order-7")
    ...     receipt = await run.result()

    `work=False` claims nothing and executes nothing (web processes, command line). `resources` is what steps
    get as `current_step().resources`. `sagas` limits what this worker serves; left out, it serves every saga
    that is defined; `queues` likewise limits of which queues it takes runs ("default" is that of sagas which
    name none). `max_running` bounds the runs in memory, `max_steps` the attempts under way, `threads`
    the threads for sync steps, `max_payload` the bytes of JSON in one payload. `lease` is how long a
    silent worker keeps its runs, `grace` how long attempts may take to end when the coordinator closes.
    `poison_after` is how often a run may be lost with its worker before it is parked. `webhooks` says where
    the URLs that bodies make by `webhook()` lead, and signs them; `notifiers` tell people of approvals and
    parked runs (`amends.sagas.notifiers`), and `approval_links` says where their links lead. A run started
    under a span is linked to it, part of its trace with `trace="join"`; `trace_mode="linked"` gives each of
    its stretches a trace. `clock` replaces the database's time (milliseconds) in tests. `schema`, `migrate`
    and `codec` are the database's.
    Raises `InputInvalid` for a value that means nothing, `DefinitionError` for a saga that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        work: bool = True,
        resources: Any = None,
        sagas: Iterable[Saga[..., Any]] | None = None,
        queues: Iterable[str] | None = None,
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
        webhooks: Webhooks | None = None,
        notifiers: Iterable[Notifier] = (),
        approval_links: ApprovalLinks | None = None,
        trace: Trace = "link",
        trace_mode: TraceMode = "whole",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._plan = planned(
            url,
            work=work,
            resources=resources,
            sagas=sagas,
            queues=queues,
            max_running=max_running,
            max_steps=max_steps,
            threads=threads,
            max_payload=max_payload,
            lease=lease,
            grace=grace,
            poison_after=poison_after,
            schema=schema,
            migrate=migrate,
            codec=codec,
            webhooks=webhooks,
            notifiers=notifiers,
            approval_links=approval_links,
            trace=trace,
            trace_mode=trace_mode,
            clock=clock,
        )
        self.webhooks = webhooks
        self._parts: Parts | None = None
        self.desk = Desk(self._open_parts)
        self._starts = Starts(self._plan, self.desk)
        self.schedules = Schedules(self, self._open_parts, self._starts)
        self.queues = Queues(self.desk)
        self._deciding = Deciding(self.desk, max_payload)
        self.links = Linking(self.desk, self._deciding, self._plan.settings.approval_links)
        self._signalling = Signalling(self.desk, self._starts, max_payload)

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
        self._parts = await opened(self._plan)
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
        connection: Joinable | None = None,
        trace: Trace | None = None,
        priority: int = 0,
    ) -> Run[R]:
        """Start a run, durably; the same id, saga and input again give the same run.

        `id` is the run's id, unique in the database; left out, it is a fresh UUID. `connection` is one of
        SQLAlchemy's connections or sessions, sync or async, to the coordinator's database: the run exists if
        and only if its transaction commits, and begins soon after. `trace` is the coordinator's, if left out.
        In a saga's queue runs of smaller `priority` begin first.
        Raises `InputInvalid` when the arguments don't fit, `PayloadTooLarge`, and `StartConflict` when the id
        belongs to a run of another saga or with other input; `OtherDatabase` and `DatabaseUnavailable` for a
        connection, `WaitsForItself` without it while the caller has another transaction open on SQLite.
        """
        parts, defined = self._open_parts(), as_saga(saga)
        run_id, data = checked_id(id), self._starts.encode(defined, args)
        how = Manner(None if trace is None else checked_trace(trace), checked_priority(priority, defined))
        if connection is None:
            await self._starts.start(parts, defined, run_id, data, how)
        else:
            await self._starts.join(parts, defined, run_id, data, connection, how)
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
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Infos:
        """List runs, newest first.

        `status` is one of `Status`, `since` the earliest creation, `after` the last id of the page before;
        `parent` gives that run's children, `attributes` the runs that have all of these.
        """
        return await list_runs(
            self._open_parts(),
            status=status,
            saga=saga,
            since=since,
            limit=limit,
            after=after,
            parent=parent,
            attributes=attributes,
        )

    def watch(
        self,
        *,
        status: Status | str | None = None,
        saga: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Watch:
        """Watch runs: `async for` gives each change of theirs from now on, made by any process.

        Only of runs that have this `status` after it, are of this `saga`, and have all these `attributes`.
        What is there already, `list` tells, asked once the watch is `ready`. See also `Run.watch`.
        Raises `InputInvalid`, and `CoordinatorClosed` when the coordinator closes.

        >>> async for change in coordinator.watch(saga="import"):
        ...     print(change.run_id, change.before, "→", change.status)
        """
        return self.desk.watch(watched(status, saga, attributes))

    async def signal(
        self,
        run_id: str,
        name: str,
        payload: Any = None,
        *,
        message_id: str | None = None,
        connection: Joinable | None = None,
    ) -> None:
        """Send a signal to a run, whose body gets it by `receive`; returns once that is durable.

        It may come before the run waits for it, and from any process. The same `message_id` again is the
        same message: the run gets it once. `payload` is checked against what the run's saga receives under
        this name, as far as this process knows its code; otherwise it has to have a JSON form. With
        `connection` it is sent if and only if that transaction commits; see `start`.
        Raises `InputInvalid` for a payload that doesn't fit, `PayloadTooLarge`, `RunNotFound`, and
        `RunEnded` when the run has ended.
        """
        await self._signalling.send(run_id, name, payload, message_id, connection)

    async def signal_or_start(
        self,
        saga: Callable[[*Ts], Awaitable[R]],
        *args: *Ts,
        id: str,
        name: str,
        payload: Any = None,
        message_id: str | None = None,
        connection: Joinable | None = None,
    ) -> Run[R]:
        """Send a signal to the run of this id, and start that run where there is none, in one transaction.

        For events that belong to something with a key: whoever comes first starts its run. `args` only
        matter for a start. Raises what `start` and `signal` raise, and `StartConflict` when the id belongs
        to a run of another saga.

        >>> await coordinator.signal_or_start(
        ...     watch_device, "d-7", id="device-d-7", name="event", payload=event
        ... )
        """
        defined, run_id = as_saga(saga), checked_id(id)
        data = self._starts.encode(defined, args)
        await self._signalling.send_or_start(defined, data, run_id, name, payload, message_id, connection)
        return Run(self, run_id, defined)

    async def cancel(
        self,
        run_id: str,
        *,
        reason: str | None = None,
        by: str = "api",
        connection: Joinable | None = None,
    ) -> None:
        """Ask a run to stop and undo what it has done; see `Run.cancel`. `by` is who asks, for the record.

        With `connection` it is asked if and only if that transaction commits; see `start`.
        """
        await messages.cancel(self.desk, run_id, reason=reason, by=by, connection=connection)

    async def wake_up(self, run_id: str, *, by: str = "api") -> None:
        """End a run's sleeping now; see `Run.wake_up`."""
        await messages.wake_up(self.desk, run_id, by=by)

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

    async def gc(
        self,
        *,
        older_than: dt.timedelta,
        undoable_older_than: dt.timedelta | None = None,
        saga: str | None = None,
        dry_run: bool = False,
        by: str = "api",
    ) -> Collected:
        """Remove runs that ended longer ago than `older_than`, with journals, approvals and audit trails.

        A run is removed with all child runs below it, once all of them have ended. A completed run that can
        still be undone is kept, unless it ended longer ago than `undoable_older_than`. The id of a run that
        was removed is never free again: who uses it meets `RunRemoved`. `saga` limits it to runs of that
        name, `dry_run` only counts, `by` is who asks, for the record.
        Raises `InputInvalid` for durations under an hour.
        """
        wanted = policy(self.desk.now(), older_than, undoable_older_than, saga)
        return await collect(self.desk, wanted, by, dry_run=dry_run)

    async def workers(self) -> Workers:
        """List the workers of the database that aren't known to be dead, by their names."""
        rows, holding = await self.desk.ask(lambda database: (database.workers(), database.holding()))
        return seen(rows, holding, self.desk.now())

    async def health(self) -> Health:
        """Tell whether this coordinator can do its work now: what a readiness probe asks."""
        return await health_of(self._parts)

    async def run_until_idle(self) -> dt.datetime | None:
        """Drive everything that is due now; give the moment at which a run is due next."""
        due = await self._open_parts().scheduler.until_idle()
        return None if due is None else dt.datetime.fromtimestamp(due / 1000, dt.UTC)

    def _open_parts(self) -> Parts:
        if self._parts is None:
            raise CoordinatorClosed(
                "the coordinator isn't open: use it inside `async with Coordinator(url) as ...:`"
            )
        return self._parts
