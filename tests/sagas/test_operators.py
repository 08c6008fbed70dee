"""What a person may do about a run that needs one (S25)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from amends.sagas import (
    ActionRefused,
    Coordinator,
    InputInvalid,
    NoEffect,
    Run,
    RunNotFound,
    Status,
    Undo,
    saga,
    step,
)
from amends.sagas.journal import Kind
from tests.sagas.running import AT_ONCE, ONCE, ended, on_a_loop, parked

WORLD: dict[str, Any] = {}
"""What the participants are to do: `trouble` names the calls that fail; `done` is what they did."""


@pytest.fixture(autouse=True)
def _quiet() -> None:
    WORLD.clear()
    WORLD.update(trouble=set(), done=[])


def call(name: str) -> None:
    WORLD["done"].append(name)
    if name in WORLD["trouble"]:
        raise OSError(f"{name}: no answer")


@step(name="operators.book", retry=ONCE)
async def book(what: str) -> str:
    call(what)
    return what.upper()


@book.compensation(name="operators.unbook", retry=ONCE)
async def unbook(undo: Undo[str], what: str) -> None:
    call(f"-{what}")


@step(name="operators.wire", retry=ONCE, on_unknown="park")
async def wire(what: str) -> str:
    call(what)
    return what.upper()


@step(name="operators.no")
async def no() -> None:
    raise NoEffect("no")


@saga(name="operators.trip")
async def trip() -> None:
    await book("hotel")
    await book("flight")
    await no()


@saga(name="operators.wires")
async def wires() -> list[str]:
    return [await book("hotel"), await wire("money")]


async def stuck(coordinator: Coordinator, *trouble: str, body: Any = trip) -> Run[Any]:
    """Start a run in which these calls fail, and let them succeed from then on."""
    WORLD["trouble"].update(trouble)
    run: Run[Any] = await coordinator.start(body)
    await parked(run)
    WORLD["trouble"].clear()
    return run


async def audited(run: Run[Any]) -> list[tuple[str, str]]:
    return [(row.actor, row.action) for row in await run.audit()]


@on_a_loop
async def test_a_stuck_compensation_is_retried_and_what_waited_for_it_goes_on(database_url: str) -> None:
    """S12, S25: attributed, audited, with a policy that counts anew."""
    async with Coordinator(database_url) as coordinator:
        run = await stuck(coordinator, "-flight")
        assert WORLD["done"] == ["hotel", "flight", "-flight"]
        await coordinator.operator("ann").retry(run.id, 2, reason="they are back")
        assert await ended(run) is Status.COMPENSATED
        assert await audited(run) == [("ann", "retry")]
        [line] = await run.audit()
        assert json.loads(line.detail or "") == {
            "act": "retry", "by": "ann", "ref": 2, "reason": "they are back",
        }  # fmt: skip
    assert WORLD["done"] == ["hotel", "flight", "-flight", "-flight", "-hotel"]


@pytest.mark.parametrize("act", ["skip", "waive"])
@on_a_loop
async def test_a_compensation_left_out_leaves_its_effect_standing(database_url: str, act: str) -> None:
    """S3, S13: on record, and the end says that not all of it was undone."""
    async with Coordinator(database_url) as coordinator:
        run = await stuck(coordinator, "-flight")
        operator = coordinator.operator("ann")
        await getattr(operator, act)(run.id, 2, reason="paid back by hand")
        assert await ended(run) is Status.PARTIALLY_COMPENSATED
        assert [(left.step, left.ref) for left in await run.left_standing()] == [("operators.book", 2)]
        assert await audited(run) == [("ann", act)]
    assert WORLD["done"] == ["hotel", "flight", "-flight", "-hotel"]


@on_a_loop
async def test_a_step_resolved_as_landed_gives_the_body_its_result(database_url: str) -> None:
    """S2, S25: a person's evidence counts like a probe's."""
    async with Coordinator(database_url) as coordinator:
        run = await stuck(coordinator, "money", body=wires)
        await coordinator.operator("ann").resolve(
            run.id, "operators.wire", landed=True, evidence="statement no. 7", result="WIRED"
        )
        assert await run.result(30) == ["HOTEL", "WIRED"]
    assert WORLD["done"] == ["hotel", "money"]


@on_a_loop
async def test_a_step_resolved_as_not_landed_fails_and_owes_nothing(database_url: str) -> None:
    """S2, S3."""
    async with Coordinator(database_url) as coordinator:
        run = await stuck(coordinator, "money", body=wires)
        await coordinator.operator("ann").resolve(run.id, 2, landed=False, evidence="no such transfer")
        assert await ended(run) is Status.COMPENSATED
        assert await run.left_standing() == []
    assert WORLD["done"] == ["hotel", "money", "-hotel"]


@on_a_loop
async def test_a_step_in_doubt_is_retried_with_its_key(database_url: str) -> None:
    """S1, S25: every attempt is on record, this one with who asked for it."""
    async with Coordinator(database_url) as coordinator:
        run = await stuck(coordinator, "money", body=wires)
        await coordinator.operator("ann").retry(run.id, 2)
        assert await run.result(30) == ["HOTEL", "MONEY"]
        [again] = [entry for entry in await run.journal() if entry.kind is Kind.RETRY]
        assert again.meta["by"] == "ann"


@on_a_loop
async def test_an_abort_compensates(database_url: str) -> None:
    """S25: abort means compensate; the cause is the operator."""
    async with Coordinator(database_url) as coordinator:
        run = await stuck(coordinator, "money", body=wires)
        operator = coordinator.operator("ann")
        await operator.abort(run.id, reason="customer is gone")
        await coordinator.run_until_idle()
        await parked(run)
        await operator.resolve(run.id, 2, landed=False, evidence="none")
        assert await ended(run) is Status.COMPENSATED
        [info] = await coordinator.list()
        assert info.cause == "operator"
    assert WORLD["done"] == ["hotel", "money", "-hotel"]


@on_a_loop
async def test_of_two_operators_one_wins_and_the_other_is_told(database_url: str) -> None:
    """S25: both saw the same state; one act is carried out, in one line of the audit trail."""
    async with (
        Coordinator(database_url) as worker,
        Coordinator(database_url, work=False) as one,
        Coordinator(database_url, work=False) as other,
    ):
        run = await stuck(worker, "-flight")
        acts = [
            one.operator("ann").retry(run.id, 2),
            other.operator("ben").waive(run.id, 2, reason="never mind"),
        ]
        told = await asyncio.gather(*acts, return_exceptions=True)
        assert [type(each) for each in told if each is not None] == [ActionRefused]
        assert await ended(run) in (Status.COMPENSATED, Status.PARTIALLY_COMPENSATED)
        assert len(await audited(run)) == 1


@on_a_loop
async def test_an_act_on_what_somebody_has_acted_on_is_refused_at_once(sqlite_url: str) -> None:
    """S25: of two who saw the same state one is told; what both did is audited."""
    async with Coordinator(sqlite_url) as coordinator:
        run = await stuck(coordinator, "-flight", "-hotel")
        WORLD["trouble"].add("-hotel")
    async with Coordinator(sqlite_url, work=False) as coordinator:
        await coordinator.operator("ann").retry(run.id, 2)
        with pytest.raises(ActionRefused, match="somebody has acted"):
            await coordinator.operator("ben").skip(run.id, 2)
        await coordinator.operator("ben").waive(run.id, 1, reason="never mind")
    async with Coordinator(sqlite_url) as coordinator:
        await coordinator.run_until_idle()
        run = await coordinator.get(run.id)
        assert await run.status() is Status.PARTIALLY_COMPENSATED
        assert await audited(run) == [("ann", "retry"), ("ben", "waive")]
        with pytest.raises(ActionRefused):
            await coordinator.operator("ann").retry(run.id, 2)


@on_a_loop
async def test_an_act_that_another_has_overtaken_is_refused_and_audited(sqlite_url: str) -> None:
    """S25: both fitted when they were sent; the one that is taken second comes to nothing, on record."""

    @step(name="operators.pays", retry=ONCE, on_unknown="park")
    async def pays() -> None:
        raise OSError

    @pays.compensation(name="operators.repays")
    async def repays(undo: Undo[None]) -> None: ...

    @saga(name="operators.paying")
    async def paying() -> None:
        await pays()

    async with Coordinator(sqlite_url) as coordinator:
        await parked(await coordinator.start(paying, id="a"))
    async with Coordinator(sqlite_url, work=False) as coordinator:
        await coordinator.operator("ann").abort("a")
        await coordinator.operator("ben").resolve("a", 1, landed=True, evidence="I looked")
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.get("a")
        assert await ended(run) is Status.COMPENSATED
        assert await audited(run) == [("ann", "abort"), ("ben", "resolve"), ("ben", "resolve refused")]


@on_a_loop
async def test_a_compensation_retried_by_hand_has_all_its_attempts_again(sqlite_url: str) -> None:
    """S25: what failed before the person came doesn't count, and the journal says who that was."""
    failing = ["", "", "", "", ""]

    @step(name="operators.lends")
    async def lends() -> None: ...

    @lends.compensation(name="operators.takes_back", retry=AT_ONCE)
    async def takes_back(undo: Undo[None]) -> None:
        if failing:
            raise OSError(failing.pop())

    @saga(name="operators.lending")
    async def lending() -> None:
        await lends()
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(lending)
        await parked(run)
        await coordinator.operator("ann").retry(run.id, 1)
        assert await ended(run) is Status.COMPENSATED
        assert [entry.meta["by"] for entry in await run.journal() if "by" in entry.meta] == ["ann"]
    assert failing == []


