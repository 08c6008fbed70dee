"""Schedules from the command line: listed, paused, resumed, triggered, deleted, and ticked by workers."""

import re
import subprocess
import sys

import pytest

from tests.cli.processes import Amends


def put(amends: Amends, seconds: int = 5_400) -> None:
    """Have the schedules of `planned.py` put by a program, as a deployment does."""
    subprocess.run(
        [sys.executable, "planned.py", str(seconds)],
        cwd=amends.directory,
        env=amends.environment(),
        check=True,
        timeout=60,
    )


def test_schedules_are_listed_with_what_comes_next(amends_on_both: Amends) -> None:
    amends = amends_on_both
    assert "`amends db upgrade`" in amends.refuses("schedules")
    put(amends)
    lines = [" ".join(line.split()) for line in amends.says("schedules").splitlines()]
    assert lines[0] == "SCHEDULE SAGA PLAN NEXT LAST"
    assert re.fullmatch(r"nightly report 0 9 \* \* 1-5 Europe/Berlin .*:00:00 \(in .*\)", lines[1])
    assert re.fullmatch(r"pulse pulse every 1 h 30 min .*\(in 1 h (30|29) min\)", lines[2])
    page = amends.tells("schedules", "--limit", "1")
    assert (page["next"], [schedule["id"] for schedule in page["schedules"]]) == ("nightly", ["nightly"])
    [pulse] = amends.tells("schedules", "--after", "nightly")["schedules"]
    assert (pulse["every_seconds"], pulse["cron"], pulse["paused"]) == (5_400, None, False)
    assert (pulse["catch_up"], pulse["overlap"], pulse["started"]) == ("latest", "allow", 0)
    assert pulse["next_at"].endswith(".000Z")
    assert "--after nightly" in amends("schedules", "--limit", "1").stderr


def test_a_schedule_is_paused_and_resumed_by_whoever_asks(amends_on_both: Amends) -> None:
    amends = amends_on_both
    put(amends)
    assert amends.says("schedules", "pause", "pulse", "--as", "ann") == "pulse is paused\n"
    assert amends.says("schedules").split()[-1] == "paused"
    assert amends.tells("schedules")["schedules"][1]["next_at"] is None
    put(amends)
    assert amends.tells("schedules")["schedules"][1]["paused"]
    assert amends.says("schedules", "resume", "pulse").startswith("pulse goes on, next ")
    assert amends.says("schedules", "delete", "pulse") == "pulse is deleted\n"
    assert "there is no schedule 'pulse'" in amends.refuses("schedules", "pause", "pulse")


def test_a_run_is_triggered_beside_the_plan_and_told_for_when(amends: Amends) -> None:
    put(amends)
    run = amends.says("schedules", "trigger", "nightly", "--as", "ann").strip()
    assert run.startswith("nightly@2")
    assert "next due: " in amends.work_off("planned")
    told = amends.tells("show", run)
    assert told["result"].startswith("sales at 2")
    assert told["scheduled_for"].startswith(told["result"].split()[2])
    assert amends.tells("schedules")["schedules"][0]["started"] == 0


def test_a_worker_until_idle_starts_what_is_due_by_plan(amends: Amends) -> None:
    put(amends, 1)
    assert "next due: " in amends.work_off("planned")
    while not (runs := amends.tells("runs")["runs"]):
        amends.work_off("planned")
    assert {run["saga"] for run in runs} == {"pulse"}
    assert all(run["id"].startswith("pulse@") and run["scheduled_for"] for run in runs)
    assert amends.tells("schedules")["schedules"][1]["started"] == len(runs)
    assert amends.says("schedules").splitlines()[2].split()[-1] == "ago"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["schedules", "--database", "sqlite:///shop.db", "pause", "x"], "belongs behind 'pause'"),
        (["schedules", "--json", "pause", "x"], "belongs behind 'pause'"),
        (["schedules", "trigger", "x"], "there is no schedule 'x'"),
        (["schedules", "begin"], "no such command 'begin'"),
        (["schedules", "pause"], "SCHEDULE"),
    ],
)
def test_what_can_not_be_done_is_told_in_one_line(amends: Amends, typed: list[str], words: str) -> None:
    amends.says("db", "upgrade")
    assert words in amends.refuses(*typed)


def test_no_schedules_are_told_too(amends: Amends) -> None:
    amends.says("db", "upgrade")
    assert amends.says("schedules") == "no schedules\n"
