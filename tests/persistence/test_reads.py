"""What is read is what was written: lists, odd texts, codecs."""

import contextlib
import zlib
from collections.abc import Iterator

import pytest

from amends.persistence.database import Database
from amends.persistence.records import InboxRow, NewRun, Receipt, RunChange, Status, Write, Written
from tests.persistence.workers import Clock, Worker, ended, entry, log, new_run


def test_runs_are_listed_newest_first_page_by_page(worker: Worker, database: Database) -> None:
    for n in range(25):
        worker.start(f"r{n:02}", at=1_000 + n // 3)
    pages = list(_pages(database, 10))
    assert [len(page) for page in pages] == [10, 10, 5]
    names = [name for page in pages for name in page]
    assert names == sorted(names, reverse=True)
    assert len(database.runs(since=1_008)) == 1
    assert [run.id for run in database.runs(since=1_007, limit=2)] == ["r24", "r23"]
    assert database.runs(after="nobody") == []


def test_runs_are_listed_by_status_and_saga(worker: Worker, database: Database) -> None:
    worker.start("a", "b", "c")
    worker.start("x", saga="other")
    worker.claim()
    worker.change("a", ended())
    worker.change("b", RunChange(Status.PARKED, release=True))
    assert [run.id for run in database.runs(status=Status.COMPLETED)] == ["a"]
    assert [run.id for run in database.runs(status=Status.PARKED)] == ["b"]
    assert [run.id for run in database.runs(saga="other")] == ["x"]
    assert [run.id for run in database.runs(saga="order", status=Status.OPEN)] == ["c"]


def test_ended_tells_of_ends_and_of_parked_runs(worker: Worker, database: Database) -> None:
    worker.start("a", "b", "c")
    worker.claim()
    worker.change("a", ended())
    worker.change("b", RunChange(Status.PARKED, release=True))
    assert sorted(run.id for run in database.ended({"a", "b", "c", "d"})) == ["a", "b"]
    assert database.ended([]) == []


def test_the_journals_of_going_runs_come_one_after_the_other(worker: Worker, database: Database) -> None:
    """Parked runs go on some day, ended ones don't; payloads stay where they are."""
    worker.start("c", "b", "a", "x")
    worker.claim()
    for seq in (1, 2):
        for run in ("c", "a", "x", "b"):
            worker.enter(run, seq, b"secret")
    worker.change("x", ended())
    worker.change("b", RunChange(Status.PARKED, release=True))
    rows = list(database.unended())
    assert [(row.run_id, row.seq) for row in rows] == [(run, seq) for run in "abc" for seq in (1, 2)]
    assert {row.payload for row in rows} == {None}
    assert {(row.kind, row.meta, row.format) for row in rows} == {("intent", "{}", 1)}


def test_an_answer_that_nobody_reads_to_its_end_gives_its_connection_back(
    worker: Worker, database: Database
) -> None:
    worker.start("a")
    worker.claim()
    for seq in range(1, 4):
        worker.enter("a", seq)
    for _ in range(30):
        with contextlib.closing(database.unended()) as rows:
            assert next(rows).seq == 1
    assert database.run("a") is not None


def test_nobody_is_nowhere(database: Database) -> None:
    assert database.run("nobody") is None
    assert database.load("nobody") is None
    assert database.journal("nobody") == []
    assert database.audit("nobody") == []
    assert database.unread("nobody") == []


@pytest.mark.parametrize(
    "run_id",
    ["Größe 日本語 🦊", "a'b\"c;--", "%s :x ?", " ", "", "a\n\t\r", "x" * 1_000, "é", "e\u0301", "{}[]\\"],
)
def test_ids_are_any_text(worker: Worker, database: Database, run_id: str) -> None:
    worker.start(run_id)
    worker.claim()
    assert worker.enter(run_id, 1) is Written.DONE
    assert worker.put(run_id, f"key of {run_id}") is Written.DONE
    assert worker.put(run_id, f"key of {run_id}") is Written.DONE
    worker.change(run_id, ended(), mail=1)
    loaded = database.load(run_id)
    assert loaded is not None
    assert loaded.run.id == run_id
    assert [row.key for row in loaded.inbox] == [f"key of {run_id}"]
    assert [run.id for run in database.ended([run_id])] == [run_id]


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", "a\udfffb"])
def test_text_that_no_database_stores_is_refused_the_same_everywhere(
    worker: Worker, database: Database, bad: str
) -> None:
    """NUL and halves of surrogate pairs: refused, nobody else harmed, and nothing found under such names."""
    worker.start("a")
    worker.claim()
    row = entry("a", 1)
    writes = [
        Write(bad, start=new_run(bad)),
        Write(bad, inbox=InboxRow(bad, "k", "signal", 1)),
        Write("a", inbox=InboxRow("a", bad, "signal", 1)),
        Write("a", inbox=InboxRow("a", "k", "signal", 1, meta=bad)),
        Write("b", start=NewRun("b", bad, "1", b"", 1)),
        Write("a", worker.epoch, change=RunChange(Status.PARKED, needs=bad)),
        Write("a", worker.epoch, entries=(type(row)("a", 1, "intent", 1, name=bad),)),
        Write("a", worker.epoch, entries=(row,)),
    ]
    receipts = worker.write_together(writes)
    assert [receipt.written for receipt in receipts] == [Written.REFUSED] * 7 + [Written.DONE]
    assert all("don't store" in receipt.reason or receipt.reason for receipt in receipts[:7])
    assert database.run(bad) is None
    assert database.load(bad) is None
    assert database.journal(bad) == []
    assert database.ended([bad]) == []
    assert database.runs(saga=bad) == []


def test_payloads_are_any_bytes_of_any_size(worker: Worker, database: Database) -> None:
    data = bytes(range(256)) * 4_096
    worker.write(
        Write("a", worker.epoch, start=NewRun("a", "order", "1", data, 1), entries=(entry("a", 1, data),))
    )
    worker.write(Write("a", inbox=InboxRow("a", "k", "signal", 1, payload=data)))
    change = RunChange(Status.OPEN, error=data, due_at=1, release=True)
    worker.write(Write("a", worker.epoch, entries=(entry("a", 2, b""),), change=change))
    (loaded,) = worker.claim()
    assert (loaded.run.input, loaded.run.error) == (data, data)
    assert [row.payload for row in loaded.entries] == [data, b""]
    assert [row.payload for row in loaded.inbox] == [data]


class Squeeze:
    """A codec that compresses, and refuses some payloads."""

    def encode(self, data: bytes) -> bytes:
        if b"unspeakable" in data:
            raise ValueError("not this")
        return b"z" + zlib.compress(data)

    def decode(self, data: bytes) -> bytes:
        if not data.startswith(b"z"):
            raise ValueError("no key for this")
        return zlib.decompress(data[1:])


def test_every_payload_passes_the_codec(database_url: str, clock: Clock) -> None:
    with log(database_url, clock=clock, codec=Squeeze()) as database:
        worker = Worker(database, "ann")
        fill(worker)
        loaded = database.load("a")
        assert loaded is not None
        assert (loaded.run.input, loaded.entries[0].payload, loaded.inbox[0].payload) == (b"{}", b"one", b"k")
        assert loaded.unreadable == ""
        worker.change("a", RunChange(Status.FAILED, result=b"r", error=b"e", ended_at=5))
        run = database.run("a")
        assert run is not None
        assert (run.result, run.error) == (b"r", b"e")
        with log(database_url) as plain:
            stored = plain.load("a")
            assert stored is not None
            assert stored.run.input.startswith(b"z")
            assert (stored.run.error or b"").startswith(b"z")
            assert (stored.entries[0].payload or b"").startswith(b"z")
            assert (stored.inbox[0].payload or b"").startswith(b"z")


def test_what_cannot_be_decoded_harms_its_own_run_only(database_url: str, clock: Clock) -> None:
    """S26: a record that can't be decoded parks its run only."""
    with log(database_url, clock=clock) as plain:
        fill(Worker(plain, "ann"))
    with log(database_url, clock=clock, codec=Squeeze()) as database:
        worker = Worker(database, "ben")
        worker.start("good")
        loaded = {each.run.id: each for each in worker.claim()}
        assert loaded["good"].unreadable == ""
        assert "run: input can't be decoded (ValueError: no key for this)" in loaded["a"].unreadable
        assert loaded["a"].run.input == b""
        assert loaded["a"].entries[0].payload is None
        assert "entry 1" in loaded["a"].entries[0].unreadable
        assert "inbox row 1" in loaded["a"].inbox[0].unreadable
        assert {run.id: run.unreadable == "" for run in database.runs()} == {"a": False, "good": True}
        parked = RunChange(Status.PARKED, release=True)
        assert worker.change("a", parked) is Written.DONE


def test_what_cannot_be_encoded_harms_its_own_write_only(database_url: str) -> None:
    with log(database_url, codec=Squeeze()) as database:
        worker = Worker(database, "ann")
        worker.start("a", "b")
        worker.claim()
        writes = [
            Write("a", worker.epoch, entries=(entry("a", 1, b"unspeakable"),)),
            Write("b", worker.epoch, entries=(entry("b", 1, b"fine"),)),
        ]
        refused, done = worker.write_together(writes)
        assert done == Receipt(Written.DONE)
        assert refused == Receipt(Written.REFUSED, "the codec can't encode a payload (ValueError: not this)")


def test_database_time_never_goes_back(database_url: str) -> None:
    with log(database_url) as database:
        worker = Worker(database, "ann")
        readings = [database.now()]
        for n in range(20):
            worker.start(f"r{n}")
            readings.append(database.now())
        assert readings == sorted(readings)
        if database.engine.name == "postgresql":
            with database.engine.connect() as connection:
                server = connection.exec_driver_sql(
                    "SELECT extract(epoch FROM clock_timestamp()) * 1000"
                ).scalar_one()
            assert abs(float(server) - database.now()) < 1_000


def fill(worker: Worker) -> None:
    """Make run `a` with input, one entry and one message, and give it back."""
    worker.write(Write("a", worker.epoch, start=new_run("a"), entries=(entry("a", 1, b"one"),)))
    worker.put("a", "k")


def _pages(database: Database, size: int) -> Iterator[list[str]]:
    page = [run.id for run in database.runs(limit=size)]
    while page:
        yield page
        page = [run.id for run in database.runs(limit=size, after=page[-1])]
