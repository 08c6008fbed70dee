"""What each kind of entry means for a run's trace: one function a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind

from amends.sagas.failure import Failure
from amends.sagas.journal import Entry, Kind, split_read
from amends.sagas.outcome import Effect
from amends.sagas.registry import STEPS
from amends.sagas.trail import Call, Open, Told, Trail
from amends.tracing.content import CONTENT
from amends.tracing.propagation import sent_by
from amends.tracing.spans import LOST, Attempt, Wait


def _intent(trail: Trail, entry: Entry) -> list[Told]:
    if entry.meta["effect"] != Effect.CHILD:
        call = Call(
            entry.name or "", entry.meta["effect"], entry.payload or b"", entry.meta.get("handler", "")
        )
        call.forward = trail.opened(entry.attempt or 1, entry.at, entry.meta.get("worker", ""))
        trail.calls[entry.ref or 0] = call
    return []


def _call(trail: Trail, entry: Entry) -> Call | None:
    """Find the call of an entry; a read has no intent, its outcome is the first that is heard of it."""
    ref = entry.ref or 0
    if entry.meta.get("read") and ref not in trail.calls:
        arguments, _ = split_read(entry.payload or b"")
        call = trail.calls[ref] = Call(entry.name or "", Effect.READ.value, arguments, "")
        worker = entry.meta.get("worker", trail.worker)
        call.forward = trail.opened(1, entry.meta.get("started", entry.at), worker)
    return trail.calls.get(ref)


def _outcome(trail: Trail, entry: Entry) -> list[Told]:
    """Conclude an attempt of a step, or a look by its probe; what a person said was no attempt."""
    call = _call(trail, entry)
    if call is None:
        return []
    if entry.meta.get("probed"):
        call.probes += 1
        told = [_probe(trail, call, entry)] if "started" in entry.meta else []
    else:
        told = _forward(trail, call, entry)
    if entry.kind is Kind.RETRY:
        worker = entry.meta.get("worker", trail.worker)
        call.forward = trail.opened((entry.attempt or 1) + 1, entry.meta["due"], worker)
    elif entry.kind is not Kind.DOUBT or not entry.meta.get("probed"):
        call.forward = None
    return told


def _forward(trail: Trail, call: Call, entry: Entry) -> list[Told]:
    under_way, started = call.forward, entry.meta.get("started")
    if under_way is None or started is None or entry.attempt not in (None, under_way.attempt):
        return []
    result, error = _said(entry)
    worker = entry.meta.get("worker", under_way.worker)
    return [_attempt(trail, call, entry, under_way, started, worker=worker, result=result, error=error)]


def _said(entry: Entry) -> tuple[bytes | None, bytes | None]:
    """Give an outcome's result, or its error."""
    payload = entry.payload
    if entry.meta.get("read"):
        _, payload = split_read(payload or b"")
    return (payload, None) if entry.kind is Kind.LANDED else (None, payload or b"")


def _lost(trail: Trail, entry: Entry) -> list[Told]:
    """Conclude an attempt that went with its worker: whoever takes over tells its span."""
    call = trail.calls.get(entry.ref or 0)
    if call is None or call.forward is None:
        return []
    under_way = call.forward
    told = _attempt(trail, call, entry, under_way, under_way.since, worker=under_way.worker, lost=True)
    goes_on = not (entry.meta.get("final") or entry.meta.get("doubt"))
    worker = entry.meta.get("worker", trail.worker)
    call.forward = trail.opened(under_way.attempt + 1, entry.at, worker) if goes_on else None
    return [told]


