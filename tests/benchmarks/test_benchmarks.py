"""The benchmarks run and print their figures; how large these are is nobody's claim here."""

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.figures import COMPARED
from benchmarks.scenarios import SCENARIOS

pytestmark = [pytest.mark.xdist_group("benchmarks"), pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
SIZE = "10"

FIGURES = {
    "A": {"steps_per_second", "ms_per_step", "cpu_us_per_step", "reads_per_second"},
    "B": {"steps_per_second", "rows_per_second", "rows_per_step", "cpu_us_per_step"},
    "C": {"p50_ms", "p99_ms"},
    "D": {"starts_per_second", "memory_per_sleeper", "database_per_sleeper", "serving_seconds", "idle_cpu"},
    "E": {"finished_seconds", "ready_seconds", "left", "twice", "lost"},
    "F": {"waiting_per_second", "database_per_waiter", "signal_p50_ms", "p50_ms", "p99_ms"},
    "G": {"resumed_seconds", "resumed_short_seconds", "growth"},
    "H": {"steps_per_second_1", "steps_per_second_4", "cpu_us_per_step_4"},
    "I": {"first_ms", "last_ms", "position_ratio"},
    "J": {"undone_per_second", "calls_per_second", "cpu_us_per_call"},
    "K": {
        "turns_per_second",
        "cpu_us_per_turn",
        "memory_per_waiting",
        "long_seconds",
        "growth",
        "rows_growth",
    },
    "L": {"events_per_second", "received_per_second", "lost", "cpu_us_per_event"},
    "M": {"ms_off", "ms_on", "ms_hung", "cpu_off", "cpu_on", "cpu_hung", "spans_per_step", "close_hung"},
}


def benchmarks(*arguments: object) -> str:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@functools.cache
def measured() -> tuple[str, dict[str, Any]]:
    """Measure every scenario, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        table = benchmarks("--store", "sqlite", "--disk", "real", "--size", SIZE, "--json", file)
        (section,) = json.loads(file.read_text())["sections"]
    return table, section["scenarios"]


@pytest.mark.parametrize("letter", SCENARIOS)
def test_a_scenario_gives_its_figures(letter: str) -> None:
    table, scenarios = measured()
    figures = scenarios[letter]["figures"]
    assert figures.keys() >= FIGURES[letter]
    assert f"{letter}  {SCENARIOS[letter].title.format(int(SIZE))}" in table


def test_a_killed_worker_loses_no_run() -> None:
    _, scenarios = measured()
    assert scenarios["E"]["figures"]["lost"]["value"] == 0


def test_events_into_keyed_runs_are_neither_lost_nor_doubled() -> None:
    _, scenarios = measured()
    assert scenarios["L"]["figures"]["lost"]["value"] == 0


def test_times_stand_beside_the_stores_limit() -> None:
    table, scenarios = measured()
    assert scenarios["A"]["figures"]["ms_per_step"]["ratio"] > 0
    assert "one-row commits/s" in table
    assert "cores" in table


@pytest.mark.parametrize("letter", COMPARED)
def test_what_is_compared_with_others_is_a_figure_of_ours(letter: str) -> None:
    compared = COMPARED[letter]
    assert compared.key in FIGURES[letter]
    assert compared.ratio(2.0, 1.0) == (0.5 if compared.less_is_better else 2.0)
