"""What a saga's body and a step can ask of the run that they belong to."""

from __future__ import annotations

import asyncio
import datetime as dt
import random as random_module
import time
import uuid
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from amends.sagas.errors import OutsideRun

if TYPE_CHECKING:
    from amends.sagas.mailbox import Letter
    from amends.sagas.notes import Notes
    from amends.sagas.outbox import Outbox
    from amends.sagas.request import Answer, Request
    from amends.sagas.saga import Saga
    from amends.sagas.savepoints import Savepoints


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """The run that the code belongs to: its id, its saga's name and version.

    `scheduled_for` is the occurrence for which a schedule has started the run, aware, UTC: the time by plan,
    however late it was started. None for any other run.
    """

    id: str
    saga: str
    version: str
    scheduled_for: dt.datetime | None = None


class RunningBody(Protocol):
    """What a body offers to the functions below; `sagas/body.py` is it."""

    run: CurrentRun
    saga: Saga[..., Any]
    replaying: bool
    savepoints: Savepoints
    kept: bytes
    traced: tuple[str | None, str]

    @property
    def random(self) -> random_module.Random:
        """Give the run's random numbers."""

    def now_ms(self) -> int:
        """Give the run's time in milliseconds since the epoch."""

    def step(
        self, step: Any, args: tuple[Any, ...], kwargs: dict[str, Any], beside: object = None
    ) -> Coroutine[Any, Any, Any]:
        """Issue a step or a child run and wait for its result; `beside` goes along unrecorded."""

    def start_over(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], kept: bytes = b""
    ) -> Coroutine[Any, Any, NoReturn]:
        """Begin anew with other input, and with what the body keeps for itself."""

    def next_letter(self, name: str) -> Coroutine[Any, Any, Letter]:
        """Wait for the next signal of a name."""

    def note(self, notes: Notes) -> None:
        """Take what the body says of the run."""

    def next_number(self) -> int:
        """Take the next number for something that isn't a call."""

    def ask_people(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """Ask for an approval and wait for what becomes of it."""


def running_body() -> RunningBody | None:
    """Give the body whose turn is made in this thread, whatever context its code runs in, or None."""
    found: RunningBody | None = getattr(asyncio._get_running_loop(), "body", None)  # noqa: SLF001 - asyncio gives it to loops
    return found


@dataclass(slots=True)
class CurrentStep:
    """The attempt that the code belongs to; `name` is the step's, or the compensation's.

    `idempotency_key` is the same for every attempt of the step, also after a crash, and another one for the
    compensation. `resources` is the object given to `Coordinator(resources=...)`, `details` what the last
    heartbeat of an earlier attempt told.
    """

    run_id: str
    name: str
    attempt: int
    idempotency_key: str
    deadline_ms: int
    resources: Any = field(default=None, repr=False)
    details: Any = None
    beat: Callable[[Any], None] | None = field(default=None, repr=False)
    note: Callable[[Notes], None] | None = field(default=None, repr=False)
    box: Outbox | None = field(default=None, repr=False)
    beside: Any = field(default=None, repr=False)

    @property
    def outbox(self) -> Outbox:
        """What leaves with the commit of this transaction. Raises `OutsideRun` in a step that is none."""
        if self.box is None:
            raise OutsideRun(
                f"step {self.name!r} has no outbox: only a @transaction commits together with what it sends. "
                "Make it one, or start the run with a coordinator"
            )
        return self.box

    def heartbeat(self, details: Any = None) -> None:
        """Tell that the attempt is alive, from any thread; `details`, as JSON, reach the next attempt.

        With `@step(heartbeat=...)` an attempt that doesn't do so in time counts as unknown.
        Raises `InputInvalid` for details that have no JSON form.
        """
        if self.beat is not None:
            self.beat(details)

    @property
    def deadline(self) -> dt.datetime:
        """When the attempt times out: aware, UTC."""
        return dt.datetime.fromtimestamp(self.deadline_ms / 1000, dt.UTC)


STEP: ContextVar[CurrentStep | None] = ContextVar("amends.step", default=None)
UNDOING: ContextVar[str] = ContextVar("amends.undoing", default="")
"""The compensation that is running, by name."""


@dataclass(slots=True)
class UnderWay:
    """What a helper of ours notes of an attempt: when it times out, and whether a call of it may have landed.

    `ends` is by `time.monotonic()`: the database's clock, by which deadlines are told, may differ from this
    machine's.
    """

    ends: float
    touched: bool = False

    def time_left(self) -> float:
        """Give the seconds until the attempt times out."""
        return self.ends - time.monotonic()


UNDER_WAY: ContextVar[UnderWay | None] = ContextVar("amends.under_way", default=None)


def begin_attempt(seconds: float) -> None:
    """Note, for the code that is called from here, that an attempt begins that times out after so long."""
    UNDER_WAY.set(UnderWay(time.monotonic() + seconds))


def continue_as_new(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, NoReturn]:
    """Begin the run's body anew with other input; what it has done stays done, and can still be undone.

    For bodies that would go on for ever: from now on the body is replayed from here. The journal stays whole,
    for undoing, and is read whole. The id, the deadline and what waits in the inbox stay as they are.
    Awaiting it never returns.
    Raises `DefinitionError` while steps, children or other tasks of the body are under way, inside a
    savepoint and in a task of its own; `InputInvalid` for input that doesn't fit; `OutsideRun` outside a
    saga's body.

    >>> @saga
    ... async def poll(cursor: int = 0) -> None:
    ...     cursor = await handle_page(cursor)
    ...     await sleep(timedelta(hours=1))
    ...     await continue_as_new(cursor)
    """
    return _body("continue_as_new()").start_over(args, kwargs)


def current_step() -> CurrentStep:
    """Give the attempt that is running. Raises `OutsideRun` when called outside a step of a run."""
    found = STEP.get()
    if found is None:
        raise OutsideRun(
            "current_step() was called outside a step of a run; in a unit test, set nothing: pass "
            "what the step needs as an argument, or run it in a saga"
        )
    return found


def current_run() -> CurrentRun:
    """Give the run that the body belongs to. Raises `OutsideRun` outside a saga's body."""
    return _body("current_run()").run


def replaying() -> bool:
    """Tell whether the body is only being replayed: what it does now was done before."""
    body = running_body()
    return body is not None and body.replaying


def now() -> dt.datetime:
    """Give the run's time, aware, UTC: the same on every replay. Outside a run, the real time."""
    body = running_body()
    if body is None:
        return dt.datetime.now(dt.UTC)
    return dt.datetime.fromtimestamp(body.now_ms() / 1000, dt.UTC)


def random() -> random_module.Random:
    """Give the run's random numbers: the same on every replay. Outside a run, fresh ones."""
    body = running_body()
    return random_module.Random() if body is None else body.random  # noqa: S311 - not for secrets


def uuid4() -> uuid.UUID:
    """Give a random UUID: the same on every replay. Outside a run, a fresh one."""
    body = running_body()
    return uuid.uuid4() if body is None else uuid.UUID(int=body.random.getrandbits(128), version=4)


def sleep(duration: dt.timedelta | float) -> Coroutine[Any, Any, None]:
    """Sleep durably: no thread, no task and no memory is held. A number is in seconds.

    Outside a run it is `asyncio.sleep`.
    """
    seconds = duration.total_seconds() if isinstance(duration, dt.timedelta) else float(duration)
    return asyncio.sleep(seconds)


def sleep_until(when: dt.datetime) -> Coroutine[Any, Any, None]:
    """Sleep durably until a moment, an aware `datetime`. Raises `ValueError` for a naive one."""
    if when.tzinfo is None:
        raise ValueError(f"sleep_until({when!r}) needs an aware datetime: whose {when:%H:%M} is it?")
    return sleep(max(dt.timedelta(0), when - now()))


def _body(what: str) -> RunningBody:
    body = running_body()
    if body is None:
        raise OutsideRun(f"{what} was called outside a saga's body")
    return body


Clock = Callable[[], int]