def _attempt(
    trail: Trail,
    call: Call,
    entry: Entry,
    under_way: Open,
    started: int,
    *,
    worker: str,
    result: bytes | None = None,
    error: bytes | None = None,
    lost: bool = False,
) -> Told:
    ref = entry.ref or 0
    words = _words(call)
    kind, message = (None, "") if error is None else _failure(error)
    made = Attempt(
        call.name,
        ref,
        under_way.attempt,
        call.effect,
        started,
        entry.at,
        worker,
        LOST if lost and not entry.meta.get("drained") else kind,
        message,
        entry.meta.get("worker", "") if lost else "",
        {} if words is None else words.attributes(call.arguments, result),
        "" if words is None else words.title(call.arguments),
        SpanKind.INTERNAL if words is None else words.kind,
        told=entry.meta.get("said"),
        stretch=under_way.stretch,
    )
    trail.spend(made.said or {})
    span = trail.spans.step(made, call.last)
    call.last = span.context
    return Told(span, (ref, under_way.attempt, False, 0))


def _probe(trail: Trail, call: Call, entry: Entry) -> Told:
    ref, attempt = entry.ref or 0, entry.attempt or 1
    failed = entry.kind is Kind.DOUBT and entry.payload is not None
    kind, message = _failure(entry.payload or b"") if failed else (None, "")
    worker = entry.meta.get("worker", trail.worker)
    made = Attempt(
        call.name,
        ref,
        attempt,
        "probe",
        entry.meta["started"],
        entry.at,
        worker,
        kind,
        message,
        round=call.probes,
        told=entry.meta.get("said"),
        stretch=trail.spans.stretch,
    )
    return Told(trail.spans.probe(made), (ref, attempt, False, call.probes))


def _abandoned(trail: Trail, entry: Entry) -> list[Told]:
    """Forget an attempt that was still to come: nobody waits for it."""
    call = trail.calls.get(entry.ref or 0)
    if call is not None and call.forward is not None and call.forward.since > entry.at:
        call.forward = None
    return []


def _undo(trail: Trail, entry: Entry) -> list[Told]:
    call = trail.calls.get(entry.ref or 0)
    if call is not None:
        call.backward = trail.opened(entry.attempt or 1, entry.at, entry.meta.get("worker", trail.worker))
    return []


def _undo_outcome(trail: Trail, entry: Entry) -> list[Told]:
    call = trail.calls.get(entry.ref or 0)
    if call is None:
        return []
    under_way, started = call.backward, entry.meta.get("started")
    lost = entry.kind is Kind.UNDO_LOST
    told = []
    if under_way is not None and (lost or started is not None):
        told = [_undoing(trail, call, entry, under_way, started, lost=lost)]
    worker = entry.meta.get("worker", trail.worker)
    again = entry.kind in (Kind.UNDO_RETRY, Kind.UNDO_LOST)
    since = entry.meta.get("due", entry.at)
    call.backward = trail.opened((entry.attempt or 1) + 1, since, worker) if again else None
    return told


def _undoing(
    trail: Trail, call: Call, entry: Entry, under_way: Open, started: int | None, *, lost: bool
) -> Told:
    failed = entry.kind in (Kind.UNDO_RETRY, Kind.UNDO_FAILED)
    kind, message = _failure(entry.payload or b"") if failed else (None, "")
    if lost and not entry.meta.get("drained"):
        kind = LOST
    ref, attempt = entry.ref or 0, under_way.attempt
    made = Attempt(
        call.handler or call.name,
        ref,
        attempt,
        "compensation",
        under_way.since if started is None else started,
        entry.at,
        under_way.worker if lost else entry.meta.get("worker", under_way.worker),
        kind,
        message,
        entry.meta.get("worker", "") if lost else "",
        told=entry.meta.get("said"),
        stretch=under_way.stretch,
    )
    return Told(trail.spans.compensate(made, call.last, call.name), (ref, attempt, True, 0))


def _approval(trail: Trail, entry: Entry) -> list[Told]:
    ref = entry.ref or 0
    trail.approvals[ref] = Wait("approval", entry.name or "", entry.at, ref)
    return []


def _decided(trail: Trail, entry: Entry) -> list[Told]:
    wait = trail.approvals.pop(entry.ref or 0, None)
    if wait is None:
        return []
    outcome = entry.meta.get("outcome", "withdrawn")
    sender = sent_by(entry.meta.get("from"))
    return _woken(trail, wait, entry, outcome, entry.meta.get("by", ""), sender)


