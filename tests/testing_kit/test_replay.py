"""replay runs a body against a recorded journal, executes nothing, and tells where they differ."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amends.sagas import Coordinator, Entry, InputInvalid, NonDeterminism, RecordUnreadable, saga, sleep, step
from amends.sagas.exported import export_run, load_run
from amends.sagas.testing import Replayed, VirtualClock, replay
from tests.golden.sagas import SHAPES, race, reads, retry, sequence, sleeping

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
EXECUTED: list[str] = []


@step(name="replayed.count")
async def count(what: str) -> int:
    EXECUTED.append(what)
    return len(EXECUTED)


@saga(name="replayed.counts")
async def counts(what: str) -> int:
    await sleep(3_600)
    return await count(what)


def document(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_a_journal_recorded_by_older_code_replays_for_ever(name: str) -> None:
    """Section 3: an old journal must replay under new code, whatever shape the saga has."""
    report = replay(SHAPES[name][0], document(name))
    assert report.came is (Replayed.TURNED if "cancelled" in name else Replayed.ENDED)


def test_every_shape_has_its_journal() -> None:
    assert sorted(SHAPES) == sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_journal_replays_from_every_prefix(name: str) -> None:
    exported = load_run(document(name))
    for length in range(len(exported.entries)):
        replay(SHAPES[name][0], replace(exported, entries=exported.entries[:length]))


async def _recorded(url: str) -> tuple[list[Entry], list[Entry], dict[str, Any]]:
    clock = VirtualClock()
    async with Coordinator(url, clock=clock) as coordinator:
        run = await coordinator.start(counts, "sheep", id="run-7")
        await coordinator.run_until_idle()
        half = await run.journal()
        await clock.run(coordinator)
        assert await run.result() == 1
        return half, await run.journal(), export_run(await coordinator.desk.row(run.id), await run.journal())


def test_a_run_of_a_coordinator_is_replayed_without_executing_anything(sqlite_url: str) -> None:
    EXECUTED.clear()
    half, whole, exported = asyncio.run(_recorded(sqlite_url))
    assert EXECUTED == ["sheep"]
    assert replay(counts, whole, input="sheep").came is Replayed.ENDED
    report = replay(counts, json.dumps(exported))
    assert str(report) == "replayed.counts, run 'run-7': replayed 3 entries, to its end"
    waiting = replay(counts, half, input=("sheep",))
    assert (waiting.came, waiting.waits_for) == (Replayed.WAITING, ("a timer, due 3600 s in",))
    assert str(waiting).endswith("it waits for a timer, due 3600 s in")
    assert EXECUTED == ["sheep"]


def test_a_journal_in_mid_step_says_what_it_waits_for() -> None:
    exported = load_run(document("sequence"))
    report = replay(sequence, replace(exported, entries=exported.entries[:1]))
    assert report.waits_for == ("step golden.book (1)",)


def test_other_arguments_are_shown_with_both_sides() -> None:
    exported = load_run(document("sequence"))
    with pytest.raises(NonDeterminism) as caught:
        replay(sequence, exported.entries, input="pot")
    assert 'journal entry 1 says: golden.book({"what":"kettle","number":1})' in str(caught.value)
    assert 'the body asks for: golden.book({"what":"pot","number":1})' in str(caught.value)


def test_another_result_is_shown_with_both_sides() -> None:
    values = json.loads(document("sequence"))
    values["entries"][-1]["payload"] = '["kettle","other"]'
    with pytest.raises(NonDeterminism, match=r'says: returned \["kettle", "other"\]; the body: returned'):
        replay(sequence, values)


def test_a_journal_that_ends_earlier_than_the_body_is_shown_with_both_sides() -> None:
    values = json.loads(document("sequence"))
    values["entries"] = [*values["entries"][:2], values["entries"][-1]]
    with pytest.raises(NonDeterminism, match=r"says: returned .*; the body asks for golden.book"):
        replay(sequence, values)


def test_another_error_is_shown_with_both_sides() -> None:
    values = json.loads(document("fails"))
    switch = next(entry for entry in values["entries"] if entry["kind"] == "switch")
    switch["payload"] = json.dumps({**json.loads(switch["payload"]), "type": "builtins:KeyError"})
    with pytest.raises(NonDeterminism, match=r"says: raised builtins:KeyError.*; the body: raised"):
        replay(SHAPES["fails"][0], values)


def test_a_journal_of_another_saga_is_refused() -> None:
    with pytest.raises(InputInvalid, match=r"is of saga 'golden.race', not of 'golden.reads'"):
        replay(reads, document("race"))


def test_a_record_that_does_not_fit_its_annotation_is_told() -> None:
    values = json.loads(document("retry-and-undone-beside"))
    values["entries"][1]["payload"] = '"not a dictionary"'
    with pytest.raises(RecordUnreadable, match="can't be replayed"):
        replay(retry, values)


def test_a_document_is_read_as_it_was_written() -> None:
    for name in SHAPES:
        values = json.loads(document(name))
        exported = load_run(values)
        again = export_run(replace(exported.row), exported.entries)
        assert again == values


def test_a_payload_that_is_no_text_comes_through() -> None:
    exported = load_run(document("sleep"))
    entries = [replace(exported.entries[0], payload=b"\xff\x00")]
    values = json.loads(json.dumps(export_run(exported.row, entries)))
    assert values["entries"][0]["payload"] == {"base64": "/wA="}
    assert load_run(values).entries == entries


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"format": 1, "run": {}, "entries": []}'])
def test_what_is_no_document_is_refused_in_words(text: str) -> None:
    with pytest.raises(RecordUnreadable, match="this is no exported run of amends"):
        load_run(text)


def test_a_document_of_newer_code_is_refused_in_words() -> None:
    with pytest.raises(RecordUnreadable, match="has format 2, and this code reads formats up to 1"):
        load_run('{"format": 2}')


def test_bodies_with_timers_and_randomness_replay_from_documents() -> None:
    for defined, name in ((sleeping, "sleep"), (race, "race")):
        assert replay(defined, json.loads(document(name))).came is Replayed.ENDED
