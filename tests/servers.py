"""PostgreSQL servers that are stopped in several ways, and started again."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg

from tests import postgres


class Server:
    """A private server that can be ended in several ways, and started again.

    It ends with the thread that started it last: start it from the main thread.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"postgresql://postgres@/postgres?host={directory}"
        self._account = "nobody" if os.geteuid() == 0 else None
        self._binaries = postgres._binaries(directory, self._account)  # noqa: SLF001 - the same servers
        if self._account:
            shutil.chown(directory, self._account)
        self._initialise()
        self.start()

    def _initialise(self) -> None:
        postgres._initialise(self._binaries, self.directory, self._account)  # noqa: SLF001 - as above

    def scalar(self, statement: LiteralString) -> Any:
        """Ask the server for one value."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]

    def start(self) -> None:
        self._process = postgres._start(  # noqa: SLF001 - as above
            self._binaries, self.directory, self._account, durable=False
        )
        postgres._await_connections(self.url, self._process, self.directory / "log")  # noqa: SLF001 - as above

    def stop(self, how: signal.Signals) -> None:
        backends = self._backends() if how is signal.SIGKILL else []
        self._process.send_signal(how)
        self._process.wait(30)
        for backend in backends:
            # Orphans of a killed postmaster end by themselves, but only when they next look.
            with_suppressed_kill(backend)

    def revive(self) -> None:
        """Wait until the server answers, and start it again if it has ended."""
        while self._process.poll() is None:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                time.sleep(0.01)
            else:
                return
        self.start()

    def _backends(self) -> list[int]:
        with psycopg.connect(self.url) as connection:
            return [
                row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL")
            ]


class Standby(Server):
    """A standby that follows a server, asynchronously, until it is cut off; then it may be promoted."""

    def __init__(self, directory: Path, primary: Server) -> None:
        self._primary = primary
        super().__init__(directory)

    def _initialise(self) -> None:
        copy = ["-D", str(self.directory / "data"), "-h", str(self._primary.directory), "-U", "postgres"]
        subprocess.run(
            [self._binaries / "pg_basebackup", *copy, "--write-recovery-conf", "--no-sync", "-c", "fast"],
            user=self._account,
            cwd=self.directory,
            check=True,
        )

    def catch_up(self) -> None:
        """Wait until it has everything that the other has."""
        while not self._primary.scalar(
            "SELECT replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication LIMIT 1"
        ):
            time.sleep(0.01)

    def cut_off(self) -> None:
        """Follow no more."""
        self.scalar("ALTER SYSTEM SET primary_conninfo = ''")
        self.scalar("SELECT pg_reload_conf()")
        while self._primary.scalar("SELECT count(*) FROM pg_stat_replication"):
            time.sleep(0.01)

    def promote(self) -> None:
        """Become a server that can be written, with what it has."""
        assert self.scalar("SELECT pg_promote()")


def with_suppressed_kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def restartable() -> Iterator[Server]:
    with TemporaryDirectory(prefix="amends-restartable-") as name:
        server = Server(Path(name))
        try:
            yield server
        finally:
            server.stop(signal.SIGINT)


@contextmanager
def followed() -> Iterator[tuple[Server, Standby]]:
    """Give a server and a standby of it."""
    with restartable() as primary, TemporaryDirectory(prefix="amends-standby-") as name:
        standby = Standby(Path(name), primary)
        try:
            yield primary, standby
        finally:
            standby.stop(signal.SIGINT)
