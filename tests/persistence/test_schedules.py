"""Schedules in the database: each change sees the one before it, and a run starts with its tick or not."""

from dataclasses import replace

from sqlalchemy import text

from amends.persistence.database import Database
from amends.persistence.records import NewRun, ScheduleChange, ScheduleRow, Write, Written
from tests.persistence.workers import Worker

ROW = ScheduleRow(
    "daily",
    "order",
    "1",
    b'{"n": 1}',
    1,
    "{}",
    paused=False,
    created_at=1_000,
    updated_at=1_000,
    next_at=5_000,
)


def put(worker: Worker, row: ScheduleRow = ROW) -> ScheduleRow:
    """Write a new schedule, and give it as it is stored."""
    new = replace(row, revision=1)
    assert worker.write(Write(row.id, schedule=ScheduleChange(new, 0))).written is Written.DONE
    return new


def tick(row: ScheduleRow, run: str, next_at: int | None = 6_000) -> Write:
    """Start a run for a schedule, as it was seen."""
    after = replace(row, next_at=next_at, last_run=run, started=row.started + 1, revision=row.revision + 1)
    start = NewRun(run, row.saga, row.version, row.input, 5_000, scheduled_for=row.next_at)
    return Write(run, start=start, schedule=ScheduleChange(after, row.revision))


def test_a_schedule_is_read_as_it_was_written(worker: Worker, database: Database) -> None:
    new = put(worker)
    assert database.schedules.one("daily") == new
    full = replace(
        new, waiting_at=5, last_run="r", last_at=4, started=3, skipped=2, last_skipped_at=1, revision=2
    )
    assert worker.write(Write("daily", schedule=ScheduleChange(full, 1))).written is Written.DONE
    assert database.schedules.one("daily") == full
    assert worker.write(Write("daily", schedule=ScheduleChange(full, 2, delete=True))).written is Written.DONE
    assert database.schedules.one("daily") is None


def test_of_two_ticks_of_one_state_the_first_wins_and_the_other_starts_nothing(
    worker: Worker, database: Database
) -> None:
    """S17: in one batch and in two; what lost leaves no run behind, whatever its id."""
    new = put(worker)
    receipts = worker.write_together([tick(new, "a"), tick(new, "b")])
    assert [receipt.written for receipt in receipts] == [Written.DONE, Written.BEATEN]
    assert worker.write(tick(new, "c")).written is Written.BEATEN
    assert [run.id for run in database.runs()] == ["a"]
    stored = database.schedules.one("daily")
    assert stored is not None
    assert (stored.started, stored.last_run, stored.busy) == (1, "a", True)
    assert database.runs()[0].scheduled_for == 5_000


def test_a_tick_whose_run_is_there_changes_nothing(worker: Worker, database: Database) -> None:
    """S17: its schedule stays as it was, to be ticked without the run."""
    new = put(worker)
    worker.start("a")
    assert worker.write(tick(new, "a")).written is Written.TAKEN
    assert database.schedules.one("daily") == new
    assert worker.write(replace(tick(new, "a"), start=None)).written is Written.DONE


def test_a_schedule_that_is_gone_or_new_beats_those_who_saw_it_otherwise(
    worker: Worker, database: Database
) -> None:
    new = put(worker)
    assert worker.write(Write("daily", schedule=ScheduleChange(new, 0))).written is Written.BEATEN
    gone = replace(new, id="gone")
    assert worker.write(Write("gone", schedule=ScheduleChange(gone, 1))).written is Written.BEATEN
    assert database.schedules.one("gone") is None


def test_due_are_those_whose_time_has_come_and_those_whose_run_before_has_ended(
    worker: Worker, database: Database
) -> None:
    put(worker, replace(ROW, id="later", next_at=5_001))
    put(worker, replace(ROW, id="now"))
    put(worker, replace(ROW, id="paused", paused=True, next_at=None))
    put(worker, replace(ROW, id="waits", next_at=9_000, waiting_at=4_000, last_run="a"))
    worker.start("a")
    assert [row.id for row in database.schedules.due(5_000, {})] == ["now"]
    assert database.schedules.next_due({}) == 5_000
    put(worker, replace(ROW, id="freed", next_at=9_000, waiting_at=4_500, last_run="none"))
    assert [row.id for row in database.schedules.due(5_000, {})] == ["now", "freed"]
    assert [row.id for row in database.schedules.due(5_000, {"now": 1})] == ["freed"]
    assert [row.id for row in database.schedules.due(5_000, {"now": 2})] == ["now", "freed"]
    assert database.schedules.next_due({}) == 4_500
    assert database.schedules.next_due({"freed": 1, "now": 1}) == 5_001
    assert database.schedules.next_due(dict.fromkeys(("freed", "now", "later", "waits"), 1)) is None


def test_sleeping_schedules_are_not_read(worker: Worker, database: Database) -> None:
    """Every question that a worker asks is answered by an index of what comes next."""
    put(worker)
    queries = database.schedules
    with database.engine.connect() as connection:
        if database.engine.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        for query in (queries._due, queries._freed, queries._next, queries._next_freed):  # noqa: SLF001 - their plans
            compiled = query.compile(database.engine)
            given = {**compiled.params, "now": 1, "broken": "[]"}
            how = "EXPLAIN" if database.engine.name == "postgresql" else "EXPLAIN QUERY PLAN"
            values = tuple(given[name] for name in compiled.positiontup or ()) or given
            plan = str(connection.exec_driver_sql(f"{how} {compiled}", values).all())
            assert "schedules_due" in plan or "schedules_waiting" in plan
            assert "SCAN amends_schedules" not in plan
