"""PostgreSQL servers that are stopped in several ways, and started again."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

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
        postgres._initialise(self._binaries, directory, self._account)  # noqa: SLF001 - as above
        self.start()

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
