"""Messages that leave with a commit: all of them if it is made, none if not."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from amends.sagas import (
    Coordinator,
    DefinitionError,
    InputInvalid,
    NoEffect,
    OutsideRun,
    PayloadTooLarge,
    Retry,
    StartConflict,
    Status,
    Undo,
    current_step,
    outgoing,
    saga,
    step,
    transaction,
)
from amends.sagas.retry import Failed, next_wait
from tests.sagas.ledgers import lost_replies, opened, put, rows
from tests.sagas.running import ONCE, ended, failure, on_a_loop, parked

SENT: list[tuple[str, str]] = []
FAILS: list[Exception] = []


@pytest.fixture
def books(database_url: str) -> Iterator[Engine]:
    """Give an engine on the application's table."""
    SENT.clear()
    FAILS.clear()
    with opened(database_url) as engine:
        yield engine


STUBBORN = Retry(attempts=3, wait=dt.timedelta(0), on=(Exception, NoEffect))


@outgoing(name="outbox.announce", retry=STUBBORN)
async def announce(what: str) -> None:
    if FAILS:
        raise FAILS.pop()
    SENT.append((what, current_step().idempotency_key))


@saga(name="outbox.other")
async def other(what: str) -> str:
    return what


@transaction(name="outbox.add", retry=ONCE)
def add(db: Connection, what: str, id: str | None = None) -> str:
    put(db, what)
    run_id = current_step().outbox.put(announce, what, id=id)
    if what == "bad":
        raise ValueError(what)
    return run_id


@add.compensation(name="outbox.remove")
def remove(undo: Undo[str], db: Connection, what: str, id: str | None = None) -> None:
    current_step().outbox.put(announce, f"no {what}")


@saga(name="outbox.adds")
async def adds(what: str, id: str | None = None) -> str:
    return await add(what, id)


@saga(name="outbox.fails")
async def fails() -> None:
    await add("a")
    raise ValueError("no")


async def told(coordinator: Coordinator) -> list[str]:
    """Give what was sent, once nothing is due."""
    await coordinator.run_until_idle()
    return sorted(what for what, _ in SENT)


@on_a_loop
async def test_a_message_leaves_if_and_only_if_the_transaction_commits(
    database_url: str, books: Engine
) -> None:
    """S23: the rows and the message are one; one that isn't committed was never there."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(adds, "a")
        message = await coordinator.get(await run.result(30))
        await message.result(30)
        bad = await coordinator.start(adds, "bad")
        assert await ended(bad) is Status.FAILED
        assert await told(coordinator) == ["a"]
        assert len(await coordinator.list(saga="outbox.announce")) == 1
    assert rows(books) == ["a"]


@on_a_loop
async def test_an_undone_transaction_sends_its_own_message(database_url: str, books: Engine) -> None:
    """S9: a compensation's outbox leaves with the compensation, once; what was sent before stays sent."""
    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.start(fails)) is Status.COMPENSATED
        assert await told(coordinator) == ["a", "no a"]


@pytest.mark.parametrize("committed", [True, False])
@on_a_loop
async def test_a_lost_reply_to_commit_sends_nothing_twice(
    database_url: str, books: Engine, *, committed: bool
) -> None:
    """S3: the work is done again where it wasn't committed, and its outbox begins anew with it."""
    async with Coordinator(database_url) as coordinator:
        with lost_replies(2, committed=committed):
            run = await coordinator.start(adds, "a")
            await run.result(30)
        assert await told(coordinator) == ["a"]
        assert len(await coordinator.list(saga="outbox.announce")) == 1
    assert rows(books) == ["a"]


@on_a_loop
async def test_the_same_id_and_input_is_the_same_message(database_url: str, books: Engine) -> None:
    """S17: a message that is there already isn't sent again; an id of something else fails the step."""
    async with Coordinator(database_url) as coordinator:
        for _ in range(2):
            assert await (await coordinator.start(adds, "a", "message-a")).result(30) == "message-a"
        await coordinator.start(other, "b", id="taken")
        error = await failure(await coordinator.start(adds, "b", "taken"))
        assert isinstance(error.error, StartConflict)
        assert "outbox would start run 'taken'" in str(error.error)
        assert await told(coordinator) == ["a"]
    assert rows(books) == ["a", "a"]


