"""The participant barrier: one effect per key, whatever comes twice, late or first."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from amends.sagas.barrier import Barrier, BarrierBroken, CalledTooLate, KeyReused, barrier_table
from amends.sagas.errors import InputInvalid
from tests.sagas.running import Clock

METADATA = MetaData()
EFFECTS = Table("effects", METADATA, Column("key", Text), Column("amount", Integer))
CLOCK = Clock()
BARRIER = Barrier(barrier_table(METADATA), clock=CLOCK)
THREADS = 8


def open_engine(url: str) -> Engine:
    """Open the service's database."""
    name = make_url(url).get_backend_name()
    options: dict[str, Any] = (
        {"connect_args": {"timeout": 30}} if name == "sqlite" else {"pool_size": THREADS}
    )
    driver = {"postgresql": "postgresql+psycopg"}.get(name, name)
    return create_engine(make_url(url).set(drivername=driver), **options)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Give a service's database with its tables."""
    made = open_engine(database_url)
    METADATA.create_all(made)
    yield made
    made.dispose()


def charge(db: Connection | Session, key: str, amount: int = 5) -> dict[str, Any]:
    """Have an effect: a row in the service's table, which doesn't care how many there are."""
    db.execute(EFFECTS.insert().values(key=key, amount=amount))
    return {"charged": amount}


def refund(db: Connection | Session, key: str) -> str:
    """Undo it, with a row that a second undoing would double."""
    db.execute(EFFECTS.insert().values(key=key, amount=-5))
    return "refunded"


def forward(engine: Engine, key: str = "k", **options: Any) -> Any:
    """Call the service's forward handler."""
    with engine.begin() as db:
        return BARRIER.forward(db, key, lambda: charge(db, key), **options)


def compensate(engine: Engine, key: str = "k") -> Any:
    """Call the service's compensation."""
    with engine.begin() as db:
        return BARRIER.compensate(db, key, lambda _answer: refund(db, key))


def effects(engine: Engine, key: str = "k") -> list[int]:
    """List what the service did under a key."""
    with engine.connect() as db:
        found = select(EFFECTS.c.amount).where(EFFECTS.c.key == key).order_by(EFFECTS.c.amount.desc())
        return list(db.execute(found).scalars())


