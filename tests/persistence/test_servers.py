"""Servers that restart, and poolers that stand before them."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from amends.persistence.database import Database
from amends.persistence.errors import DatabaseUnavailable
from amends.persistence.records import Write, Written
from tests import postgres
from tests.persistence.workers import Worker, ended, entry, log
from tests.servers import Server, restartable


def test_a_server_that_is_killed_and_started_again_loses_nothing() -> None:
    """What was acknowledged is there, what wasn't is written once it is back, what is asked is refused."""
    with restartable() as server, log(server.url) as database:
        worker = Worker(database, "ann")
        worker.start("a")
        worker.claim()
        seq = 0
        for how in (signal.SIGKILL, signal.SIGINT, signal.SIGQUIT):
            first = [worker.submit(turn(worker, seq + n)) for n in (1, 2)]
            server.stop(how)
            with pytest.raises(DatabaseUnavailable, match="can't be read now"):
                database.run("a")
            later = [worker.submit(turn(worker, seq + n)) for n in (3, 4)]
            server.start()
            assert [receipt().written for receipt in (*first, *later)] == [Written.DONE] * 4
            seq += 4
        assert [row.seq for row in database.journal("a")] == list(range(1, seq + 1))
        assert worker.news.acquire(timeout=30)


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer isn't installed")
def test_a_pooler_in_transaction_mode_is_lived_with() -> None:
    """No session's state is relied upon, and none is left behind in sessions that others get."""
    with restartable() as server, pooler(server) as url, log(url) as here, log(url) as there:
        workers = [Worker(here, "ann"), Worker(there, "ben"), Worker(there, "cat")]
        names = [f"r{n:02}" for n in range(30)]
        workers[0].start(*names)
        threads = [threading.Thread(target=drive, args=(worker, here)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(run.id for run in here.ended(names)) == names
        assert {len(there.journal(name)) for name in names} == {7}
        with here.engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "0"


def turn(worker: Worker, seq: int) -> Write:
    return Write("a", worker.epoch, entries=(entry("a", seq),))


def drive(worker: Worker, database: Database) -> None:
    while found := worker.claim(3):
        for each in found:
            for seq in range(1, 8):
                worker.enter(each.run.id, seq)
            assert database.run(each.run.id) is not None
            worker.change(each.run.id, ended())


@contextmanager
def pooler(server: Server) -> Iterator[str]:
    with TemporaryDirectory(prefix="amends-pooler-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        server.directory.chmod(0o755)
        settings = [
            "[databases]",
            f"postgres = host={server.directory} user=postgres",
            "[pgbouncer]",
            f"unix_socket_dir = {directory}",
            "listen_addr =",
            "listen_port = 5432",
            "auth_type = any",
            "pool_mode = transaction",
            "default_pool_size = 3",
        ]
        (directory / "ini").write_text("\n".join(settings))
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        with (directory / "log").open("wb") as output:
            process = subprocess.Popen(
                ["pgbouncer", *account, directory / "ini"], stdout=output, stderr=output
            )
        url = f"postgresql://postgres@/postgres?host={directory}"
        try:
            postgres._await_connections(url, process, directory / "log")  # noqa: SLF001 - as above
            yield url
        finally:
            process.terminate()
            process.wait(30)
