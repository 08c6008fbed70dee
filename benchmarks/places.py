"""Where a scenario runs: a store on a disk, with an empty database whenever one is asked for."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import disk
from benchmarks.disk import Disk


class Store(StrEnum):
    """The database under the journal."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Place:
    """A store on a disk; `environment` is for the processes that use it."""

    store: Store
    disk: Disk
    version: str
    environment: Mapping[str, str]
    new_database: Callable[[], str]


@contextmanager
def open_place(store: Store, on: Disk) -> Iterator[Place]:
    """Prepare a store on a disk, in the system's directory for temporary files."""
    with ExitStack() as stack:
        name = stack.enter_context(TemporaryDirectory(prefix="amends-bench-", ignore_cleanup_errors=True))
        directory = Path(name)
        directory.chmod(0o755)  # the server may run as another user than we do
        environment = {**disk.environment(directory, on), **_compiled_once(directory)}
        if store is Store.SQLITE:
            numbers = count(1)
            yield Place(
                store,
                on,
                sqlite3.sqlite_version,
                environment,
                lambda: f"sqlite:///{directory}/benchmark_{next(numbers)}.db",
            )
        else:
            yield _on_postgres(stack, on, environment)


def _compiled_once(directory: Path) -> dict[str, str]:
    """Let Python keep its bytecode, as it does wherever it isn't told not to: start-up is measured too."""
    return {"PYTHONPYCACHEPREFIX": str(directory / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


def _on_postgres(stack: ExitStack, on: Disk, environment: Mapping[str, str]) -> Place:
    """Start a server, whose own environment decides what its disk costs."""
    import psycopg  # noqa: PLC0415 - SQLite alone must do without it

    from tests.postgres import new_database, running_postgres  # noqa: PLC0415

    with _exported(environment):
        server = stack.enter_context(running_postgres(durable=True))
    with psycopg.connect(server) as connection:
        version = connection.info.parameter_status("server_version") or "unknown"
    return Place(Store.POSTGRES, on, version, environment, lambda: stack.enter_context(new_database(server)))


@contextmanager
def _exported(environment: Mapping[str, str]) -> Iterator[None]:
    """Let the processes started in the block have these variables."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
