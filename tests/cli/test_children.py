"""Child runs and new beginnings, as the command line tells of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from amends.persistence.records import EntryRow, InboxRow, Loaded, RunRow, Status
from amends.sagas.failure import describe
from amends.story.advice import commands
from amends.story.events import Event, tell
from amends.story.lines import line, mark
from tests.cli.processes import Amends

RUN = RunRow(
    *("r-1", "tour", "1", "default", Status.PARKED, None, b"{}", None, None, None, None, None, 0, None),
    *(0, 0, None),
)
CALL: dict[str, Any] = {"effect": "child", "key": "r-1/1", "timeout": 0, "version": "1"}
ERROR = describe(OSError("no answer")).to_json()
COMPLETED: dict[str, Any] = {"status": "completed", "owes": True}
Told = tuple[str, dict[str, Any], bytes | None]


def trouble(amends: Amends, *names: str) -> None:
    (amends.directory / "trouble").write_text(" ".join(names))


def worked_off(amends: Amends, run: str, saga: str, *given: str) -> None:
    """Start a run and do all that is due."""
    amends.says("start", saga, "--module", "tour", "--id", run, *given)
    amends.work_off("tour")


def shown(amends: Amends, run: str) -> str:
    return " ".join(amends.says("show", run).split())


OSLO = ("--input", '"Oslo"')


def test_a_child_is_shown_with_its_run_and_its_parent_and_listed(amends_on_both: Amends) -> None:
    """S19."""
    amends = amends_on_both
    worked_off(amends, "t-1", "tour", *OSLO)
    assert "night: child run t-1/1 completed" in shown(amends, "t-1")
    assert "saga night parent t-1 started" in shown(amends, "t-1/1")
    children = amends.tells("runs", "--parent", "t-1")["runs"]
    assert [(run["id"], run["parent"], run["status"]) for run in children] == [("t-1/1", "t-1", "completed")]
    assert [line.split()[0] for line in amends.says("runs", "--parent", "t-1").splitlines()] == [
        "RUN",
        "t-1/1",
    ]
    assert amends.says("runs", "--parent", "t-1/1") == "no runs\n"
    assert amends.tells("runs", "--parent", "t-1", "--saga", "tour")["runs"] == []
    assert {run["parent"] for run in amends.tells("runs")["runs"]} == {None, "t-1"}
    assert amends.refuses("runs", "--parent", "t-9") == "there is no run 't-9' in this database"


def test_the_document_of_a_run_names_its_child_runs_wherever_it_names_their_calls(amends: Amends) -> None:
    trouble(amends, "home", "-hotel")
    worked_off(amends, "t-1", "tour", *OSLO)
    document = amends.tells("show", "t-1")
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for keys in (document, document["events"][0], document["owed"][0]):
        assert [key for key in keys if f"`{key}`" not in page] == []
    assert [event["what"] for event in document["events"] if f"`{event['what']}`" not in page] == []
    assert (document["parent"], amends.tells("show", "t-1/1")["parent"]) == (None, "t-1")
    assert [(owed["step"], owed["run"], owed["compensation"]) for owed in document["owed"]] == [
        ("night", "t-1/1", None)
    ]
    calls = [(event["what"], event["state"]) for event in document["events"] if event["run"] == "t-1/1"]
    assert calls == [("step", "landed"), ("undo", "running"), ("child", None)]


def test_a_parked_child_parks_its_parent_and_both_say_what_to_do(amends_on_both: Amends) -> None:
    """S19, S25: the parent leads to the child, where the acts are; when that goes on, so does the parent."""
    amends = amends_on_both
    trouble(amends, "home", "-hotel")
    worked_off(amends, "t-1", "tour", *OSLO)
    told = shown(amends, "t-1")
    assert "parked child run 't-1/1' (night) is parked; see to that first: the compensation of" in told
    assert "owed night, to be undone by child run t-1/1" in told
    assert "you can amends show t-1/1 see what child run night needs" in told
    assert amends.tells("show", "t-1")["commands"] == ["amends show t-1/1"]
    assert "undoing child run t-1/1: it is parked" in told
    below = shown(amends, "t-1/1")
    assert "called off: run t-1 is undone or has given it up" in below
    assert "you can amends retry t-1/1 1 try unbook@1 again" in below
    trouble(amends)
    amends.says("retry", "t-1/1", "1", "--as", "ann")
    amends.work_off("tour")
    told = shown(amends, "t-1")
    assert "child run t-1/1 undone" in told
    assert "child run t-1/1 is parked" in told
    assert "child run t-1/1 goes on again" in told
    assert [amends.tells("show", run)["status"] for run in ("t-1", "t-1/1")] == ["compensated"] * 2


def test_what_stays_of_a_child_is_told_by_its_parent(amends: Amends) -> None:
    """S13, S19."""
    trouble(amends, "home", "-hotel")
    worked_off(amends, "t-1", "tour", *OSLO)
    amends.says("skip", "t-1/1", "1", "--reason", "paid by hand")
    amends.work_off("tour")
    told = shown(amends, "t-1")
    assert "child run t-1/1 undone, but for what stays of it" in told
    assert "standing night (of child run t-1/1)" in told
    (stays,) = amends.tells("show", "t-1")["left_standing"]
    assert (stays["step"], stays["run"]) == ("night", "t-1/1")


def test_a_child_that_failed_says_how_it_ended(amends: Amends) -> None:
    trouble(amends, "dinner")
    worked_off(amends, "t-1", "tour", *OSLO)
    assert "night: child run t-1/1 compensated: Full: dinner" in shown(amends, "t-1")


def test_a_child_that_waits_is_under_way_for_its_parent(amends: Amends) -> None:
    """Whatever holds either of them: the parent waits in the database."""
    worked_off(amends, "j-1", "journey")
    assert "▸ resting: child run j-1/1 is under way" in shown(amends, "j-1")
    assert "waits, due in" in shown(amends, "j-1/1")
    amends.says("cancel", "j-1/1", "--as", "ann")
    amends.work_off("tour")
    assert "resting: child run j-1/1 compensated after a cancel" in shown(amends, "j-1")


def test_a_pivot_below_is_asked_for_and_granted_in_words(amends: Amends) -> None:
    """S14."""
    worked_off(amends, "s-1", "shop")
    top, middle, below = (shown(amends, run) for run in ("s-1", "s-1/1", "s-1/1/2"))
    assert "child run s-1/1 asks whether it may pass its point of no return at step 2 of s-1/1/2" in top
    assert "child run s-1/1/2 may pass its point of no return at step 2" in middle
    assert "child run s-1/1 has passed its point of no return" in top
    assert "pay: the runs above let it be executed, and wait for its outcome" in below
    plan = amends("undo", "s-1", "--plan")
    assert plan.returncode == 1
    assert plan.stdout.startswith("run 's-1' can't be undone: it has passed its point of no return\n")


def test_a_pivot_that_was_refused_below_is_told(amends: Amends) -> None:
    """S14: nobody above waits for it any longer."""
    trouble(amends, "pay")
    worked_off(amends, "s-1", "shop")
    assert "child run s-1/1 didn't pass its point of no return" in shown(amends, "s-1")


def test_a_plan_tells_what_would_be_undone_in_each_child_in_its_place(amends: Amends) -> None:
    """S7, S19; what isn't defined is named once, and only where modules were given."""
    worked_off(amends, "t-1", "tour", *OSLO)
    plan = (
        "run 't-1' would be undone in this order:\n"
        "1. book (2) by unbook@1\n"
        "2. night (1), child run t-1/1\n"
        "   run 't-1/1' would be undone in this order:\n"
        "   1. book (2) by unbook@1\n"
        "   2. book (1) by unbook@1\n"
    )
    assert amends.says("undo", "t-1", "--plan") == plan
    assert amends.says("undo", "t-1", "--plan", "--module", "tour") == plan
    assert amends.says("undo", "t-1", "--plan", "--module", "shop") == f"{plan}not defined here: unbook@1\n"
    amends.says("undo", "t-1", "--as", "ann")
    amends.work_off("tour")
    assert [run["status"] for run in amends.tells("runs")["runs"]] == ["compensated"] * 2


