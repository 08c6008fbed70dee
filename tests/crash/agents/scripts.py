"""What the model answers, turn by turn, and the cases that are made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.crash.cases import COMPLETED, NO, UNDONE, Case

Answer = dict[str, Any]

UNDONE_NOTE = "has been undone by a person"
"""What the model is told after an undo (A9)."""
BOOKED = ("flight", "hotel")
HARD = {"visa": NO, "museum": ("break*",)}
"""One booking is refused; the other lands and seems to fail, again and again."""


def calls(turn: str, *given: tuple[str, dict[str, str]]) -> list[dict[str, Any]]:
    """Make a turn's calls, with ids that say where they stand."""
    return [
        {"id": f"call_{turn}_{place}", "name": name, "arguments": arguments}
        for place, (name, arguments) in enumerate(given)
    ]


def result(*names: str) -> str:
    """Make a final answer."""
    return json.dumps({"result": names})


FIRST = calls(
    "first",
    ("trip_book", {"what": "hotel"}),
    ("trip_book", {"what": "flight"}),
    ("trip_look", {"what": "weather"}),
    ("trip_try", {"what": "visa"}),
    ("trip_try", {"what": "museum"}),
)
SECOND = calls("second", ("trip_pay", {"what": "money"}), ("guide", {"task": "Book a tour."}))
TOUR = calls("tour", ("trip_book", {"what": "tour"}))
TRAIN = calls("train", ("trip_book", {"what": "train"}))
GUIDED: Answer = {"text": "There is a tour."}


def script(final: Sequence[str], guided: Answer = GUIDED) -> list[Answer]:
    """Give what is answered to a request, the later turns first: each knows the turn before by its calls.

    The same request gets the same answer, however often it comes.
    """
    told: list[tuple[str, Answer]] = [
        ("call_train_0", {"text": result(*BOOKED, "train")}),
        (UNDONE_NOTE, {"calls": TRAIN}),
        ("call_second_0", {"text": result(*final)}),
        ("call_tour_0", guided),
        ("You are the guide.", {"calls": TOUR}),
        ("call_first_0", {"calls": SECOND}),
        ("You plan trips.", {"calls": FIRST}),
    ]
    return [{"when": when, "times": 0, **answer} for when, answer in told]


@dataclass(frozen=True)
class AgentCase:
    """What becomes of the agent's run, and what its model says; `answers` is how often it is asked."""

    case: Case
    script: Sequence[Answer]
    answers: int = 5
    api: str = "chat"


ALL = (*BOOKED, "money", "tour")
CASES = (
    AgentCase(Case("agent accepted", "trip", COMPLETED, ALL, HARD, act="accept"), script(ALL)),
    AgentCase(Case("agent rejected", "trip", UNDONE, (), HARD, act="reject"), script(ALL)),
    AgentCase(
        Case("agent undone to a turn", "trip", COMPLETED, (*BOOKED, "train"), HARD, act="undo"),
        script(ALL),
        answers=7,
        api="responses",
    ),
    AgentCase(
        Case("agent's call refused by a person", "trip", COMPLETED, (*BOOKED, "tour"), HARD, act="refuse"),
        script((*BOOKED, "tour")),
        api="responses",
    ),
    AgentCase(
        Case("sub-agent declines", "trip", COMPLETED, (*BOOKED, "money"), HARD, act="accept"),
        script((*BOOKED, "money"), {"refusal": "I don't like tours."}),
    ),
)