def _signal(trail: Trail, entry: Entry) -> list[Told]:
    since = entry.meta.get("since")
    if since is None:
        return []
    wait = Wait("signal", entry.name or "", since)
    return _woken(trail, wait, entry, "received", "", sent_by(entry.meta.get("from")))


def _fired(trail: Trail, entry: Entry) -> list[Told]:
    since = entry.meta.get("since", entry.at)
    if since >= entry.at:
        return []
    by = entry.meta.get("by", "")
    return _woken(trail, Wait("timer", "", since, entry.ref or 0), entry, "woken" if by else "fired", by)


def _woken(
    trail: Trail,
    wait: Wait,
    entry: Entry,
    outcome: str,
    actor: str = "",
    sender: tuple[int, int] | None = None,
) -> list[Told]:
    """Conclude a wait; where each stretch of work has its own trace, the next one begins."""
    begun = trail.spans.begin_stretch(entry.at)
    over = trail.spans.wait(wait, entry.at, entry.seq, outcome, actor, sender)
    return [Told(span) for span in (begun, over) if span is not None]


def _parked(trail: Trail, entry: Entry) -> list[Told]:
    trail.parked = Wait("operator", "", entry.at)
    return [Told(trail.spans.waiting(trail.parked))]


def _resumed(trail: Trail, entry: Entry) -> list[Told]:
    wait, trail.parked = trail.parked, None
    return [] if wait is None else _woken(trail, wait, entry, "resumed")


def _switch(trail: Trail, entry: Entry) -> list[Told]:
    """Turn round: nobody decides any more; a completed run that is undone ends once more."""
    trail.cause = entry.meta.get("cause")
    told = [
        Told(trail.spans.wait(wait, entry.at, entry.seq, "withdrawn")) for wait in trail.approvals.values()
    ]
    trail.approvals.clear()
    if trail.ends:
        trail.began = entry.at
    return told


def _ended(trail: Trail, entry: Entry) -> list[Told]:
    trail.ends += 1
    return [
        Told(
            trail.spans.run(trail.began, entry.at, trail.ends, entry.meta["status"], trail.cause, trail.spent)
        ),
    ]


def _failure(payload: bytes) -> tuple[str, str]:
    """Give the type of a recorded error, and its text where that may be shown."""
    try:
        failure = Failure.from_json(payload)
    except ValueError:
        return "unreadable", ""
    return failure.type.replace(":", ".") or "unknown", failure.message if CONTENT.captured else ""


def _words(call: Call) -> Any:
    definition = STEPS.get(call.name)
    return None if definition is None else definition.words


TAKE: dict[Kind, Callable[[Trail, Entry], list[Told]]] = {
    Kind.INTENT: _intent,
    Kind.LANDED: _outcome,
    Kind.FAILED: _outcome,
    Kind.RETRY: _outcome,
    Kind.DOUBT: _outcome,
    Kind.LOST: _lost,
    Kind.ABANDONED: _abandoned,
    Kind.UNDO: _undo,
    Kind.UNDO_RETRY: _undo_outcome,
    Kind.UNDO_LOST: _undo_outcome,
    Kind.UNDONE: _undo_outcome,
    Kind.UNDO_FAILED: _undo_outcome,
    Kind.APPROVAL: _approval,
    Kind.DECIDED: _decided,
    Kind.WITHDRAWN: _decided,
    Kind.SIGNAL: _signal,
    Kind.FIRED: _fired,
    Kind.PARKED: _parked,
    Kind.RESUMED: _resumed,
    Kind.SWITCH: _switch,
    Kind.ENDED: _ended,
}


def take(trail: Trail, entry: Entry) -> list[Told]:
    """Take one entry in, and give the spans that it concludes."""
    handle = TAKE.get(entry.kind)
    told = [] if handle is None else handle(trail, entry)
    trail.worker = entry.meta.get("worker", trail.worker)
    return told
