"""What must hold after any crash: the world and the journal of an ended run are compared, rule by rule.

Each function gives the breaches that it finds, in words.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from amends.persistence.approval_records import ApprovalStatus
from amends.persistence.records import Status
from amends.sagas.compensation import owed
from amends.sagas.history import History
from amends.sagas.journal import Entry, Kind
from amends.sagas.keys import undo_key
from amends.sagas.outcome import Effect, Outcome
from amends.sagas.step_record import StepRecord, Undoing
from tests.crash.stores import Record
from tests.crash.world import Call

LOOKS = ("read", "find")
"""The calls that change nothing."""
PLAIN = "letter"
"""What a plain step does: it can't be undone."""
UNSHARP_MS = 50
"""By so much later than it happened the world may notice that a caller hung up."""


@dataclass(frozen=True)
class Story:
    """All that is known of a run: its record, the world's calls, what stands in the world.

    `below` are the records of its children and of theirs, whose calls are among the world's. `woken` tells
    that a worker was frozen, and another had ended the run when it woke.
    """

    record: Record
    calls: Sequence[Call]
    standing: Mapping[str, int]
    woken: bool = False
    below: Sequence[Record] = ()

    @property
    def late(self) -> bool:
        """Tell whether the run is parked for what a woken worker said: F may have landed after C (S5)."""
        after = any(e.kind is Kind.LATE and e.meta.get("after_undo") for e in self.all_entries)
        return self.woken and after and self.record.row.status is Status.PARKED

    @property
    def entries(self) -> list[Entry]:
        return self.record.entries

    @property
    def all_entries(self) -> list[Entry]:
        """The entries of all journals, one after the other."""
        return [entry for record in (self.record, *self.below) for entry in record.entries]

    def of(self, verb: str, key: str) -> list[Call]:
        """Give the calls with a key, in their order."""
        return [call for call in self.calls if call.verb == verb and call.key == key]


def breaches(story: Story) -> list[str]:
    """Give everything that is wrong with a run that has ended, and with those below it."""
    histories = []
    for record in (story.record, *story.below):
        history = History()
        try:
            for place, entry in enumerate(record.entries, 1):
                if entry.seq != place:
                    return [f"the journal has a gap: entry {place} has the number {entry.seq}"]
                history.apply(entry)
        except (ValueError, KeyError) as error:
            return [f"the journal doesn't fold: {error!r}"]
        histories.append(history)
    found = [breach for check in OF_THE_WHOLE for breach in check(story, histories[0])]
    found += _one_key(story, histories)
    for record, history in zip((story.record, *story.below), histories, strict=True):
        keys = {step.key for step in history.steps.values()}
        calls = [call for call in story.calls if (call.forward_key or call.key) in keys]
        own = replace(story, record=record, calls=calls)
        name = "" if record is story.record else f"child run {record.row.id}: "
        found += [f"{name}{breach}" for check in OF_EACH for breach in check(own, history)]
    return found


def _truthful_end(story: Story, history: History) -> Iterator[str]:
    """S13: the row and the journal say the same, and nothing is left to do."""
    row = story.record.row
    if story.late or (story.woken and row.status is Status.PARKED):
        return
    if not history.ended or story.entries[-1].kind is not Kind.ENDED:
        yield f"S13: the run is {row.status}, its journal ends with {story.entries[-1].kind}"
    elif story.entries[-1].meta["status"] != row.status:
        yield f"S13: the run is {row.status}, its journal says {story.entries[-1].meta['status']}"
    if story.record.unread or row.owner is not None:
        yield f"S13: the run has ended with an owner ({row.owner}) or unread mail ({story.record.unread})"


def _settled(story: Story, history: History) -> Iterator[str]:
    """S27: a run completes with what its body believes to stand, and nothing else stands."""
    row = story.record.row
    if row.status is not Status.COMPLETED:
        return
    believed = sorted(json.loads(row.result or b"null"))
    stands = sorted(name for name, count in story.standing.items() for _ in range(count))
    if believed != stands:
        yield f"S27: the run completed with {believed}, in the world stands {stands}"
    for step in history.steps.values():
        if step.to_settle:
            yield f"S27: the run completed, {step.name} ({step.ref}) isn't settled"


def _amends(story: Story, history: History) -> Iterator[str]:
    """S3, S13: a run that didn't complete leaves nothing that can be undone, and says so."""
    row = story.record.row
    if row.status is Status.COMPLETED:
        return
    kept = {name: count for name, count in story.standing.items() if name != PLAIN}
    if any(step.effect is Effect.PIVOT and step.landed for step in history.steps.values()):
        yield f"S14: the run is {row.status} although its pivot had landed"
    if kept:
        yield f"S3: the run is {row.status}, in the world stands {kept}"
    if owed(history.steps) and not story.late:
        yield f"S13: the run is {row.status} and owes {owed(history.steps)}"
    landed = any(call.verb == "apply" and call.landed and call.name != PLAIN for call in story.calls)
    if landed and row.status in (Status.FAILED, Status.CANCELLED):
        yield f"S13: the run is {row.status} although something compensatable had landed"


