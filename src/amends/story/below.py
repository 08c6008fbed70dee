"""Child runs in words: their calls, their undoing, and what they and the runs above tell each other."""

from __future__ import annotations

from collections.abc import Sequence

from amends.sagas.journal import Said
from amends.story.events import Event

SAID = {
    Said.PARKED: "is parked",
    Said.RESUMED: "goes on again",
    Said.REFUSED: "may not pass its point of no return, nobody waits for it any more",
    Said.PIVOTED: "has passed its point of no return",
    Said.OVER: "didn't pass its point of no return",
}


def called(event: Event, error: str) -> str:
    """Tell of the call of a child run; `error` is its error in words, with a colon before it."""
    name = f"{event.step}: child run {event.run}"
    if event.state == "running":
        return f"{name} {'is parked' if event.detail.get('blocked') else 'is under way'}"
    if event.state == "landed":
        return f"{name} completed"
    return f"{name} {_end(event) or 'was never started'}{error}"


def undone(event: Event, error: str) -> str:
    """Tell of the undoing of a child run; `error` is why it failed, in words, with a colon before it."""
    name = f"child run {event.run}"
    if event.state == "undone":
        stays = ", but for what stays of it" if event.detail.get("status") == "partially_compensated" else ""
        return f"{name} undone{stays}"
    if event.state == "running":
        return f"undoing {name}{': it is parked' if event.detail.get('blocked') else ': under way'}"
    return f"undoing {name}{error}"


def said(event: Event, _now: int) -> str:
    """Tell what a child run says, or what is said to it about its pivot."""
    return f"child run {event.run}{_saying(event)}{_unread(event)}"


def granted(event: Event, _now: int) -> str:
    """Tell that the runs above let a pivot be executed."""
    about = f"{event.step}: " if event.step else ""
    return f"{about}the runs above let it be executed, and wait for its outcome{_unread(event)}"


def _saying(event: Event) -> str:
    word, path = event.detail.get("said", ""), event.detail.get("path", ())
    if word == Said.ENDED:
        return f" {str(event.detail.get('status', 'has ended')).replace('_', ' ')}"
    if word == Said.ASKS:
        return f" asks whether it may pass its point of no return{_where(event, path)}"
    if word == Said.GRANTED:
        return f" may pass its point of no return{_where(event, path)}"
    return f" {SAID.get(word, word)}"


def _where(event: Event, path: Sequence[int]) -> str:
    """Name the pivot: the number of its step, and the run further down that it is in."""
    if not path:
        return ""
    run = "/".join((event.run or "", *map(str, path[:-1])))
    return f" at step {path[-1]}" if run == event.run else f" at step {path[-1]} of {run}"


def _end(event: Event) -> str:
    status = str(event.detail.get("status", "")).replace("_", " ")
    cause = event.detail.get("cause")
    return f"{status} after a {cause}" if status and cause in ("cancel", "deadline") else status


def _unread(event: Event) -> str:
    return " (not taken yet)" if event.state == "unread" else ""
