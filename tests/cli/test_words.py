"""What a journal says, in words: one line for each kind of entry that people ask about."""

import json
from typing import Any

import pytest

from amends.persistence.records import EntryRow, InboxRow, Loaded, RunRow, Status
from amends.sagas.failure import describe
from amends.story.events import Event, tell
from amends.story.lines import line, mark

RUN = RunRow(
    "r-1",
    "sell",
    "1",
    "default",
    Status.PARKED,
    None,
    b"{}",
    None,
    None,
    None,
    None,
    None,
    0,
    None,
    0,
    0,
    None,
)
INTENT: dict[str, Any] = {"effect": "compensatable", "key": "k", "handler": "refund@1", "timeout": 1_000}
ERROR = describe(OSError("no answer")).to_json()


def told(*entries: tuple[str, dict[str, Any], bytes | None], inbox: tuple[InboxRow, ...] = ()) -> list[Event]:
    """Tell the story of a run whose only step is `charge`."""
    rows = [EntryRow("r-1", 1, "intent", 0, 1, 1, "charge", json.dumps(INTENT), b"{}")]
    rows += [
        EntryRow("r-1", seq, kind, 5_000 * seq, 1, 1, "charge", json.dumps(meta), payload)
        for seq, (kind, meta, payload) in enumerate(entries, 2)
    ]
    return tell(Loaded(RUN, tuple(rows), inbox), 60_000)[0]


@pytest.mark.parametrize(
    ("kind", "meta", "payload", "words"),
    [
        ("beat", {}, b'{"page":3}', 'charge: came as far as {"page":3}'),
        ("beat", {}, None, "charge: a sign of life"),
        (
            "doubt",
            {"started": 1, "outcome": "unknown"},
            ERROR,
            "charge: OSError: no answer (may have landed), a person has to say",
        ),
        (
            "doubt",
            {"started": 1, "outcome": "unknown", "due": 40_000},
            ERROR,
            "charge: OSError: no answer (may have landed), the probe is asked in 30 s",
        ),
        (
            "doubt",
            {"started": 1, "probed": True},
            ERROR,
            "charge: the probe couldn't tell: OSError: no answer, a person has to say",
        ),
        ("landed", {"started": 1, "probed": True}, b"1", "charge: the probe found that it landed"),
        (
            "failed",
            {"started": 1, "probed": True, "resolved": True, "outcome": "not_landed"},
            ERROR,
            "charge: the probe found that it didn't land",
        ),
        (
            "retry",
            {"started": 1, "probed": True, "resolved": True, "outcome": "not_landed", "due": 40_000},
            ERROR,
            "charge: the probe found that it didn't land, again after 30 s",
        ),
        (
            "landed",
            {"started": 1, "resolved": True, "by": "ann", "reason": "on the\nstatement"},
            b"1",
            "charge: landed, says ann: on the statement",
        ),
        (
            "failed",
            {"outcome": "not_landed", "resolved": True, "by": "ann", "reason": "none"},
            ERROR,
            "charge: didn't land, says ann: none",
        ),
        (
            "retry",
            {"outcome": "unknown", "due": 1, "by": "ann"},
            ERROR,
            "charge: another attempt asked for by ann",
        ),
        (
            "undo_retry",
            {"due": 1, "by": "ann", "reason": "they are back"},
            ERROR,
            "undoing charge: another attempt asked for by ann: they are back",
        ),
        ("waived", {"act": "skip", "by": "ann"}, None, "undoing charge: left out by ann; its effect stays"),
        (
            "waived",
            {"act": "waive", "by": "ann", "reason": "by hand"},
            None,
            "undoing charge: given up by ann: by hand; its effect stays",
        ),
        (
            "overdue",
            {},
            None,
            "its deadline has passed, behind the point of no return: it goes forward",
        ),
        ("cancel", {"by": "ann", "reason": None}, None, "cancel asked for by ann"),
        (
            "cancel",
            {"act": "abort", "by": "ann", "reason": "gone", "cause": "operator"},
            None,
            "abort asked for by ann: gone",
        ),
        ("landed", {"started": 1, "late": True}, b"1", "charge: landed, as was heard late"),
        (
            "lost",
            {"window": 9, "doubt": True},
            ERROR,
            "charge, attempt 1: lost with its worker, may have landed",
        ),
    ],
)
def test_an_entry_is_told_in_words(
    kind: str, meta: dict[str, Any], payload: bytes | None, words: str
) -> None:
    lines = [line(event, 60_000) for event in told((kind, meta, payload))]
    assert words in lines


def test_signs_of_life_of_one_attempt_are_one_line() -> None:
    events = told(*[("beat", {}, str(page).encode()) for page in range(5)])
    assert [line(event, 0) for event in events if event.what == "heartbeat"] == ["charge: came as far as 4"]


def test_an_act_that_the_run_has_not_taken_yet_is_told() -> None:
    meta = json.dumps({"act": "resolve", "by": "ann", "ref": 1, "reason": "found it", "landed": True})
    events = told(inbox=(InboxRow("r-1", "operator:1:1", "operator", 9, meta),))
    assert "resolve of step 1 asked for by ann: found it (not taken yet)" in [
        line(each, 0) for each in events
    ]


def test_a_doubt_and_a_waiver_have_signs_of_their_own() -> None:
    events = told(("doubt", {"started": 1, "outcome": "unknown"}, ERROR), ("waived", {"by": "ann"}, None))
    assert {event.state or event.what: mark(event)[0] for event in events[-2:]} == {
        "doubt": "?",
        "waived": "!",
    }
