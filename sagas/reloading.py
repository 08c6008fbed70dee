"""Bringing a run back: its journal is replayed, nothing is executed."""

from __future__ import annotations

from collections.abc import Sequence

from amends.persistence.records import InboxRow
from amends.sagas import asking, noting, parents
from amends.sagas.errors import AmendsError
from amends.sagas.journal import Entry, Kind, Said
from amends.sagas.loop import EndlessTurn
from amends.sagas.mailbox import Letter, letter_of
from amends.sagas.news import Attempted, News, Turn
from amends.sagas.notes import Notes
from amends.sagas.outcome import Effect
from amends.sagas.replay import Diverged, Matcher
from amends.sagas.run import TOLD, LiveRun, reason_of
from amends.sagas.settling import can_undo
from amends.sagas.step_record import Phase, StepRecord, Undoing
from amends.sagas.taking import lose


def reload(run: LiveRun, entries: Sequence[Entry], news: Sequence[News], now: int) -> Turn:
    """Rebuild a run from its journal and make its next turn; a run without a journal makes its first.

    The body is not run where it can't matter any more: the run compensates, or is about to.
    """
    run.draft = Turn()
    matcher = floor = None
    try:
        if not _turned_round(run, entries, news, now):
            floor = next((entry for entry in reversed(entries) if entry.kind is Kind.FLOOR), None)
            letters = [] if floor is None else _letters(entries, floor)
            _recall(run, entries, floor)
            run.begin(floor, replaying=bool(entries) or _was_held(run), letters=letters)
            matcher = None if run.body is None else Matcher(run.body)
        _replay(run, entries, matcher, -1 if floor is None else floor.seq)
    except (Diverged, EndlessTurn, AmendsError, ValueError, KeyError) as problem:
        run.park(reason_of(problem), mends=isinstance(problem, Diverged))
        run.of_body = isinstance(problem, (Diverged, EndlessTurn))
        _fold_rest(run, entries)
    # Whom it concerned was told together with these entries.
    run.history.called_off, run.history.decided = [], []
    if run.history.parked:
        run.lost = run.lost or run.history.parked_lost
        if not run.park_reason:
            run.record(Kind.RESUMED, max(now, run.history.at))
            parents.tell(run, Said.RESUMED, run.history.at)
    if run.row.lost >= run.limits.max_lost:
        run.park(f"poison: the worker died {run.row.lost} times in a row while it held this run")
    attempted = [item for item in news if isinstance(item, Attempted)]
    told = [item for item in attempted if item.read or item.ref in run.history.steps]
    if not run.park_reason:
        _resume(run, matcher, told, max(now, run.history.at))
    turn = run.go_on([*told, *(item for item in news if not isinstance(item, Attempted))], now)
    # The body has asked for these reads again, and has their outcomes: nothing is left to execute.
    read = {(item.ref, item.attempt) for item in told if item.read and item.ref not in run.reads}
    turn.attempts = [made for made in turn.attempts if (made.ref, made.attempt) not in read]
    return turn


def _turned_round(run: LiveRun, entries: Sequence[Entry], news: Sequence[News], now: int) -> bool:
    if any(entry.kind in (Kind.SWITCH, Kind.ENDED) for entry in entries):
        return True
    if any(map(_may_be_a_pivot, entries)) or any(map(_asks_for_a_pivot, news)):
        return False
    overdue = run.row.deadline_at is not None and run.row.deadline_at <= now
    return overdue or any(isinstance(item, InboxRow) and item.kind == Kind.CANCEL for item in news)


def _letters(entries: Sequence[Entry], floor: Entry) -> list[Letter]:
    """Give the signals that had not been received when the body began anew."""
    left = set(floor.meta.get("letters", ()))
    return [letter_of(entry) for entry in entries if entry.seq in left]


def _recall(run: LiveRun, entries: Sequence[Entry], floor: Entry | None) -> None:
    """Let the body that begins anew know the attributes that the run had then; the fold comes to the same."""
    if floor is None:
        return
    for entry in entries:
        if entry.kind is Kind.ATTRIBUTES and entry.seq < floor.seq:
            noting.apply_attributes(run.history, entry)


def _was_held(run: LiveRun) -> bool:
    """Tell whether a worker had the run before; one that sleeps first has no entries to show for it."""
    return run.row.due_at is not None and run.row.due_at > run.row.created_at


