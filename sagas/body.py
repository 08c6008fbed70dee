"""A saga's body on the deterministic loop: outcomes go in, commands come out."""

from __future__ import annotations

import asyncio
import hashlib
import random
import zlib
from collections.abc import Mapping
from contextvars import Context
from typing import Any, NoReturn

from amends.sagas.commands import AskPeople, Called, Command, Issued, RollBack, StartOver
from amends.sagas.context import CurrentRun
from amends.sagas.errors import DefinitionError, PayloadTooLarge
from amends.sagas.interrupts import may_be_ctrl_c
from amends.sagas.loop import BodyLoop
from amends.sagas.mailbox import Letter, Mailbox
from amends.sagas.notes import Notes
from amends.sagas.outcome import Effect
from amends.sagas.places import NOWHERE, place_of
from amends.sagas.refusal import refusal
from amends.sagas.request import Answer, Request
from amends.sagas.saga import Saga
from amends.sagas.savepoints import Savepoints
from amends.sagas.scopes import PATH
from amends.sagas.step import Step

MAX_CALLBACKS = 100_000
SPREAD = 0x9E3779B97F4A7C15


class Body:
    """The running body of one run.

    It knows nothing of the journal: `start`, `deliver`, `reject` and `fire` let it go on until it blocks;
    `issued` and `given_up` then hold what it asked for and which calls it no longer waits for. `floor` is the
    number of the new beginning that it is made for; `no_pivot` says why the runs above allow no pivot, and
    `stays` names the step before which none may be called. `notes` are what the body has said of the run
    since somebody last looked, `known` the attributes that the run has. `traced` is what is stored of its
    trace, and the id of the topmost run.
    """

    def __init__(
        self,
        saga: Saga[..., Any],
        run: CurrentRun,
        *,
        created_at: int,
        limit: int,
        max_callbacks: int = MAX_CALLBACKS,
        floor: int = 0,
        no_pivot: str | None = None,
    ) -> None:
        self.saga = saga
        self.run = run
        self._created_at = created_at
        self._random: random.Random | None = None
        self.replaying = True
        self.issued: list[Issued] = []
        self.given_up: list[int] = []
        self.loop = BodyLoop(refuse=refusal, max_callbacks=max_callbacks, first=_first_number(run.id))
        self.loop.now_ms = created_at
        self.main: asyncio.Task[Any] | None = None
        self.no_pivot = no_pivot
        self.stays = ""
        self.kept = b""
        self.traced: tuple[str | None, str] = None, run.id
        self._limit = limit
        self._floor = floor
        self._count = floor
        self._rest_cancelled = False
        self.mailbox = Mailbox()
        self.notes = Notes()
        self.known: Mapping[str, Any] = {}
        self._futures: dict[int, tuple[asyncio.Future[Any], Called]] = {}
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self.beside: dict[int, object] = {}
        self.savepoints = Savepoints(
            self.loop, self.next_number, lambda ref: self.issued.append(RollBack(ref))
        )
        self._context = Context()
        self.loop.body = self

    @property
    def random(self) -> random.Random:
        """The run's random numbers: the same on every replay; not for secrets."""
        if self._random is None:
            seed = _seed(self.run.id, self._created_at, self._floor)
            self._random = random.Random(seed)  # noqa: S311 - it must replay
        return self._random

    def now_ms(self) -> int:
        """Give the run's time in milliseconds since the epoch."""
        return self.loop.now_ms

    def start(self, arguments: dict[str, Any]) -> None:
        """Run the body until it blocks for the first time."""
        coroutine = self.saga.arguments.call(self.saga.fn, arguments)
        self.main = self.loop.create_task(coroutine, name=self.saga.name, context=self._context)
        self._run()

    async def step(
        self, step: Called, args: tuple[Any, ...], kwargs: dict[str, Any], beside: object = None
    ) -> Any:
        """Issue a step or a child run and wait for its result; what a call in the body runs.

        `beside` is handed to its attempts in memory, and is on no record: whatever replay makes anew.
        """
        if self.loop.shutting:
            return await self.loop.create_future()
        if isinstance(step, Step):
            _check_runnable(step)
        scopes = PATH.get()
        self._check_pivot(step)
        if scopes:
            self._check_scopes(step, scopes)
        arguments = step.arguments.encode(args, kwargs)
        if len(arguments) > self._limit:
            raise too_large(f"{_said(step)}: its arguments", len(arguments), self._limit)
        place = place_of(step, arguments) if isinstance(step, Saga) else NOWHERE
        ref = self.next_number()
        future = self.loop.create_future()
        self._futures[ref] = future, step
        if beside is not None:
            self.beside[ref] = beside
        self.savepoints.enter(ref, step.name, scopes)
        self.issued.append(Command(ref, step, arguments, scopes, self._why_no_pivot(step, scopes), place))
        try:
            return await future
        except asyncio.CancelledError:
            self.given_up.append(ref)
            raise
        finally:
            self._futures.pop(ref, None)
            self.beside.pop(ref, None)
            self.savepoints.leave(ref)

    async def start_over(self, args: tuple[Any, ...], kwargs: dict[str, Any], kept: bytes = b"") -> NoReturn:
        """Begin anew with other input; `kept`, JSON, is there as `kept` of the body that follows.

        Raises `DefinitionError` while something of the body is going on.
        """
        ref = 0
        if not self.loop.shutting:
            self._check_alone()
            arguments = self.saga.arguments.encode(args, kwargs)
            if len(arguments) + len(kept) > self._limit:
                size = len(arguments) + len(kept)
                raise too_large(f"saga {self.saga.name!r}: its input", size, self._limit)
            ref = self.next_number()
            self.issued.append(StartOver(ref, arguments, kept))
        while True:
            try:
                # The body is closed here, once the new beginning is on record.
                await self.loop.create_future()
            except asyncio.CancelledError:
                self.given_up.append(ref)
                raise

    def _check_alone(self) -> None:
        going = [step.name for _, step in self._futures.values()]
        others = [task.get_name() for task in self.loop.unfinished() if task is not self.main]
        if asyncio.current_task(self.loop) is not self.main or PATH.get():
            raise DefinitionError(
                "continue_as_new() was called in a task of its own or inside a savepoint; call it in the "
                "saga's own body"
            )
        if going or others:
            raise DefinitionError(
                f"continue_as_new() was called while {', '.join(map(repr, going or others))} is under way; "
                "let it end first"
            )

    def rolled_back(self, number: int, at: int) -> None:
        """Tell the body that a savepoint's steps are undone. Raises `KeyError` where it waits for none."""
        self.loop.now_ms = at
        self.savepoints.rolled_back(number)
        self._run()

    def note(self, notes: Notes) -> None:
        """Take what the body says of the run; what `set_attributes` and `set_progress` in the body run."""
        if not self.loop.shutting:
            self.notes.check_number(notes, self.known)
            self.notes.add(notes)

    async def ask_people(self, request: Request) -> Answer:
        """Ask for an approval and wait for what becomes of it; what `approval` in the body runs.

        Raises `PayloadTooLarge`.
        """
        if (size := len(request.to_json())) > self._limit:
            raise too_large(f"approval {request.title!r}: what is shown", size, self._limit)
        ref = self.next_number()
        future: asyncio.Future[Answer] = self.loop.create_future()
        self._asked[ref] = future
        if not self.loop.shutting:
            self.issued.append(AskPeople(ref, request))
        try:
            return await future
        except asyncio.CancelledError:
            self.given_up.append(ref)
            raise
        finally:
            self._asked.pop(ref, None)

    def decided(self, ref: int, answer: Answer, at: int) -> None:
        """Tell the body what became of an approval."""
        self.loop.now_ms = at
        future = self._asked.get(ref)
        if future is not None and not future.done():
            future.set_result(answer)
        self._run()

    def next_number(self) -> int:
        """Take the next number, for a call or something else; no other is ever the same in this run."""
        self._count += 1
        return self._count

    def _check_pivot(self, step: Called) -> None:
        """Refuse a pivot behind what nobody could undo if it failed (S14)."""
        effect = step.effect
        if effect is Effect.PIVOT and self.no_pivot:
            raise DefinitionError(f"step {step.name!r} is a pivot, and {self.no_pivot}")
        if effect is Effect.PIVOT and self.stays:
            raise DefinitionError(f"step {step.name!r} is a pivot, and {in_the_way(self.stays)}")
        if not self.stays and effect in (Effect.PLAIN, Effect.RETRIABLE):
            self.stays = step.name

    def _why_no_pivot(self, called: Called, scopes: tuple[int, ...]) -> str | None:
        """Say what a child run that is called now must not do, and why (S14)."""
        if isinstance(called, Step):
            return None
        above = f"run {self.run.id!r} above it"
        if scopes:
            return f"{above} called this one inside a savepoint, which is there to be undone"
        if self.stays:
            return f"in {above}, {in_the_way(self.stays)}"
        return self.no_pivot

    def _check_scopes(self, step: Called, scopes: tuple[int, ...]) -> None:
        self.savepoints.check(_said(step), scopes)
        if step.effect is Effect.PIVOT:
            raise DefinitionError(
                f"step {step.name!r} is a pivot and was called inside a savepoint, which is there to be "
                "undone; call it behind the block"
            )

    def deliver(self, ref: int, result: bytes, at: int) -> None:
        """Give a step's result to the body. Raises `ValueError` when it doesn't fit the step's annotation."""
        self.loop.now_ms = at
        if ref in self._futures:
            future, step = self._futures[ref]
            if not future.done():
                future.set_result(step.result.decode(result))
        self._run()

    def reject(self, ref: int, error: BaseException, at: int) -> None:
        """Raise a step's error where the body waits for it."""
        self.loop.now_ms = at
        if ref in self._futures:
            future, _ = self._futures[ref]
            if not future.done():
                future.set_exception(error)
        self._run()

    def signal(self, letter: Letter, at: int) -> None:
        """Take in a signal: who waits for it gets it, or whoever asks for it later."""
        self.loop.now_ms = at
        self.mailbox.put(letter)
        self._run()

    async def next_letter(self, name: str) -> Letter:
        """Wait for the next signal of a name; what `receive` in the body runs."""
        loop = self.loop
        return await self.mailbox.receive(name, loop.create_future, loop.now_ms, closing=loop.shutting)

    def fire(self, number: int, at: int) -> None:
        """Let a timer fire. Raises `KeyError` when the body has no such timer."""
        self.loop.now_ms = at
        self.loop.fire(number)
        self._run()

    def take_issued(self) -> list[Issued]:
        """Take what the body has asked for since the last time; a call given up at once was never made."""
        issued, self.issued = self.issued, []
        if not self.given_up:
            return issued
        calls = {command.ref for command in issued}
        gone = calls.intersection(self.given_up)
        self.given_up = [ref for ref in self.given_up if ref not in gone]
        return [command for command in issued if command.ref not in gone]

    def _run(self) -> None:
        """Let the body go on; where it has returned, cancel once what it left running, as asyncio does."""
        self._turn()
        if self.main is not None and self.main.done() and not self._rest_cancelled and self.error() is None:
            self._rest_cancelled = True
            for task in self.loop.unfinished():
                task.cancel()
            self._turn()

    def _turn(self) -> None:
        """Run what is ready; `sys.exit()` in a body is the body's error, not this process's end."""
        while True:
            try:
                self.loop.turn()
            except SystemExit:
                continue
            except KeyboardInterrupt:
                if may_be_ctrl_c():
                    raise
                continue
            return

    @property
    def returned(self) -> bool:
        """Tell whether the body has come to its end, by returning or by an error."""
        return self.main is not None and self.main.done()

    def error(self) -> BaseException | None:
        """Give the error that the finished body let out, if it did."""
        if self.main is None or not self.main.done():
            return None
        if self.main.cancelled():
            return asyncio.CancelledError("the body cancelled itself")
        return self.main.exception()

    def shut(self) -> None:
        """Drop the body: its `finally` blocks run and come to nothing.

        Its circles of references are cut, so that it goes at once and not with the next garbage collection.
        """
        self.loop.shut()
        self.main = None
        self._futures.clear()
        self._asked.clear()
        self.savepoints.forget()
        self.loop.body = None


