"""How gauges ask a database: seldom, in a thread of their own, and never for long."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from amends.tracing import gauges
from amends.tracing.gauges import EVERY, Gauges, Source
from tests.tracing.counted import Counted


@dataclass
class Said:
    """What a database says."""

    parked: int = 0
    owed: int = 0
    pending: int = 0
    oldest: int | None = None


@dataclass
class Asking:
    """A database that is asked; it fails or hangs where it is to."""

    answer: Said = field(default_factory=Said)
    asked: list[str] = field(default_factory=list)
    fails: bool = False
    hangs: bool = False
    go_on: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> Said:
        self.asked.append(threading.current_thread().name)
        if self.hangs:
            self.go_on.wait(30)
        if self.fails:
            raise OSError("no connection")
        return replace(self.answer)

    def source(self, database: str = "orders") -> Source:
        return Source(database, self.ask, lambda: 10_000, lambda: 3)


class Bench:
    """Gauges of a provider, and a clock for them."""

    def __init__(self) -> None:
        reader = InMemoryMetricReader()
        self.now = 0.0
        self.gauges = Gauges(MeterProvider([reader]).get_meter("test"), clock=lambda: self.now)
        self.counted = Counted(reader)

    def parked(self) -> dict[str, float]:
        return self.counted.values("amends.run.parked", "db.namespace")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_database_is_asked_at_most_every_fifteen_seconds(bench: Bench) -> None:
    """All gauges of all collections share an answer, and it isn't the collecting thread that asks."""
    asking = Asking(Said(parked=1))
    bench.gauges.add(asking.source())
    assert bench.parked() == {"orders": 1}
    asking.answer.parked = 2
    bench.now = EVERY - 1
    assert bench.parked() == {"orders": 1}
    assert asking.asked == ["amends-gauges"]
    bench.now = EVERY
    assert bench.parked() == {"orders": 2}
    assert len(asking.asked) == 2


def test_the_age_of_an_approval_grows_between_two_answers(bench: Bench) -> None:
    now = [10_000]
    bench.gauges.add(Source("orders", lambda: Said(pending=1, oldest=4_000), lambda: now[0], None))
    assert bench.counted.values("amends.approval.oldest.age") == {(): 6}
    now[0] += 3_000
    assert bench.counted.values("amends.approval.oldest.age") == {(): 9}


def test_a_database_that_fails_leaves_what_was_known(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    asking = Asking(Said(parked=1))
    bench.gauges.add(asking.source())
    assert bench.parked() == {"orders": 1}
    asking.fails = True
    for _ in range(3):
        bench.now += EVERY
        assert bench.parked() == {"orders": 1}
    assert len(asking.asked) == 4
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    asking.fails, asking.answer.parked = False, 5
    bench.now += EVERY
    assert bench.parked() == {"orders": 5}


def test_a_database_that_was_never_heard_has_no_series(bench: Bench) -> None:
    asking = Asking(fails=True)
    bench.gauges.add(asking.source())
    assert bench.parked() == {}
    assert bench.counted.values("amends.run.active") == {(): 3}


def test_a_database_that_hangs_keeps_nobody_for_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't asked again before it has answered, and another database is heard meanwhile."""
    monkeypatch.setattr(gauges, "PATIENCE", 0.05)
    asking, other = Asking(Said(parked=1)), Asking(Said(parked=7))
    bench.gauges.add(asking.source())
    bench.gauges.add(other.source("others"))
    assert bench.parked() == {"orders": 1, "others": 7}
    asking.hangs, asking.answer.parked, other.answer.parked = True, 2, 8
    for _ in range(3):
        bench.now += EVERY
        assert bench.parked() == {"orders": 1, "others": 8}
    assert len(asking.asked) == 2
    asking.go_on.set()
    bench.gauges.remove(asking.source())
    monkeypatch.setattr(gauges, "PATIENCE", 10)
    bench.gauges._asked["orders"].settle()  # noqa: SLF001 - once it has answered
    assert bench.parked() == {"orders": 2, "others": 8}


def test_one_answer_serves_all_coordinators_of_a_database(bench: Bench) -> None:
    first, second = Asking(Said(parked=1)), Asking(Said(parked=1))
    sources = first.source(), second.source()
    for source in sources:
        bench.gauges.add(source)
    assert bench.parked() == {"orders": 1}
    assert bench.counted.values("amends.run.active", "db.namespace") == {"orders": 6}
    assert len(first.asked) + len(second.asked) == 1
    bench.gauges.remove(sources[1])
    bench.now = EVERY
    assert bench.parked() == {"orders": 1}
    bench.gauges.remove(sources[0])
    assert bench.counted.metrics() == {}


def test_a_forked_process_does_not_ask_for_its_parent(bench: Bench) -> None:
    """Its coordinators stayed there, and its connections."""
    asking = Asking()
    bench.gauges.add(replace(asking.source(), pid=os.getpid() + 1))
    assert bench.counted.metrics() == {}
    assert asking.asked == []
