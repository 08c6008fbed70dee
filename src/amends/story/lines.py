"""One event of a story in one line of words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

from amends.persistence.unfit import flat
from amends.sagas.attributes import Progress, decoded
from amends.sagas.failure import Failure
from amends.sagas.journal import Said
from amends.story import below, conversing, shown, words
from amends.story.events import Event

LONGEST_ERROR = 300

MARKS = {
    "landed": ("✓", "green"),
    "undone": ("↩", "yellow"),
    "failed": ("✗", "red"),
    "retry": ("✗", "red"),
    "lost": ("✗", "red"),
    "doubt": ("?", "red"),
    "running": ("▸", "cyan"),
    "due": ("▸", "cyan"),
}
ENDS = {"completed": ("✓", "bold green"), "parked": ("■", "bold red"), "failed": ("✗", "bold red")}

QUIET = ("started", "timer", "heartbeat", "attributes", "progress")
"""Events that are told in a low voice."""

DECIDED = {
    "cancel": "cancelled",
    "deadline": "its deadline has passed",
    "operator": "an operator asked for it",
}


def mark(event: Event) -> tuple[str, str]:
    """Give an event's sign, and the style of sign and words."""
    if event.what in ("step", "undo", "probe"):
        sign, style = MARKS.get(event.state, ("·", ""))
        return sign, style
    if event.what == "wait":
        return MARKS["due"]
    if event.what == "ended":
        return ENDS.get(event.detail.get("status", ""), ("↩", "bold yellow"))
    if event.what in ("waived", "overdue"):
        return "!", "yellow"
    parked = event.what == "parked" or event.detail.get("said") == Said.PARKED
    if parked or event.what == "decision":
        return ("■", "bold red") if parked else ("↩", "yellow")
    return "·", "dim" if event.what in QUIET else ""


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
    message = _short(flat(error.message))
    return f"{kind}: {message}" if message else kind


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"


def _started(_event: Event, _now: int) -> str:
    return "started"


def _step(event: Event, now: int) -> str:
    if event.run is not None:
        return below.called(event, _error_of(event))
    if event.detail.get("asks"):
        return f"{event.step}: asks the runs above whether it may"
    by = event.detail.get("by")
    if "answer" in event.detail:
        return conversing.said(event.step, event.detail["answer"])
    if by is None:
        detail = event.detail
        name = conversing.called(event.step, detail["arguments"]) if "arguments" in detail else event.step
        return f"{name}{_which(event)}{_ending(event, now)}{conversing.gave(detail)}"
    found = "landed" if event.state == "landed" else "didn't land"
    return f"{event.step}: {found}, says {_person(event)}"


def _probe(event: Event, now: int) -> str:
    if event.state == "landed":
        return f"{event.step}: the probe found that it landed"
    if event.state in ("failed", "retry"):
        return f"{event.step}: the probe found that it didn't land{_again(event)}"
    if event.state == "doubt":
        return f"{event.step}: the probe couldn't tell{_error_of(event)}{_doubt(event)}"
    return f"the probe of {event.step}{_ending(event, now)}"


def _undo(event: Event, now: int) -> str:
    if event.run is not None:
        return below.undone(event, _error_of(event))
    name = (event.handler or "its compensation").rpartition("@")[0] or event.handler
    doing = "undid" if event.state == "undone" else "undoing"
    return f"{name}{_which(event)}, {doing} {event.step}{_ending(event, now)}"


def _error_of(event: Event) -> str:
    return f": {brief(event.error)}" if event.error else ""


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
    if event.state == "landed" and event.detail.get("late"):
        return ": landed, as was heard late"
    if event.state not in ("failed", "retry", "doubt"):
        return ""
    why = _error_of(event) or ": failed"
    return why + _outcome(event) + (_doubt(event) if event.state == "doubt" else _again(event))


def _doubt(event: Event) -> str:
    """Say who is asked about a step of which nobody knows whether it landed."""
    if event.until is None:
        return ", a person has to say"
    return f", the probe is asked in {words.duration(event.until - event.at - (event.took or 0))}"


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
    by = event.detail.get("by")
    return f"woken by {flat(str(by))}" if by else "a timer fired" if event.took is None else "waited"


def _wait(event: Event, now: int) -> str:
    awaited = str(event.detail.get("for") or "")
    if event.until is None:
        return f"waits for {awaited or 'news'}"
    return f"waits{f' for {awaited}' if awaited else ''}, due {words.relative(event.until, now)}"


def _signal(event: Event, _now: int) -> str:
    name, payload = event.step or event.detail.get("name"), event.detail.get("payload")
    told = "" if payload in (None, "null") else f": {_short(flat(str(payload)))}"
    return f"signal {name!r}{told}{' (not taken yet)' if event.state == 'unread' else ''}"


