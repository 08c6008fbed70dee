import signal
from pathlib import Path

import pytest

from tests.examples.programs import Program

STEPS = ["reserve", "charge", "ship"]


def first_saga(folder: Path) -> Program:
    return Program("first_saga.py", cwd=folder)


def steps(*programs: Program) -> list[str]:
    said = [line.partition(":")[0] for program in programs for line in program.lines]
    return [word for word in said if word in STEPS]


def test_every_step_is_printed_once(tmp_path: Path) -> None:
    with first_saga(tmp_path) as program:
        assert program.end() == 0
    assert steps(program) == STEPS
    assert program.lines[-1] == "order-1 is done: shipped"


@pytest.mark.parametrize("step", ["reserve", "charge"])
def test_stopped_with_ctrl_c_and_started_again_it_goes_on_where_it_was(step: str, tmp_path: Path) -> None:
    with first_saga(tmp_path) as stopped:
        stopped.line_with(f"{step}:")
        stopped.send(signal.SIGINT)
        assert stopped.end() == 0
    with first_saga(tmp_path) as again:
        assert again.end() == 0
    assert not any("Traceback" in line for line in stopped.lines)
    assert steps(stopped, again) == STEPS
    assert again.lines[-1] == "order-1 is done: shipped"


@pytest.mark.parametrize("step", ["reserve", "charge"])
def test_killed_and_started_again_only_the_step_in_flight_may_be_printed_again(
    step: str, tmp_path: Path
) -> None:
    with first_saga(tmp_path) as killed:
        killed.line_with(f"{step}:")
        killed.send(signal.SIGKILL)
        assert killed.end() == -signal.SIGKILL
    with first_saga(tmp_path) as again:
        assert again.end() == 0
    in_flight = STEPS.index(steps(killed)[-1])
    once, again_from_it = STEPS[in_flight + 1 :], STEPS[in_flight:]
    assert steps(killed) == STEPS[: in_flight + 1]
    assert steps(again) in (once, again_from_it)


def test_started_once_more_a_finished_one_says_so_and_runs_no_step(tmp_path: Path) -> None:
    with first_saga(tmp_path) as first:
        first.end()
    with first_saga(tmp_path) as again:
        assert again.end() == 0
    assert steps(again) == []
    assert again.lines[-1] == "order-1 is done: shipped"
