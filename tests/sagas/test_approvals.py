"""Approvals: bound to what was shown, decided once, refused when nobody waits any more (A10)."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from amends.sagas import (
    AmendsError,
    ApprovalNotFound,
    ApprovalStatus,
    Coordinator,
    Decision,
    DecisionRefused,
    InputInvalid,
    OutsideRun,
    Run,
    Status,
    Undo,
    approval,
    receive,
    saga,
    sleep,
    step,
)
from amends.sagas import forms as forms_of
from amends.sagas.journal import Kind
from tests.sagas.running import ONCE, Clock, ended, kinds, on_a_loop, parked
from tests.sagas.test_counts import counted

HOUR = dt.timedelta(hours=1)
DONE: list[str] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    DONE.clear()


class Refund(BaseModel):
    amount: int = Field(gt=0)
    note: str = ""


@dataclasses.dataclass
class Answer:
    yes: bool = False


@step(name="approvals.does")
async def does(what: str) -> str:
    DONE.append(what)
    return what


@does.compensation(name="approvals.undoes")
async def undoes(undo: Undo[str], what: str) -> None:
    DONE.append(f"-{what}")


@step(name="approvals.wires", retry=ONCE, on_unknown="park")
async def wires() -> None:
    raise OSError("no answer")


def told(decision: Decision[Any]) -> str:
    """Say in words what a body heard."""
    values = "" if decision.values is None else f" {decision.values}"
    return f"{decision.status} by {decision.by}: {decision.reason}{values}"


@saga(name="approvals.publish")
async def publish(text: str) -> str:
    return told(await approval(title=f"Publish {text}", details={"text": text}))


@saga(name="approvals.refund")
async def refund(amount: int, approvers: list[str], quorum: int = 1) -> str:
    decision = await approval(
        Refund(amount=amount),
        title="Refund",
        approvers=approvers,
        requested_by="req",
        quorum=quorum,
        timeout=HOUR,
    )
    return told(decision)


async def asked(coordinator: Coordinator, run: Run[Any]) -> str:
    """Drive a run until it waits; give the id of what it waits for."""
    await coordinator.run_until_idle()
    pending = await coordinator.approvals(run_id=run.id)
    assert [each.status for each in pending] == [ApprovalStatus.PENDING]
    return pending[0].id


async def refused(coordinator: Coordinator, asked_for: str, by: str = "ann", **given: Any) -> str:
    """Give the words with which a decision is refused."""
    with pytest.raises(DecisionRefused) as caught:
        await coordinator.decide(asked_for, by=by, **{"approved": True, **given})
    return str(caught.value)


@on_a_loop
async def test_a_run_waits_for_a_person_and_costs_a_row(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(publish, "poem", id="p")
        asked_for = await asked(coordinator, run)
        assert coordinator._open_parts().driver.holding == 0  # noqa: SLF001 - nothing public tells
        (info,) = await coordinator.list(status=Status.WAITING)
        assert info.waits_for == "approval 'Publish poem'"
        (shown,) = await coordinator.approvals()
        assert (shown.title, shown.details, shown.approvers) == ("Publish poem", {"text": "poem"}, None)
        await coordinator.decide(asked_for, approved=True, by="ann", reason="well said")
        assert await run.result(30) == "approved by ann: well said"
        assert await coordinator.approvals() == []


@on_a_loop
async def test_a_rejection_is_an_answer_with_a_reason(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(publish, "poem", id="p")
        asked_for = await asked(coordinator, run)
        await coordinator.decide(asked_for, approved=False, by="ann", reason="too long")
        assert await run.result(30) == "rejected by ann: too long"
        (shown,) = await coordinator.approvals("rejected")
        assert (shown.decided_by, shown.reason) == ("ann", "too long")


@on_a_loop
async def test_a_decision_is_on_record_with_who_and_how_and_of_what(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(publish, "poem", id="p")
        asked_for = await asked(coordinator, run)
        (shown,) = await coordinator.approvals()
        await coordinator.decide(
            asked_for, approved=True, by="ann", how="desk", reason="fine", digest=shown.digest
        )
        await run.result(30)
        (line,) = await run.audit()
        assert (line.actor, line.action) == ("ann", "approve")
        assert json.loads(line.detail or "") == {
            "approval": asked_for,
            "digest": shown.digest,
            "how": "desk",
            "reason": "fine",
        }
        (decided,) = [entry for entry in await run.journal() if entry.kind is Kind.DECIDED]
        assert (decided.meta["by"], decided.meta["how"], decided.meta["outcome"]) == (
            "ann",
            "desk",
            "approved",
        )


@on_a_loop
async def test_of_a_hundred_decisions_at_once_one_counts(database_url: str) -> None:
    """Section 3, Group commit: a conditional update, whoever it comes from."""
    async with Coordinator(database_url) as one, Coordinator(database_url, work=False) as other:
        run = await one.start(publish, "poem", id="p")
        asked_for = await asked(one, run)
        outcomes = await asyncio.gather(
            *(
                (one, other)[n % 2].decide(asked_for, approved=bool(n % 3), by=f"person-{n}", reason=str(n))
                for n in range(100)
            ),
            return_exceptions=True,
        )
        counted_ones = [n for n, outcome in enumerate(outcomes) if outcome is None]
        assert len(counted_ones) == 1
        assert all(isinstance(outcome, DecisionRefused) for outcome in outcomes if outcome is not None)
        winner = counted_ones[0]
        assert (await run.result(30)).endswith(f"by person-{winner}: {winner}")
        assert len(await run.audit()) == 1
        assert (await kinds(run)).count(Kind.DECIDED) == 1


@on_a_loop
async def test_what_is_filled_in_is_checked_and_edited(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(refund, 10, ["ann"], id="r")
        asked_for = await asked(coordinator, run)
        for values, complaint in (
            ({"amount": -1}, "greater than 0"),
            ({"sum": 1}, "no field 'sum'; it has: amount, note"),
            (["amount"], "given by name"),
            (object(), "no JSON form"),
        ):
            with pytest.raises(InputInvalid, match=complaint):
                await coordinator.decide(asked_for, approved=True, by="ann", values=values)
        await coordinator.decide(asked_for, approved=True, by="ann", values=Refund(amount=7, note="less"))
        assert await run.result(30) == "approved by ann: None amount=7 note='less'"


@on_a_loop
async def test_a_process_without_the_code_checks_by_the_schema(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(refund, 10, ["ann"], id="r")
        asked_for = await asked(coordinator, run)
        monkeypatch.setattr(forms_of, "KNOWN", {})
        with pytest.raises(InputInvalid, match="amount: -1 is less than or equal to the minimum of 0"):
            await coordinator.decide(asked_for, approved=True, by="ann", values={"amount": -1})
        await coordinator.decide(asked_for, approved=True, by="ann", values={"amount": 3})
        assert await run.result(30) == "approved by ann: None amount=3 note=''"


@on_a_loop
async def test_only_approvers_decide_and_never_who_asked(database_url: str) -> None:
    """A10: who decides is another one than who asks."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(refund, 10, ["ann", "req"], id="r")
        asked_for = await asked(coordinator, run)
        assert "req has asked for it" in await refused(coordinator, asked_for, "req")
        assert "zoe isn't among those who may decide: ann, req" in await refused(
            coordinator, asked_for, "zoe"
        )
        with pytest.raises(InputInvalid, match="printable"):
            await coordinator.decide(asked_for, approved=True, by="")
        assert await run.audit() == []
        await coordinator.decide(asked_for, approved=True, by="ann")
        await run.result(30)


