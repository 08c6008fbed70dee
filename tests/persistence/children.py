"""What other processes do in these tests."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import TypeVar

from amends.persistence.database import Database
from amends.persistence.records import Write
from tests.persistence.workers import LEASE_MS, Worker, ended, entry, new_run

Result = TypeVar("Result")
# A server that has everything imported forks them, far quicker than each could import it.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.persistence.children"])
JOIN_S = 60


def in_processes(function: Callable[[str, int], Result], url: str, count: int) -> list[Result]:
    """Call `function(url, number)` in `count` processes at once."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda number: in_process(function, url, number), range(count)))


def in_process(function: Callable[[str, int], Result], url: str, number: int) -> Result:
    ours, theirs = SERVER.Pipe()
    with ours, theirs:
        child = SERVER.Process(target=_send, args=(theirs, function, url, number))
        child.start()
        theirs.close()
        result: Result = ours.recv()
        child.join(JOIN_S)
        child.close()
        return result


def _send(pipe: Connection, function: Callable[[str, int], object], url: str, number: int) -> None:
    pipe.send(function(url, number))


def start_the_same_runs(url: str, number: int) -> list[str]:
    """Start ten runs whose ids all the others use too; tell what became of each."""
    database = Database.open(url)
    try:
        web = Worker(database, None)
        names = [f"same-{n}" for n in range(10)]
        names = names[number:] + names[:number]
        writes = [Write(name, start=new_run(name, data=str(number).encode())) for name in names]
        receipts = dict(zip(names, web.write_together(writes), strict=True))
        return [receipts[f"same-{n}"].written.value for n in range(10)]
    finally:
        database.close()


def open_and_close(url: str, _number: int) -> str:
    """Open a log that is perhaps not there yet."""
    try:
        Database.open(url).close()
    except Exception as error:  # noqa: BLE001 - the test shows it
        return repr(error)
    return "open"


def claim_everything(url: str, number: int) -> list[str]:
    """Claim until there is nothing left, and end each run."""
    database = Database.open(url)
    try:
        worker = Worker(database, f"worker-{number}")
        claimed: list[str] = []
        while found := worker.claim(5):
            claimed += [each.run.id for each in found]
            for each in found:
                worker.change(each.run.id, ended())
        return claimed
    finally:
        database.close()


class Doomed:
    """A worker in a process of its own that has claimed all runs, until it is killed."""

    def __init__(self, url: str) -> None:
        self._ours, theirs = SERVER.Pipe()
        self._child = SERVER.Process(target=_claim_and_wait, args=(theirs, url), daemon=True)
        self._child.start()
        theirs.close()
        self.claimed: Sequence[str] = self._ours.recv()

    def kill(self) -> None:
        assert self._child.pid is not None
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.join(JOIN_S)
        self._ours.close()


def _claim_and_wait(pipe: Connection, url: str) -> None:
    worker = Worker(Database.open(url, lease_ms=LEASE_MS), "doomed")
    claimed = [each.run.id for each in worker.claim()]
    for run_id in claimed:
        worker.write(Write(run_id, worker.epoch, entries=(entry(run_id, 1),)))
    pipe.send(claimed)
    pipe.recv()
