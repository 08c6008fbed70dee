"""One run in three processes is one whole trace: killed in mid-step, asleep, and approved days later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest

from amends.persistence.records import Status
from amends.sagas.journal import Entry
from amends.sagas.retelling import retold
from amends.tracing.identity import identity_of
from amends.tracing.span_data import NS
from tests.crash.cases import NO
from tests.crash.claims import Story
from tests.crash.cycles import ENDED, LEASE_MS, Bench
from tests.tracing.collector import Collector, Told, once
from tests.tracing.jaeger import shown, warnings
from tests.tracing.journaled import untrue

DAYS = timedelta(days=3)
MILLISECOND = timedelta(milliseconds=1)
JAEGER = os.environ.get("AMENDS_TEST_JAEGER", "")
JAEGER_OTLP = os.environ.get("AMENDS_TEST_JAEGER_OTLP", "http://localhost:4318")


@dataclass(frozen=True, slots=True)
class Toured:
    """What three processes did, and what the back end got: of the run's trace, and of others."""

    story: Story
    spans: Sequence[Told]
    others: Sequence[Told]

    @property
    def journals(self) -> dict[str, list[Entry]]:
        """The journals of the run and of those below it."""
        records = [self.story.record, *self.story.below]
        return {record.row.id: record.entries for record in records}

    def named(self, name: str) -> list[Told]:
        """Give the spans of a name, each once, in the order of their beginning."""
        found = [span for span in once(self.spans) if span["name"] == name]
        return sorted(found, key=lambda span: span["start"])

    def untrue(self) -> list[str]:
        """Say what is wrong with the trace."""
        return untrue(self.spans, self.journals, others={span["id"] for span in self.others})


def toured(bench: Bench, otlp: str, how: str) -> Story:
    """Run the scenario: A starts and is killed in mid-step, B lets it sleep, C approves days later."""
    run = f"tour-{uuid4().hex}"
    bench.world.direct(run, "car", NO)
    with bench.store() as ledger:
        spec = bench.spec("tour begins", ledger, run=run, trace=how, lease_ms=LEASE_MS, otlp=otlp)
        struck = {"at": 1, "only": "landed", "holding": "flight"}
        asleep = {"play": "tour sleeps", "ahead_ms": 1_000}
        later = {"play": "tour approved", "ahead_ms": DAYS // MILLISECOND}
        job = bench.zygote.start(spec | struck, spec | asleep, spec | later)
        exits = job.wait()
        assert [child.killed for child in exits] == [True, True, False], job.log()
        assert exits[-1].code == ENDED, job.log()
        return bench.story(ledger, run)


def received(story: Story, spans: Sequence[Told]) -> Toured:
    """Take what a back end got of the run, and what else there is."""
    run = story.record.row.id
    (trace,) = {span["trace"] for span in spans if span["attributes"].get("amends.run.id") == run}
    mine = [span for span in spans if span["trace"] == trace]
    return Toured(story, mine, [span for span in spans if span["trace"] != trace])


@pytest.mark.parametrize("how", ["link", "join"])
def test_three_processes_and_three_days_are_one_whole_trace(
    bench: Bench, collector: Collector, how: str
) -> None:
    """Tracing 1 to 9: one root, no orphan, no id with two contents, links that lead somewhere, true waits."""
    tour = received(toured(bench, collector.url, how), collector.all())
    assert tour.story.record.row.status is Status.COMPENSATED
    assert tour.untrue() == []
    (anchor,), (waited,), (marked,) = (
        tour.named(n) for n in ("start tour", "wait approval", "waiting approval")
    )
    assert waited["end"] - waited["start"] >= (DAYS - timedelta(minutes=2)) // MILLISECOND * NS
    assert marked["start"] == waited["start"]
    (clicked,) = (to for _, to, said in waited["links"])
    assert clicked in {span["id"] for span in tour.others if span["name"] == "POST /approve"}
    undone = [
        span["attributes"]["amends.compensation.of"]
        for span in tour.spans
        if span["name"].startswith("compensate ")
    ]
    assert sorted(set(undone)) == ["tour_book", "tour_stamp"]
    lost, again = tour.named("step tour_book")[1:]
    assert lost["attributes"]["error.type"] == "worker_lost"
    assert [said["amends.link.type"] for _, _, said in again["links"]] == ["retry_of"]
    # What the dead attempt had exported hangs on a span all the same.
    assert {span["parent"] for span in tour.named("prepare flight")} >= {lost["id"], again["id"]}
    assert len(tour.named("chat scripted")) == len(("calls", "answer"))
    caller = [span for span in (*tour.spans, *tour.others) if span["name"] == "GET /tour"]
    if how == "join":
        assert anchor["parent"] in {span["id"] for span in caller}
    else:
        assert anchor["links"][0][1] in {span["id"] for span in caller}


@pytest.mark.skipif(not JAEGER, reason="AMENDS_TEST_JAEGER names no Jaeger (the base of its query API)")
@pytest.mark.parametrize("how", ["link", "join"])
def test_jaeger_shows_three_processes_as_one_whole_trace(bench: Bench, how: str) -> None:
    """Tracing 1 to 9: the same, as a person sees it; whatever speaks Jaeger's query API will do."""
    story = toured(bench, JAEGER_OTLP, how)
    records = [story.record, *story.below]
    identity = identity_of(story.record.row.trace or "")
    assert identity is not None
    trace = f"{identity.trace_id:032x}"
    wanted = [span for record in records for span in retold(record.row, record.entries)]
    spans = shown(JAEGER, trace, len(wanted))
    # Jaeger doesn't say which links lead to other traces but by their ids.
    others = {to for span in spans for other, to, _ in span["links"] if other != trace}
    journals = {record.row.id: record.entries for record in records}
    assert untrue(spans, journals, others=others) == []
    assert warnings(JAEGER, trace) == []
    assert {f"{span.context.span_id:016x}" for span in wanted} <= {span["id"] for span in spans}
