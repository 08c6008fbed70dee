"""`amends watch`, and what runs show of themselves in the other commands."""

import datetime as dt
import json
import signal
from pathlib import Path

import pytest

from amends.sagas import Progress
from amends.story import shown
from tests.cli.processes import Amends

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)

IMPORTS = """
import asyncio
import datetime as dt
from pathlib import Path

from amends.sagas import saga, set_attributes, set_progress, step

@step
async def load(lines: int, hold: bool) -> None:
    set_progress(1, lines, "a\\x1b[31m.csv")
    while hold and not Path("go").exists():
        await asyncio.sleep(0.01)
    set_progress(lines, lines)

@saga
async def imports(customer: str, lines: int = 2000, hold: bool = False) -> None:
    set_attributes(customer=customer, lines=lines, big=True, zip="012", asked="17")
    set_attributes(at=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc))
    await load(lines, hold)
    set_attributes(big=None)
"""


@pytest.fixture
def importing(amends_on_both: Amends) -> Amends:
    """Give the program with a saga that shows something of itself."""
    (amends_on_both.directory / "imports.py").write_text(IMPORTS, encoding="utf-8")
    return amends_on_both


def start(amends: Amends, run_id: str, customer: str, *, hold: bool = False) -> None:
    given = json.dumps({"customer": customer, "hold": hold})
    amends.says("start", "imports", "--module", "imports", "--id", run_id, "--input", given)


def ids(amends: Amends, *filters: str) -> list[str]:
    return [run["id"] for run in amends.tells("runs", *filters)["runs"]]


def test_a_run_is_watched_line_by_line_until_it_ends(importing: Amends) -> None:
    start(importing, "i-1", "C-7", hold=True)
    with importing.watch("i-1") as watch, importing.watch("--saga", "imports", "--json") as every:
        watch.line_with("i-1  ready")
        with importing.worker("imports"):
            line = watch.line_with("(1 of 2,000) a")
            assert "running  ░░░░░░░░░░░░░░░░░░░░ 0 % (1 of 2,000)" in line
            assert 'customer=C-7, lines=2000, big=true, zip=012, asked="17"' in line
            assert "\x1b" not in line
            (importing.directory / "go").touch()
            assert "████████████████████ 100 % (2,000 of 2,000)" in watch.line_with("completed")
        assert watch.end() == 0
        change = json.loads(every.line_with('"completed"'))
        assert (change["run"], change["ended"], change["progress"]["done"]) == ("i-1", True, 2000)
        assert change["attributes"]["at"] == "2026-01-01T00:00:00Z"
        every.send(signal.SIGINT)
        assert every.end() == 0
        assert not any("Traceback" in line for line in every.lines)


def test_runs_are_listed_by_what_they_show(importing: Amends) -> None:
    for run_id, customer in (("i-1", "C-7"), ("i-2", "C-8"), ("i-3", "C-7")):
        start(importing, run_id, customer)
    importing.work_off("imports")
    assert ids(importing, "--attribute", "customer=C-7") == ["i-3", "i-1"]
    assert ids(importing, "--attribute", "customer=C-7", "--attribute", "lines=2000", "--limit", "1") == [
        "i-3"
    ]
    assert ids(importing, "--attribute", "customer=C-8", "--status", "completed") == ["i-2"]
    assert ids(importing, "--attribute", "at=2026-01-01T01:00:00+01:00", "--after", "i-2") == ["i-1"]
    assert ids(importing, "--attribute", 'asked="17"', "--attribute", "zip=012", "--limit", "1") == ["i-3"]
    assert ids(importing, "--attribute", "asked=17") == []
    assert ids(importing, "--attribute", "big=true") == []
    assert "100 % (2,000 of 2,000)" in importing.says("runs")


def test_a_story_tells_what_its_run_showed(importing: Amends) -> None:
    start(importing, "i-1", "C-7")
    importing.work_off("imports")
    told = " ".join(importing.says("show", "i-1").split())
    assert "progress ████████████████████ 100 % (2,000 of 2,000)" in told
    assert 'shows customer=C-7, lines=2000, zip=012, asked="17", at=2026-01-01T00:00:00Z' in told
    assert "· load: ████████████████████ 100 %" in told
    assert "· shows big no more" in told
    shown = importing.tells("show", "i-1")
    assert shown["attributes"]["lines"] == 2000
    assert shown["progress"]["total"] == 2000
    events = [event["what"] for event in shown["events"]]
    assert events.count("attributes") == 2
    # What an attempt said earlier is told by what it said last.
    assert events.count("progress") == 1
    bare = importing.says("start", "imports", "--module", "imports", "--id", "i-2", "--input", '"C-7"')
    assert bare == "i-2\n"
    document = importing.tells("show", "i-2")
    assert (document["attributes"], document["progress"]) == ({}, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("runs", "--attribute", "customer"), "takes NAME=VALUE"),
        (("runs", "--attribute", "a=1", "--attribute", "a=2"), "once for each name"),
        (("runs", "--attribute", "a b=1"), "an identifier"),
        (("runs", "--attribute", "a=NaN"), "finite"),
        (("watch", "nobody"), "there is no run 'nobody'"),
        (("watch", "nobody", "--saga", "imports"), "give either"),
        (("watch", "--status", "finished"), "there is no status 'finished'"),
    ],
    ids=["no value", "twice", "no name", "no number", "no run", "run and saga", "no status"],
)
def test_a_mistake_is_told_in_one_line(arguments: tuple[str, ...], words: str, amends: Amends) -> None:
    amends.says("db", "upgrade")
    assert words in amends.refuses(*arguments)


def test_watching_makes_no_database(amends: Amends, tmp_path: Path) -> None:
    assert "there is no database" in amends.refuses("watch", "--database", f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(3, None, None, NOW), "3"),
        (Progress(1_234_567.5, None, "rows", NOW), "1,234,567.5 rows"),
        (Progress(0, 0, None, NOW), "0"),
        (Progress(12, 10, None, NOW), "████████████████████ 100 % (12 of 10)"),
        (Progress(1.0, 3.0, "a\nb", NOW), "██████░░░░░░░░░░░░░░ 33 % (1 of 3) a b"),
    ],
    ids=["nobody knows", "with a text", "nothing to do", "more than all", "a third"],
)
def test_a_bar_says_how_far_it_is(progress: Progress, words: str) -> None:
    assert shown.bar(progress) == words
