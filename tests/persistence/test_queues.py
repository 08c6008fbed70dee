"""Places in queues: who gets one, and that no limit is passed, whoever gives them."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amends.persistence import queueing
from amends.persistence.admission import Held, Waiting, chosen, free
from amends.persistence.database import Database
from amends.persistence.queue_records import QueueChange, QueueRow
from amends.persistence.records import NewRun, RunChange, Serves, Status, Wake, Write, Written
from tests.persistence.workers import LEASE_MS, SERVES, Clock, Worker, ended

ONLY_MAIL = Serves(SERVES.sagas, only=frozenset(["mail"]))


def put(worker: Worker, name: str, **limits: Any) -> None:
    change = QueueChange(name, QueueRow(name, **limits))
    assert worker.write(Write(f"queue:{name}", queue=change)).written is Written.DONE


def queue(worker: Worker, *ids: str, key: str | None = None, name: str = "mail", priority: int = 0) -> None:
    now = worker.database.now()
    for run_id in ids:
        new = NewRun(
            run_id, "order", "1", b"{}", now, queue=name, queued=True, queue_key=key, priority=priority
        )
        assert worker.write(Write(run_id, start=new)).written is Written.DONE


def claimed(worker: Worker, limit: int = 1_000) -> list[str]:
    return [run.run.id for run in worker.claim_from("mail", limit=limit).runs]


def test_a_run_without_a_place_is_due_for_nobody(worker: Worker, database: Database) -> None:
    queue(worker, "a")
    assert worker.claim() == []
    assert database.next_due(SERVES) is None
    assert claimed(worker) == ["a"]


def test_so_many_go_on_at_once_and_an_end_makes_room(worker: Worker) -> None:
    put(worker, "mail", concurrency=2)
    queue(worker, "a", "b", "c")
    assert claimed(worker) == ["a", "b"]
    assert claimed(worker) == []
    worker.change("a", RunChange(Status.OPEN, due_at=None, release=True))
    assert claimed(worker) == [], "asleep it keeps its place"
    worker.change("b", ended())
    assert claimed(worker) == ["c"]


def test_a_parked_run_gives_its_place_away_but_not_its_keys(worker: Worker) -> None:
    """L3: one that needs a person holds up nobody but those who take turns with it."""
    put(worker, "mail", concurrency=1, per_key=1)
    queue(worker, "a", "b", key="ann")
    queue(worker, "c", key="ben")
    assert claimed(worker) == ["a"]
    worker.change("a", RunChange(Status.PARKED, release=True))
    assert claimed(worker) == ["c"]


def test_runs_of_one_key_take_turns_in_a_queue_that_nobody_has_made(worker: Worker) -> None:
    queue(worker, "a", "b", key="ann")
    queue(worker, "c", key="ben")
    queue(worker, "d")
    assert claimed(worker) == ["a", "c", "d"]
    worker.change("a", ended())
    assert claimed(worker) == ["b"]


def test_those_of_smaller_priority_come_first_then_those_who_came_first(worker: Worker, clock: Clock) -> None:
    queue(worker, "late", priority=5)
    clock.move(1)
    queue(worker, "b")
    clock.move(1)
    queue(worker, "a")
    queue(worker, "urgent", priority=-1)
    put(worker, "mail", concurrency=1)
    order = []
    while found := claimed(worker):
        order += found
        worker.change(found[0], ended())
    assert order == ["urgent", "b", "a", "late"]


def test_a_key_that_is_full_keeps_nobody_else_waiting_however_many_stand_before(worker: Worker) -> None:
    queue(worker, *(f"a{n:03}" for n in range(450)), key="ann")
    queue(worker, "z", key="ben", priority=1)
    assert claimed(worker) == ["a000", "z"]


NUMBERS = itertools.count()
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("queue"), st.sampled_from(["a", "b", "c", None]), st.integers(0, 1)),
        st.tuples(st.just("claim"), st.integers(1, 4)),
        st.tuples(st.just("end"), st.integers(0, 3)),
        st.tuples(st.just("allow"), st.integers(1, 3)),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(moves=MOVES)
def test_who_is_set_aside_gets_its_place_when_it_would_have_had_it(
    worker: Worker, clock: Clock, moves: list[tuple[Any, ...]]
) -> None:
    """L3: places are given as if all were looked at each time, however many stand behind others."""
    name, per_key = f"q{next(NUMBERS)}", 1
    waiting, going = list[Waiting](), dict[str, str | None]()
    put(worker, name, per_key=per_key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queueing, "PAGE", 3)
        patch.setattr(queueing, "PASSED_BY", 0)
        for number, (move, *said) in enumerate(moves):
            clock.move(1)
            if move == "queue":
                key, priority = said
                run_id = f"{name}-{number:02}"
                queue(worker, run_id, key=key, name=name, priority=priority)
                waiting.append(Waiting(run_id, key, priority, clock.now))
                waiting.sort(key=lambda run: (run.priority, run.created_at, run.id))
            elif move == "end":
                for run_id in list(going)[: said[0]]:
                    worker.change(run_id, ended())
                    del going[run_id]
            elif move == "allow":
                (per_key,) = said
                put(worker, name, per_key=per_key)
            else:
                of_key = Counter(key for key in going.values() if key is not None)
                expected = chosen(QueueRow(name, per_key=per_key), of_key, waiting, said[0]).found
                found = [run.run.id for run in worker.claim_from(name, limit=said[0]).runs]
                assert sorted(found) == sorted(expected)
                going |= {run.id: run.key for run in waiting if run.id in found}
                waiting = [run for run in waiting if run.id not in found]


def test_who_stands_behind_comes_before_who_came_later(worker: Worker, clock: Clock) -> None:
    """L3: nobody is overtaken for having been set aside; those of smaller priority come first, as always."""
    queue(worker, "a", "b", key="ann")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queueing, "PASSED_BY", 0)
        assert claimed(worker) == ["a"]
        clock.move(1)
        queue(worker, "c", key="ann")
        worker.change("a", ended())
        assert claimed(worker) == ["b"]
        queue(worker, "urgent", key="ann", priority=-1)
        worker.change("b", ended())
        assert claimed(worker) == ["urgent"]


def test_a_long_queue_is_set_aside_part_by_part(worker: Worker, database: Database) -> None:
    """L3: no look takes longer for it, those who wait are counted all the same, and none is forgotten."""
    put(worker, "mail", per_key=1)
    queue(worker, "a0", "b0", key="ann")
    queue(worker, *(f"r{n:02}" for n in range(30)), key="ann", priority=1)
    queue(worker, "z", key="ben", priority=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queueing, "PAGE", 5)
        patch.setattr(queueing, "PASSED_BY", 3)
        patch.setattr(queueing, "MOST_PAGES", 2)
        first = worker.claim_from("mail")
        assert [run.run.id for run in first.runs] == ["a0"]
        assert first.again_at == database.now(), "there is more to look at"
        order = ["a0"]
        while len(order) < 33:
            claim = worker.claim_from("mail")
            order += [run.run.id for run in claim.runs]
            assert claim.runs or claim.again_at is not None
            if not claim.runs:
                continue
            counts = database.queues.counts()["mail"]
            assert counts.queued == 33 - len(order)
            worker.change(order[-1] if order[-1] != "z" else order[-2], ended())
    assert [each for each in order if each != "z"] == sorted(order)[:-1]


def test_keys_that_matter_no_more_hold_nobody_up(worker: Worker) -> None:
    """L3."""
    put(worker, "mail", per_key=1)
    queue(worker, *(f"a{n}" for n in range(6)), key="ann")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queueing, "PASSED_BY", 0)
        assert claimed(worker) == ["a0"]
        put(worker, "mail", per_key=3)
        assert claimed(worker) == ["a1", "a2"]
        put(worker, "mail", per_key=None)
        assert claimed(worker) == ["a3", "a4", "a5"]


def test_who_is_set_aside_can_be_ended_and_is_found_by_others(worker: Worker, database: Database) -> None:
    """L4; and a worker that never heard of the queue finds it, though all in it stand aside."""
    queue(worker, "a", "b", "c", key="ann")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queueing, "PASSED_BY", 0)
        assert claimed(worker) == ["a"]
        assert database.queues.crowded() == ["mail"]
        worker.put("b", "hello")
        assert claimed(worker) == []
        worker.put("b", "stop", wake=Wake.CANCEL)
        assert claimed(worker) == ["b"]
        worker.change("a", ended())
        assert claimed(Worker(database, "ben")) == ["c"]


def test_one_that_nobody_here_can_run_holds_up_nobody_behind_it(worker: Worker) -> None:
    """L3."""
    put(worker, "mail", per_key=2)
    now = worker.database.now()
    queue(worker, "a", "b", key="ann")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queueing, "PASSED_BY", 0)
        assert claimed(worker) == ["a", "b"]
        strange = NewRun("c", "strange", "1", b"{}", now, queue="mail", queued=True, queue_key="ann")
        assert worker.write(Write("c", start=strange)).written is Written.DONE
        queue(worker, "d", "e", "f", key="ann")
        assert claimed(worker) == []
        worker.change("a", ended())
        assert claimed(worker) == ["d"]
        worker.change("b", ended())
        assert claimed(worker) == ["e"]


def test_of_any_time_so_long_no_more_begin_than_the_rate_says(worker: Worker, clock: Clock) -> None:
    put(worker, "mail", rate_count=3, rate_ms=1_000)
    queue(worker, *(f"r{n}" for n in range(8)))
    first = worker.claim_from("mail", limit=2)
    assert (len(first.runs), first.again_at) == (2, None)
    clock.move(400)
    second = worker.claim_from("mail")
    assert (len(second.runs), second.again_at) == (1, clock.now + 601)
    clock.move(600)
    assert claimed(worker) == []
    clock.move(1)
    assert len(claimed(worker)) == 2
    clock.move(399)
    assert claimed(worker) == []
    clock.move(1)
    assert len(claimed(worker)) == 1


def test_a_worker_holds_no_more_than_it_may_and_another_takes_the_rest(
    worker: Worker, database: Database
) -> None:
    put(worker, "mail", per_worker=2)
    queue(worker, "a", "b", "c", "d", "e")
    first = worker.claim_from("mail")
    assert [run.run.id for run in first.runs] == ["a", "b"]
    assert first.full == {"mail"}
    assert database.next_due(SERVES, first.full) is None
    assert claimed(Worker(database, "ben")) == ["c", "d"]
    worker.change("a", RunChange(Status.OPEN, due_at=None, release=True))
    assert claimed(worker) == ["e"], "only those in memory count"


def test_a_worker_takes_runs_of_its_queues_alone(worker: Worker, database: Database) -> None:
    worker.start("plain")
    queue(worker, "a")
    queue(worker, "b", name="other")
    assert [run.run.id for run in worker.claim_from("mail", "other", serves=ONLY_MAIL).runs] == ["a"]
    assert database.next_due(ONLY_MAIL) is None
    assert {run.run.id for run in worker.claim_from("mail", "other").runs} == {"plain", "b"}


def test_nothing_begins_in_a_paused_queue(worker: Worker) -> None:
    worker.write(Write("queue:mail", queue=QueueChange("mail", paused=True)))
    queue(worker, "a")
    assert claimed(worker) == []
    put(worker, "mail", concurrency=5)
    assert claimed(worker) == [], "new limits leave the pause as it is"
    worker.write(Write("queue:mail", queue=QueueChange("mail", paused=False)))
    assert claimed(worker) == ["a"]


def test_mail_wakes_nobody_who_waits_for_a_place_but_a_cancel_does(worker: Worker) -> None:
    """L4: what is to end ends, whether or not there is room."""
    put(worker, "mail", concurrency=1)
    queue(worker, "a", "b")
    assert claimed(worker) == ["a"]
    worker.put("b", "hello")
    assert claimed(worker) == []
    worker.put("b", "stop", wake=Wake.CANCEL)
    assert claimed(worker) == ["b"]


def test_a_deadline_comes_without_a_place(worker: Worker, clock: Clock) -> None:
    """L4."""
    put(worker, "mail", concurrency=1)
    queue(worker, "a")
    assert claimed(worker) == ["a"]
    new = NewRun("b", "order", "1", b"{}", clock.now, clock.now + 50, queue="mail", queued=True)
    worker.write(Write("b", start=new))
    assert claimed(worker) == []
    clock.move(50)
    assert claimed(worker) == ["b"]


def test_what_a_dead_worker_held_keeps_its_place(worker: Worker, database: Database, clock: Clock) -> None:
    """Limits hold whatever becomes of workers: the runs that have places are what is counted."""
    put(worker, "mail", concurrency=1)
    queue(worker, "a", "b")
    assert claimed(worker) == ["a"]
    ben = Worker(database, "ben")
    with worker.held_up():
        clock.move(LEASE_MS + 1)
        assert ben.look_after_dead() == 1
        assert claimed(ben) == ["a"], "it is due again, and has its place"
        assert claimed(ben) == []


def test_counts_tell_who_waits_and_who_goes_on(worker: Worker, database: Database, clock: Clock) -> None:
    put(worker, "mail", concurrency=1)
    queue(worker, "a", "b")
    since = clock.now
    clock.move(10)
    queue(worker, "c")
    queue(worker, "x", name="other")
    claimed(worker)
    counts = database.queues.counts()
    assert (counts["mail"].queued, counts["mail"].oldest, counts["mail"].taken) == (2, since, 1)
    assert (counts["other"].queued, counts["other"].taken) == (1, 0)
    assert database.queues.crowded() == ["mail", "other"]
    assert [row.name for row in database.queues.all()] == ["mail"]


def test_a_deleted_queue_has_no_limits(worker: Worker, database: Database) -> None:
    put(worker, "mail", concurrency=1)
    queue(worker, "a", "b", "c")
    assert claimed(worker) == ["a"]
    worker.write(Write("queue:mail", queue=QueueChange("mail")))
    assert database.queues.all() == []
    assert claimed(worker) == ["b", "c"]


def test_where_more_wait_than_there_is_room_each_queue_gets_its_share(worker: Worker) -> None:
    queue(worker, *(f"a{n:02}" for n in range(40)), name="flood")
    queue(worker, "x", "y", name="mail")
    found = [run.run.id for run in worker.claim_from("flood", "mail", limit=10).runs]
    assert len(found) == 10
    assert {"x", "y"} <= set(found)
    alone = [worker.claim_from("flood", "other", limit=1).runs[0].run.id for _ in range(2)]
    assert alone == sorted(alone)


LIMITS = st.builds(
    QueueRow,
    st.just("q"),
    concurrency=st.none() | st.integers(1, 5),
    per_key=st.none() | st.integers(1, 3),
    rate_count=st.integers(1, 5),
    rate_ms=st.integers(1, 100),
)


@given(LIMITS, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40))
def test_no_limit_is_passed_in_any_history(row: QueueRow, history: list[tuple[int, int]]) -> None:
    """Time passes, runs end, others are given places: what is counted never exceeds what is allowed."""
    now, of_key, going, begun = 1_000, Counter[str](), list[str](), list[int]()
    waiting = [Waiting(f"r{n}", f"k{n % 3}" if n % 4 else None) for n in range(200)]
    keys = {run.id: run.key for run in waiting}
    for passed, ends in history:
        now += passed
        for run_id in going[:ends]:
            going.remove(run_id)
            of_key.subtract([key] if (key := keys[run_id]) else [])
        left = free(row, Held(len(going), of_key), sorted(begun, reverse=True)[: row.rate_count], 7, now)
        found, in_vain = chosen(row, of_key, waiting, left.room)
        assert all(of_key[keys[run_id] or ""] == row.per_key for run_id in in_vain)
        waiting = [each for each in waiting if each.id not in found]
        going += found
        begun += [now] * len(found)
        assert len(found) <= 7
        assert row.concurrency is None or len(going) <= row.concurrency
        assert row.per_key is None or not of_key or max(of_key.values()) <= row.per_key
        assert row.rate_count is not None
        assert row.rate_ms is not None
        for at in begun:
            assert sum(at - row.rate_ms <= other <= at for other in begun) <= row.rate_count
        if left.again_at is not None:
            assert now <= left.again_at <= now + row.rate_ms + 1
