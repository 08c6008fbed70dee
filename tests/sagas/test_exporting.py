"""A run as one document, from its handle: what replays elsewhere (section 3)."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from pathlib import Path

import pytest

from amends.sagas import Coordinator, RecordUnreadable, Undo, saga, sleep, step
from amends.sagas.exported import export_run, load_run
from amends.sagas.testing import Replayed, replay
from tests.sagas.running import Clock, on_a_loop

DAY = dt.timedelta(days=1)
EXECUTED: list[str] = []


@step(name="exporting.book")
async def book(what: str) -> str:
    EXECUTED.append(what)
    return what


@book.compensation(name="exporting.unbook")
async def unbook(undo: Undo[str], what: str) -> None:
    EXECUTED.append(f"-{what}")


@saga(name="exporting.travel")
async def travel(where: str) -> str:
    await book(f"train to {where}")
    await sleep(DAY)
    if where == "nowhere":
        raise ValueError(where)
    return await book(f"hotel in {where}")


class Packed:
    """A codec whose bytes are no text."""

    def encode(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decode(self, data: bytes) -> bytes:
        return zlib.decompress(data)


@on_a_loop
async def test_an_exported_run_is_replayed_at_every_stage(database_url: str) -> None:
    """Section 3: a document of a going run says what it waits for, one of an ended run how it ended."""
    clock = Clock()
    async with Coordinator(database_url, clock=clock) as coordinator:
        run = await coordinator.start(travel, "Oslo", id="trip-1")
        await coordinator.run_until_idle()
        half = await run.export()
        clock.move(DAY)
        await coordinator.run_until_idle()
        whole = await run.export()
        journal = await run.journal()
    EXECUTED.clear()
    assert replay(travel, half).waits_for == ("a timer, due 86400 s in",)
    report = replay(travel, json.dumps(whole))
    assert (report.run_id, report.came) == ("trip-1", Replayed.ENDED)
    assert EXECUTED == []
    assert load_run(whole).entries == journal
    assert export_run(load_run(whole).row, journal) == whole


@on_a_loop
async def test_a_run_that_was_undone_is_exported_with_its_undoing(sqlite_url: str) -> None:
    """S10: the whole journal is in it, compensations included."""
    clock = Clock()
    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(travel, "nowhere", id="trip-1")
        await coordinator.run_until_idle()
        clock.move(DAY)
        await coordinator.run_until_idle()
        document = await run.export()
    assert document["run"]["status"] == "compensated"
    assert "undone" in [entry["kind"] for entry in document["entries"]]
    assert replay(travel, document).came is Replayed.ENDED


def test_a_script_exports_what_its_codec_can_read(tmp_path: Path) -> None:
    """House style 13: the blocking twin; payloads stand in the document as the code sees them."""
    url = f"sqlite:///{tmp_path / 'packed.db'}"
    clock = Clock()
    with Coordinator.sync(url, codec=Packed(), clock=clock) as coordinator:
        run = coordinator.start(travel, "Oslo", id="trip-1")
        coordinator.run_until_idle()
        document = run.export()
    assert document["run"]["input"] == '{"where":"Oslo"}'
    assert replay(travel, document).came is Replayed.WAITING


def test_a_run_with_a_record_that_cannot_be_decoded_is_not_exported(tmp_path: Path) -> None:
    """S26: what can't be read is told, with the record's place."""
    url = f"sqlite:///{tmp_path / 'packed.db'}"
    with Coordinator.sync(url, clock=Clock()) as coordinator:
        coordinator.start(travel, "Oslo", id="trip-1")
        coordinator.run_until_idle()
    with (
        Coordinator.sync(url, codec=Packed(), work=False) as coordinator,
        pytest.raises(RecordUnreadable, match=r"'trip-1' can't be exported: run: input"),
    ):
        coordinator.get("trip-1").export()
