"""What is counted of runs whose workers are killed, held against the journals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from amends.sagas.retelling import retold
from amends.tracing.metrics import ATTEMPT, RUN, WAIT
from amends.tracing.span_data import SpanData
from tests.crash.cases import CASES, Case
from tests.crash.cycles import Bench, Blow, Ending
from tests.tracing.collector import Collector, collecting

NAMES = ("linear", "retry", "last refused", "child", "dormant sleep")
SOME = [case for case in CASES if case.name in NAMES]
EVERY_MS = 100
TOLD = {
    "run": ("amends.run.duration", RUN),
    "wait": ("amends.wait.duration", WAIT),
    **dict.fromkeys(("step", "probe", "compensate"), ("amends.step.duration", (*ATTEMPT, "error.type"))),
}

Key = tuple[Any, ...]


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def counting(bench: Bench, collector: Collector) -> Bench:
    """Give a bench whose workers export what they count, many times a second and when they end."""
    return replace(bench, also={"otlp": collector.url, "metrics": EVERY_MS})


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_counts_agree_with_the_journals(counting: Bench, collector: Collector, case: Case) -> None:
    """Nothing is counted twice, and of what a worker did that wasn't killed nothing is missing."""
    with counting.cycle(case) as cycle:
        unkilled = cycle.end()
    found, expected = _counted(collector, unkilled), _expected(_spans(unkilled))
    assert found == expected
    points = len(unkilled.first.points)
    struck = [(Blow(at),) for at in sorted({1, points // 3, points // 2, points - 4})]
    ends = counting.cycles(case, struck)
    assert sum(exit_.killed for end in ends for exit_ in end.exits) >= len(struck) - 1
    for end in ends:
        dead = {exit_.pid for exit_ in end.exits if exit_.killed}
        found, expected = _counted(collector, end), _expected(_spans(end))
        assert found <= expected, found - expected
        lived = _expected(span for span, process in _tellers(end) if process not in dead)
        assert lived <= found, lived - found


def _spans(end: Ending) -> list[SpanData]:
    records = [end.story.record, *end.story.below]
    return [span for record in records for span in retold(record.row, record.entries)]


def _tellers(end: Ending) -> Iterator[tuple[SpanData, int]]:
    """Give attempts and ends of runs, each with the process that put it on record."""
    for record in (end.story.record, *end.story.below):
        last = [entry.meta["worker"] for entry in record.entries if "worker" in entry.meta][-1:]
        for span in retold(record.row, record.entries):
            said = span.attributes
            worker = said.get("amends.recovered_by") or said.get("amends.worker.id")
            if span.what == "run":
                worker = (*last, worker)[0]
            if worker:
                yield span, int(str(worker).split("-")[-2])


def _expected(spans: Iterable[SpanData]) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for span in spans:
        if span.what in TOLD:
            name, labels = TOLD[span.what]
            found[_key(name, labels, span.attributes)] += 1
        if span.what in ("step", "compensate") and int(str(span.attributes["amends.step.attempt"])) > 1:
            found[_key("amends.step.retries", ATTEMPT, span.attributes)] += 1
    return found


def _counted(collector: Collector, end: Ending) -> Counter[Key]:
    """Add up what the processes of a run have exported."""
    found: Counter[Key] = Counter()
    names = {name for name, _ in TOLD.values()} | {"amends.step.retries"}
    for process in collector.metrics(end.story.record.row.id):
        for name, labels, count in process["points"]:
            if name in names:
                found[_key(name, labels, labels)] += int(count)
    return found


def _key(name: str, labels: Iterable[str], said: Mapping[str, Any]) -> Key:
    return (name, *sorted((label, said[label]) for label in labels if label in said))