def rows(engine: Engine) -> int:
    """Count the rows of the barrier."""
    with engine.connect() as db:
        return int(db.execute(select(func.count()).select_from(BARRIER.table)).scalar_one())


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls from as many threads, all at the same moment; give what they returned or raised."""
    start = threading.Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        start.wait(30)
        try:
            return one()
        except CalledTooLate as error:
            return type(error)

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


def test_a_key_that_comes_again_gets_the_recorded_answer_and_nothing_is_done(engine: Engine) -> None:
    """S9: a step is called at least once; its effect happens once."""
    assert [forward(engine) for _ in range(3)] == [{"charged": 5}] * 3
    assert effects(engine) == [5]


def test_a_key_that_comes_from_many_threads_at_once_has_one_effect(engine: Engine) -> None:
    """S9: the primary key decides, not a look before the leap."""
    answers = at_once(*[lambda: forward(engine)] * THREADS)
    assert answers == [{"charged": 5}] * THREADS
    assert effects(engine) == [5]


def test_a_compensation_that_comes_first_succeeds_and_the_late_call_is_refused(engine: Engine) -> None:
    """S6: compensations tolerate "nothing there"; an F(e) that arrives after its C(e) is refused."""
    assert compensate(engine) is None
    with pytest.raises(CalledTooLate, match="the call k was undone before it came"):
        forward(engine)
    assert compensate(engine) is None
    assert effects(engine) == []


def test_a_compensation_that_comes_again_undoes_nothing_twice(engine: Engine) -> None:
    """S9: every attempt of a compensation has the same key."""
    forward(engine)
    assert [compensate(engine) for _ in range(3)] == ["refunded"] * 3
    assert effects(engine) == [5, -5]


def test_a_compensation_that_comes_from_many_threads_at_once_acts_once(engine: Engine) -> None:
    """S9, with two workers that both believe to be the owner."""
    forward(engine)
    assert at_once(*[lambda: compensate(engine)] * THREADS) == ["refunded"] * THREADS
    assert effects(engine) == [5, -5]


def test_a_call_that_comes_again_after_its_compensation_is_refused(engine: Engine) -> None:
    """S6: its caller must not take what is undone for done."""
    forward(engine)
    compensate(engine)
    with pytest.raises(CalledTooLate):
        forward(engine)
    assert effects(engine) == [5, -5]


@pytest.mark.parametrize("number", range(5))
def test_calls_and_compensations_at_once_leave_nothing_standing(engine: Engine, number: int) -> None:
    """S6: whoever is first, the call is undone or refused."""
    key = f"race-{number}"
    calls = [lambda: forward(engine, key), lambda: compensate(engine, key)] * (THREADS // 2)
    answers = at_once(*calls)
    assert effects(engine, key) in ([], [5, -5])
    undone = answers[1::2]
    assert undone in ([None] * len(undone), ["refunded"] * len(undone))
    assert all(answer in ({"charged": 5}, CalledTooLate) for answer in answers[::2])


def test_the_compensation_is_given_the_recorded_answer(engine: Engine) -> None:
    """S8: it undoes what was recorded."""
    forward(engine)
    seen: list[Any] = []
    with engine.begin() as db:
        BARRIER.compensate(db, "k", seen.append)
    assert seen == [{"charged": 5}]


def test_what_is_rolled_back_leaves_no_trace(engine: Engine) -> None:
    """S23, at the service: effect and record commit together or not at all."""

    def fails(db: Connection) -> None:
        charge(db, "k")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), engine.begin() as db:
        BARRIER.forward(db, "k", lambda: fails(db))
    assert (effects(engine), rows(engine)) == ([], 0)
    assert forward(engine) == {"charged": 5}
    with pytest.raises(ZeroDivisionError), engine.begin() as db:
        BARRIER.compensate(db, "k", lambda _answer: fails(db))
    assert effects(engine) == [5]
    assert compensate(engine) == "refunded"


def test_a_call_that_waited_for_one_that_rolls_back_is_the_first(engine: Engine) -> None:
    """S9: losing the race against a transaction that comes to nothing loses nothing."""
    with engine.connect() as db, ThreadPoolExecutor(1) as threads:
        BARRIER.forward(db, "k", lambda: charge(db, "k"))
        waiting = threads.submit(forward, engine)
        db.rollback()
        assert waiting.result(30) == {"charged": 5}
    assert effects(engine) == [5]


def die_before_the_commit(url: str, compensating: bool) -> None:  # noqa: FBT001 - a process's argument
    """Do everything but commit, and be killed."""
    with open_engine(url).begin() as db:
        if compensating:
            BARRIER.compensate(db, "k", lambda _answer: refund(db, "k"))
        else:
            BARRIER.forward(db, "k", lambda: charge(db, "k"))
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("compensating", [False, True], ids=["forward", "compensating"])
def test_a_service_killed_before_its_commit_has_done_nothing(
    database_url: str,
    engine: Engine,
    compensating: bool,  # noqa: FBT001 - as above
) -> None:
    """S9, S23: the next attempt is the first one."""
    if compensating:
        forward(engine)
    child = multiprocessing.get_context("spawn").Process(
        target=die_before_the_commit, args=(database_url, compensating)
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert effects(engine) == [5] * compensating
    assert forward(engine) == {"charged": 5}
    assert compensate(engine) == "refunded"
    assert effects(engine) == [5, -5]


class Model:
    """What the service must hold and answer, told without a database."""

    def __init__(self) -> None:
        self.effects: list[int] = []
        self.called = self.undone = False

    def forward(self, *, commits: bool) -> Any:
        """Tell the answer to a forward call."""
        if self.undone:
            return CalledTooLate
        if commits and not self.called:
            self.called = True
            self.effects.append(5)
        return {"charged": 5}

    def compensate(self, *, commits: bool) -> Any:
        """Tell the answer to a compensation."""
        if commits and not self.undone:
            self.undone = True
            self.effects += [-5] if self.called else []
        return "refunded" if self.called else None


Call = tuple[str, bool, bool]
CALLS = st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_whatever_order_calls_come_in_the_service_does_what_the_model_says(
    engine: Engine, calls: list[Call]
) -> None:
    """S6, S9: calls, repetitions, compensations and roll-backs of two keys, in any order."""
    with engine.begin() as db:
        db.execute(EFFECTS.delete())
        db.execute(BARRIER.table.delete())
    models = {"a": Model(), "b": Model()}
    for key, compensating, commits in calls:
        model = models[key]
        wanted = (model.compensate if compensating else model.forward)(commits=commits)
        assert called(engine, key, compensating=compensating, commits=commits) == wanted
        assert effects(engine, key) == model.effects


def called(engine: Engine, key: str, *, compensating: bool, commits: bool) -> Any:
    """Make a call in a transaction that commits, or doesn't."""
    with engine.connect() as db:
        try:
            if compensating:
                answer = BARRIER.compensate(db, key, lambda _answer: refund(db, key))
            else:
                answer = BARRIER.forward(db, key, lambda: charge(db, key))
        except CalledTooLate as error:
            return type(error)
        if commits:
            db.commit()
        return answer