Ask = Callable[[Any, str], Any]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda operator, run: operator.retry(run, 1), "step 1 .* is neither in doubt nor"),
        (lambda operator, run: operator.retry(run, "operators.book"), "more than once: say which of 1, 2"),
        (lambda operator, run: operator.retry(run, 9), "has no step 9; it has: 1 operators.book, 2"),
        (lambda operator, run: operator.skip(run, 1), "isn't stuck"),
        (lambda operator, run: operator.waive(run, 2, reason=""), "takes a reason"),
        (lambda operator, run: operator.waive(run, 3, reason="x"), "nothing is owed"),
        (
            lambda operator, run: operator.resolve(run, 2, landed=True, evidence="x", result=1),
            "is not in doubt",
        ),
        (lambda operator, run: operator.abort(run), "is being undone already"),
        (lambda operator, run: operator.undo(run), "only a run that has completed"),
    ],
)
@on_a_loop
async def test_an_act_that_does_not_fit_is_refused_in_words(sqlite_url: str, ask: Ask, told: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await stuck(coordinator, "-flight")
        with pytest.raises(ActionRefused, match=told):
            await ask(coordinator.operator("ann"), run.id)
        assert await audited(run) == []


@on_a_loop
async def test_a_result_that_does_not_fit_is_refused(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await stuck(coordinator, "money", body=wires)
        operator = coordinator.operator("ann")
        with pytest.raises(ActionRefused, match="doesn't fit what step 2"):
            await operator.resolve(run.id, 2, landed=True, evidence="x", result=[1])
        with pytest.raises(InputInvalid, match="no JSON form"):
            await operator.resolve(run.id, 2, landed=True, evidence="x", result=object())
        with pytest.raises(InputInvalid, match="takes evidence"):
            await operator.resolve(run.id, 2, landed=True, evidence="")
        with pytest.raises(RunNotFound):
            await operator.resume("nothing")
        with pytest.raises(InputInvalid):
            coordinator.operator("")


@on_a_loop
async def test_a_completed_run_is_undone_in_the_reverse_order(database_url: str) -> None:
    """Section 2: `undo` reopens a completed run as a unit, also after a restart."""

    @saga(name="operators.completes")
    async def completes() -> str:
        await book("hotel")
        return await book("flight")

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(completes)
        assert await run.result() == "FLIGHT"
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get(run.id)
        await coordinator.operator("ann").undo(run.id, reason="wrong customer")
        await coordinator.run_until_idle()
        assert await ended(run) is Status.COMPENSATED
        with pytest.raises(ActionRefused, match="only a run that has completed"):
            await coordinator.operator("ann").undo(run.id)
    assert WORLD["done"] == ["hotel", "flight", "-flight", "-hotel"]


@on_a_loop
async def test_a_run_behind_its_pivot_can_be_neither_undone_nor_aborted(sqlite_url: str) -> None:
    """S14: there is no way back."""

    @step(name="operators.pays", effect="pivot")
    async def pays() -> None: ...

    @saga(name="operators.paid")
    async def paid(*, fails: bool = False) -> None:
        await book("hotel")
        await pays()
        if fails:
            raise ValueError

    @saga(name="operators.paid_badly")
    async def paid_badly() -> None:
        await book("hotel")
        await pays()
        raise ValueError

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(paid)
        await run.result()
        operator = coordinator.operator("ann")
        with pytest.raises(ActionRefused, match="point of no return"):
            await operator.undo(run.id)
        lost = await coordinator.start(paid_badly)
        await parked(lost)
        with pytest.raises(ActionRefused, match="point of no return"):
            await operator.abort(lost.id)


@on_a_loop
async def test_a_poisoned_run_goes_on_when_it_is_resumed(sqlite_url: str) -> None:
    """S25, S26: that it was lost with its workers is forgotten."""
    async with Coordinator(sqlite_url, work=False) as coordinator:
        run = await coordinator.start(wires)
        with coordinator.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE amends_runs SET lost = 9")
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.get(run.id)
        assert "poison" in str(await parked(run))
        await coordinator.operator("ann").resume(run.id)
        assert await run.result(30) == ["HOTEL", "MONEY"]


@on_a_loop
async def test_many_runs_are_resumed_and_a_refusal_stops_nothing(sqlite_url: str) -> None:
    """S25: a bad deployment parks many runs at once."""
    async with Coordinator(sqlite_url) as coordinator:
        WORLD["trouble"].add("-flight")
        runs = [await coordinator.start(trip) for _ in range(3)]
        for run in runs:
            await parked(run)
        WORLD["trouble"].clear()
        operator = coordinator.operator("ann")
        await operator.retry(runs[0].id, 2)
        await ended(runs[0])
        done = await operator.for_each(lambda run: operator.retry(run, 2), [run.id for run in runs])
        assert [each.refused is None for each in done] == [False, True, True]
        assert {await ended(run) for run in runs} == {Status.COMPENSATED}
