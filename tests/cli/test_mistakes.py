import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import PROGRAM, SECONDS, Amends

FULFIL = ("start", "fulfil_order", "--module", "shop", "--input")
BOOM = "limits = {}\n\ndef limit():\n    return limits['most']\n\nlimit()\n"
BAD = {
    "boom": BOOM,
    "wrong": "def f(:\n",
    "needs": "import nowhere\n",
    "leaves": "raise SystemExit(4)\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "mute": "class Mute(Exception):\n    def __str__(self): raise RuntimeError\n\nraise Mute\n",
    "sub/typer": "",
}


def made(amends: Amends) -> Amends:
    amends.says("db", "upgrade")
    return amends


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("show", "o-9"), "there is no run 'o-9' in this database"),
        (("cancel", "o-9"), "there is no run 'o-9' in this database"),
        (("export", "o-9"), "there is no run 'o-9' in this database"),
        (("runs", "--after", "o-9"), "there is no run 'o-9' in this database to go on behind"),
        (("runs", "--status", "happy"), "there is no status 'happy'; there are: ready, "),
        (("runs", "--since", "yesterday"), "--since takes a date (2026-11-22)"),
        (("runs", "--limit", "0"), "invalid value for '--limit'"),
        (("runs", "--limit", "99999999999999999999"), "invalid value for '--limit'"),
        (("worker", "shop", "--grace", "inf"), "invalid value for '--grace'"),
        (("worker", "shop", "--grace", "1e300"), "invalid value for '--grace'"),
        (("worker", "shop", "--grace", "nan"), "invalid value for '--grace'"),
        (("worker", "shop", "--threads", "1" * 30), "invalid value for '--threads'"),
        (("cancel", "o-9", "--reason", "caf\udce9"), "the argument 'caf\\udce9' isn't UTF-8"),
        (("rins",), "no such command 'rins'. Did you mean 'runs'? (see `amends --help`)"),
        (("runs", "--colour"), "no such option: --colour (see `amends runs --help`)"),
        (("worker",), "missing argument 'MODULE[:ATTR]' (see `amends worker --help`)"),
    ],
)
def test_what_is_not_there_is_named(amends: Amends, command: tuple[str, ...], words: str) -> None:
    assert made(amends).refuses(*command).startswith(words)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("nowhere", "there is no module 'nowhere'; looked in "),
        ("nowhere.py", "there is no file nowhere.py"),
        ("shop:", "'shop:' names nothing after the colon"),
        ("shop:gone", "module 'shop' has no 'gone'; its sagas are: book-room, fulfil_order, hog, keep, tidy"),
        ("shop:nothing", "'shop:nothing' is neither a saga nor a list of sagas"),
        ("..shop", "'..shop' is no module's name"),
        ("json", "'json' defines no saga"),
        ("boom", "importing 'boom' failed: KeyError: 'most' ("),
        ("wrong", "importing 'wrong' failed: SyntaxError: "),
        ("needs", "importing 'needs' failed: ModuleNotFoundError: No module named 'nowhere' ("),
        ("leaves", "importing 'leaves' failed: SystemExit: 4 ("),
        ("interrupts", "importing 'interrupts' failed: KeyboardInterrupt ("),
        ("mute", "importing 'mute' failed: Mute ("),
        ("sub/typer.py", "sub/typer.py can't be imported: "),
    ],
)
def test_a_module_that_cannot_be_served_is_explained(amends: Amends, module: str, words: str) -> None:
    (amends.directory / "sub").mkdir()
    for name, text in BAD.items():
        (amends.directory / f"{name}.py").write_text(text)
    assert amends.refuses("worker", module).startswith(words)


def test_an_import_that_raises_names_its_line(amends: Amends) -> None:
    (amends.directory / "boom.py").write_text(BOOM)
    assert amends.refuses("worker", "boom").endswith(f"({amends.directory / 'boom.py'}, line 4)")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{id: 1}", "--input is no JSON: line 1, column 2: "),
        ("@gone.json", "the input 'gone.json' can't be read: No such file or directory"),
        ("@-", "stdin is no JSON: line 2, column 1: "),
        (
            '{"quantity": "x"}',
            "order.id: required, and missing; order.quantity: input should be a valid integer",
        ),
        ("7", "order: input should be an object, not 7"),
    ],
)
def test_an_input_that_does_not_fit_says_where(amends: Amends, given: str, words: str) -> None:
    assert words in made(amends).refuses(*FULFIL, given, stdin='{"id":\n}')


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "saga 'book-room' takes guest, nights, since: give --input"),
        (("--input", '{"guest": "ann", "night": 2}'), "saga 'book-room' has no parameter 'night'"),
        (("--input", '{"nights": 2}'), "saga 'book-room': the input lacks guest"),
        (("--input", '{"guest": "ann", "since": null}'), "saga 'book-room': 'since' is keyword-only"),
        (("--input", '{"guest": "ann"}', "--id", ""), "a run's id is a printable text"),
        (
            ("--input", '{"night": 2}'),
            "saga 'book-room' has no parameter 'night', it takes guest, nights, since; taken for 'guest', ",
        ),
    ],
)
def test_an_input_by_name_has_the_sagas_parameters(
    amends: Amends, given: tuple[str, ...], words: str
) -> None:
    assert made(amends).refuses("start", "book-room", "--module", "shop", *given).startswith(words)


