"""One event of a story in one line of words."""

from __future__ import annotations

from collections.abc import Callable

from amends.cli import words
from amends.cli.errors import flat
from amends.cli.story import Event
from amends.sagas.failure import Failure

LONGEST_ERROR = 300

MARKS = {
    "landed": ("✓", "green"),
    "undone": ("↩", "yellow"),
    "failed": ("✗", "red"),
    "retry": ("✗", "red"),
    "lost": ("✗", "red"),
    "running": ("▸", "cyan"),
    "due": ("▸", "cyan"),
}
ENDS = {"completed": ("✓", "bold green"), "parked": ("■", "bold red"), "failed": ("✗", "bold red")}

DECIDED = {
    "cancel": "cancelled",
    "deadline": "its deadline has passed",
    "operator": "an operator asked for it",
}


def mark(event: Event) -> tuple[str, str]:
    """Give an event's sign, and the style of sign and words."""
    if event.what in ("step", "undo"):
        sign, style = MARKS.get(event.state, ("·", ""))
        return sign, style
    if event.what == "wait":
        return MARKS["due"]
    if event.what == "ended":
        return ENDS.get(event.detail.get("status", ""), ("↩", "bold yellow"))
    if event.what in ("parked", "decision"):
        return ("■", "bold red") if event.what == "parked" else ("↩", "yellow")
    return "·", "dim" if event.what in ("started", "timer") else ""


def line(event: Event, now: int) -> str:
    """Say in words what happened."""
    tell = TELL.get(event.what)
    if tell is not None:
        return tell(event, now)
    about = f" {event.step}" if event.step else ""
    return f"{event.what.replace('_', ' ')}{about}{' (not taken yet)' if event.state == 'unread' else ''}"


def brief(error: Failure) -> str:
    """Name an error by its class and its text."""
    kind = error.type.rpartition(":")[2].rpartition(".")[2]
    message = flat(error.message)
    if len(message) > LONGEST_ERROR:
        message = f"{message[:LONGEST_ERROR]}…"
    return f"{kind}: {message}" if message else kind


def _started(_event: Event, _now: int) -> str:
    return "started"


def _step(event: Event, now: int) -> str:
    return f"{event.step}{_which(event)}{_ending(event, now)}"


def _undo(event: Event, now: int) -> str:
    name = (event.handler or "its compensation").rpartition("@")[0] or event.handler
    doing = "undid" if event.state == "undone" else "undoing"
    return f"{name}{_which(event)}, {doing} {event.step}{_ending(event, now)}"


def _which(event: Event) -> str:
    again = (event.attempt or 1) > 1 or event.state in ("retry", "lost")
    return f", attempt {event.attempt}" if again else ""


def _ending(event: Event, now: int) -> str:
    if event.state == "running":
        return ": under way"
    if event.state == "due":
        return ": waits for a worker" if event.until is None else f": due {words.relative(event.until, now)}"
    if event.state == "lost":
        how = "cut short when its worker stopped" if event.detail.get("drained") else "lost with its worker"
        return f": {how}, may have landed" if event.what == "step" else f": {how}"
    if event.state not in ("failed", "retry"):
        return ""
    why = f": {brief(event.error)}" if event.error else ": failed"
    return why + _outcome(event) + _again(event)


def _outcome(event: Event) -> str:
    if event.what == "undo":
        return ""
    return {"not_landed": " (no effect)", "unknown": " (may have landed)"}.get(
        event.outcome or "", " (landed)" if event.outcome == "landed" else ""
    )


def _again(event: Event) -> str:
    if event.state != "retry" or event.until is None:
        return ""
    return f", again after {words.duration(event.until - event.at - (event.took or 0))}"


def _timer(event: Event, _now: int) -> str:
    return "a timer fired" if event.took is None else "waited"


def _wait(event: Event, now: int) -> str:
    return "waits for news" if event.until is None else f"waits, due {words.relative(event.until, now)}"


def _cancel(event: Event, _now: int) -> str:
    by, reason = event.detail.get("by"), event.detail.get("reason")
    asked = f"cancel asked for{f' by {by}' if by else ''}{f': {flat(str(reason))}' if reason else ''}"
    return f"{asked} (not taken yet)" if event.state == "unread" else asked


def _decision(event: Event, _now: int) -> str:
    if event.error is not None:
        return f"decided to undo: {brief(event.error)}"
    cause = event.detail.get("cause", "")
    return f"decided to undo: {DECIDED.get(cause, cause)}"


def _abandoned(event: Event, _now: int) -> str:
    return f"{event.step}: given up, the body no longer waits for it"


def _late(event: Event, _now: int) -> str:
    outcome = (event.outcome or "").replace("_", " ")
    return f"{event.step}: a late outcome, {outcome}" if event.step else f"a late outcome, {outcome}"


def _parked(event: Event, _now: int) -> str:
    return f"parked: {flat(event.detail.get('reason', ''))}"


def _resumed(_event: Event, _now: int) -> str:
    return "resumed"


def _ended(event: Event, _now: int) -> str:
    return str(event.detail.get("status", "ended")).replace("_", " ")


TELL: dict[str, Callable[[Event, int], str]] = {
    "started": _started,
    "step": _step,
    "undo": _undo,
    "timer": _timer,
    "wait": _wait,
    "cancel": _cancel,
    "decision": _decision,
    "abandoned": _abandoned,
    "late": _late,
    "parked": _parked,
    "resumed": _resumed,
    "ended": _ended,
}
