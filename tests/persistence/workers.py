"""Workers of a log, asked and answered in one call; their callbacks run in the writer's own thread."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

from amends.persistence.codec import Codec
from amends.persistence.database import Database
from amends.persistence.observer import Observer
from amends.persistence.records import (
    Claimed,
    EntryRow,
    InboxRow,
    Loaded,
    NewRun,
    Receipt,
    RunChange,
    Serves,
    Status,
    Wake,
    Write,
    Written,
)
from amends.persistence.writer import Writer

SERVES = Serves(frozenset({("order", "1")}))
PATIENCE_S = 60.0
LEASE_MS = 600_000
"""So long that no lease runs out while a test does, however slow the machine."""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: int = 1_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def move(self, milliseconds: int) -> None:
        self.now += milliseconds


class Worker:
    """A writer with the questions that tests ask."""

    def __init__(
        self,
        database: Database,
        name: str | None,
        serves: Serves = SERVES,
        observer: Observer | None = None,
    ) -> None:
        self.name = name
        self.serves = serves
        self.database = database
        self.news = threading.Semaphore(0)
        self.lost = threading.Semaphore(0)
        self.writer: Writer = database.writer(
            name, serves, lambda thunk: thunk(), self.news.release, self.lost.release, observer=observer
        )

    @property
    def epoch(self) -> int:
        assert self.writer.epoch is not None
        return self.writer.epoch

    def write(self, write: Write) -> Receipt:
        return self.submit(write)()

    def submit(self, write: Write) -> Callable[[], Receipt]:
        """Submit now; what is returned waits for the receipt."""
        receipts: SimpleQueue[Receipt] = SimpleQueue()
        self.writer.submit(write, receipts.put)
        return lambda: receipts.get(timeout=PATIENCE_S)

    def write_together(self, writes: Sequence[Write]) -> list[Receipt]:
        """Have all writes in one batch: the writer is held up until it has them all."""
        with self.held_up():
            submitted = [self.submit(write) for write in writes]
        return [receipt() for receipt in submitted]

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Hold the writer's thread up for as long as the block runs."""
        arrived, go_on = threading.Event(), threading.Event()

        def hold(_receipt: Receipt) -> None:
            arrived.set()
            assert go_on.wait(PATIENCE_S)

        self.writer.submit(Write("nobody", inbox=InboxRow("nobody", "hold", "hold", 0)), hold)
        assert arrived.wait(PATIENCE_S)
        try:
            yield
        finally:
            go_on.set()

    def claim(self, limit: int = 1_000, serves: Serves | None = None) -> list[Loaded]:
        return self.ask_for_claim(limit, serves)()

    def ask_for_claim(self, limit: int, serves: Serves | None = None) -> Callable[[], list[Loaded]]:
        claims: SimpleQueue[Claimed] = SimpleQueue()
        self.writer.claim(limit, serves or self.serves, claims.put)
        return lambda: claims.get(timeout=PATIENCE_S).runs

    def claim_from(self, *queues: str, limit: int = 1_000, serves: Serves | None = None) -> Claimed:
        claims: SimpleQueue[Claimed] = SimpleQueue()
        self.writer.claim(limit, serves or self.serves, claims.put, queues)
        return claims.get(timeout=PATIENCE_S)

    def look_after_dead(self) -> int:
        return self.ask_for_the_dead()()

    def ask_for_the_dead(self) -> Callable[[], int]:
        answers: SimpleQueue[tuple[list[str], int]] = SimpleQueue()
        self.writer.look_after_dead(answers.put)
        return lambda: answers.get(timeout=PATIENCE_S)[1]

    def start(self, *ids: str, saga: str = "order", at: int | None = None) -> None:
        """Start runs that nobody owns."""
        when = self.database.now() if at is None else at
        receipts = self.write_together([Write(i, start=new_run(i, saga=saga, at=when)) for i in ids])
        assert {receipt.written for receipt in receipts} == {Written.DONE}

    def put(self, run_id: str, key: str, *, wake: Wake = Wake.NONE, kind: str = "signal") -> Written:
        row = InboxRow(run_id, key, kind, self.database.now(), payload=key.encode())
        return self.write(Write(run_id, inbox=row, wake=wake)).written

    def enter(self, run_id: str, seq: int, payload: bytes = b"{}") -> Written:
        """Write one entry under this worker's lease."""
        return self.write(Write(run_id, self.epoch, entries=(entry(run_id, seq, payload),))).written

    def change(self, run_id: str, change: RunChange, *, mail: int | None = None) -> Written:
        return self.write(Write(run_id, self.epoch, change=change, mail=mail)).written


def new_run(run_id: str, *, saga: str = "order", at: int = 1_000, data: bytes = b"{}") -> NewRun:
    return NewRun(run_id, saga, "1", data, at)


def entry(run_id: str, seq: int, payload: bytes | None = b"{}") -> EntryRow:
    return EntryRow(
        run_id, seq, "intent", 1_000, ref=seq, attempt=1, name="charge", meta="{}", payload=payload
    )


def ended(status: Status = Status.COMPLETED, at: int = 2_000) -> RunChange:
    return RunChange(status, result=b"42", ended_at=at)


@contextmanager
def log(
    url: str,
    *,
    clock: Callable[[], int] | None = None,
    codec: Codec | None = None,
    lease_ms: int = LEASE_MS,
    schema: str = "amends",
) -> Iterator[Database]:
    """Open a log for a block."""
    database = Database.open(url, clock=clock, codec=codec, lease_ms=lease_ms, schema=schema)
    try:
        yield database
    finally:
        database.close()