def test_a_saga_that_is_not_found_says_where_it_was_looked_for(amends: Amends) -> None:
    assert amends.refuses("start", "fulfil").startswith("where is saga 'fulfil' defined? Give --module")
    known = "there are: book-room, fulfil_order, hog, keep, tidy"
    assert amends.refuses("start", "fulfil", "--module", "shop").endswith(known)
    assert amends.refuses("start", "fulfil", env={"AMENDS_MODULES": "shop, json"}).endswith(known)


def test_an_ended_run_is_not_cancelled_and_an_id_means_one_input(amends: Amends) -> None:
    amends.says(*FULFIL, '{"id": "o-1"}', "--id", "o-1")
    assert amends.refuses(*FULFIL, '{"id": "o-2"}', "--id", "o-1").startswith("the id 'o-1' belongs to a run")
    amends.work_off("shop")
    assert amends.refuses("cancel", "o-1").startswith("run 'o-1' has ended already: completed")


@pytest.mark.parametrize(
    "command", [("runs",), ("show", "o-1"), ("export", "o-1"), ("cancel", "o-1"), ("db", "check")]
)
def test_asking_a_database_that_is_not_there_does_not_make_it(
    amends: Amends, command: tuple[str, ...]
) -> None:
    path = amends.directory / "shop.db"
    assert amends.refuses(*command).startswith(f"there is no database {path}; ")
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/shop", "amends can't keep its log in 'mysql'"),
        ("shop.db", "This is not a database URL"),
        ("postgresql://u:p@h:notaport/x", "This is not a database URL"),
        ("http://[::1", "This is not a database URL"),
        ("sqlite:///shop.db?timeout=x", "the URL takes no parameter 'timeout'"),
        ("sqlite:///shop.db?mode=ro", "the URL takes no parameter 'mode'"),
        ("sqlite://", "A SQLite database in memory is gone with its process"),
        ("sqlite:///shop.py", "is no SQLite database"),
        ("postgresql://ann:secret@127.0.0.1:1/shop", "can't be reached"),
        ("postgresql://ann@127.0.0.1:1/shop?password=secret", "can't be reached"),
    ],
)
@pytest.mark.parametrize("command", [("runs",), (*FULFIL, '{"id": "o-1"}')])
def test_a_database_that_cannot_be_used_is_explained(
    amends: Amends, command: tuple[str, ...], url: str, words: str
) -> None:
    line = amends.refuses(*command, "--database", url)
    assert words in line
    assert "secret" not in line


def test_a_newer_database_is_left_alone(amends: Amends) -> None:
    made(amends)
    with sqlite3.connect(amends.directory / "shop.db") as connection:
        connection.execute("UPDATE amends_version SET version_num = '9999'")
    connection.close()
    for command in (("runs",), ("db", "check"), ("db", "upgrade"), (*FULFIL, '{"id": "o-1"}')):
        assert "made by a newer version of amends" in amends.refuses(*command)


def test_tables_that_are_missing_are_reported_then_made_then_found(amends: Amends) -> None:
    sqlite3.connect(amends.directory / "shop.db").close()
    (amends.directory / "shop.db").touch()
    assert "Run `amends db upgrade`" in amends.refuses("db", "check")
    assert amends.says("db", "upgrade") == "upgraded to 0001: sqlite:///shop.db\n"
    assert amends.says("db", "upgrade") == "up to date at 0001: sqlite:///shop.db\n"
    assert amends.says("db", "check") == "up to date at 0001: sqlite:///shop.db\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_input_file_that_may_not_be_read_is_named(amends: Amends) -> None:
    path: Path = amends.directory / "secret.json"
    path.touch(0o000)
    assert "Permission denied" in amends.refuses(*FULFIL, "@secret.json")


@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">&-", "there is nothing to write to: stdout is closed"),
        (">/dev/full", "the output can't be written: No space left on device"),
    ],
)
@pytest.mark.parametrize("arguments", [("runs",), ("--help",)], ids=["runs", "help"])
def test_an_output_that_takes_nothing_is_told(
    amends: Amends, arguments: tuple[str, ...], redirection: str, words: str
) -> None:
    made(amends)
    told = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM, *arguments],
        cwd=amends.directory,
        env=amends.environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (told.returncode, told.stderr.count("\n")) == (2, 1), told.stderr
    assert told.stderr.startswith(f"amends: {words}")
