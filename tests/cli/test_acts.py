"""What people do about runs from the command line."""

import getpass
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Amends


def trouble(amends: Amends, *names: str) -> None:
    (amends.directory / "trouble").write_text(" ".join(names))


def parked(amends: Amends, run: str, *names: str, saga: str = "transfer") -> None:
    """Have a run parked because these calls fail; from then on they succeed."""
    trouble(amends, *names)
    amends.says("start", saga, "--module", "bank", "--id", run, "--input", '"ann"')
    amends.work_off("bank")
    assert amends.tells("show", run)["status"] == "parked"
    trouble(amends)


def after_work(amends: Amends, run: str, module: str = "bank") -> Any:
    amends.work_off(module)
    return amends.tells("show", run)


def shown(amends: Amends, run: str) -> str:
    return " ".join(amends.says("show", run).split())


def test_a_stuck_compensation_is_retried_by_whoever_asks(amends_on_both: Amends) -> None:
    amends = amends_on_both
    parked(amends, "t-1", "book", "refund")
    told = shown(amends, "t-1")
    assert "you can amends retry t-1 1 try refund@1 again" in told
    assert "you can amends skip t-1 1 --reason '…' leave it out: debit stays" in told
    assert amends.tells("show", "t-1")["commands"] == [
        "amends retry t-1 1",
        "amends skip t-1 1 --reason '…'",
    ]
    line = amends.says("retry", "t-1", "1", "--reason", "they are back", "--as", "ann")
    assert line == "t-1 is asked to try step 1 again\n"
    assert "retry of step 1 asked for by ann: they are back (not taken yet)" in shown(amends, "t-1")
    assert "somebody has acted on the state that you saw" in amends.refuses("skip", "t-1", "1")
    assert after_work(amends, "t-1")["status"] == "partially_compensated"
    told = shown(amends, "t-1")
    assert "undoing debit: another attempt asked for by ann: they are back" in told
    assert "refund, attempt 2, undid debit" in told
    assert "you can" not in told
    trail = amends.tells("audit", "t-1")
    assert [(line["actor"], line["action"], line["detail"]["ref"]) for line in trail["audit"]] == [
        ("ann", "retry", 1)
    ]
    assert amends.says("audit", "t-1").splitlines()[1].endswith("retry step 1   they are back")


def test_a_step_in_doubt_is_resolved_as_landed_with_what_it_returned(amends_on_both: Amends) -> None:
    amends = amends_on_both
    parked(amends, "t-1", "wire")
    told = shown(amends, "t-1")
    assert "wire: OSError: wire: no answer (may have landed), a person has to say" in told
    assert "amends resolve t-1 2 --landed --evidence '…'" in told
    assert "amends resolve t-1 2 --not-landed --evidence '…'" in told
    assert "amends abort t-1 --reason '…'" in told
    evidence = ("--evidence", "statement no. 7", "--as", "ann")
    line = amends.says("resolve", "t-1", "wire", "--landed", "--result", '"by hand"', *evidence)
    assert line == "t-1 is asked to take step wire as landed\n"
    assert after_work(amends, "t-1")["result"] == "by hand"
    assert "wire: landed, says ann: statement no. 7" in shown(amends, "t-1")
    assert "resolve step 2 as landed statement no. 7" in " ".join(amends.says("audit", "t-1").split())


def test_a_step_resolved_as_not_landed_turns_the_run_round(amends: Amends) -> None:
    parked(amends, "t-1", "wire")
    (amends.directory / "result.json").write_text("[1]")
    landed = ("resolve", "t-1", "2", "--landed", "--evidence", "x", "--result")
    fits = "the result doesn't fit what step 2 (wire) returns"
    assert fits in amends.refuses(*landed, "@result.json", "--module", "bank")
    # Without modules this process doesn't know what the step returns; whoever drives the run does.
    assert amends.says(*landed, "@result.json", "--dry-run") == (
        "t-1 would be asked to take step 2 as landed\n"
    )
    amends.says(*landed, "@result.json")
    assert after_work(amends, "t-1")["status"] == "parked"
    assert fits in amends.tells("audit", "t-1")["audit"][-1]["detail"]["refused"]
    amends.says("resolve", "t-1", "2", "--not-landed", "--evidence", "no such transfer", "--as", "ann")
    assert after_work(amends, "t-1")["status"] == "compensated"
    assert "wire: didn't land, says ann: no such transfer" in shown(amends, "t-1")


@pytest.mark.parametrize("act", ["skip", "waive"])
def test_a_compensation_left_out_or_given_up_is_told(amends: Amends, act: str) -> None:
    parked(amends, "t-1", "book", "refund")
    assert amends.says(act, "t-1", "debit", "--reason", "paid by hand").startswith("t-1 is asked to ")
    assert after_work(amends, "t-1")["status"] == "partially_compensated"
    word = {"skip": "left out", "waive": "given up"}[act]
    told = shown(amends, "t-1")
    assert f"undoing debit: {word} by {getpass.getuser()}: paid by hand; its effect stays" in told
    assert "standing debit (compensatable)" in told


