"""The picture of a run's life in docs/concepts.md shows statuses that follow one another as in the code."""

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

from amends.persistence.records import Status as Stored
from amends.sagas.states import TRANSITIONS, Status

DOCS = Path(__file__).resolve().parent.parent / "docs"
OPEN = (Status.READY, Status.QUEUED, Status.RUNNING, Status.WAITING)


def drawn() -> list[Status]:
    """List the statuses of the picture, from left to right."""
    picture = ET.parse(DOCS / "a-runs-life.svg")  # noqa: S314 - our own
    boxes = [box for box in picture.iter() if "data-status" in box.attrib]
    boxes.sort(key=lambda box: float(box.attrib["x"]))
    return [Status(box.attrib["data-status"]) for box in boxes]


def stored(status: Status) -> Stored:
    """Give what is stored where a person sees this status."""
    return Stored.OPEN if status in OPEN else Stored(status.value)


def test_the_statuses_in_the_picture_follow_one_another_as_the_code_allows() -> None:
    for before, after in pairwise(map(stored, drawn())):
        assert before == after or after in TRANSITIONS[before], (before, after)


def test_the_picture_shows_every_status_of_an_open_run_without_a_queue_and_an_undo() -> None:
    assert {*OPEN, Status.COMPLETED, Status.COMPENSATING, Status.COMPENSATED} - {Status.QUEUED} <= set(
        drawn()
    )


def test_the_picture_is_shown_where_the_statuses_are_explained() -> None:
    assert "(a-runs-life.svg)" in (DOCS / "concepts.md").read_text(encoding="utf-8")
