"""Workers killed around a step's transaction, and networks that cut at its COMMIT: each row once."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from amends.sagas import Coordinator, Retry, saga, transaction
from tests.persistence.proxy import Fate, proxied
from tests.sagas.ledgers import opened, put, rows
from tests.sagas.running import on_a_loop
from tests.sagas.transacting_child import POINTS

ROOT = Path(__file__).resolve().parents[2]
STUBBORN = Retry(attempts=30, wait=dt.timedelta(0))


def child(url: str, point: str) -> subprocess.CompletedProcess[str]:
    """Run a worker until it dies or everything has ended."""
    command = [sys.executable, "-m", "tests.sagas.transacting_child", url, point]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_around_a_transaction_leaves_each_row_once(database_url: str, point: str) -> None:
    """S3, S9: SIGKILL inside the transaction, before its COMMIT and after it, forward and back."""
    with opened(database_url) as books:
        assert child(database_url, point).returncode == -signal.SIGKILL
        told = child(database_url, "")
        assert (told.returncode, told.stdout) == (0, "compensated"), told.stderr
        assert sorted(rows(books)) == [f"{run}/{number}" for run in range(3) for number in range(4)]


@transaction(name="cut.add", retry=STUBBORN)
def add(db: Connection, number: int) -> int:
    return put(db, str(number))


@saga(name="cut.adds")
async def adds(first: int, count: int) -> int:
    for number in range(first, first + count):
        await add(number)
    return count


async def cut_often(postgres_url: str, directory: Path, runs: int, count: int) -> int:
    """Execute steps through a proxy that cuts at one COMMIT of four; give the number of cuts."""
    dice = random.Random(11)  # noqa: S311 - the same dice each time
    armed = threading.Event()
    cuts = 0

    def each() -> Fate:
        nonlocal cuts
        if not armed.is_set() or dice.random() > 1 / 4:
            return Fate.PASSED
        cuts += 1
        return dice.choice((Fate.CUT_BEFORE, Fate.CUT_AFTER))

    with opened(postgres_url) as books, proxied(postgres_url, directory, each) as url:
        async with Coordinator(url, lease=dt.timedelta(minutes=5)) as coordinator:
            started = [await coordinator.start(adds, n * count, count) for n in range(runs)]
            armed.set()
            for run in started:
                await run.result(600)
            armed.clear()
        assert sorted(map(int, rows(books))) == list(range(runs * count))
    return cuts


@on_a_loop
async def test_lost_commits_of_sixty_steps_leave_each_row_once(postgres_url: str, tmp_path: Path) -> None:
    """S3: cut before the server has the COMMIT, or before its answer comes back."""
    assert await cut_often(postgres_url, tmp_path, 6, 10) > 10


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_lost_commits_of_a_thousand_steps_leave_each_row_once(postgres_url: str, tmp_path: Path) -> None:
    """S3: as above, a thousand times."""
    assert asyncio.run(cut_often(postgres_url, tmp_path, 20, 50)) > 200
