"""Onboarding over flaky APIs: as a program, with every call in trouble, and killed at chosen moments."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.examples.programs import Program

WHOLE = {"accounts": 1, "contacts": 1, "workspaces": 1, "mails": 1, "events": 1}
ONBOARDING = "onboarding/onboarding.py"
CUSTOMERS = ("--customers", "3")


@contextmanager
def services(folder: Path, trouble: float, seed: int = 1, down: str = "") -> Iterator[tuple[Program, str]]:
    options = ("--trouble", str(trouble), "--seed", str(seed), "--down", down)
    with Program("onboarding/services.py", *options, cwd=folder) as program:
        yield program, program.line_with("listening on").split()[-1]


def book(address: str) -> dict[str, dict[str, int]]:
    standing: dict[str, dict[str, int]] = httpx.get(f"{address}/books", timeout=30).json()
    return standing


def endings(program: Program) -> list[str]:
    """Let the program come to its end, and give how each customer ended."""
    assert program.end() == 0, "\n".join(program.lines)
    said = (line.removeprefix("onboarding: ").split(",")[0] for line in program.lines)
    return sorted(line for line in said if " is " in line)


def test_the_demo_onboards_each_customer_whole_or_not_at_all(tmp_path: Path) -> None:
    with Program("onboarding/demo.py", "--customers", "6", cwd=tmp_path) as program:
        assert program.end() == 0, "\n".join(program.lines)
    assert sum("killed the worker" in line for line in program.lines) == 2
    assert program.lines[-1] == "demo: 4 of 6 customers are onboarded, 0 are half done"


def test_where_every_call_meets_trouble_three_times_nothing_is_doubled_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    """S3, S6: what landed without an answer is found by its key or by the probe, or undone."""
    with services(tmp_path, 1.0, seed=2) as (_, address):
        with Program(ONBOARDING, "sqlite:///amends.db", address, *CUSTOMERS, cwd=tmp_path) as program:
            ends = endings(program)
        assert ends == ["huge-2 is compensated", "small-0 is completed", "small-1 is completed"]
        assert book(address) == {"small-0": WHOLE, "small-1": WHOLE}


def test_a_worker_killed_after_any_effect_leaves_nobody_half_onboarded(
    database_url: str, tmp_path: Path
) -> None:
    """S3, S10: the account and the contact of whom no workspace can be built are gone in the end."""
    with services(tmp_path, 0.3, seed=8) as (world, address):
        command = (database_url, address, *CUSTOMERS)
        with Program(ONBOARDING, *command, cwd=tmp_path) as program:
            for _ in range(8):
                world.line_with("one for")
            program.send(signal.SIGKILL)
            program.end()
        with Program(ONBOARDING, *command, cwd=tmp_path) as program:
            ends = endings(program)
        assert ends == ["huge-2 is compensated", "small-0 is completed", "small-1 is completed"]
        assert book(address) == {"small-0": WHOLE, "small-1": WHOLE}


def test_a_worker_killed_while_it_undoes_goes_on_undoing(database_url: str, tmp_path: Path) -> None:
    """S10: what is left of the undoing is done by the next worker."""
    with services(tmp_path, 0.5) as (world, address):
        command = (database_url, address, *CUSTOMERS)
        with Program(ONBOARDING, *command, cwd=tmp_path) as program:
            world.line_with("huge-2's is gone")
            program.send(signal.SIGKILL)
            program.end()
        with Program(ONBOARDING, *command, cwd=tmp_path) as program:
            assert "huge-2 is compensated" in endings(program)
        assert book(address) == {"small-0": WHOLE, "small-1": WHOLE}


def test_analytics_that_never_works_sends_no_customer_away(tmp_path: Path) -> None:
    with services(tmp_path, 0.0, down="events") as (_, address):
        command = ("sqlite:///amends.db", address, "--customers", "1")
        with Program(ONBOARDING, *command, cwd=tmp_path) as program:
            assert endings(program) == ["small-0 is completed"]
        assert book(address) == {"small-0": {name: 1 for name in WHOLE if name != "events"}}