def _once(story: Story, _history: History) -> Iterator[str]:
    """S17, of messages: each is taken once, whoever sent it how often."""
    ids = [entry.meta["id"] for entry in story.entries if entry.kind is Kind.SIGNAL]
    if len(ids) != len(set(ids)):
        yield f"messages were taken twice: {ids}"


def _decided(story: Story, _history: History) -> Iterator[str]:
    """A10: what became of an approval is heard once, and is what its row and the votes say.

    A cancel that comes before the decision is taken turns the run round, which then hears nothing of it.
    """
    turned = any(entry.kind is Kind.SWITCH for entry in story.entries)
    heard: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in story.entries:
        if entry.kind is Kind.DECIDED:
            heard[entry.meta["id"]].append(entry)
    for row in story.record.approvals:
        outcomes = [entry.meta["outcome"] for entry in heard.pop(row.id, [])]
        wanted = [] if row.status is ApprovalStatus.WITHDRAWN else [row.status.value]
        if outcomes != wanted and (outcomes or not turned):
            yield f"A10: approval {row.id} is {row.status}, and the run has heard {outcomes}"
        by = [vote.by for vote in row.votes]
        yes = sum(vote.approved for vote in row.votes)
        if len(by) != len(set(by)) or (row.status is ApprovalStatus.APPROVED) != (yes >= row.quorum):
            yield f"A10: approval {row.id} is {row.status} by the votes of {by}"
        if row.status is ApprovalStatus.EXPIRED and row.expires_at is not None:
            late = [vote.by for vote in row.votes if vote.at >= row.expires_at]
            if late or (row.decided_at or 0) < row.expires_at:
                yield f"A10: approval {row.id} expired at {row.expires_at}: {row.decided_at}, {late}"
    if heard:
        yield f"A10: the run has heard of approvals that nobody was asked for: {sorted(heard)}"


def _write_ahead(story: Story, history: History) -> Iterator[str]:
    """S1, S9: every call of the world has an attempt on record; executed again means recorded again."""
    attempts: defaultdict[str, int] = defaultdict(int)
    for entry in story.entries:
        step = history.steps.get(entry.ref or 0)
        if step is None:
            continue
        if entry.kind in (Kind.INTENT, Kind.RETRY) or (entry.kind is Kind.LOST and _again(entry)):
            attempts[step.key] += 1
        elif entry.kind in (Kind.UNDO, Kind.UNDO_RETRY, Kind.UNDO_LOST):
            attempts[undo_key(step.key)] += 1
    made: defaultdict[str, int] = defaultdict(int)
    for call in story.calls:
        if call.verb not in LOOKS:
            made[call.key] += 1
    for key, count in made.items():
        if count > attempts[key]:
            names = {call.name for call in story.calls if call.key == key}
            yield f"S1: {names} was called {count} times with one key, {attempts[key]} attempts are on record"


def _again(entry: Entry) -> bool:
    """Tell whether a lost attempt is followed by another one at once."""
    return not (entry.meta.get("final") or entry.meta.get("doubt"))


def _one_key(story: Story, histories: Sequence[History]) -> Iterator[str]:
    """S1: a step has one key, whatever happened, and another one for its compensation."""
    steps = [step for history in histories for step in history.steps.values()]
    known = {step.key for step in steps if step.effect is not Effect.READ}
    for call in story.calls:
        forward = call.key if call.verb == "apply" else call.forward_key
        if call.verb not in LOOKS and forward not in known:
            yield f"S1: the call {call} has a key that no step of the run has"


def _one_way(story: Story, history: History) -> Iterator[str]:
    """S4: nothing forward after the decision."""
    decided = False
    for entry in story.entries:
        forward = entry.kind in (Kind.INTENT, Kind.RETRY, Kind.FIRED)
        forward = forward or (entry.kind is Kind.LOST and _again(entry))
        if decided and forward:
            yield f"S4: entry {entry.seq} ({entry.kind} {entry.name}) stands after the decision"
        decided = decided or entry.kind is Kind.SWITCH
    switches = [entry.seq for entry in story.entries if entry.kind is Kind.SWITCH]
    if len(switches) > 1:
        yield f"S4: the run was decided more than once: {switches}"