@on_a_loop
async def test_what_is_put_is_checked_at_once(database_url: str, books: Engine) -> None:
    """S26: arguments that don't fit, too large ones, an id twice: errors where they are put."""
    seen: list[type[Exception]] = []

    @transaction(name="outbox.puts", retry=ONCE)
    def puts(db: Connection) -> None:
        box = current_step().outbox
        box.put(announce, "a", id="twice")
        box.put(announce, "a", id="twice")
        for kind, args, run_id in (
            (InputInvalid, (1,), None),
            (InputInvalid, (), None),
            (InputInvalid, ("a",), "no\0id"),
            (PayloadTooLarge, ("x" * 3_000,), None),
            (StartConflict, ("b",), "twice"),
        ):
            with pytest.raises(kind):
                box.put(announce, *args, id=run_id)
            seen.append(kind)
        with pytest.raises(DefinitionError, match="is not a saga"):
            box.put(print, "a")  # type: ignore[arg-type]  # on purpose

    @saga(name="outbox.checks")
    async def checks() -> None:
        await puts()

    async with Coordinator(database_url, max_payload=2_000) as coordinator:
        await (await coordinator.start(checks)).result(30)
        assert len(seen) == 5
        assert await told(coordinator) == ["a"]


@on_a_loop
async def test_a_plain_step_has_no_outbox(database_url: str) -> None:
    """Section 2: only a transaction commits together with what it sends; the error says so."""

    @step(name="outbox.plain", retry=ONCE)
    async def plain() -> None:
        current_step().outbox.put(announce, "a")

    @saga(name="outbox.plainly")
    async def plainly() -> None:
        await plain()

    async with Coordinator(database_url) as coordinator:
        error = await failure(await coordinator.start(plainly))
    assert isinstance(error.error, OutsideRun)
    assert "only a @transaction commits together with what it sends" in str(error.error)


@on_a_loop
async def test_a_message_of_a_callers_transaction_goes_with_it(database_url: str, books: Engine) -> None:
    """Section 2: a message is a saga, so that `connection=` takes it."""
    async with Coordinator(database_url) as coordinator:
        for what, commits in (("a", True), ("b", False)):
            with coordinator.engine.connect() as db:
                put(db, what)
                await coordinator.start(announce, what, connection=db)
                db.commit() if commits else db.rollback()
        assert await told(coordinator) == ["a"]
    assert rows(books) == ["a"]


@on_a_loop
async def test_a_message_is_tried_again_under_one_key_until_it_succeeds(
    database_url: str, books: Engine
) -> None:
    """L2: errors that say that nothing happened are tried again as well: the receiver may be mended."""
    FAILS.extend([RuntimeError("away"), NoEffect("refused")])
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(announce, "a")
        await run.result(30)
        assert len(await run.journal()) == 5
    assert len(SENT) == 1


@on_a_loop
async def test_a_message_that_nobody_takes_parks_and_can_be_sent_by_a_person(
    database_url: str, books: Engine
) -> None:
    """S12, S25: nothing is dropped; it says what failed, and a person's retry begins anew."""
    FAILS.extend([RuntimeError("away")] * 3)
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(announce, "a")
        error = await parked(run)
        assert "has failed in all its attempts (away); have it tried again" in str(error)
        await coordinator.operator("eve").retry(run.id, 1)
        await run.result(30)
    assert [what for what, _ in SENT] == ["a"]


@on_a_loop
async def test_a_message_in_a_body_is_a_step_and_outside_a_run_the_function(
    database_url: str, books: Engine
) -> None:
    """Section 2: calling it tells the receiver now; nothing but a start makes it a run of its own."""

    @saga(name="outbox.calls")
    async def calls() -> None:
        await announce("a")

    @outgoing(name="outbox.sync", timeout=dt.timedelta(seconds=5))
    def sync(what: str) -> str:
        return what.upper()

    assert asyncio.iscoroutine(made := sync("a"))
    assert await made == "A"
    async with Coordinator(database_url) as coordinator:
        await (await coordinator.start(calls)).result(30)
        assert await (await coordinator.start(sync, "b")).result(30) == "B"
        assert await coordinator.list(saga="outbox.announce") == []
    assert [what for what, _ in SENT] == ["a"]


def test_what_can_be_no_message_is_refused_at_decoration() -> None:
    """Errors at the boundary say what to give instead."""
    with pytest.raises(DefinitionError, match="takes a function"):
        outgoing(announce)
    with pytest.raises(DefinitionError, match="retry=3 must be a Retry"):
        outgoing(retry=3)  # type: ignore[call-overload]  # on purpose
    with pytest.raises(DefinitionError, match="timeout"):
        outgoing(timeout=dt.timedelta(0))
    with pytest.raises(DefinitionError, match="yields"):

        @outgoing
        def yields() -> Iterator[int]:
            yield 1


def test_attempts_are_spread_over_hours() -> None:
    """Section 2: from a second to an hour apart, fourteen hours of them."""

    @outgoing(name="outbox.patient")
    def patient() -> None: ...

    rng, policy = random.Random(1), patient.step.retry  # noqa: S311 - jitter
    waits = [next_wait(policy, Failed(NoEffect("no"), n, 0, no_effect=True), rng) for n in range(1, 26)]
    assert waits[-1] is None
    seconds = [wait for wait in waits if wait is not None]
    assert 1 <= seconds[0] <= 2
    assert 3_600 <= max(seconds) <= 3_601
    assert 12 < sum(seconds) / 3_600 < 16