def test_a_parked_run_is_aborted(amends: Amends) -> None:
    parked(amends, "t-1", "wire")
    assert amends.says("abort", "t-1", "--reason", "gone") == "t-1 is asked to undo what it has done\n"
    amends.says("resolve", "t-1", "wire", "--not-landed", "--evidence", "none")
    assert after_work(amends, "t-1")["cause"] == "operator"
    assert f"abort asked for by {getpass.getuser()}: gone" in shown(amends, "t-1")


CHANGING = """
import asyncio, logging
from amends.sagas import current_step, saga, step

@step
async def one() -> None: ...

@step
async def two() -> None: ...

@step
async def hold() -> str:
    if current_step().attempt == 1:
        logging.getLogger("changing").info("holding")
        await asyncio.Event().wait()
    return "held"

@saga
async def body() -> str:
    await one()
    return await hold()
"""


def test_a_run_that_no_longer_fits_its_code_goes_on_by_itself_under_other_code(amends: Amends) -> None:
    code = amends.directory / "changing.py"
    code.write_text(CHANGING)
    amends.says("start", "changing:body", "--id", "c-1")
    with amends.worker("changing") as worker:
        worker.line_with("holding")
    code.write_text(CHANGING.replace("await one()", "await two()  # by mistake"))
    document = after_work(amends, "c-1", "changing")
    assert document["status"] == "parked"
    assert document["needs"].startswith("code!=")
    assert document["commands"] == ["amends resume c-1", "amends abort c-1 --reason '…'"]
    told = shown(amends, "c-1")
    assert "amends resume c-1 go on with this code; with other code it goes on by itself" in told
    code.write_text(CHANGING)
    assert after_work(amends, "c-1", "changing")["result"] == "held"
    assert "resumed" in shown(amends, "c-1")


