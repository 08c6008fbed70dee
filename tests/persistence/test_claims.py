"""Who may run what: claims, hand-overs, and runs that are held to kill their workers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from amends.persistence.database import Database
from amends.persistence.records import Cause, Loaded, RunChange, Serves, Status, Write
from tests.persistence.workers import LEASE_MS, SERVES, Clock, Worker, entry

HANDLES = Serves(SERVES.sagas, frozenset({"refund@1"}))


def ids(loaded: Sequence[Loaded]) -> list[str]:
    return [each.run.id for each in loaded]


def test_a_claim_loads_whole_runs_in_order(worker: Worker, database: Database) -> None:
    worker.start("a", at=1_000)
    worker.start("b", at=999)
    worker.claim()
    worker.write(Write("a", worker.epoch, entries=(entry("a", 1), entry("a", 2))))
    worker.write(Write("b", worker.epoch, entries=(entry("b", 1),)))
    for run_id in ("a", "b"):
        worker.put(run_id, "k1")
        worker.put(run_id, "k2")
        worker.change(run_id, RunChange(Status.OPEN, due_at=1_000 if run_id == "a" else 999, release=True))
    b, a = worker.claim()
    assert (a.run.id, a.run.owner, a.epoch, a.unreadable) == ("a", "ann", worker.epoch, "")
    assert a.entries == (entry("a", 1), entry("a", 2))
    assert [row.number for row in a.inbox] == [1, 2]
    assert ([row.seq for row in b.entries], [row.key for row in b.inbox]) == ([1], ["k1", "k2"])
    assert database.load("a") is not None


def test_runs_due_longest_come_first_and_no_more_than_asked_for(worker: Worker) -> None:
    for n in (3, 1, 2):
        worker.start(f"r{n}", at=n)
    assert ids(worker.claim(2)) == ["r1", "r2"]
    assert ids(worker.claim(2)) == ["r3"]
    assert worker.claim(2) == []


def test_a_run_is_due_when_the_clock_says_so(worker: Worker, database: Database, clock: Clock) -> None:
    worker.start("a", at=clock.now + 100)
    assert worker.claim() == []
    assert database.next_due(SERVES) == clock.now + 100
    clock.move(100)
    assert ids(worker.claim()) == ["a"]
    assert database.next_due(SERVES) is None


def test_who_waits_without_an_end_hides_no_timer(worker: Worker, database: Database, clock: Clock) -> None:
    """L2: a run that waits for a signal alone has no due time, and stands beside those that have one."""
    worker.start("waits", "sleeps")
    worker.claim()
    worker.change("waits", RunChange(Status.OPEN, due_at=None, release=True))
    worker.change("sleeps", RunChange(Status.OPEN, due_at=clock.now + 100, release=True))
    assert database.next_due(SERVES) == clock.now + 100


def test_what_is_not_served_stays_ready(worker: Worker, database: Database) -> None:
    worker.start("a", saga="unknown")
    assert worker.claim() == []
    assert database.next_due(SERVES) is None
    other = Serves(frozenset({("unknown", "1")}))
    assert database.next_due(other) is not None
    assert ids(worker.claim(serves=other)) == ["a"]


def test_a_run_that_needs_a_handler_goes_to_who_has_it(worker: Worker, database: Database) -> None:
    """S21: also to one that doesn't serve the saga, once it is compensating."""
    worker.start("a", "b")
    worker.claim()
    for run_id, status in (("a", Status.COMPENSATING), ("b", Status.OPEN)):
        worker.change(run_id, RunChange(status, needs="refund@1", due_at=1, release=True))
    assert worker.claim() == []
    assert database.next_due(SERVES) is None
    assert ids(worker.claim(serves=Serves(frozenset(), frozenset({"refund@1"})))) == ["a"]
    assert ids(worker.claim(serves=HANDLES)) == ["b"]


def test_a_new_worker_takes_up_what_is_parked_for_its_handlers(worker: Worker, database: Database) -> None:
    """S21."""
    worker.start("a", "b", "c")
    worker.claim()
    worker.change("a", RunChange(Status.PARKED, Cause.ERROR, needs="refund@1", release=True))
    worker.change("b", RunChange(Status.PARKED, needs="refund@1", release=True))
    worker.change("c", RunChange(Status.PARKED, needs="unheard of", release=True))
    ben = Worker(database, "ben", HANDLES)
    claimed = {each.run.id: each.run.status for each in ben.claim()}
    assert claimed == {"a": Status.COMPENSATING, "b": Status.OPEN}


