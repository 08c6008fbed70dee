"""Power failures under SQLite: what was acknowledged is there, and nothing is damaged."""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from amends.sagas import Coordinator, Kind, RunNotFound, Status
from tests.crash.power.outage import ACKS, Deed, Disk, deeds, failures
from tests.crash.power.play import trip

SOURCE = Path(__file__).with_name("recorder.c")
ROOT = Path(__file__).parents[3]
DATABASE = "amends.db"
SEED = os.environ.get("AMENDS_SEED", "power-1")
SECONDS = 60


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what stands between a process and its files."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        pytest.skip("recording what a process writes needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("recorder") / "recorder.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def recorded(recorder: Path, place: Path, *, sessions: int, runs: int, synchronous: str) -> list[Deed]:
    """Let a process drive runs, and give what it did to its files, in order."""
    place.mkdir()
    log = place.with_suffix(".log")
    preloaded = {"LD_PRELOAD": str(recorder), "AMENDS_POWER_PLACE": str(place), "AMENDS_POWER_LOG": str(log)}
    url = f"sqlite:///{place / DATABASE}"
    arguments = [url, str(place / ACKS), f"{sessions}", f"{runs}", synchronous]
    subprocess.run(
        [sys.executable, "-m", "tests.crash.power.play", *arguments],
        cwd=ROOT,
        env={**os.environ, **preloaded},
        timeout=SECONDS,
        check=True,
    )
    return deeds(log)


@dataclass(slots=True)
class Claims:
    """What a process was told to be durable."""

    started: set[str] = field(default_factory=set)
    signalled: set[str] = field(default_factory=set)
    decided: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    begun: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    def of(cls, acks: list[str]) -> "Claims":
        """Read what it said."""
        claims = cls()
        for line in acks:
            what, run, *more = line.split(" ", 2)
            if what == "ended":
                claims.ended[run] = more[0]
            elif what == "begun":
                claims.begun[run] = max(claims.begun[run], int(more[0]) + 1)
            else:
                getattr(claims, what).add(run)
        return claims


def damage(path: Path) -> list[str]:
    """Say what is damaged in the file that a power failure has left."""
    try:
        with sqlite3.connect(path) as connection:
            (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as problem:
        return [f"damaged: {problem}"]
    return [] if sound == "ok" else [f"damaged: {sound}"]


async def cut_short(coordinator: Coordinator, claims: Claims) -> list[str]:
    """Say which journals lack a step that had begun, or the outcome of the one before it."""
    found = []
    for run, steps in claims.begun.items():
        try:
            kinds = [entry.kind for entry in await (await coordinator.get(run)).journal()]
        except RunNotFound:
            kinds = []
        if kinds.count(Kind.INTENT) < steps or kinds.count(Kind.LANDED) < steps - 1:
            found.append(f"{run} was at step {steps}, and has {kinds}")
    return found


async def forgotten(coordinator: Coordinator, claims: Claims) -> list[str]:
    """Say of runs that have gone on as far as they can which starts, signals and decisions they lack."""
    found = []
    infos = {info.id: info.status for info in await coordinator.list(limit=1000)}
    for run in sorted(claims.started):
        ended = infos.get(run) is Status.COMPLETED
        if run not in infos:
            found.append(f"{run} was started")
        elif run in claims.decided and not ended:
            found.append(f"{run} was decided, and is {infos[run]}")
        elif run in claims.signalled and not ended and not await coordinator.approvals(run_id=run):
            found.append(f"{run} was signalled, and waits for it")
    for run in claims.decided & infos.keys():
        if infos[run] is Status.COMPLETED:
            result = await (await coordinator.get(run)).result()
            if result != f"word-{run} note-{run}":
                found.append(f"{run} ended with {result}")
    return found


async def breaches(directory: Path, claims: Claims) -> list[str]:
    """Say which claims don't hold in the files that a power failure has left, and what is damaged."""
    path = directory / DATABASE
    if not path.exists():
        return ["the file is gone"] if claims.started else []
    if damaged := damage(path):
        return damaged
    async with Coordinator(f"sqlite:///{path}", work=False) as coordinator:
        found = await cut_short(coordinator, claims)
    async with Coordinator(f"sqlite:///{path}", sagas=[trip]) as coordinator:
        await coordinator.run_until_idle()
        return found + await forgotten(coordinator, claims)


def lost(done: list[Deed], place: Path, trials: int) -> list[str]:
    """Fail the power at so many moments; tell what was lost or damaged."""
    chance = random.Random(SEED)  # noqa: S311 - a test's dice
    moments = sorted(chance.randrange(1, len(done) + 1) for _ in range(trials))
    found = []
    for number, (moment, disk) in enumerate(failures(done, moments)):
        directory = place / f"after-{number}"
        disk.after_a_power_failure(directory, chance)
        told = asyncio.run(breaches(directory, Claims.of(disk.acks)))
        found += [f"{SEED}, after {moment} of {len(done)} deeds: {each}" for each in told]
        shutil.rmtree(directory)
    return found


def test_what_was_acknowledged_outlives_a_power_failure(recorder: Path, tmp_path: Path) -> None:
    """S1: starts, outcomes, signals and decisions; the file opens, is sound, and its runs go on."""
    done = recorded(recorder, tmp_path / "place", sessions=2, runs=12, synchronous="FULL")
    assert sum(deed.kind == "s" for deed in done) > 30
    assert lost(done, tmp_path, 25) == []


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_at_thousands_of_moments(recorder: Path, tmp_path: Path) -> None:
    """S1: with checkpoints in between."""
    done = recorded(recorder, tmp_path / "place", sessions=4, runs=300, synchronous="FULL")
    assert lost(done, tmp_path, 2_000) == []


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_disk_that_is_not_waited_for_loses_them(recorder: Path, tmp_path: Path, synchronous: str) -> None:
    """These failures would be seen: with weaker settings than amends makes they are."""
    done = recorded(recorder, tmp_path / "place", sessions=1, runs=12, synchronous=synchronous)
    assert lost(done, tmp_path, 8)


def test_a_disk_forgets_what_was_not_flushed() -> None:
    disk = Disk()
    for deed in (
        Deed("c", "file", 0, b""),
        Deed("d", "", 0, b""),
        Deed("w", "file", 0, b"flushed"),
        Deed("s", "file", 0, b""),
        Deed("w", "file", 0, b"FLUSHED and more"),
        Deed("t", "file", 3, b""),
    ):
        disk.do(deed)
    dice = [random.Random(seed) for seed in range(200)]  # noqa: S311 - a test's dice
    left = {bytes(disk.files["file"].left(each) or b"") for each in dice}
    assert {b"flushed", b"FLU", b"flu", b"FLUSHED and more"} <= left
    assert disk.files["file"].flushed == b"flushed"
