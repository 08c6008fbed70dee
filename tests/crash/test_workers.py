"""Workers that die, are told to go, or are killed by what they run: the runs go on elsewhere."""

import signal
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest

from amends.sagas.journal import Kind
from tests.crash.children import Job
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench
from tests.crash.stores import Ledger
from tests.crash.waiting import eventually

MANY = 50
FAMILIES = 20
LONG_LEASE_MS = 120_000
"""Nobody waits for the end of such a lease: what goes on before was noticed or given back."""


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.store() as found:
        yield found


def test_a_killed_workers_runs_are_ended_by_the_other(bench: Bench, ledger: Ledger) -> None:
    """L1: of fifty runs none is lost, and none is done twice."""
    runs = [uuid4().hex for _ in range(MANY)]
    for run in runs:
        bench.world.direct(run, "flight", ["slow:300"])
    workers = [bench.zygote.start(bench.spec("work", ledger, saga="linear")) for _ in range(2)]
    eventually(lambda: len(ledger.workers()) == len(workers))
    pids = {row.id: row.pid for row in ledger.workers()}
    starter = bench.zygote.start(bench.spec("start", ledger, saga="linear", runs=runs, work=False))
    owner = eventually(lambda: next((row.owner for row in ledger.runs().values() if row.owner), None))
    dying, staying = sorted(workers, key=lambda worker: worker.pid != pids[owner or ""])
    dying.signal(signal.SIGKILL)
    assert starter.wait()[-1].code == 0, starter.log()
    eventually(
        lambda: {row.status for row in ledger.runs().values()} == {"completed"} and len(ledger.runs()) == MANY
    )
    staying.signal(signal.SIGTERM)
    assert staying.wait()[-1].code == 0, staying.log()
    for run in runs:
        story = bench.story(ledger, run)
        assert story.standing == {"hotel": 1, "flight": 1, "car": 1}
        assert not breaches(story), told(story)


def test_parents_and_children_on_two_workers_survive_the_death_of_either(
    bench: Bench, ledger: Ledger
) -> None:
    """S19, L1: each family completes, or is undone with its finished children."""
    runs = [uuid4().hex for _ in range(FAMILIES)]
    for number, run in enumerate(runs):
        bench.world.direct(run, "flight", ["slow:60"])
        if number % 2:
            bench.world.direct(run, "car", ["refuse*"])
    served = ({"nested_twice", "nested"}, {"leg"})
    workers = [
        bench.zygote.start(*[bench.spec("work", ledger, saga="leg", serves=sorted(some))] * 3)
        for some in served
    ]
    eventually(lambda: len(ledger.workers()) == len(workers))
    starter = bench.zygote.start(bench.spec("start", ledger, saga="nested_twice", runs=runs, work=False))
    for worker in (*workers, *workers):
        _let_five_more_calls_come(bench, ledger, runs)
        worker.signal(signal.SIGKILL)
    assert starter.wait()[-1].code == 0, starter.log()
    eventually(lambda: _all_ended(ledger, runs))
    # The last ones may have been forked a moment ago, and not be able to end orderly yet.
    eventually(lambda: all(_is_third(worker, ledger) for worker in workers))
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait()[-1].code == 0, worker.log()
    for number, run in enumerate(runs):
        story = bench.story(ledger, run)
        assert story.record.row.status == ("compensated" if number % 2 else "completed"), told(story)
        assert not breaches(story), told(story)


def _is_third(worker: Job, ledger: Ledger) -> bool:
    newest = worker.pid
    return len(worker.pids) == 3 and newest in {row.pid for row in ledger.workers()}


def _let_five_more_calls_come(bench: Bench, ledger: Ledger, runs: Sequence[str]) -> None:
    enough = len(bench.world.calls()) + 5
    eventually(lambda: len(bench.world.calls()) >= enough or _all_ended(ledger, runs))


def _all_ended(ledger: Ledger, runs: Sequence[str]) -> bool:
    found = ledger.runs()
    return all(run in found and found[run].status in ("completed", "compensated") for run in runs)


def test_a_run_that_kills_its_worker_is_parked_and_harms_no_other(bench: Bench, ledger: Ledger) -> None:
    """S26, L3: counted before execution, parked after three; those beside it end."""
    poison, *innocent = (uuid4().hex for _ in range(9))
    for run in innocent:
        bench.world.direct(run, "flight", ["slow:60", "slow:60"])
    bench.zygote.start(bench.spec("start", ledger, saga="poisonous", runs=[poison], work=False)).wait()
    bench.zygote.start(bench.spec("start", ledger, saga="linear", runs=innocent, work=False)).wait()
    worker = bench.zygote.start(*[bench.spec("work", ledger, saga="linear", poison_after=3)] * 12)
    eventually(lambda: _statuses(ledger, [poison]) == {"parked"})
    eventually(lambda: _statuses(ledger, innocent) == {"completed"})
    worker.signal(signal.SIGTERM)
    worker.wait()
    story = bench.story(ledger, poison)
    deaths = sum(call.name == "poison" for call in story.calls)
    assert 1 <= deaths <= 3, told(story)
    assert story.entries[-1].kind is Kind.PARKED
    assert story.entries[-1].meta["reason"].startswith("poison"), told(story)
    for run in innocent:
        assert not breaches(bench.story(ledger, run)), told(bench.story(ledger, run))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_worker_told_to_go_gives_its_runs_back_at_once(
    bench: Bench, ledger: Ledger, number: signal.Signals
) -> None:
    """A shutdown isn't a loss: the lease is released, the run goes on elsewhere, and nothing fails."""
    run = uuid4().hex
    bench.world.direct(run, "held", ["hold"])
    spec = bench.spec("work", ledger, saga="holds", lease_ms=LONG_LEASE_MS, grace=0.1)
    going = bench.zygote.start(spec | {"runs": [run]})
    eventually(lambda: bench.world.calls(run))
    staying = bench.zygote.start(spec)
    eventually(lambda: len(ledger.workers()) == len("ab"))
    going.signal(number)
    assert going.wait()[-1].code == 0, going.log()
    assert [row.pid for row in ledger.workers()] == [staying.pid]
    eventually(lambda: ledger.status(run) == "completed")
    staying.signal(signal.SIGTERM)
    staying.wait()
    story = bench.story(ledger, run)
    assert [entry.meta.get("drained") for entry in story.entries if entry.kind is Kind.LOST] == [True], told(
        story
    )
    assert not breaches(story), told(story)


def test_a_worker_that_dies_without_a_word_is_missed_before_its_lease_ends(
    bench: Bench, ledger: Ledger
) -> None:
    """L1: SIGTERM without a handler ends the process; on the same machine that is seen."""
    run = uuid4().hex
    bench.world.direct(run, "held", ["hold"])
    spec = bench.spec("work", ledger, saga="holds", lease_ms=10_000)
    dying = bench.zygote.start(spec | {"runs": [run], "handle": False})
    eventually(lambda: bench.world.calls(run))
    dying.signal(signal.SIGTERM)
    assert dying.wait()[-1].code == -signal.SIGTERM
    lease_ends = next(row.lease_until for row in ledger.workers() if row.pid == dying.pid)
    staying = bench.zygote.start(spec)
    eventually(lambda: ledger.status(run) == "completed")
    assert next(row.ended_at or 0 for row in ledger.runs().values()) < lease_ends
    staying.signal(signal.SIGTERM)
    staying.wait()
    assert not breaches(bench.story(ledger, run))


def _statuses(ledger: Ledger, runs: list[str]) -> set[str]:
    found = ledger.runs()
    return {str(found[run].status) for run in runs}