def test_what_a_worker_learns_to_serve_is_seen_by_all(worker: Worker, database: Database) -> None:
    """S21: a handler that is defined later counts from the next claim on."""
    worker.start("a")
    worker.claim()
    worker.change("a", RunChange(Status.PARKED, Cause.ERROR, needs="refund@1", release=True))
    assert worker.claim() == []
    assert ids(worker.claim(serves=HANDLES)) == ["a"]
    assert "refund@1" in database.workers()[0].serves


def test_no_run_is_claimed_twice(worker: Worker, database: Database) -> None:
    """Claims of four workers at once are disjoint, and together they are everything."""
    names = [f"run-{n:03}" for n in range(200)]
    worker.start(*names)
    workers = [Worker(database, f"w{n}") for n in range(4)]

    def claim_all(claimer: Worker) -> list[str]:
        claimed: list[str] = []
        while found := claimer.claim(7):
            claimed += ids(found)
        return claimed

    with ThreadPoolExecutor(4) as threads:
        claimed = [run_id for part in threads.map(claim_all, workers) for run_id in part]
    assert sorted(claimed) == names


def lose(worker: Worker, clock: Clock, times: int) -> None:
    """Let `worker`'s lease run out under its runs, `times` times."""
    for _ in range(times):
        worker.claim()
        with worker.held_up():
            clock.move(LEASE_MS + 1)
            Worker(worker.database, f"heir-{clock.now}").look_after_dead()
        worker.put("nobody", "finds out")
        assert worker.lost.acquire(timeout=10)


def test_a_run_that_may_kill_its_worker_is_claimed_alone(worker: Worker, clock: Clock) -> None:
    """S26: it can't implicate others twice."""
    worker.start("a", "b", "c")
    lose(worker, clock, 2)
    first = worker.claim()
    assert len(first) == 1
    assert first[0].run.lost == 2
    worker.start("healthy")
    assert ids(worker.claim()) == ["healthy"]
    worker.write(Write(first[0].run.id, worker.epoch, entries=(entry(first[0].run.id, 1),), progressed=True))
    assert len(worker.claim()) == 1


def test_suspects_do_not_hold_the_others_up(worker: Worker, clock: Clock) -> None:
    """L3: one poison run blocks nobody, however long it is due."""
    worker.start("a", "b", "c", "d")
    lose(worker, clock, 2)
    worker.start("x", "y", at=clock.now)
    assert {"x", "y"} <= set(ids(worker.claim(3)))
    assert worker.claim(2) == []


def test_a_released_run_has_a_clean_record(worker: Worker, database: Database, clock: Clock) -> None:
    worker.start("a")
    lose(worker, clock, 3)
    assert worker.claim()[0].run.lost == 3
    worker.change("a", RunChange(Status.OPEN, due_at=1, release=True))
    assert worker.claim()[0].run.lost == 0


def test_claims_are_part_of_the_batch_that_is_under_way(worker: Worker) -> None:
    worker.start("a", "b")
    with worker.held_up():
        later = [worker.ask_for_claim(1) for _ in range(3)]
    assert sorted(run_id for claim in later for run_id in ids(claim())) == ["a", "b"]


def test_where_more_is_due_than_there_is_room_each_saga_gets_its_share(worker: Worker, clock: Clock) -> None:
    """L1: a flood of one saga doesn't keep the runs of others waiting until it has gone."""
    worker.start(*(f"flood{n:03}" for n in range(300)), at=clock.now - 100)
    worker.start("a", "b", "c", saga="other", at=clock.now)
    serves = Serves(SERVES.sagas | {("other", "1"), ("third", "1")})
    assert {run.run.saga for run in worker.claim(10, serves=serves)} == {"order"}
    second = worker.claim(10, serves=serves)
    assert len(second) == 10
    assert {"a", "b", "c"} <= set(ids(second))


def test_a_single_place_goes_to_each_saga_in_turn(worker: Worker, clock: Clock) -> None:
    worker.start(*(f"flood{n:03}" for n in range(50)), at=clock.now - 100)
    worker.start("a", saga="other", at=clock.now)
    serves = Serves(SERVES.sagas | {("other", "1")})
    claimed = [ids(worker.claim(1, serves=serves))[0] for _ in range(4)]
    assert "a" in claimed
