"""The dashboard, the alerts and the page about metrics name what is there, as Prometheus is given it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from amends.persistence.standing import Standing
from amends.tracing.gauges import Source
from amends.tracing.metrics import Metrics
from amends.tracing.span_data import Attributes, SpanData

DOCS = Path(__file__).resolve().parents[2] / "docs"
BOARD = DOCS / "dashboards" / "amends.json"
ALERTS = DOCS / "dashboards" / "alerts.yml"
PAGE = DOCS / "metrics.md"
WORD = re.compile(r"\b(?:amends|gen_ai)_[a-z_]+|\b(?:db_namespace|error_type|service_[a-z_]+|instance)\b")
LABELS = re.compile(r"(?:by|without) \(([^)]*)\)|\{([^}]*)\}|label_values\([^,]*,([^)]*)\)")
TARGET = {"instance", "job", "service_name", "service_instance_id"}
"""Labels that Prometheus itself gives: of the target, or promoted from the resource."""


class Series:
    """Every series that Prometheus can be given, and the labels that each may have."""

    def __init__(self) -> None:
        self.labels: dict[str, set[str]] = {}
        registry = CollectorRegistry()
        reader = PrometheusMetricReader(registry=registry)
        provider = MeterProvider([reader])
        _say_everything(Metrics(provider))
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)
        provider.shutdown()


@pytest.fixture(scope="module")
def series() -> Series:
    return Series()


def _say_everything(metrics: Metrics) -> None:
    """Tell each instrument something, with every attribute that it may have."""
    run = {"amends.run.id": "r", "amends.saga.name": "s", "amends.run.status": "completed"}
    attempt: Attributes = {
        "amends.saga.name": "s",
        "amends.step.name": "a",
        "amends.step.kind": "plain",
        "amends.step.attempt": 2,
        "error.type": "builtins.OSError",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "p",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 1,
        "gen_ai.usage.output_tokens": 1,
        "amends.usage.cost": 0.5,
    }
    wait = {"amends.saga.name": "s", "amends.wait.kind": "timer", "amends.wait.outcome": "fired"}
    context = trace.SpanContext(1, 1, is_remote=False)
    metrics.told(
        [
            SpanData("run", context, None, "run", 1_000, 2_000, run),
            SpanData("step", context, None, "step", 1_000, 2_000, attempt),
            SpanData("wait", context, None, "wait", 1_000, 2_000, wait),
        ]
    )
    metrics.committed(3, 0.001)
    metrics.claimed(2)
    metrics.lease_lost()
    metrics.gauges.add(Source("orders", lambda: Standing(1, 1, 1, 1), lambda: 5_000, lambda: 1))


def _queries() -> Iterator[tuple[str, str]]:
    """Give every query of the dashboard and of the alerts, with where it stands."""
    board = json.loads(BOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']}, {target['refId']}", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]
    for rule in _rules():
        yield rule["alert"], rule["expr"]


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


@pytest.mark.parametrize(("where", "query"), [pytest.param(*each, id=each[0]) for each in _queries()])
def test_a_query_names_series_and_labels_that_are_there(series: Series, where: str, query: str) -> None:
    words = set(WORD.findall(query))
    named = words & set(series.labels)
    assert named, f"{where} asks for nothing that is there: {query}"
    known = set().union(*(series.labels[name] for name in named)) | TARGET | {"le"}
    assert words - named <= known, f"{where}: {words - named - known}"
    for groups in LABELS.findall(re.sub(r'"[^"]*"', "", query)):
        for label in re.findall(r"[a-z_]+", " ".join(groups)):
            assert label in known, f"{where}: no series there has {label}"


def test_a_query_in_the_dashboard_is_whole() -> None:
    """Brackets are closed, and every variable is one of the dashboard's."""
    board = json.loads(BOARD.read_text())
    variables = {each["name"] for each in board["templating"]["list"]} | {"__rate_interval"}
    for where, query in _queries():
        for opening, closing in ("()", "[]", "{}"):
            assert query.count(opening) == query.count(closing), where
        assert set(re.findall(r"\$(\w+)", query)) <= variables, where


def test_every_metric_is_on_the_dashboard(series: Series) -> None:
    text = " ".join(query for _, query in _queries())
    families = {
        re.sub(r"_(bucket|count|sum|created)$", "", name)
        for name in series.labels
        if name.startswith(("amends_", "gen_ai_"))
    }
    assert len(families) == 16
    assert [family for family in families if family not in text] == []


def test_panels_do_not_cover_one_another() -> None:
    board = json.loads(BOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_alerts_say_what_happened_and_what_to_do() -> None:
    rules = _rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_page_lists_every_metric_with_its_unit_and_attributes() -> None:
    """What the page says is what instruments are made with, and the other way round."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    _say_everything(Metrics(provider))
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (\S+) \| (\w+) \|[^|]*\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE
    )
    stated = {name: (unit, set(re.findall(r"`([a-z_.]+\.[a-z_.]+)`", said))) for name, unit, _, said in rows}
    made = {
        metric.name: (
            metric.unit,
            {key for point in metric.data.data_points for key in point.attributes or {}},
        )
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert {name: unit for name, (unit, _) in made.items()} == {n: unit for n, (unit, _) in stated.items()}
    shared = stated["gen_ai.client.token.usage"][1]
    for name, (_, labels) in made.items():
        allowed = stated[name][1] | (shared if name.startswith(("gen_ai.", "amends.model")) else set())
        assert labels <= allowed, name
        assert stated[name][1] <= labels, name
