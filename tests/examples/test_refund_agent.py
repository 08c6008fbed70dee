"""The refund desk: the demo as users run it, decided by itself and from another terminal."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest

from examples.model_server.running import ModelServer
from tests.examples.programs import EXAMPLES, Program

pytestmark = pytest.mark.xdist_group("demo-agent")
DEMO = "refund_agent/demo.py"
OFFLINE = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
PATIENT = "90"


def demo(folder: Path, wait: str, **env: str) -> Program:
    """Start the demo with a folder for everything temporary."""
    (folder / "temporary").mkdir()
    environment = {**OFFLINE, "TMPDIR": str(folder / "temporary"), **env}
    return Program(DEMO, "--wait", wait, cwd=folder, env=environment)


def left_behind(folder: Path) -> list[str]:
    """List the processes and the files of the demo that are still there."""
    found = [str(path) for path in (folder / "temporary").iterdir()]
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if str(folder / "temporary").encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def part(lines: list[str], heading: str) -> list[str]:
    """Cut out what was printed under a heading."""
    first = next(number for number, line in enumerate(lines) if line.startswith(heading))
    rest = [" ".join(line.split()) for line in lines[first + 1 :]]
    last = next(
        (n for n, line in enumerate(lines[first + 1 :]) if line.startswith(("Order", "$", "What"))), None
    )
    return rest[:last]


def act(program: Program, act: str, cwd: Path) -> None:
    """Type the next command of this kind that the demo prints, in another terminal."""
    command = program.line_with(f" {act} refund-").split()
    subprocess.run(
        [*command, "--as", "ann", "--reason", "so be it"],
        check=True,
        cwd=cwd,
        timeout=60,
        capture_output=True,
    )
    program.line_with("have answered")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give what the demo prints when nobody answers."""
    folder = tmp_path_factory.mktemp("demo-agent")
    with demo(folder, "0") as program:
        assert program.end() == 0, "\n".join(program.lines)
    assert left_behind(folder) == []
    return program.lines


def test_the_agent_outlives_its_worker_while_it_waits_and_pays_once(shown: list[str]) -> None:
    """A3, A10."""
    told = part(shown, "Order 1001")
    killed = next(number for number, line in enumerate(told) if line.startswith("demo killed the worker"))
    paid = told.index("refunds paid 149.90 back for order 1001")
    asked = told.index("people are asked: Refund 149.90 for order 1001? The clock came broken.")
    assert killed < asked < paid
    assert told.count("refunds paid 149.90 back for order 1001") == 1
    assert told[-2] == "amends refund-1001 is completed"


def test_the_rejected_one_is_undone(shown: list[str]) -> None:
    """A4."""
    told = part(shown, "Order 1002")
    assert "refunds paid 49.90 back for order 1002" in told
    assert not any("Refund 49.90" in line for line in told), "below the limit nobody is asked"
    assert told[-3:-1] == [
        "refunds called 49.90 of order 1002 back",
        "amends refund-1002 is compensated",
    ]


def test_the_transcript_can_be_read(shown: list[str]) -> None:
    told = " ".join(part(shown, "$ amends transcript refund-1001"))
    assert "user The clock of order 1001 came broken. I want my money back. calls find_order" in told
    assert (
        'calls refund(order="1001", amount="149.90", reason="The clock came broken.") gave 149.90 is' in told
    )
    assert "call_back, undid refund" in " ".join(part(shown, "$ amends show refund-1002"))


def test_the_books_bear_it_out_and_no_answer_was_asked_for_twice(shown: list[str]) -> None:
    """A3."""
    assert part(shown, "What the refund service") == [
        "1001 149.90 paid, asked for 1 x",
        "1002 49.90 called back, asked for 1 x",
        "model asked 6 times, 6 answers on record",
        "",
        "The books bear it out.",
    ]
    assert [line for line in shown if not line.isprintable()] == []


def test_the_readme_shows_what_is_printed(shown: list[str]) -> None:
    page = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    excerpt = page.split("\nOrder 1001: The clock")[1].split("```")[0].splitlines()
    there = [without_numbers(line) for line in shown]
    assert [line for line in excerpt[1:] if without_numbers(line) not in there] == []


def without_numbers(line: str) -> str:
    """Leave out what differs from time to time and from place to place."""
    differs = r"(?<=process )\d+|(?<=within )\d+|\S+/amends(?= )|(?<=sqlite:///)\S+"
    return re.sub(differs, "…", line)


@pytest.mark.soak
def test_people_may_decide_otherwise_from_another_terminal(tmp_path: Path) -> None:
    """A1, A10: a rejected call is told to the model; the result is accepted all the same."""
    with demo(tmp_path, PATIENT) as program:
        act(program, "reject", tmp_path)
        act(program, "approve", tmp_path)
        act(program, "approve", tmp_path)
        assert program.end() == 0, "\n".join(program.lines)
    told = part(program.lines, "$ amends transcript refund-1001")
    assert "error not called: ann has rejected it: so be it" in told
    assert "refund-1002 is completed" in " ".join(program.lines)
    assert part(program.lines, "What the refund service")[0] == "1002 49.90 paid, asked for 1 x"


@pytest.mark.soak
def test_books_that_do_not_bear_it_out_are_found(tmp_path: Path) -> None:
    with demo(tmp_path, "5") as program:
        program.line_with("Refund 149.90")
        (book,) = (tmp_path / "temporary").rglob("refunds.db")
        with closing(sqlite3.connect(book)) as db, db:
            db.execute("INSERT INTO refunds VALUES (99, 'stray', '1001', '1.00', 'paid', 1)")
        assert program.end() == 1
    assert "order 1001: 1 standing refunds instead of 0" in program.lines
    assert program.lines[-1] == "Something is wrong, see above."


@pytest.mark.soak
def test_another_server_is_asked_where_the_environment_names_it(tmp_path: Path) -> None:
    script = json.loads((EXAMPLES / "refund_agent" / "script.json").read_text(encoding="utf-8"))
    with ModelServer(*script["answers"]) as server:
        with demo(tmp_path, "0", OPENAI_BASE_URL=server.url, AMENDS_EXAMPLE_MODEL="gpt-4o") as program:
            assert program.end() == 0, "\n".join(program.lines)
        asked = server.requests()
    assert [request["body"]["model"] for request in asked] == ["gpt-4o"] * 6
    assert not any("answers on record" in line for line in program.lines)


def test_stopped_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path, PATIENT) as program:
        program.line_with("In another terminal")
        program.send(signal.SIGTERM)
        assert program.end() == 130
    assert not any("Traceback" in line for line in program.lines)
    assert left_behind(tmp_path) == []