def too_large(what: str, size: int, limit: int) -> PayloadTooLarge:
    """Make the error for a payload over the limit."""
    return PayloadTooLarge(
        f"{what} would be {size:,} bytes of JSON; the limit is {limit:,}. Store the data, pass a reference, "
        "or raise the limit: Coordinator(max_payload=...)",
        size,
        limit,
    )


def in_the_way(step: str) -> str:
    """Say why a step before a pivot stands in its way."""
    return (
        f"{step!r}, called before it, is neither a read nor irreversible and has no compensation: if the "
        "pivot failed, its effect would stay. Give it a compensation, declare it "
        'effect="irreversible" or "read", or call it after the pivot'
    )


def _said(called: Called) -> str:
    return f"{'step' if isinstance(called, Step) else 'saga'} {called.name!r}"


def _check_runnable(step: Step[..., Any]) -> None:
    if step.effect is Effect.COMPENSATABLE and step.current_compensation is None:
        raise DefinitionError(
            f"step {step.name!r} is declared compensatable and has no compensation; add one with "
            f"@{step.fn.__name__}.compensation, or declare what it is"
        )


def _first_number(run_id: str) -> int:
    """Spread the numbers of the runs' tasks, the same way on every replay."""
    return (zlib.crc32(run_id.encode("utf-8", "surrogatepass")) * SPREAD) % (1 << 60)


def _seed(run_id: str, created_at: int, floor: int) -> int:
    text = f"{run_id}\0{created_at}" + (f"\0{floor}" if floor else "")
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
