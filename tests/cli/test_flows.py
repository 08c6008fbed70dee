import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.processes import PROGRAM, Amends

SAGA = ("fulfil_order", "--module", "shop")


def order(run: str, card: str) -> tuple[str, ...]:
    return ("start", *SAGA, "--id", run, "--input", json.dumps({"id": run, "card": card}))


def test_a_worker_runs_what_was_started_and_runs_and_show_tell_of_it(amends_on_both: Amends) -> None:
    amends = amends_on_both
    assert amends.says(*order("o-1", "visa")) == "o-1\n"
    assert amends.says(*order("o-2", "slow")) == "o-2\n"
    assert [run["served"] for run in amends.tells("runs")["runs"]] == [False, False]
    with amends.worker("shop:fulfil_order") as worker:
        line = worker.line_with("worker ")
        assert " serves fulfil_order on " in line
        assert amends.says(*order("o-1", "visa"), "--wait") == 'o-1\n"parcel of o-1"\n'
        assert "asked to stop" in amends.says("cancel", "o-2", "--reason", "too slow", "--as", "ann")
        failed = amends(*order("o-2", "slow"), "--wait")
        assert (failed.returncode, failed.stdout) == (3, "o-2\n")
        assert "ended partially_compensated (cancel)" in failed.stderr
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    listed = amends.says("runs").splitlines()
    assert listed[0].split() == ["RUN", "SAGA", "STATUS", "STARTED", "TOOK"]
    assert [line.split()[:3] for line in listed[1:]] == [
        ["o-2", "fulfil_order", "partially"],
        ["o-1", "fulfil_order", "completed"],
    ]
    told = amends.says("show", "o-2")
    assert "cancel asked for by ann: too slow" in told
    assert "release_stock, undid reserve_stock" in told
    assert "standing   tell_customer (irreversible)" in told


def test_a_run_that_no_live_worker_serves_is_shown_as_unserved(amends: Amends) -> None:
    amends.says(*order("o-1", "visa"))
    assert "unserved" in amends.says("runs")
    assert [run["id"] for run in amends.tells("runs", "--status", "unserved")["runs"]] == ["o-1"]
    with amends.worker("shop:hog") as worker:
        worker.line_with("serves hog")
        assert "no live worker serves saga 'fulfil_order', version 1" in amends.says("show", "o-1")


def test_until_idle_does_what_is_due_and_says_when_more_is(amends: Amends) -> None:
    amends.says(*order("o-1", "slow"))
    printed = amends.work_off("shop")
    assert printed.startswith("next due: ")
    due = amends.tells("show", "o-1")["due_at"]
    assert due[14:19] in printed
    assert "(in 1 h 59 min)" in printed
    assert "waits, due in 1 h 59 min" in amends.says("show", "o-1")


def test_until_idle_says_that_nothing_is_due(amends: Amends) -> None:
    amends.says(*order("o-1", "visa"))
    assert amends.work_off("shop") == "nothing is due\n"
    assert [run["status"] for run in amends.tells("runs")["runs"]] == ["completed"]


def test_show_tells_retries_errors_and_compensations_in_eighty_columns(amends: Amends) -> None:
    amends.says(*order("shaky", "shaky"))
    amends.says(*order("declined", "declined"))
    amends.work_off("shop")
    shaky, declined = amends.says("show", "shaky"), amends.says("show", "declined")
    assert "charge_card, attempt 1: ConnectionError: the bank hung up" in shaky
    assert "charge_card, attempt 2" in shaky
    assert 'result     "parcel of shaky"' in shaky
    assert "charge_card: CardDeclined: insufficient funds (no effect)" in declined
    assert "decided to undo: CardDeclined: insufficient funds" in declined
    assert declined.splitlines()[-1].endswith("↩  compensated")
    for line in (shaky + declined).splitlines():
        assert len(line) <= 80
        assert line.isprintable()


def test_show_tells_why_a_run_is_parked_and_what_is_owed(amends: Amends) -> None:
    amends.says(*order("o-1", "broken"))
    amends.work_off("shop")
    told = " ".join(amends.says("show", "o-1").split())
    assert "parked the compensation of 'charge_card' (2) failed for good" in told
    assert "owed charge_card, which landed, to be undone by refund@1: failed for good" in told
    assert "owed reserve_stock, which landed, to be undone by release_stock@1" in told


