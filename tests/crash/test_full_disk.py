"""Disks that are full: nothing is lost, no run fails of it, and work goes on once there is room."""

import asyncio
import errno
import logging
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from amends.sagas import Coordinator, Run, Status, Undo, saga, step
from tests.sagas.running import LONGEST, Gate, on_a_loop
from tests.servers import Server, restartable

MEGABYTE = 1 << 20
RUNS = 12
STEPS = 4
PAYLOAD = 200_000
GATE = Gate()


@step(name="full.fill")
async def fill(run: int, number: int) -> str:
    """Have something to write that no compression makes smaller."""
    if number == 1:
        await GATE.wait()
    return secrets.token_hex(PAYLOAD // 2)


@fill.compensation(name="full.empty")
async def empty(undo: Undo[str], run: int, number: int) -> None: ...


@saga(name="full.run")
async def filling(run: int) -> int:
    for number in range(STEPS):
        await fill(run, number)
    return run


class Disk:
    """A file system of a few megabytes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("wb", buffering=0) as file:
            for size in (MEGABYTE, 4096, 1):
                with _until_full():
                    while True:
                        file.write(bytes(size))

    def clear(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextmanager
def _until_full() -> Iterator[None]:
    try:
        yield
    except OSError as full:
        if full.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """Mount a small file system where every account can reach it; skips the test where that isn't allowed."""
    with TemporaryDirectory(prefix="amends-small-") as name:
        place = Path(name)
        place.chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(place)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
        try:
            yield Disk(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


class Complaint(logging.Handler):
    """Hears that the database can't be written."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "can't be written now" in record.getMessage():
            self._loop.call_soon_threadsafe(self.heard.set)


@contextmanager
def listening() -> Iterator[asyncio.Event]:
    handler = Complaint()
    logger = logging.getLogger("amends.persistence")
    logger.addHandler(handler)
    try:
        yield handler.heard
    finally:
        logger.removeHandler(handler)


async def full_and_emptied(
    url: str, disk: Disk, monkeypatch: pytest.MonkeyPatch, repair: Callable[[], object]
) -> None:
    """Fill the disk in the middle of some runs, wait until that is felt, and make room."""
    gate = Gate()
    monkeypatch.setitem(globals(), "GATE", gate)
    async with Coordinator(url) as coordinator:
        runs: list[Run[int]] = [
            await coordinator.start(filling, number, id=f"run-{number}") for number in range(RUNS)
        ]
        await gate.reached.wait()
        disk.fill()
        with listening() as heard:
            gate.opened.set()
            await heard.wait()
        disk.clear()
        # In this thread: the server ends with the thread that has started it.
        repair()
        assert [await run.result(LONGEST) for run in runs] == list(range(RUNS))
        assert [await run.status() for run in runs] == [Status.COMPLETED] * RUNS


@on_a_loop
async def test_a_full_disk_under_sqlite_fails_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(32) as disk:
        url = f"sqlite:///{disk.place / 'amends.db'}"
        await full_and_emptied(url, disk, monkeypatch, lambda: None)


def moved(server: Server, part: str, disk: Disk) -> None:
    """Let a part of a server's data lie on another disk."""
    server.stop(signal.SIGINT)
    own, there = server.directory / "data" / part, disk.place / part
    shutil.copytree(own, there)
    status = own.stat()
    for path in (there, *there.rglob("*")):
        os.chown(path, status.st_uid, status.st_gid)
    there.chmod(0o700)
    shutil.rmtree(own)
    own.symlink_to(there)
    server.start()


@pytest.mark.parametrize("part", ["base", "pg_wal"])
def test_a_full_disk_under_a_server_fails_no_run(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Without room for its log the server may end itself; it is started again once there is some."""
    with small_disk(128) as disk, restartable() as server:
        moved(server, part, disk)
        asyncio.run(asyncio.wait_for(full_and_emptied(server.url, disk, monkeypatch, server.revive), LONGEST))