def _siblings(story: Story, history: History) -> Iterator[str]:
    """S6: a compensation starts after its forward call has ended, and after the window of a lost one."""
    windows: defaultdict[int, dict[int | None, int]] = defaultdict(dict)
    for entry in story.entries:
        lost = windows[entry.ref or 0]
        if entry.kind is Kind.LOST:
            lost[entry.attempt] = entry.meta["window"]
        elif entry.kind is Kind.LATE and entry.meta["outcome"] != Outcome.UNKNOWN:
            # It has been heard of, so it has ended.
            lost.pop(entry.attempt, None)
        elif entry.kind is Kind.UNDO and entry.at < max(lost.values(), default=0):
            yield f"S6: entry {entry.seq} undoes {entry.name} before its window has passed"
    for call in story.calls:
        if call.barred and not story.woken:
            yield f"S6: {call.name} landed after it had been undone: {call}"
    for step in history.steps.values():
        undoings = story.of("undo", undo_key(step.key))
        for forward in story.of("apply", step.key):
            over = forward.began + step.timeout_ms if forward.ended is None else forward.ended
            early = [
                call
                for call in undoings
                if forward.began <= call.began
                and call.began + UNSHARP_MS < min(over, forward.began + step.timeout_ms)
            ]
            if early:
                yield f"S6: {step.name} was undone while it was called: {early[0]}, {forward}"


def _order(story: Story, history: History) -> Iterator[str]:
    """S7: where the body knew a's outcome before it asked for b, b is settled before a is undone."""
    switch = next((entry.seq for entry in story.entries if entry.kind is Kind.SWITCH), None)
    if switch is None:
        return
    begun = {e.ref: e.seq for e in reversed(story.entries) if e.kind is Kind.UNDO and e.seq > switch}
    settled = {e.ref: e.seq for e in story.entries if e.kind is Kind.UNDONE}
    for a, start in begun.items():
        for b, step in history.steps.items():
            if step.undoing is Undoing.DONE and _precedes(history.steps[a or 0], step) and settled[b] > start:
                yield f"S7: step {a} was being undone (entry {start}) before {b} was (entry {settled[b]})"
            late = [
                call
                for call in story.of("undo", undo_key(step.key))
                if _precedes(history.steps[a or 0], step)
            ]
            first = story.of("undo", undo_key(history.steps[a or 0].key))[:1]
            if late and first and late[-1].number > first[0].number:
                yield f"S7: in the world, {first[0].name} was undone before {late[-1].name}"


def _precedes(a: StepRecord, b: StepRecord) -> bool:
    return a.delivered_seq is not None and a.delivered_seq < b.intent_seq


def _never_again(story: Story, history: History) -> Iterator[str]:
    """S9: after a recorded success a compensation is never dispatched again.

    That the world wasn't called more often than is on record, `_write_ahead` says.
    """
    for entry in story.entries:
        if entry.kind is not Kind.UNDONE:
            continue
        step = history.steps[entry.ref or 0]
        after = [e for e in story.entries if e.ref == entry.ref and e.seq > entry.seq and e.kind in _UNDOING]
        if after:
            yield f"S9: {step.name} was undone in entry {entry.seq}, and again: {after[0]}"


_UNDOING = (Kind.UNDO, Kind.UNDO_RETRY, Kind.UNDO_LOST, Kind.UNDONE, Kind.UNDO_FAILED)

Check = Callable[[Story, History], Iterator[str]]
OF_THE_WHOLE: tuple[Check, ...] = (_settled, _amends)
OF_EACH: tuple[Check, ...] = (
    _truthful_end,
    _write_ahead,
    _one_way,
    _siblings,
    _order,
    _never_again,
    _once,
    _decided,
)


def told(story: Story) -> str:
    """Tell a run's story, for a person."""
    lines = [
        f"status {story.record.row.status}, cause {story.record.row.cause}, standing {dict(story.standing)}"
    ]
    lines += [
        f"  {record.row.id[-6:]} {entry.seq:3} {entry.at % 1_000_000:7} {entry.kind:10} ref={entry.ref} "
        f"attempt={entry.attempt} {entry.name or ''} {entry.meta} {(entry.payload or b'')[:60]!r}"
        for record in (story.record, *story.below)
        for entry in record.entries
    ]
    return "\n".join([*lines, *map(_call_told, story.calls)])


def _call_told(call: Call) -> str:
    flags = "".join(f" {name}" for name in ("landed", "repeated", "barred") if getattr(call, name))
    when = f"{call.began % 1e6:9.1f}–{(call.ended or 0) % 1e6:9.1f}"
    return f"  call {call.number} {when} {call.verb} {call.name} {call.key} {call.directive}{flags}"