def test_a_completed_run_is_undone_as_planned(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says("start", "bank:close", "--id", "c-1", "--input", '"ann"')
    amends.work_off("bank")
    plan = [
        "run 'c-1' would be undone in this order:",
        "1. debit (2) by refund@1",
        "2. debit (1) by refund@1",
        "stays: book (3), plain",
    ]
    assert amends.says("undo", "c-1", "--plan").splitlines() == plan
    assert amends.says("undo", "c-1", "--plan", "--module", "bank").splitlines() == plan
    (amends.directory / "later.py").write_text("from amends.sagas import saga\n")
    missing = amends.says("undo", "c-1", "--plan", "--module", "later").splitlines()
    assert missing == [*plan, "not defined here: refund@1"]
    line = amends.says("undo", "c-1", "--reason", "wrong customer", "--as", "ann")
    assert line == "c-1 is asked to undo what it has done\n"
    assert after_work(amends, "c-1")["status"] == "partially_compensated"
    assert "undo asked for by ann: wrong customer" in shown(amends, "c-1")
    assert "decided to undo: an operator asked for it" in shown(amends, "c-1")


def test_a_plan_that_is_refused_is_told_with_exit_code_1(amends: Amends) -> None:
    amends.says("start", "bank:contract", "--id", "c-1", "--input", '"ann"')
    amends.work_off("bank")
    plan = amends("undo", "c-1", "--plan")
    assert plan.returncode == 1
    assert plan.stdout.splitlines() == [
        "run 'c-1' can't be undone: it has passed its point of no return",
        "stays: debit (1), compensatable",
        "stays: sign (2), pivot",
    ]
    assert "point of no return" in amends.refuses("undo", "c-1")


def test_probes_and_heartbeats_are_told_in_words(amends: Amends) -> None:
    trouble(amends, "order_card")
    amends.says("start", "bank:open_account", "--id", "a-1")
    assert after_work(amends, "a-1")["result"] == ["found", "went on from page 2"]
    told = shown(amends, "a-1")
    assert "order_card: OSError: order_card: no answer (may have landed), the probe is asked in 0 ms" in told
    assert "order_card: the probe found that it landed" in told
    assert 'scan: came as far as {"page":2}' in told
    assert told.count("came as far as") == 1


def test_a_probe_that_cannot_tell_is_due_again(amends: Amends) -> None:
    trouble(amends, "order_card", "find")
    amends.says("start", "bank:open_account", "--id", "a-1")
    document = after_work(amends, "a-1")
    told = shown(amends, "a-1")
    assert "order_card: the probe couldn't tell: OSError: find: no answer, the probe is asked in " in told
    # On a busy machine it is due by the time that it is shown.
    assert "the probe of order_card: " in told
    states = [event["state"] for event in document["events"] if event["what"] == "probe"]
    assert (set(states[:-1]), states[-1]) == ({"doubt"}, "due")


def three(amends: Amends) -> None:
    """Park three runs: two with a stuck compensation, one of them of another saga, and one in doubt."""
    parked(amends, "t-1", "book", "refund")
    parked(amends, "t-2", "wire")
    parked(amends, "c-1", "book", "refund", saga="close")


def test_many_runs_are_acted_on_by_filter_and_refusals_are_told(amends_on_both: Amends) -> None:
    amends = amends_on_both
    three(amends)
    dry = amends("retry", "--all", "--dry-run")
    lines = [
        "c-1 would be asked to try the compensations that failed for good again",
        "t-2 refused: no compensation of it has failed for good; name the step that is in doubt: 2 (wire)",
        "t-1 would be asked to try the compensations that failed for good again",
    ]
    assert (dry.returncode, dry.stderr, dry.stdout.splitlines()) == (1, "", lines)
    assert amends.tells("audit", "t-1") == {"run": "t-1", "audit": []}
    done = amends("retry", "--reason-contains", "COMPENSATION of", "--as", "ann")
    assert (done.returncode, done.stdout) == (
        0,
        "".join(f"{line.replace('would be', 'is')}\n" for line in (lines[0], lines[2])),
    )
    assert amends.says("abort", "--version", "9") == "no runs\n"
    amends.work_off("bank")
    statuses = {run["id"]: run["status"] for run in amends.tells("runs")["runs"]}
    # Of the run of `close`, the first compensation had waited for the one that was stuck.
    assert statuses == {"t-1": "partially_compensated", "t-2": "parked", "c-1": "compensated"}


def test_filters_narrow_by_saga_version_reason_and_age(amends: Amends) -> None:
    three(amends)

    def chosen(*filters: str) -> list[str]:
        return [line.split()[0] for line in amends("resume", "--dry-run", *filters).stdout.splitlines()]

    assert chosen("--all") == ["c-1", "t-2", "t-1"]
    assert chosen("--saga", "transfer") == ["t-2", "t-1"]
    assert chosen("--version", "2") == ["c-1"]
    assert chosen("--saga", "transfer", "--reason-contains", "nobody knows") == ["t-2"]
    assert chosen("--since", "2h") == ["c-1", "t-2", "t-1"]
    assert chosen("--since", "2999-01-01") == ["no"]


def test_a_step_of_many_runs_is_named_by_an_option(amends: Amends) -> None:
    three(amends)
    done = amends("waive", "--saga", "transfer", "--step", "debit", "--reason", "paid by hand")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "t-2 is asked to give up what is owed for step debit"


def test_completed_runs_of_a_saga_are_undone(amends: Amends) -> None:
    for run in ("c-1", "c-2"):
        amends.says("start", "bank:close", "--id", run, "--input", '"ann"')
    amends.says("start", "bank:contract", "--id", "p-1", "--input", '"ann"')
    amends.work_off("bank")
    told = amends("undo", "--saga", "contract")
    assert (told.returncode, told.stdout) == (1, "p-1 refused: it has passed its point of no return\n")
    assert amends.says("undo", "--saga", "close", "--version", "2", "--dry-run").count("would be asked") == 2
    assert amends.says("undo", "--saga", "close").count("is asked to undo") == 2
    amends.work_off("bank")
    assert {run["status"] for run in amends.tells("runs", "--saga", "close")["runs"]} == {
        "partially_compensated"
    }


def test_what_is_owed_is_listed_and_what_is_missing_marked(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says("db", "upgrade")
    assert amends.says("owed") == "nothing is owed\n"
    assert amends.says("owed", "--module", "shop") == "nothing is owed\n"
    three(amends)
    listed = amends.says("owed").splitlines()
    assert [line.split() for line in listed] == [
        ["COMPENSATION", "RUNS", "FOR", "EXAMPLE"],
        ["refund@1", "3", "c-1"],
    ]
    assert amends.says("owed", "--module", "bank").splitlines() == listed
    (amends.directory / "later.py").write_text("from amends.sagas import saga\n")
    checked = amends("owed", "--module", "later")
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[1].split() == ["refund@1", "3", "c-1", "not", "defined"]
    assert amends.tells("owed")["owed"] == [
        {"compensation": "refund@1", "runs": 3, "example": "c-1", "defined": None}
    ]
    document = json.loads(amends("owed", "--json", env={"AMENDS_MODULES": "later"}).stdout)
    assert document["owed"][0]["defined"] is False


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("retry",), "which run? Give its id, a filter"),
        (("retry", "o-1", "--saga", "transfer"), "give a run or filters, not both"),
        (("resume", "o-1", "--all"), "give a run or filters, not both"),
        (("resume", "--all", "--saga", "x"), "--all means all parked runs"),
        (("abort", "--reason-contains", ""), "an empty filter would let every run through"),
        (("abort", "--since", "yesterday"), "--since takes a date"),
        (("skip", "o-1"), "which step? Give its name or number as STEP"),
        (("skip", "--all"), "which step? Give its name as --step"),
        (("skip", "o-1", "2", "--step", "2"), "the step is given twice"),
        (("waive", "o-1", "2"), "--reason is missing"),
        (("resolve", "o-1", "2", "--evidence", "x"), "did it land? Say --landed or --not-landed"),
        (("resolve", "o-1", "2", "--landed"), "--evidence is missing"),
        (
            ("resolve", "o-1", "2", "--not-landed", "--evidence", "x", "--result", "1"),
            "--result is for --landed",
        ),
        (("resolve", "o-1", "2", "--landed", "--evidence", "x", "--result", "{"), "--result is no JSON: "),
        (("undo",), "which run? Give its id, or --saga"),
        (("undo", "--since", "2h"), "which run? Give its id, or --saga"),
        (("undo", "--saga", "x", "--plan"), "--plan is for one run"),
        (("retry", "o-9"), "there is no run 'o-9' in this database"),
        (("retry", "o-9", "2"), "there is no run 'o-9' in this database"),
        (("resume", "o-9"), "there is no run 'o-9' in this database"),
        (("undo", "o-9"), "there is no run 'o-9' in this database"),
        (("undo", "o-9", "--plan"), "there is no run 'o-9' in this database"),
        (("undo", "o-9", "--plan", "--module", "nowhere"), "there is no module 'nowhere'"),
        (("audit", "o-9"), "there is no run 'o-9' in this database"),
        (("owed", "--module", "nowhere"), "there is no module 'nowhere'"),
        (("resume", "t-1", "--as", ""), "an operator's name is a printable text"),
    ],
)
def test_an_act_that_is_unclear_is_refused_in_one_line(
    amends: Amends, command: tuple[str, ...], words: str
) -> None:
    amends.says("db", "upgrade")
    assert amends.refuses(*command).startswith(words)


