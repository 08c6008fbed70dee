"""The test kit lets people decide, as they would in the databases, and judges what became of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from amends.sagas import InputInvalid, Saga, approval, saga
from amends.sagas.journal import Kind
from amends.sagas.testing import Decides, SimulationFailed, crash_test, simulate
from amends.sagas.testing.people import broken_votes
from amends.sagas.testing.post import encoded
from amends.sagas.testing.rules import folded
from amends.sagas.testing.schedule import Scheduled, parse
from amends.sagas.testing.seeded import Seeded
from amends.sagas.testing.stage import Stage
from amends.sagas.testing.subject import Subject
from tests.testing_kit import shops
from tests.testing_kit.shops import SHOP


class Price(BaseModel):
    amount: int = Field(gt=0)


@saga(name="kit.approved")
async def approved(article: str) -> int:
    await shops.reserve(article)
    decision = await approval(
        Price(amount=5), title="Sell?", approvers=["ann", "bob", "req"], requested_by="req", quorum=2
    )
    if not decision.approved or decision.values is None:
        raise ValueError(decision.reason)
    await shops.charge(article)
    return decision.values.amount


@saga(name="kit.in_time")
async def in_time(article: str) -> str:
    """Sell only what somebody approves in time."""
    decision = await approval(title="Sell?", timeout=timedelta(days=3))
    if not decision.approved:
        return decision.status
    await shops.reserve(article)
    await shops.charge(article)
    return "sold"


CHEAP = {"amount": 3}
AGREED: list[Any] = [
    Decides("req", values=CHEAP),
    Decides("ann", values=CHEAP),
    Decides("ann", values=CHEAP),
    Decides("bob", values={"amount": 4}),
    Decides("bob", values=CHEAP),
]
NO: list[Any] = [Decides("ann"), Decides("bob", approved=False, reason="no")]


def played(subject: Saga[..., Any], schedule: str, people: list[Any]) -> Stage:
    return Subject.of(subject, "kettle", SHOP, None, people).play(Scheduled(parse(schedule)))


def fates(stage: Stage) -> list[str]:
    """Give what the trace says became of decisions, each by its first words."""
    told = [line.partition("decision of simulated:2: ")[2] for line in stage.lines]
    return [" ".join(words.split()[:1]) for words in told if words]


def test_decisions_are_judged_as_in_the_databases() -> None:
    """A10: who asked may not, nobody counts twice, and all have to approve the same."""
    stage = played(approved, "", AGREED)
    assert fates(stage) == ["refused:", "counted", "refused:", "refused:", "counted"]
    assert stage.run is not None
    assert stage.run.row.result == b"3"


def test_a_saga_that_asks_people_passes() -> None:
    report = crash_test(approved, "kettle", world=SHOP, signals=AGREED)
    assert min(report.ends["completed"], report.ends["compensated"]) > 10
    trace = simulate(approved, "kettle", world=SHOP, signals=AGREED)
    assert min(trace.ends["completed"], trace.ends["compensated"]) > 10


def test_a_rejected_saga_is_undone() -> None:
    assert set(crash_test(approved, "kettle", world=SHOP, signals=NO).ends) == {"compensated"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_and_decides_again_decides_once(when: str) -> None:
    """A10."""
    stage = played(approved, f"signal 5 killed {when}", AGREED)
    assert fates(stage).count("counted") == 2
    assert stage.run is not None
    assert [entry.kind for entry in stage.run.journal].count(Kind.DECIDED) == 1


def test_who_decides_too_late_decides_nothing() -> None:
    """A10: what has expired isn't approved."""
    stage = played(in_time, "signal 1 late", [Decides("ann")])
    assert stage.run is not None
    assert stage.run.row.result == b'"expired"'
    report = crash_test(in_time, "kettle", world=SHOP, signals=[Decides("ann")])
    assert report.ends["completed"] > 10


def test_every_end_of_an_approval_is_met_by_some_seed() -> None:
    seen = {"approved": 0, "rejected": 0, "expired": 0, "withdrawn": 0}
    for seed in range(80):
        people = [Decides("ann", approved=seed % 3 > 0)]
        stage = Subject.of(in_time, "kettle", SHOP, None, people).play(Seeded(seed), 2)
        for asked in () if stage.run is None else stage.run.approvals.values():
            seen[asked.state.status] += 1
    assert min(seen.values()) > 0, seen


def test_an_approval_that_nobody_decides_is_named() -> None:
    with pytest.raises(
        SimulationFailed, match=r"waits for approval 'Sell\?', and nobody sends it: .*Decides"
    ):
        simulate(approved, "kettle", signals=[Decides("ann")], seeds=range(20))


def test_what_is_no_decision_is_refused() -> None:
    with pytest.raises(InputInvalid, match="Decides"):
        encoded(approved, ["ann"])  # type: ignore[list-item]  # that it is a text is the point


@pytest.mark.parametrize("heard", [0, 2])
def test_a_decision_heard_twice_or_never_is_found(heard: int) -> None:
    """A10."""
    stage = played(in_time, "", [Decides("ann")])
    assert stage.run is not None
    entries = stage.run.journal
    (decided,) = [entry for entry in entries if entry.kind is Kind.DECIDED]
    others = [entry for entry in entries if entry is not decided]
    assert not list(broken_votes(stage.run, entries, folded(entries)))
    forged = [*others, *[replace(decided)] * heard]
    (found,) = broken_votes(stage.run, forged, folded(entries))
    assert "(A10)" in found
