"""The test kit sends signals to the run under test, and judges what became of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from amends.persistence.records import InboxRow, Write
from amends.sagas import InputInvalid, Saga, receive, saga
from amends.sagas.journal import Entry, Kind
from amends.sagas.mailbox import Letter, Mailbox
from amends.sagas.signalling import message
from amends.sagas.testing import CrashTestFailed, SimulationFailed, crash_test, simulate
from amends.sagas.testing.mishaps import Mishap, Mishaps, Point
from amends.sagas.testing.post import encoded
from amends.sagas.testing.rules import broken_post
from amends.sagas.testing.schedule import Scheduled, parse, written
from amends.sagas.testing.stage import RUN_ID, Stage
from amends.sagas.testing.store import StoredRun
from amends.sagas.testing.subject import Subject
from tests.testing_kit import shops
from tests.testing_kit.shops import SHOP


class Payment(BaseModel):
    amount: int


@saga(name="kit.signalled")
async def signalled(article: str) -> int:
    await shops.reserve(article)
    paid = await receive(Payment, name="paid", timeout=timedelta(days=3))
    more = await receive(Payment, name="paid")
    await shops.charge(article)
    return paid.amount + more.amount


@saga(name="kit.patient")
async def patient(article: str) -> str:
    """Sell only to who pays in time."""
    try:
        await receive(Payment, name="paid", timeout=timedelta(days=3))
    except TimeoutError:
        return await shops.reserve(article)
    await shops.charge(article)
    return "sold"


@saga(name="kit.unsent")
async def unsent(article: str) -> None:
    await shops.reserve(article)
    await receive(Payment, name="paid")


@saga(name="kit.calls_a_waiter")
async def calls_a_waiter(article: str) -> None:
    await unsent(article)


PAYMENTS: list[Any] = [("paid", Payment(amount=1)), ("paid", {"amount": 2}, "evt-2")]


def played(subject: Saga[..., Any], schedule: str) -> Stage:
    return Subject.of(subject, "kettle", SHOP, None, PAYMENTS).play(Scheduled(parse(schedule)))


def sent(stage: Stage) -> list[str]:
    """Give what the trace says of signals."""
    return [line.partition(" ")[2] for line in stage.lines if " signal " in line or " dies" in line]


def test_a_saga_that_waits_for_signals_passes() -> None:
    report = crash_test(signalled, "kettle", world=SHOP, signals=PAYMENTS)
    assert min(report.ends["completed"], report.ends["compensated"]) > 10
    trace = simulate(signalled, "kettle", world=SHOP, signals=PAYMENTS)
    assert min(trace.ends["completed"], trace.ends["compensated"]) > 10


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("", ["signal paid (signal-1): sent", "signal paid (evt-2): sent"]),
        (
            "signal 2 killed before",
            ["signal paid (signal-1): sent", "the sender of paid dies", "signal paid (evt-2): sent"],
        ),
        ("signal 1 killed after", ["signal paid (signal-1): sent"] * 2 + ["signal paid (evt-2): sent"]),
        ("signal 2 early", ["signal paid (signal-1): sent", "signal paid (evt-2): sent"]),
    ],
)
def test_senders_are_killed_and_send_again(schedule: str, wanted: list[str]) -> None:
    """S17, of messages: however often a signal is sent, it is received once."""
    stage = played(signalled, schedule)
    assert sent(stage) == wanted
    assert stage.run is not None
    assert stage.run.row.result == b"3"


def test_an_early_signal_is_there_before_the_run_asks() -> None:
    stage = played(signalled, "signal 2 early")
    assert stage.run is not None
    kinds = [entry.kind for entry in stage.run.journal]
    assert kinds.index(Kind.SIGNAL) < kinds.index(Kind.LANDED)
    assert Kind.FIRED not in kinds


def test_a_late_signal_comes_after_the_time_out() -> None:
    """What the saga does without the signal is another end; the test says that it is right."""
    with pytest.raises(CrashTestFailed, match="signal 1 was sent only once the run had gone on without it"):
        crash_test(patient, "kettle", world=SHOP, signals=PAYMENTS)
    report = crash_test(
        patient, "kettle", world=SHOP, signals=PAYMENTS, accept=lambda world: "kettle reserved" in world[0]
    )
    assert report.ends["completed"] > 1


def test_every_moment_is_chosen_by_some_seed() -> None:
    lines: Counter[str] = Counter()
    for seed in range(60):
        trace = simulate(signalled, "kettle", world=SHOP, signals=PAYMENTS, seeds=[seed])
        fired = any("fired" in line for line in trace.lines)
        died = any("the sender of paid dies" in line for line in trace.lines)
        again = sum("signal paid (signal-1): sent" in line for line in trace.lines) > 1
        lines.update({"fired": fired, "died": died, "again": again})
    assert min(lines.values()) > 0


@pytest.mark.parametrize("subject", [unsent, calls_a_waiter])
def test_a_signal_that_nobody_sends_is_named(subject: Saga[..., Any]) -> None:
    with pytest.raises(SimulationFailed, match=r"waits for signal 'paid', and nobody sends it: .*signals="):
        simulate(subject, "kettle", seeds=range(50))
    with pytest.raises(CrashTestFailed, match=r"waits for signal 'paid', and nobody sends it"):
        crash_test(subject, "kettle", world=SHOP)


def test_what_does_not_fit_the_saga_is_refused() -> None:
    with pytest.raises(InputInvalid, match="amount"):
        simulate(signalled, "kettle", signals=[("paid", {"amount": "much"})])
    with pytest.raises(InputInvalid, match="a signal is"):
        encoded(signalled, ["paid"])  # type: ignore[list-item]  # that it isn't a tuple is the point
    with pytest.raises(InputInvalid, match="signal's name"):
        encoded(signalled, [("", 1)])


def test_schedules_with_signals_are_read_and_written() -> None:
    text = "signal 1 early, signal 2 killed after, write 3 killed before"
    assert written(parse(text)) == text
    with pytest.raises(ValueError, match="'signal N' with killed before, killed after, early, late"):
        parse("signal 1 fails")


class Storm(Mishaps):
    """Another signal comes just before each write that ends the run."""

    stage: Stage
    count = 0

    def at(self, point: Point) -> Mishap | None:
        if point.kind == "write" and "ended" in point.what:
            self.count += 1
            row = message(RUN_ID, "paid", f"storm-{self.count}", b'{"amount":1}', self.stage.now())
            self.stage.store.apply(Write(RUN_ID, inbox=row), None, None)
        return None


def test_signals_that_pour_in_hold_up_no_end() -> None:
    """S16, L1: an end loses to a cancel; lost to every signal, it would never come."""
    storm = Storm()
    subject = Subject.of(signalled, "kettle", SHOP, None, PAYMENTS)
    storm.stage = Stage(
        signalled, subject.data, world=SHOP, resources=None, mishaps=storm, signals=subject.signals
    )
    run = storm.stage.play().run
    assert run is not None
    assert run.row.status == "completed"
    assert storm.count == 1


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (["one", "two"], ""),
        (["one", "one"], "is in the journal twice"),
        (["two", "one"], "were sent as"),
        (["two"], "were sent as"),
    ],
)
def test_signals_out_of_order_twice_or_left_out_are_found(taken: list[str], words: str) -> None:
    stage = played(signalled, "")
    assert stage.run is not None
    metas = [json.dumps({"name": "paid", "id": name}) for name in ("one", "two", "three")]
    inbox = [InboxRow(RUN_ID, meta, Kind.SIGNAL.value, 0, meta) for meta in metas]
    entries = [
        Entry(seq, Kind.SIGNAL, 0, name="paid", meta={"id": name}) for seq, name in enumerate(taken, 1)
    ]
    run = StoredRun(stage.run.row, [entry.to_row(RUN_ID) for entry in entries], inbox)
    found = list(broken_post(run))
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_a_receiver_cancelled_with_a_letter_in_its_hands_gives_it_back_first() -> None:
    """L1: letters leave the mailbox only with a receiver that gets them (section 3), and keep their order."""

    async def cancelled_at_the_last_moment() -> list[int]:
        mailbox, loop = Mailbox(), asyncio.get_running_loop()
        first = asyncio.create_task(mailbox.receive("a", loop.create_future, 0))
        await asyncio.sleep(0)
        for seq in (1, 2):
            mailbox.put(Letter(seq, "a", b"null"))
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        assert mailbox.awaited == []
        return [(await mailbox.receive("a", loop.create_future, 0)).seq for _ in range(2)]

    assert asyncio.run(cancelled_at_the_last_moment()) == [1, 2]
