"""What is told of runs whose workers are killed, on both stores, to a collector in a process of its own."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from amends.sagas.journal import Kind
from amends.sagas.retelling import retold
from tests.crash.cases import CASES, Case
from tests.crash.cycles import Bench, Blow, Ending
from tests.tracing.collector import Collector, Told, collecting, flaws, once, settled

NAMES = (
    "linear",
    "retry",
    "last refused",
    "approved by two",
    "dormant sleep",
    "child",
    "finished child undone",
)
SOME = [case for case in CASES if case.name in NAMES]
KILLS = 2
SAME = ("linear", "child", "dormant sleep")
"""Those whose kills lead to nothing but further attempts."""


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def traced(bench: Bench, collector: Collector) -> Bench:
    """Give a bench whose workers export what they do."""
    return replace(bench, also={"otlp": collector.url})


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_a_killed_run_is_one_whole_trace(traced: Bench, collector: Collector, case: Case) -> None:
    """Tracing 1, 4, 6, 7: no orphan, no second content, and what the journal tells is what was exported."""
    with traced.cycle(case) as cycle:
        unkilled = cycle.end()
    whole = _told(collector, unkilled)
    for end in traced.cycles(case, [(Blow(at),) for at in _spread(traced, case, unkilled, KILLS)]):
        spans = _told(collector, end)
        if case.name in SAME:
            assert _tree(spans) == _tree(whole), _shown(spans, whole)


@pytest.mark.soak
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name != "kills its worker"], ids=lambda c: c.name
)
def test_a_run_killed_anywhere_is_one_whole_trace(traced: Bench, collector: Collector, case: Case) -> None:
    """Tracing 1, 4, 6, 7, at every point of every scenario."""
    with traced.cycle(case) as cycle:
        unkilled = cycle.end()
    whole = _told(collector, unkilled)
    for end in traced.cycles(case, [(Blow(at + 1),) for at in range(len(unkilled.first.points))]):
        spans = _told(collector, end)
        if case.name in SAME:
            assert _tree(spans) == _tree(whole), _shown(spans, whole)


def _told(collector: Collector, end: Ending) -> list[Told]:
    """Give the spans of a run that has ended, once they are all there; they are what its journal tells."""
    records = [end.story.record, *end.story.below]
    wanted = [span for record in records for span in retold(record.row, record.entries)]
    spans = settled(collector, end.story.record.row.id, len(wanted))
    assert flaws(spans) == [], (
        end.first.said[-3:],
        len(end.exits),
        len(end.exits[-1].said),
        end.story.record.row.lost,
    )
    assert list(_given_up(spans, end)) == []
    found = {
        (span["id"], span["name"], span["parent"], span["start"], span["end"], _said(span["attributes"]))
        for span in once(spans)
    }
    expected = {
        (
            f"{span.context.span_id:016x}",
            span.name,
            None if span.parent is None else f"{span.parent.span_id:016x}",
            span.start,
            span.end,
            _said(span.attributes),
        )
        for span in wanted
    }
    assert expected <= found, expected - found
    assert all(name.startswith("waiting ") for _, name, *_ in found - expected), found - expected
    return once(spans)


def _said(attributes: Mapping[str, Any]) -> str:
    """Give attributes as they compare: JSON knows no tuples."""
    return json.dumps(attributes, sort_keys=True)


def _given_up(spans: Sequence[Told], end: Ending) -> Iterator[str]:
    """Give the attempts that were lost and after which nothing came, in a run that has ended."""
    followed = {to for span in spans for _, to, said in span["links"] if said}
    for span in spans:
        said = span["attributes"]
        if said.get("error.type") == "worker_lost" and "amends.compensation.of" not in said:
            probed = any(other["name"] == f"probe {said['amends.step.name']}" for other in spans)
            if span["id"] not in followed and not probed and not _settled(said, end):
                yield f"{span['name']} was lost, and nothing came of it"


def _settled(said: Mapping[str, Any], end: Ending) -> bool:
    """Tell whether a lost attempt was the last because the run turned round, or a person has said."""
    records = [end.story.record, *end.story.below]
    (entries,) = (record.entries for record in records if record.row.id == said["amends.run.id"])
    return any(
        entry.kind in (Kind.LATE, Kind.FAILED, Kind.LANDED, Kind.SWITCH, Kind.UNDO, Kind.ABANDONED)
        for entry in entries
        if entry.ref == said["amends.step.seq"] or entry.kind is Kind.SWITCH
    )


def _tree(spans: Sequence[Told]) -> Counter[tuple[Any, ...]]:
    """Give the tree without lost attempts, and without what differs from run to run."""
    named = {span["id"]: span["name"] for span in spans}
    return Counter(
        (
            span["name"],
            named.get(span["parent"]),
            span["attributes"].get("amends.step.seq"),
            span["attributes"].get("amends.run.status"),
            span["error"],
            tuple(sorted(said["amends.link.type"] for _, _, said in span["links"] if _kept(said))),
        )
        for span in spans
        if span["attributes"].get("error.type") != "worker_lost" and not span["name"].startswith("waiting ")
    )


def _kept(said: dict[str, Any]) -> bool:
    return said.get("amends.link.type") != "retry_of"


def _shown(spans: Sequence[Told], whole: Sequence[Told]) -> str:
    more, less = _tree(spans) - _tree(whole), _tree(whole) - _tree(spans)
    return f"more: {list(more.elements())}\nless: {list(less.elements())}"


def _spread(bench: Bench, case: Case, unkilled: Ending, wanted: int) -> list[int]:
    count = len(unkilled.first.points)
    begin = zlib.crc32((bench.seed + case.name).encode()) % count
    return sorted({(begin + n * count // wanted) % count + 1 for n in range(wanted)})
