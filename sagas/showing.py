"""Saying something about the run from inside: attributes to search by, and progress to look at."""

from __future__ import annotations

from amends.sagas import attributes
from amends.sagas.attributes import AttributeValue
from amends.sagas.context import STEP, running_body
from amends.sagas.errors import OutsideRun
from amends.sagas.notes import Notes


def set_attributes(**values: AttributeValue) -> None:
    """Say what this run is about, for people to find it by; None removes an attribute.

    For a saga's body, where it is written with the turn, and for a step, where it is written at once, at most
    once a second and with the step's outcome at the latest. Values are texts of up to 500 characters,
    numbers, flags and aware datetimes; they are stored in the clear. A run has at most 64.
    Raises `InputInvalid` for what can't be an attribute, `OutsideRun` outside a run.

    >>> set_attributes(customer=order.customer, tier=2, paid=False)
    """
    _say("set_attributes()", Notes(attributes.encoded(values, "set_attributes")))


def set_progress(done: float, total: float | None = None, text: str | None = None) -> None:
    """Say how far this run is: `done` of `total`, in whatever it counts, and what it is at.

    Where it may be called, and when it is written, is as with `set_attributes`; each call replaces what the
    last one said. It costs nothing much, so that a loop may call it each time round.
    Raises `InputInvalid` for what is no progress, `OutsideRun` outside a run.

    >>> set_progress(lines, total, "importing customers")
    """
    _say("set_progress()", Notes(progress=attributes.progress(done, total, text)))


def _say(what: str, notes: Notes) -> None:
    body = running_body()
    if body is not None:
        body.note(notes)
        return
    step = STEP.get()
    if step is None or step.note is None:
        raise OutsideRun(f"{what} was called outside a run; a saga's body or a step of a run can call it")
    step.note(notes)