def test_show_gives_every_documented_key(amends: Amends) -> None:
    amends.says(*order("o-1", "broken"))
    amends.work_off("shop")
    document = amends.tells("show", "o-1")
    listed = amends.tells("runs")
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for keys in (document, listed, listed["runs"][0], document["events"][0], document["owed"][0]):
        assert [key for key in keys if f"`{key}`" not in page] == []
    assert document["status"] == "parked"
    assert document["input"] == {"order": {"id": "o-1", "quantity": 1, "card": "broken"}}
    assert document["error"]["message"] == "no courier"
    assert [(owed["step"], owed["compensation"]) for owed in document["owed"]] == [
        ("charge_card", "refund@1"),
        ("reserve_stock", "release_stock@1"),
    ]
    assert [(event["what"], event["state"]) for event in document["events"]] == [
        ("started", None),
        ("step", "landed"),
        ("step", "landed"),
        ("step", "landed"),
        ("step", "failed"),
        ("decision", None),
        ("undo", "failed"),
        ("parked", None),
    ]


def test_pages_follow_one_another_and_filters_narrow_them(amends: Amends) -> None:
    for number in range(3):
        amends.says(*order(f"o-{number}", "visa"))
    first = amends("runs", "--limit", "2")
    assert [line.split()[0] for line in first.stdout.splitlines()[1:]] == ["o-2", "o-1"]
    assert first.stderr == "amends: there are more: go on with --after o-1\n"
    rest = amends.tells("runs", "--limit", "2", "--after", "o-1")
    assert ([run["id"] for run in rest["runs"]], rest["next"]) == (["o-0"], None)
    assert amends.says("runs", "--saga", "other") == "no runs\n"
    assert len(amends.tells("runs", "--since", "2h", "--status", "ready")["runs"]) == 3
    assert amends.tells("runs", "--since", "2999-01-01") == {"runs": [], "next": None}


def test_a_cancel_says_who_asked_before_any_worker_has_taken_it(amends: Amends) -> None:
    amends.says(*order("o-1", "visa"))
    assert amends.says("cancel", "o-1", "--as", "ann") == (
        "o-1 is asked to stop and to undo what it has done (it was ready)\n"
    )
    assert "cancel asked for by ann (not taken yet)" in amends.says("show", "o-1")


def test_the_console_script_and_the_module_are_one_program(amends: Amends) -> None:
    script = Path(sys.executable).with_name("amends")
    printed = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed == amends.says("--version")


def test_help_loads_nothing_heavy(amends: Amends) -> None:
    statement = "import amends.cli, json, sys; print(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", statement]
    loaded = set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert not {"sqlalchemy", "pydantic", "rich", "amends.sagas", "alembic"} & loaded
    assert "worker" in amends.says("--help") == amends.says()


def test_a_reader_that_went_away_is_no_error(amends: Amends) -> None:
    amends.says(*order("o-1", "visa"))
    reading, writing = os.pipe()
    os.close(reading)
    command = [*PROGRAM, "runs"]
    result = subprocess.run(
        command,
        cwd=amends.directory,
        env=amends.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


ODD = """
from amends.sagas import saga

@saga
async def odd(least: float) -> dict[str, list[float]]:
    return {"ß": [float("nan"), least, 1.5]}
"""


def test_what_is_told_as_json_is_json_for_everybody(amends: Amends) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    (amends.directory / "odd.py").write_text(ODD)
    amends.says("start", "odd:odd", "--id", "o-1", "--input", "-Infinity")
    amends.work_off("odd")
    told = json.loads(amends.says("show", "o-1", "--json"), parse_constant=refuse)
    assert (told["input"], told["result"]) == (
        {"least": "-Infinity"},
        {"ß": ["NaN", "-Infinity", 1.5]},
    )
    waited = amends.says("start", "odd:odd", "--id", "o-1", "--input", "-Infinity", "--wait")
    assert waited == 'o-1\n{"ß":["NaN","-Infinity",1.5]}\n'
