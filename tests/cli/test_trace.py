"""`amends trace`: a run's trace from its journal, shown, exported and found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.processes import Amends
from tests.tracing.collector import Collector, collecting, flaws


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def toured(amends_on_both: Amends) -> Amends:
    """Give a database with a tour that was refused in its child run."""
    amends = amends_on_both
    (amends.directory / "trouble").write_text("night")
    amends.says("start", "tour", "--module", "tour", "--id", "t-1", "--input", '"Oslo"')
    amends.work_off("tour")
    return amends


def test_a_trace_is_shown_as_a_tree_with_its_child_runs(toured: Amends) -> None:
    told = toured.says("trace", "show", "t-1")
    first, *rows = told.splitlines()
    assert "run t-1: tour@1" in first
    names = [row[: row.index("  ", 12)].strip() for row in rows]
    assert names[0] == "start tour"
    assert any(name.startswith("├─ invoke_workflow tour →") for name in names)
    assert any(name.lstrip("│├└─ ").startswith("start night") for name in names)
    alone = toured.says("trace", "show", "t-1", "--no-children")
    assert "start night" not in alone
    assert len(alone.splitlines()) < len(told.splitlines())


def test_a_trace_can_be_read_by_programs(toured: Amends) -> None:
    spans = toured.tells("trace", "show", "t-1")
    known = {span["span_id"] for span in spans}
    assert len({span["trace_id"] for span in spans}) == 1
    assert [span["name"] for span in spans if span["parent_span_id"] is None] == ["start tour"]
    assert all(span["parent_span_id"] in known for span in spans if span["parent_span_id"] is not None)
    assert all(span["end_ns"] > span["start_ns"] for span in spans)


def test_what_goes_on_in_a_run_is_shown_without_an_end(amends: Amends) -> None:
    amends.says("start", "night", "--module", "tour", "--id", "n-1", "--input", '"Oslo"')
    assert "waiting for its time" in amends.says("trace", "show", "n-1")


def test_a_trace_is_exported_whole_as_often_as_one_likes(toured: Amends, collector: Collector) -> None:
    """Tracing 2, 4, 7: under the same ids, with the same content."""
    told = ""
    for _ in range(2):
        told = toured.says("trace", "export", "t-1", "--endpoint", collector.url, "--service", "tours")
    trace = told.split(" of trace ")[1].split()[0]
    spans = collector.of(trace)
    assert told == f"{len(spans) // 2} spans of trace {trace} are exported to {collector.url}\n"
    assert flaws(spans) == []
    assert {span["resource"]["service.name"] for span in spans} == {"tours"}
    assert {"start tour", "start night", "invoke_workflow tour"} <= {span["name"] for span in spans}


def test_an_endpoint_that_takes_nothing_is_told_in_one_line(toured: Amends, collector: Collector) -> None:
    collector.behave("refuse")
    try:
        env = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        refused = toured("trace", "export", "t-1", "--endpoint", collector.url, env=env)
        nobody = toured("trace", "export", "t-1", "--endpoint", "http://127.0.0.1:9", env=env)
    finally:
        collector.behave("good")
    for ended in (refused, nobody):
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ended.stderr.startswith("amends: nothing was exported: http://127.0.0.1:")
        assert len(ended.stderr.splitlines()) == 1


def test_the_address_of_a_trace_is_made_by_a_template(toured: Amends) -> None:
    trace = toured.tells("trace", "show", "t-1")[0]["trace_id"]
    assert toured.says("trace", "url", "t-1") == f"http://localhost:16686/trace/{trace}\n"
    given = toured.says("trace", "url", "t-1", "--template", "https://x/{trace_id}?run={run_id}")
    assert given == f"https://x/{trace}?run=t-1\n"
    env = {"AMENDS_TRACE_URL": "y/{run_id}"}
    assert toured.says("trace", "url", "t-1", env=env) == "y/t-1\n"
    child = toured.says("trace", "url", "t-1/1", "--template", "{run_id}")
    assert child == "t-1%2F1\n"


@pytest.mark.parametrize("template", ["{trace}", "{", "{0}", "{trace_id!z}"])
def test_a_template_that_can_t_be_filled_in_is_refused(toured: Amends, template: str) -> None:
    assert "can't be filled in" in toured.refuses("trace", "url", "t-1", "--template", template)


@pytest.mark.parametrize("command", ["show", "export", "url"])
def test_there_is_no_trace_of_a_run_that_is_not_there(amends: Amends, command: str) -> None:
    amends.says("db", "upgrade")
    assert amends.refuses("trace", command, "t-9") == "there is no run 't-9' in this database"


def test_help_is_shown_without_a_command(amends: Amends) -> None:
    told = amends.says("trace")
    assert all(name in told for name in ("show", "export", "url"))