@on_a_loop
async def test_a_quorum_takes_different_people_who_approve_the_same(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(refund, 10, ["ann", "bob", "cy"], 2, id="r")
        asked_for = await asked(coordinator, run)
        await coordinator.decide(asked_for, approved=True, by="ann", values={"amount": 5})
        assert "ann has approved it already" in await refused(coordinator, asked_for, values={"amount": 5})
        assert "ann approved other values" in await refused(coordinator, asked_for, "bob")
        (shown,) = await coordinator.approvals()
        assert shown.voters == ("ann",)
        await coordinator.run_until_idle()
        await coordinator.decide(asked_for, approved=True, by="bob", values={"amount": 5})
        assert await run.result(30) == "approved by bob: None amount=5 note=''"
        assert [line.actor for line in await run.audit()] == ["ann", "bob"]


@on_a_loop
async def test_one_who_rejects_decides_for_the_quorum(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(refund, 10, ["ann", "bob", "cy"], 2, id="r")
        asked_for = await asked(coordinator, run)
        await coordinator.decide(asked_for, approved=True, by="ann")
        await coordinator.decide(asked_for, approved=False, by="bob", reason="no")
        assert await run.result(30) == "rejected by bob: no"


@on_a_loop
async def test_a_quorum_reached_by_many_at_once_is_reached_once(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        people = [f"p{n}" for n in range(30)]
        run = await coordinator.start(refund, 10, people, 20, id="r")
        asked_for = await asked(coordinator, run)
        outcomes = await asyncio.gather(
            *(coordinator.decide(asked_for, approved=True, by=by) for by in people), return_exceptions=True
        )
        assert [outcome for outcome in outcomes if outcome is None] == [None] * 20
        assert (await run.result(30)).startswith("approved by ")
        assert len(await run.audit()) == 20


@on_a_loop
async def test_nobody_decides_after_the_time_is_over(database_url: str) -> None:
    """Refused by the clock alone, although no worker has noticed yet."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(refund, 10, ["ann"], id="r")
        asked_for = await asked(coordinator, run)
        clock.move(HOUR)
        assert "its time is over" in await refused(coordinator, asked_for)
        await coordinator.run_until_idle()
        assert await run.result(30) == "expired by None: None"
        assert "it is expired already" in await refused(coordinator, asked_for)
        assert await run.audit() == []


@on_a_loop
async def test_a_decision_in_time_counts_although_nobody_has_read_it(database_url: str) -> None:
    """The expiry loses to a decision that came before it."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(refund, 10, ["ann"], id="r")
        asked_for = await asked(coordinator, run)
    async with Coordinator(database_url, clock=clock, work=False) as door:
        await door.decide(asked_for, approved=True, by="ann")
    clock.move(2 * HOUR)
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.run_until_idle()
        run = await coordinator.get("r")
        assert (await run.result(30)).startswith("approved by ann")


@on_a_loop
async def test_a_cancelled_run_takes_no_decision(database_url: str) -> None:
    """A10: neither before the cancel is taken nor after."""

    @saga(name="approvals.booked")
    async def booked() -> str:
        await does("booked")
        return told(await approval(title="Go on?"))

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(booked, id="b")
        asked_for = await asked(coordinator, run)
    async with Coordinator(database_url, work=False) as door:
        await door.cancel("b")
        assert "told its run to stop" in await refused(door, asked_for)
    async with Coordinator(database_url) as coordinator:
        assert await ended(await coordinator.get("b")) is Status.COMPENSATED
        assert "it is withdrawn already" in await refused(coordinator, asked_for)
    assert DONE == ["booked", "-booked"]


@on_a_loop
async def test_what_the_body_no_longer_waits_for_is_withdrawn(database_url: str) -> None:
    @saga(name="approvals.races")
    async def races() -> str:
        people = asyncio.create_task(approval(title="People?"))
        machine = asyncio.create_task(receive(str, name="machine"))
        done, open_still = await asyncio.wait([people, machine], return_when=asyncio.FIRST_COMPLETED)
        for task in open_still:
            task.cancel()
        await asyncio.wait(open_still)
        return str(done.pop().result())

    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(races, id="r")
        asked_for = await asked(coordinator, run)
        await coordinator.signal("r", "machine", "it is fine")
        assert await run.result(30) == "it is fine"
        assert "it is withdrawn already" in await refused(coordinator, asked_for)
        assert Kind.WITHDRAWN in await kinds(run)


@on_a_loop
async def test_a_withdrawal_replays(database_url: str) -> None:
    @saga(name="approvals.withdraws")
    async def withdraws() -> str:
        try:
            async with asyncio.timeout(60):
                await approval(title="Quick?")
        except TimeoutError:
            await does("nobody")
        await sleep(HOUR)
        return told(await approval(title="Slow?"))

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(withdraws, id="w")
        await coordinator.run_until_idle()
        clock.move(HOUR)
        await coordinator.run_until_idle()
    async with Coordinator(database_url, clock=clock) as coordinator:
        clock.move(HOUR)
        await coordinator.run_until_idle()
        (shown,) = await coordinator.approvals()
        assert shown.title == "Slow?"
        await coordinator.decide(shown.id, approved=True, by="ann")
        await coordinator.run_until_idle()
        run = await coordinator.get("w")
        assert await run.result(30) == "approved by ann: None"
    assert DONE == ["nobody"]


@on_a_loop
async def test_what_was_shown_is_what_is_approved(database_url: str) -> None:
    """A decision of something else, or of nothing, changes nothing."""
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(publish, "poem", id="p")
        asked_for = await asked(coordinator, run)
        assert "what was shown" in await refused(coordinator, asked_for, digest="0" * 64)
        with pytest.raises(ApprovalNotFound, match="'p:2'"):
            await coordinator.decide("p:2", approved=True, by="ann")
        with pytest.raises(InputInvalid, match="nothing to fill in"):
            await coordinator.decide(asked_for, approved=True, by="ann", values={"amount": 1})
        assert await run.audit() == []
        assert Kind.DECIDED not in await kinds(run)


@on_a_loop
async def test_others_may_decide_once_it_is_escalated(database_url: str) -> None:
    @saga(name="approvals.escalates")
    async def escalates() -> str:
        return told(
            await approval(
                title="Pay", approvers=["ann"], escalate_to=["boss"], timeout=2 * HOUR, remind_every=HOUR / 4
            )
        )

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(escalates, id="e")
        asked_for = await asked(coordinator, run)
        assert "boss isn't among those" in await refused(coordinator, asked_for, "boss")
        for _ in range(4):
            clock.move(HOUR / 4)
            await coordinator.run_until_idle()
        found = await kinds(run)
        assert (found.count(Kind.REMINDED), found.count(Kind.ESCALATED)) == (4, 1)
        (shown,) = await coordinator.approvals()
        assert shown.approvers == ("ann", "boss")
        await coordinator.decide(asked_for, approved=True, by="boss")
        await coordinator.run_until_idle()
        assert await run.result(30) == "approved by boss: None"


@on_a_loop
async def test_reminders_that_nobody_was_there_for_are_one(database_url: str) -> None:
    @saga(name="approvals.reminds")
    async def reminds() -> str:
        return told(await approval(title="Pay", remind_every=HOUR))

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(reminds, id="r")
        await coordinator.run_until_idle()
        clock.move(dt.timedelta(hours=50, minutes=5))
        due = await coordinator.run_until_idle()
        reminded = [entry for entry in await run.journal() if entry.kind is Kind.REMINDED]
        assert [entry.attempt for entry in reminded] == [50]
        assert due == dt.datetime.fromtimestamp(clock.now / 1000, dt.UTC) + dt.timedelta(minutes=55)


@on_a_loop
async def test_a_decision_waits_for_a_parked_run(database_url: str) -> None:
    """It is taken once somebody has seen to the run."""

    @saga(name="approvals.parks")
    async def parks() -> str:
        decision = asyncio.create_task(approval(title="Pay"))
        await sleep(1)
        await wires()
        return told(await decision)

    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(parks, id="p")
        asked_for = await asked(coordinator, run)
        clock.move(HOUR)
        await coordinator.run_until_idle()
        assert "nobody knows whether" in str(await parked(run))
        await coordinator.decide(asked_for, approved=True, by="ann")
        await coordinator.operator("ann").resolve("p", "approvals.wires", landed=True, evidence="seen")
        await coordinator.run_until_idle()
        assert await run.result(30) == "approved by ann: None"


@on_a_loop
async def test_a_replayed_body_asks_nobody_again(database_url: str) -> None:
    @saga(name="approvals.twice")
    async def twice() -> list[str]:
        first = told(await approval(Answer(), title="First?"))
        await does("between")
        return [first, told(await approval(Answer, title="Second?"))]

    for title in ("First?", "Second?"):
        async with Coordinator(database_url) as coordinator:
            if title == "First?":
                await coordinator.start(twice, id="t")
            await coordinator.run_until_idle()
            (shown,) = await coordinator.approvals()
            assert shown.title == title
            await coordinator.decide(shown.id, approved=True, by="ann", values={"yes": True})
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get("t")
        answer = "approved by ann: None Answer(yes=True)"
        if "Answer" not in str(await run.result(30)):
            pytest.fail("the values are lost")
        assert [text.replace("test_approvals.", "") for text in await run.result()] == [answer, answer]
        assert (await kinds(run)).count(Kind.APPROVAL) == 2
    assert DONE == ["between"]


@on_a_loop
async def test_a_body_that_asks_for_something_else_is_parked(sqlite_url: str) -> None:
    titles = ["Pay"]

    @saga(name="approvals.changes")
    async def changes() -> str:
        return told(await approval(title=titles[0]))

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(changes, id="c")
        asked_for = await asked(coordinator, run)
        titles[0] = "Pay twice"
        await coordinator.decide(asked_for, approved=True, by="ann")
        told_so = str(await parked(run))
    assert "journal entry 1 says: approval 'Pay'" in told_so
    assert "the body asks for: approval 'Pay twice'" in told_so


@on_a_loop
async def test_a_decision_costs_one_commit_and_its_turn_one(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(publish, "poem", id="p")
        asked_for = await asked(coordinator, run)
        with counted() as count:
            await coordinator.decide(asked_for, approved=True, by="ann")
            await run.result(30)
        assert count.writing == 2
        assert count.loads == 1


@on_a_loop
async def test_options_that_mean_nothing_are_refused(sqlite_url: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"title": ""},
        {"title": "x\ny"},
        {"title": "x", "approvers": "ann"},
        {"title": "x", "approvers": []},
        {"title": "x", "quorum": 0},
        {"title": "x", "approvers": ["ann"], "quorum": 2},
        {"title": "x", "approvers": ["ann", "ann"], "quorum": 2},
        {"title": "x", "approvers": ["ann"], "requested_by": "ann"},
        {"title": "x", "timeout": dt.timedelta(0)},
        {"title": "x", "escalate_to": ["boss"]},
        {"title": "x", "escalate_after": HOUR},
        {"title": "x", "form": int},
    ]

    @saga(name="approvals.wrong")
    async def asks(number: int) -> str:
        given = dict(wrong[number])
        try:
            await approval(given.pop("form", None), **given)
        except AmendsError as error:
            return type(error).__name__
        return "taken"

    async with Coordinator(sqlite_url) as coordinator:
        for number in range(len(wrong)):
            run = await coordinator.start(asks, number, id=f"w-{number}")
            assert await run.result(30) == "DefinitionError", wrong[number]
        with pytest.raises(InputInvalid, match="there are: pending, approved"):
            await coordinator.approvals("open")
    with pytest.raises(OutsideRun, match="approval"):
        await approval(title="x")


@on_a_loop
async def test_approvals_are_listed_page_by_page(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        for number in range(7):
            await coordinator.start(publish, str(number), id=f"p-{number}")
        await coordinator.run_until_idle()
        seen: list[str] = []
        while page := await coordinator.approvals(limit=3, after=seen[-1] if seen else None):
            seen += [each.id for each in page]
        assert sorted(seen) == [f"p-{number}:1" for number in range(7)]


def test_a_blocking_caller_can_decide(sqlite_url: str) -> None:
    with Coordinator.sync(sqlite_url) as coordinator:
        run = coordinator.start(publish, "poem", id="p")
        while not (pending := coordinator.approvals()):
            coordinator.run_until_idle()
        coordinator.decide(pending[0].id, approved=True, by="ann")
        assert run.result(30) == "approved by ann: None"