def test_a_retry_that_would_be_refused_is_not_offered(amends: Amends) -> None:
    """S25: a step in doubt of a run that is being undone isn't tried again, only resolved."""
    (amends.directory / "trouble").write_text("wire")
    amends.says("start", "transfer", "--module", "bank", "--id", "t-1", "--input", '"ann"')
    amends.work_off("bank")
    assert "amends retry t-1 2" in amends.tells("show", "t-1")["commands"]
    amends.says("abort", "t-1")
    amends.work_off("bank")
    assert [command.split()[1] for command in amends.tells("show", "t-1")["commands"]] == ["resolve"] * 2


def test_savepoints_and_new_beginnings_are_told_in_words(amends: Amends) -> None:
    """S20; section 2, Runs."""
    trouble(amends, "home")
    worked_off(amends, "c-1", "careful", *OSLO)
    told = shown(amends, "c-1")
    assert "a part of the body is rolled back: the steps called in it are undone" in told
    assert "child run c-1/2 undone" in told
    assert "that part is undone, the body goes on" in told
    worked_off(amends, "p-1", "pages")
    told = shown(amends, "p-1")
    assert 'began anew with {"page":1}' in told
    assert 'began anew with {"page":2}' in told


def story(*entries: Told, inbox: tuple[InboxRow, ...] = ()) -> list[Event]:
    """Tell the story of a run whose only call is that of child run `r-1/1`."""
    rows = [EntryRow("r-1", 1, "intent", 0, 1, 1, "night", json.dumps(CALL), b"{}")]
    rows += [
        EntryRow("r-1", seq, kind, 5_000 * seq, 1, 1, "night", json.dumps(meta), payload)
        for seq, (kind, meta, payload) in enumerate(entries, 2)
    ]
    return tell(Loaded(RUN, tuple(rows), inbox), 60_000)[0]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("child", {"said": "refused", "path": [2]}, None)],
         "child run r-1/1 may not pass its point of no return, nobody waits for it any more"),
        ([("child", {"said": "granted", "path": [2, 7]}, None)],
         "child run r-1/1 may pass its point of no return at step 7 of r-1/1/2"),
        ([("child", {"said": "something new"}, None)], "child run r-1/1 something new"),
        ([("failed", {"status": "partially_compensated", "cause": "deadline"}, None)],
         "night: child run r-1/1 partially compensated after a deadline"),
        ([("landed", COMPLETED, b"1"), ("undo", {"cause": "error", "handler": None}, None),
          ("undo_failed", {}, ERROR)],
         "undoing child run r-1/1: OSError: no answer"),
        ([("landed", COMPLETED, b"1"), ("undo", {"cause": "error", "handler": None}, None)],
         "undoing child run r-1/1: under way"),
    ],
)  # fmt: skip
def test_an_entry_about_a_child_is_told_in_words(entries: list[Told], words: str) -> None:
    assert words in [line(event, 60_000) for event in story(*entries)]