def _approval(event: Event, _now: int) -> str:
    if event.what == "approval":
        asked = f"asks for approval {event.detail.get('id')}: {flat(str(event.step))}"
        tool = event.detail.get("tool")
        return f"{asked}, {conversing.called(tool, event.detail['arguments'])}" if tool else asked
    if event.what == "reminded":
        return f"nobody has decided yet: {flat(str(event.step))}"
    if event.what == "escalated":
        return f"others may decide as well, {', '.join(event.detail.get('to', ()))}: {flat(str(event.step))}"
    if event.what == "withdrawn":
        return f"waits for approval no more: {flat(str(event.step))}"
    outcome, by = event.detail.get("outcome"), event.detail.get("by")
    about = flat(str(event.step)) if event.step else event.detail.get("id")
    told = f"{outcome}{f' by {flat(str(by))}' if by else ''}: {about}"
    return f"{told} (not taken yet)" if event.state == "unread" else told


def _wake(event: Event, _now: int) -> str:
    return f"told to wake up{_by(event)} (not taken yet)"


def _cancel(event: Event, _now: int) -> str:
    asked = f"{event.detail.get('act', 'cancel')} asked for{_by(event)}"
    by, reason = str(event.detail.get("by")), str(event.detail.get("reason"))
    if reason.startswith(f"{by} "):
        # A run above; its reason names it.
        asked = f"called off: {flat(reason)}"
    return f"{asked} (not taken yet)" if event.state == "unread" else asked


def _operator(event: Event, now: int) -> str:
    """Tell of an act that the run hasn't taken yet."""
    ref = event.detail.get("ref")
    act = f"{event.detail.get('act', 'an act')}{f' of step {ref}' if ref else ''}"
    return _cancel(replace(event, detail={**event.detail, "act": act}), now)


def _retry(event: Event, _now: int) -> str:
    again = event.step if event.handler is None else f"undoing {event.step}"
    return f"{again}: another attempt asked for{_by(event)}"


def _waived(event: Event, _now: int) -> str:
    act = "left out" if event.detail.get("act") == "skip" else "given up"
    return f"undoing {event.step}: {act}{_by(event)}; its effect stays"


def _heartbeat(event: Event, _now: int) -> str:
    details = flat(str(event.detail.get("details") or ""))
    return f"{event.step}: {'a sign of life' if not details else f'came as far as {_short(details)}'}"


def _attributes(event: Event, _now: int) -> str:
    values = decoded(event.detail.get("set", {}))
    there = {name: value for name, value in values.items() if value is not None}
    gone = [name for name in values if name not in there]
    told = [f"shows {shown.listed(there)}"] if there else []
    told += [f"shows {', '.join(gone)} no more"] if gone else []
    return f"{f'{event.step}: ' if event.step else ''}{'; '.join(told)}"


def _progress(event: Event, _now: int) -> str:
    at = dt.datetime.fromtimestamp(event.at / 1000, dt.UTC)
    told = Progress(event.detail.get("done", 0), event.detail.get("total"), event.detail.get("text"), at)
    return f"{f'{event.step}: ' if event.step else ''}{shown.bar(told)}"


def _overdue(_event: Event, _now: int) -> str:
    return "its deadline has passed, behind the point of no return: it goes forward"


def _by(event: Event) -> str:
    by, reason = event.detail.get("by"), event.detail.get("reason")
    return f"{f' by {flat(str(by))}' if by else ''}{f': {flat(str(reason))}' if reason else ''}"


def _person(event: Event) -> str:
    return _by(event).removeprefix(" by ")


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


def _floor(event: Event, _now: int) -> str:
    return f"began anew with {_short(flat(str(event.detail.get('input') or '{}')))}"


def _rollback(_event: Event, _now: int) -> str:
    return "a part of the body is rolled back: the steps called in it are undone"


def _rolled_back(_event: Event, _now: int) -> str:
    return "that part is undone, the body goes on"


def _parked(event: Event, _now: int) -> str:
    return f"parked: {flat(event.detail.get('reason', ''))}"


def _resumed(_event: Event, _now: int) -> str:
    return "resumed"


def _ended(event: Event, _now: int) -> str:
    return str(event.detail.get("status", "ended")).replace("_", " ")


TELL: dict[str, Callable[[Event, int], str]] = {
    "started": _started,
    "step": _step,
    "probe": _probe,
    "undo": _undo,
    "timer": _timer,
    "wait": _wait,
    "signal": _signal,
    "approval": _approval,
    "reminded": _approval,
    "escalated": _approval,
    "decided": _approval,
    "withdrawn": _approval,
    "wake": _wake,
    "cancel": _cancel,
    "operator": _operator,
    "retry": _retry,
    "waived": _waived,
    "heartbeat": _heartbeat,
    "attributes": _attributes,
    "progress": _progress,
    "overdue": _overdue,
    "decision": _decision,
    "abandoned": _abandoned,
    "late": _late,
    "child": below.said,
    "granted": below.granted,
    "floor": _floor,
    "rollback": _rollback,
    "rolled_back": _rolled_back,
    "parked": _parked,
    "resumed": _resumed,
    "ended": _ended,
}
