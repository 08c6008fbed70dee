"""Removing old runs from the command line."""

import pytest

from tests.cli.processes import Amends


def test_nothing_young_is_removed_and_it_is_said(amends_on_both: Amends) -> None:
    amends = amends_on_both
    assert "`amends db upgrade`" in amends.refuses("gc", "--older-than", "1h")
    amends.says("start", "report", "--module", "planned", "--id", "r", "--input", '"x"')
    amends.work_off("planned")
    assert amends.says("gc", "--older-than", "30d", "--dry-run") == "0 runs would be removed\n"
    assert amends.says("gc", "--older-than", "1h", "--saga", "report", "--as", "ann") == "0 runs removed\n"
    told = amends.tells("gc", "--older-than", "2w", "--undoable-older-than", "52w")
    assert told == {"removed": 0, "kept": 0, "dry_run": False}
    assert amends.tells("show", "r")["status"] == "completed"


@pytest.mark.parametrize("age", ["", "30", "d", "-1d", "1.5h", "30y", "59m", "9999999d", "\uff11h"])
def test_ages_that_are_none_are_refused(amends: Amends, age: str) -> None:
    amends.says("db", "upgrade")
    assert "older" in amends.refuses("gc", f"--older-than={age}")