def test_what_runs_say_to_each_other_is_told_before_it_is_taken() -> None:
    ended = json.dumps({"ref": 1, "said": "ended", "status": "partially_compensated"})
    granted = json.dumps({"path": [2]})
    rows = (InboxRow("r-1", "1", "child", 9, ended), InboxRow("r-1", "2", "granted", 9, granted))
    told = [line(event, 0) for event in story(inbox=rows)]
    assert "child run r-1/1 partially compensated (not taken yet)" in told
    assert "the runs above let it be executed, and wait for its outcome (not taken yet)" in told


def test_a_pivot_that_waits_for_its_word_says_so() -> None:
    """S14: it hasn't been executed yet."""
    meta = {"effect": "pivot", "key": "k", "timeout": 1_000, "asks": True}
    row = EntryRow("r-1", 1, "intent", 0, 1, 1, "pay", json.dumps(meta), b"{}")
    assert "pay: asks the runs above whether it may" in [
        line(event, 0) for event in tell(Loaded(RUN, (row,), ()), 60_000)[0]
    ]


def test_a_child_that_cannot_be_undone_is_left_out_or_tried_again() -> None:
    """S12, S25."""
    stuck: list[Told] = [
        ("landed", COMPLETED, b"1"),
        ("switch", {"cause": "error"}, ERROR),
        ("undo", {"cause": "error", "handler": None}, None),
        ("undo_failed", {}, ERROR),
    ]
    rows = [EntryRow("r-1", 1, "intent", 0, 1, 1, "night", json.dumps(CALL), b"{}")]
    rows += [
        EntryRow("r-1", seq, kind, seq, 1, 1, "night", json.dumps(meta), payload)
        for seq, (kind, meta, payload) in enumerate(stuck, 2)
    ]
    history = tell(Loaded(RUN, tuple(rows), ()), 60_000)[1]
    assert commands(RUN, history) == [
        ("amends retry r-1 1", "try undoing child run r-1/1 again"),
        ("amends skip r-1 1 --reason '…'", "leave it out: night stays"),
    ]


def test_a_parked_child_has_the_sign_of_a_parked_run() -> None:
    event = next(
        each for each in story(("child", {"said": "parked", "reason": "x"}, None)) if each.what == "child"
    )
    assert mark(event) == ("■", "bold red")