def test_an_act_that_does_not_fit_is_refused_in_one_line(amends: Amends) -> None:
    parked(amends, "t-1", "book", "refund")
    assert amends.refuses("retry", "t-1", "2") == (
        "run 't-1': step 2 (wire) is neither in doubt nor is its compensation stuck"
    )
    assert "it has: 1 debit, 2 wire, 3 book" in amends.refuses("skip", "t-1", "moon")
    assert "is being undone already" in amends.refuses("abort", "t-1")
    amends.says("start", "bank:close", "--id", "c-1", "--input", '"ann"')
    assert "it isn't parked, it is ready" in amends.refuses("resume", "c-1")
    assert amends.says("audit", "c-1") == "nobody has done anything to this run\n"


@pytest.mark.parametrize(
    "command", [("retry", "o-1"), ("resume", "--all"), ("undo", "o-1", "--plan"), ("audit", "o-1"), ("owed",)]
)
def test_acting_on_a_database_that_is_not_there_does_not_make_it(
    amends: Amends, command: tuple[str, ...]
) -> None:
    assert amends.refuses(*command).startswith("there is no database ")
    assert not (amends.directory / "shop.db").exists()


def test_a_cancel_is_in_the_audit_trail(amends: Amends) -> None:
    amends.says("start", "bank:close", "--id", "c-1", "--input", '"ann"')
    amends.says("cancel", "c-1", "--reason", "changed their mind", "--as", "ben")
    assert amends.says("audit", "c-1").splitlines()[1].endswith("ben   cancel   changed their mind")
    amends.work_off("bank")
    amends.refuses("cancel", "c-1")
    assert len(amends.tells("audit", "c-1")["audit"]) == 1


def test_a_run_that_cannot_be_read_stops_nothing(amends: Amends) -> None:
    """S26: its own act is refused, the others go on."""
    three(amends)
    with sqlite3.connect(amends.directory / "shop.db") as connection:
        connection.execute("UPDATE amends_journal SET format = 99 WHERE run_id = 't-2' AND seq = 1")
    connection.close()
    told = amends("abort", "--saga", "transfer", "--dry-run")
    assert told.returncode == 1
    assert [line.split(":")[0] for line in told.stdout.splitlines()] == ["t-2 refused", "t-1 refused"]
    assert "newer amends" in told.stdout
    assert amends("resume", "--reason-contains", "nobody knows", "--dry-run").stdout.startswith("t-2 refused")


def test_audit_and_owed_give_every_documented_key(amends: Amends) -> None:
    three(amends)
    amends.says("cancel", "t-2")
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    trail, owed = amends.tells("audit", "t-2"), amends.tells("owed")
    for keys in (trail, trail["audit"][0], owed, owed["owed"][0]):
        assert [key for key in keys if f"`{key}`" not in page] == []