def _may_be_a_pivot(entry: Entry) -> bool:
    return entry.meta.get("effect") == Effect.PIVOT or entry.meta.get("said") == Said.GRANTED


def _asks_for_a_pivot(item: News) -> bool:
    """Tell whether a pivot below may be let go by this very turn: then what comes after it may be refused."""
    return isinstance(item, InboxRow) and item.kind == Kind.CHILD and f'"{Said.ASKS}"' in (item.meta or "")


def _replay(run: LiveRun, entries: Sequence[Entry], matcher: Matcher | None, floor: int) -> None:
    """Fold the journal, and let the body go on with what follows the entry `floor`, where it begins."""
    history = run.history
    if matcher is None:
        for entry in entries:
            history.apply(entry)
        return
    matcher.collect()
    for entry in entries:
        delivered = history.apply(entry)
        if entry.seq <= floor or run.body is None:
            continue
        _match(run, matcher, entry)
        if delivered is not None or entry.kind in TOLD:
            matcher.expect_none(entry)
            # All that the body has said up to here is on record, or belongs to other code.
            run.body.notes = Notes()
            run.advance(entry, delivered)
            matcher.collect()


def _match(run: LiveRun, matcher: Matcher, entry: Entry) -> None:
    """Find what an entry records among what the body asks for. Raises `Diverged`."""
    if entry.kind is Kind.INTENT or entry.meta.get("read"):
        matcher.match(entry, run.history.steps[entry.ref or 0])
    elif entry.kind is Kind.ROLLBACK:
        matcher.match_rollback(entry)
    elif entry.kind is Kind.APPROVAL:
        matcher.match_approval(entry)
    elif entry.kind in (Kind.ABANDONED, Kind.WITHDRAWN):
        matcher.given_up.discard(entry.ref or 0)
    elif entry.kind in (Kind.ATTRIBUTES, Kind.PROGRESS) and entry.ref is None and run.body is not None:
        run.body.notes.forget(attributes=entry.kind is Kind.ATTRIBUTES)


def _fold_rest(run: LiveRun, entries: Sequence[Entry]) -> None:
    """After a replay that stopped: the history is still needed whole."""
    for entry in entries:
        if entry.seq > run.history.seq:
            try:
                run.history.apply(entry)
            except (ValueError, KeyError):
                run.history.seq = entry.seq


def _resume(run: LiveRun, matcher: Matcher | None, told: Sequence[Attempted], now: int) -> None:
    """Record the new commands, and what became of the attempts under way, but for those in `told`."""
    done = {(item.ref, item.attempt, item.undoing) for item in told}
    known = list(run.history.active.values())
    if run.body is not None and matcher is not None:
        run.body.replaying = False
        run.body.given_up.extend(sorted(matcher.given_up))
        run.body.issued.extend(matcher.unmatched)
        run.collect(now if run.history.seq else run.row.created_at)
    for step in known:
        if step.moving and (step.ref, step.attempt, False) not in done:
            _resume_forward(run, step, now)
        elif (
            step.undoing in (Undoing.RUNNING, Undoing.WAITING)
            and (step.ref, step.undo_attempt, True) not in done
        ):
            _resume_undo(run, step, now)


def _resume_forward(run: LiveRun, step: StepRecord, now: int) -> None:
    if step.child is not None or step.asks:
        # Another run has been told, and will answer.
        return
    if step.phase is Phase.DOUBTFUL:
        if step.due_at is not None:
            run.wait_until(step.due_at, step.ref)
    elif step.phase is Phase.WAITING and (not run.lost or (step.due_at or 0) > now):
        run.wait_until(step.due_at or now, step.ref)
    elif run.lost or run.history.compensating:
        lose(run, step, now, drained=not run.lost)
    else:
        asking.execute(run, step)


def _resume_undo(run: LiveRun, step: StepRecord, now: int) -> None:
    if step.child is not None and step.undoing is Undoing.RUNNING:
        return
    if step.undoing is Undoing.WAITING and (not run.lost or (step.undo_due_at or 0) > now):
        run.wait_until(step.undo_due_at or now, step.ref)
    elif can_undo(run, step):
        if run.lost:
            run.record(Kind.UNDO_LOST, now, step.ref, step.undo_attempt, step.name)
        asking.execute_undo(run, step, now)
