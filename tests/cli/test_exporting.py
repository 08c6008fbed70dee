"""`amends export`: a run as one document."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from amends.sagas import Coordinator
from amends.sagas.exported import load_run
from amends.sagas.testing import Replayed, replay
from tests.cli import shop
from tests.cli.processes import Amends


def started(amends: Amends, card: str) -> None:
    given = json.dumps({"id": "o-1", "card": card})
    amends.says("start", "fulfil_order", "--module", "shop", "--id", "o-1", "--input", given)


def test_an_exported_run_is_the_document_that_replay_reads(amends_on_both: Amends) -> None:
    amends = amends_on_both
    started(amends, "visa")
    amends.work_off("shop")
    document = amends.says("export", "o-1")
    assert document.endswith("}\n")
    report = replay(shop.fulfil_order, document)
    assert (report.run_id, report.came) == ("o-1", Replayed.ENDED)


def test_the_command_and_the_handle_give_the_same_document(amends: Amends) -> None:
    started(amends, "broken")
    amends.work_off("shop")
    url = f"sqlite:///{amends.directory / 'shop.db'}"
    with Coordinator.sync(url, work=False) as coordinator:
        document = coordinator.get("o-1").export()
    assert json.loads(amends.says("export", "o-1")) == document
    assert document["run"]["status"] == "parked"


def test_a_run_that_nobody_has_taken_up_is_exported_with_its_input(amends: Amends) -> None:
    started(amends, "visa")
    exported = load_run(amends.says("export", "o-1"))
    assert json.loads(exported.row.input)["order"]["card"] == "visa"
    assert exported.entries == []


def test_a_file_gets_the_document_and_the_output_a_line(amends: Amends) -> None:
    started(amends, "declined")
    amends.work_off("shop")
    file: Path = amends.directory / "o-1.json"
    file.write_text("what was there before, and longer than that" * 1000)
    assert amends.says("export", "o-1", "--output", "o-1.json") == "o-1 is written to o-1.json\n"
    assert file.read_text() == amends.says("export", "o-1")


def test_a_file_that_cannot_be_written_is_named(amends: Amends) -> None:
    started(amends, "visa")
    words = "'gone/o-1.json' can't be written: No such file or directory"
    assert amends.refuses("export", "o-1", "-o", "gone/o-1.json") == words
    assert amends.refuses("export", "o-1", "-o", ".") == "'.' can't be written: Is a directory"


def test_a_run_of_newer_code_is_told_and_not_half_written(amends: Amends) -> None:
    started(amends, "visa")
    amends.work_off("shop")
    with closing(sqlite3.connect(amends.directory / "shop.db")) as connection, connection:
        connection.execute("UPDATE amends_journal SET format = 99")
    assert "newer amends wrote it" in amends.refuses("export", "o-1", "-o", "o-1.json")
    assert not (amends.directory / "o-1.json").exists()


def test_the_page_names_every_key_of_the_document(amends: Amends) -> None:
    started(amends, "declined")
    amends.work_off("shop")
    document = json.loads(amends.says("export", "o-1"))
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.split("\n## export\n")[1].split("\n## ")[0]
    named = {*document, *document["run"], *(key for entry in document["entries"] for key in entry)}
    assert [key for key in sorted(named) if f"`{key}`" not in section] == []
