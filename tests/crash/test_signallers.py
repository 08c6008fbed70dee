"""Signals from many processes at once, and to a run whose workers die and freeze under it."""

import itertools
import json
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from amends.sagas.journal import Kind
from tests.crash.children import Job
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.test_frozen_worker import freeze
from tests.crash.waiting import eventually

TELLERS = 50
KEYS = 20
MESSAGES = 4
"""Of each key: every process sends two of them, so that each comes from some 25 processes."""
POURED = 40
LEASE_MS = 800


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


def tell(bench: Bench, ledger: Ledger, saga: str, teller: int, runs: list[str], **details: object) -> Job:
    """Let a process send messages that start the runs where they aren't there; it works on none."""
    spec = bench.spec("tell", ledger, saga=saga, runs=runs, teller=teller, work=False, **details)
    return bench.zygote.start(spec)


def messages(ledger: Ledger, run: str) -> list[str]:
    """Give the ids of the messages that a run has taken, in order."""
    record = ledger.record(run)
    assert record is not None
    return [entry.meta["id"] for entry in record.entries if entry.kind is Kind.SIGNAL]


def test_fifty_processes_that_signal_or_start_twenty_keys_make_twenty_runs(
    bench: Bench, ledger: Ledger
) -> None:
    """S17: each message once, whoever was the first of those who sent it, and none is lost."""
    runs = [uuid4().hex for _ in range(KEYS)]
    pairs = list(itertools.combinations(range(MESSAGES), 2))
    tellers = [
        tell(bench, ledger, "hears", teller, runs, most=MESSAGES, numbers=pairs[teller % len(pairs)])
        for teller in range(TELLERS)
    ]
    worker = bench.zygote.start(bench.spec("work", ledger, saga="hears"))
    for teller in tellers:
        assert teller.wait()[-1].code == 0, teller.log()
    eventually(lambda: {row.status for row in ledger.runs().values()} == {"completed"})
    worker.signal(signal.SIGTERM)
    assert worker.wait()[-1].code == 0, worker.log()
    assert sorted(ledger.runs()) == sorted(runs)
    for run in runs:
        taken = messages(ledger, run)
        assert sorted(taken) == [f"message-{number}" for number in range(MESSAGES)]
        result = json.loads(ledger.runs()[run].result or b"")
        assert [name.rpartition("-")[2] for name in result] == [name.rpartition("-")[2] for name in taken]


def test_signals_that_pour_in_while_workers_die_and_freeze_are_received_once_and_in_order(
    bench: Bench, ledger: Ledger
) -> None:
    """S17, S18, L1: the run goes from one worker to the next, one killed, one frozen past its lease."""
    run = uuid4().hex
    workers = [
        bench.zygote.start(*[bench.spec("work", ledger, saga="books_all", lease_ms=LEASE_MS)] * 2)
        for _ in range(2)
    ]
    eventually(lambda: len(ledger.workers()) == len(workers))
    # Told to again, as one whose answers are lost: half of what it sends is known already.
    numbers = [number for begin in range(POURED) for number in (begin, begin // 2)]
    teller = tell(bench, ledger, "books_all", 0, [run], most=POURED, numbers=numbers)
    _let_some_come(bench, run, 5)
    workers[0].signal(signal.SIGKILL)
    _let_some_come(bench, run, 5)
    freeze(workers[1], ledger)
    _let_some_come(bench, run, 5)
    workers[1].signal(signal.SIGCONT)
    assert teller.wait()[-1].code == 0, teller.log()
    eventually(lambda: ledger.status(run) == "completed")
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
    story = bench.story(ledger, run)
    assert not breaches(story), told(story)
    taken = messages(ledger, run)
    assert sorted(taken) == sorted(f"message-{number}" for number in range(POURED))
    wanted = [f"0-{name.rpartition('-')[2]}" for name in taken]
    assert story.standing == dict.fromkeys(sorted(wanted), 1)
    assert json.loads(story.record.row.result or b"") == wanted


def _let_some_come(bench: Bench, run: str, count: int) -> None:
    """Wait until so many more calls have reached the world, or all of them have."""
    before = len(bench.world.calls(run))
    eventually(lambda: len(bench.world.calls(run)) >= min(before + count, POURED))