def test_it_works_in_an_orm_session(engine: Engine) -> None:
    """S9, S23 for those who write with sessions."""
    for _ in range(2):
        with Session(engine) as session, session.begin():
            answer = BARRIER.forward(session, "k", lambda: charge(session, "k"))
            assert answer == {"charged": 5}
    for _ in range(2):
        with Session(engine) as session, session.begin():
            BARRIER.compensate(session, "k", lambda _answer: refund(session, "k"))
    assert effects(engine) == [5, -5]


def test_a_key_that_comes_with_another_request_is_refused(engine: Engine) -> None:
    """S8: one key, one request; what the first one did stays."""
    first = {"amount": 5, "card": "4242"}
    forward(engine, request=first)
    assert forward(engine, request=dict(reversed(first.items()))) == {"charged": 5}
    with pytest.raises(KeyReused, match="the key k came with another request"):
        forward(engine, request={"amount": 6, "card": "4242"})
    assert effects(engine) == [5]


def test_old_rows_are_forgotten_and_young_ones_kept(engine: Engine) -> None:
    """The age of a row is that of the last thing that happened to it."""
    before = dt.datetime.fromtimestamp(CLOCK.now / 1000, dt.UTC) + dt.timedelta(days=1)
    forward(engine, "called")
    compensate(engine, "undone first")
    forward(engine, "undone late")
    CLOCK.move(dt.timedelta(days=2))
    compensate(engine, "undone late")
    with engine.begin() as db:
        assert BARRIER.forget(db, before) == 2
    with pytest.raises(CalledTooLate):
        forward(engine, "undone late")
    assert rows(engine) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "a\0b", "\ud800", "line\nbreak"])
def test_a_key_that_is_none_is_refused(engine: Engine, key: str) -> None:
    for call in (forward, compensate):
        with pytest.raises(InputInvalid, match="a key is 1 to 255 printable characters"):
            call(engine, key)
    assert rows(engine) == 0


@pytest.mark.parametrize("answer", [object(), float("nan"), {1: {2}}])
def test_an_answer_that_is_no_json_is_refused_and_rolled_back(engine: Engine, answer: object) -> None:
    with pytest.raises(InputInvalid, match="an answer must be JSON"), engine.begin() as db:
        BARRIER.forward(db, "k", lambda: answer)
    assert rows(engine) == 0


@pytest.mark.parametrize("answer", [None, "\0 and \ud800", [1, 2.5, {"ä": [True]}]])
def test_an_answer_comes_back_as_it_was(engine: Engine, answer: object) -> None:
    for _ in range(2):
        with engine.begin() as db:
            assert BARRIER.forward(db, "k", lambda: answer) == answer


def test_a_row_committed_without_its_answer_is_told_and_never_called_done(engine: Engine) -> None:
    """S2: nobody knows what stands, so nobody is told that it is done."""
    with engine.begin() as db, pytest.raises(ZeroDivisionError):
        BARRIER.forward(db, "k", lambda: 1 / 0)
    for call in (forward, compensate):
        with pytest.raises(BarrierBroken, match="was committed although its handler wasn't done"):
            call(engine)


def test_a_naive_moment_is_refused(engine: Engine) -> None:
    with engine.begin() as db, pytest.raises(InputInvalid, match="aware"):
        BARRIER.forget(db, dt.datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
