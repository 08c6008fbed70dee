"""Effect classes: what stays, what is undone, what an end is called."""

from __future__ import annotations

import asyncio
from typing import Any

from amends.sagas import (
    Coordinator,
    DefinitionError,
    Effect,
    NoEffect,
    Outcome,
    Run,
    Status,
    Undo,
    saga,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, ONCE, ended, failure, kinds, on_a_loop


class Shop:
    """What the steps below do, and what is undone."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def steps(self) -> dict[str, Any]:
        """Define one step of each class, and some that fail."""
        done = self.done

        @step(name="effects.reserve")
        async def reserve(what: str) -> str:
            done.append(f"reserve {what}")
            return what

        @reserve.compensation(name="effects.release")
        async def release(undo: Undo[str], what: str) -> None:
            done.append(f"release {undo.result}")

        @step(name="effects.mail")
        async def mail(what: str) -> None:
            done.append(f"mail {what}")

        @step(name="effects.launch", effect="irreversible")
        async def launch(what: str) -> None:
            done.append(f"launch {what}")

        @step(name="effects.misfire", effect="irreversible", retry=ONCE)
        async def misfire(what: str) -> None:
            raise ConnectionError(what)

        @step(name="effects.look", effect="read")
        async def look(what: str) -> str:
            done.append(f"look {what}")
            return what

        @step(name="effects.refuse", retry=ONCE)
        async def refuse(what: str) -> None:
            raise NoEffect(what)

        @step(name="effects.lose", retry=ONCE)
        async def lose(what: str) -> None:
            raise ConnectionError(what)

        return {name: made for name, made in locals().items() if name not in ("done", "self", "release")}


CASES: dict[str, tuple[list[str], Status, list[str]]] = {
    "nothing": ([], Status.FAILED, []),
    "only reads": (["look"], Status.FAILED, []),
    "a plain step": (["mail"], Status.FAILED, ["mail"]),
    "a plain step that may have landed": (["lose"], Status.FAILED, []),
    "an irreversible step": (["launch"], Status.FAILED, ["launch"]),
    "an irreversible step that may have landed": (["misfire"], Status.FAILED, ["misfire"]),
    "a compensatable step": (["reserve"], Status.COMPENSATED, []),
    "compensatable and plain": (["reserve", "mail"], Status.PARTIALLY_COMPENSATED, ["mail"]),
    "compensatable and irreversible": (["launch", "reserve"], Status.PARTIALLY_COMPENSATED, ["launch"]),
    "compensatable and read": (["look", "reserve", "look"], Status.COMPENSATED, []),
    "compensatable and refused": (["reserve", "refuse"], Status.COMPENSATED, []),
    "refused": (["refuse"], Status.FAILED, []),
}


@on_a_loop
async def test_an_end_says_what_became_of_the_effects(database_url: str) -> None:
    """Section 4, S13, S15, S24: the status and `left_standing()` tell what the world holds."""
    async with Coordinator(database_url) as coordinator:
        for name, (words, status, left) in CASES.items():
            shop = Shop()
            steps = shop.steps()

            @saga(name="effects.body")
            async def body(words: list[str]) -> None:
                for word in words:
                    try:
                        await steps[word](word)  # noqa: B023 - run in this very round
                    except (ConnectionError, NoEffect):
                        continue
                raise ValueError("the end")

            run = await coordinator.start(body, words)
            assert await ended(run) is status, name
            assert [standing.step for standing in await run.left_standing()] == [
                f"effects.{word}" for word in left
            ]
            undone = [done for done in shop.done if done.startswith("release")]
            assert undone == ["release reserve"] * words.count("reserve"), name


@on_a_loop
async def test_a_completed_run_leaves_nothing_standing_that_it_should_not(sqlite_url: str) -> None:
    """Section 4: `left_standing()` is about runs that didn't complete."""
    steps = Shop().steps()

    @saga
    async def body() -> None:
        await steps["mail"]("a")
        await steps["reserve"]("b")

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await run.result(30)
        assert await run.left_standing() == []


@on_a_loop
async def test_what_stands_says_how_sure_it_is(sqlite_url: str) -> None:
    """S2, S15: landed is landed, and unknown is unknown."""
    steps = Shop().steps()

    @saga
    async def body() -> None:
        await steps["launch"]("a")
        await steps["misfire"]("b")

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await failure(run)
        left = await run.left_standing()
    assert [(one.ref, one.effect, one.outcome) for one in left] == [
        (1, Effect.IRREVERSIBLE, Outcome.LANDED),
        (2, Effect.IRREVERSIBLE, Outcome.UNKNOWN),
    ]


@on_a_loop
async def test_a_read_has_no_intent(database_url: str) -> None:
    """S1, reads ride along: a read is recorded with its outcome, together with what follows."""
    steps = Shop().steps()

    @saga
    async def body() -> list[str]:
        return [await steps["look"](str(number)) for number in range(20)]

    async with Coordinator(database_url) as coordinator:
        run: Run[list[str]] = await coordinator.start(body)
        assert await run.result(30) == [str(number) for number in range(20)]
        assert await kinds(run) == [Kind.LANDED] * 20 + [Kind.ENDED]


@on_a_loop
async def test_a_read_that_fails_is_tried_again_with_an_intent(database_url: str) -> None:
    """Reads ride along: a read that has to wait for a retry gets an intent then."""
    count = 0

    @step(effect="read", retry=AT_ONCE)
    async def look() -> int:
        nonlocal count
        count += 1
        if count < 3:
            raise ConnectionError
        return count

    @saga
    async def body() -> int:
        return await look()

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result(30) == 3
        assert await kinds(run) == [Kind.INTENT, Kind.RETRY, Kind.RETRY, Kind.LANDED, Kind.ENDED]


@on_a_loop
async def test_reads_do_not_wait_in_memory_for_long(sqlite_url: str) -> None:
    """Reads ride along: a bound in milliseconds; a body that sleeps on has them written first."""
    steps = Shop().steps()

    @saga
    async def body() -> None:
        await steps["look"]("a")
        await asyncio.sleep(3_600)

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        assert await kinds(run) == [Kind.LANDED]
        assert await run.status() is Status.WAITING


@on_a_loop
async def test_a_read_under_way_at_the_end_does_not_wake_the_run_again(sqlite_url: str) -> None:
    """S16: one end; what a read brings after it concerns nobody."""
    hold = asyncio.Event()
    ends = asyncio.Event()

    @step(effect="read")
    async def slow() -> int:
        await hold.wait()
        ends.set()
        return 1

    @step(retry=ONCE)
    async def breaks() -> None:
        raise ValueError

    @saga
    async def body() -> None:
        await asyncio.gather(slow(), breaks())

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        assert await ended(run) is Status.FAILED
        before = await kinds(run)
        hold.set()
        await ends.wait()
        await coordinator.run_until_idle()
        assert await run.status() is Status.FAILED
        assert await kinds(run) == before


@on_a_loop
async def test_a_step_that_is_lost_is_compensated_when_so_declared(sqlite_url: str) -> None:
    """S2, S3, S27: on_unknown=compensate undoes at the first doubt; the body sees the error after that."""
    done: list[str] = []

    @step(retry=AT_ONCE, on_unknown="compensate")
    async def pay() -> None:
        done.append("pay")
        raise ConnectionError("no answer")

    @pay.compensation
    async def refund(undo: Undo[None]) -> None:
        done.append(f"refund {undo.outcome} {undo.result} {undo.cause}")

    @saga
    async def body() -> str:
        try:
            await pay()
        except ConnectionError:
            done.append("told")
        return "went on"

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        assert await run.result(30) == "went on"
    assert done == ["pay", "refund unknown None failed", "told"]


@on_a_loop
async def test_a_step_declared_compensatable_without_a_compensation_is_refused(sqlite_url: str) -> None:
    """S1: an intent holds its compensation's name; where there is none, nothing is started."""

    @step(effect="compensatable")
    async def half_made() -> None: ...

    @saga
    async def body() -> None:
        await half_made()

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
        assert isinstance(failed.error, DefinitionError)
        assert "has no compensation" in str(failed.error)
