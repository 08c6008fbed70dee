"""The kill points of a run: which of them a kill struck, and which a scenario has at all.

One kill may strike at two: a transaction that holds an outcome and the next intent, once it is committed, is
"outcome committed" and "intent committed, F not sent".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from amends.sagas.journal import Kind
from amends.sagas.outcome import Effect
from tests.crash.children import Exit
from tests.crash.claims import Story


class KillPoint(StrEnum):
    """A moment at which a process is killed, frozen, or fails to write. F is a step's call, C its undoing."""

    BEFORE_START = "before start commits"
    STARTED = "start committed, caller not answered"
    INTENT = "intent committed, F not sent"
    SENT = "F sent, not landed"
    LANDED = "F landed, no answer"
    ANSWERED = "answer received, outcome not committed"
    OUTCOME = "outcome committed"
    CLASSIFIED = "failure classified, decision not committed"
    DECIDED = "decision committed"
    UNDO_INTENT = "C intent committed, C not sent"
    UNDO_SENT = "C sent, unanswered"
    UNDO_LANDED = "C landed, not on record"
    UNDO_OUTCOME = "C outcome committed"
    DISCHARGED = "all discharged, end not committed"
    PIVOT_SENT = "pivot sent, unanswered"
    PIVOT_COMMITTED = "pivot committed"
    FROZEN = "worker frozen in a step past its lease"
    WRITE_FAILS = "database write fails after C landed"
    INBOX = "inbox row written, not taken"
    BEFORE_ACT = "operator's action, before it commits"
    AFTER_ACT = "operator's action, after it committed"
    BEFORE_VOTE = "a person's decision, before it commits"
    VOTED = "a person's decision committed, not taken"
    BEFORE_ANSWER = "what became of an approval, before it commits"
    ANSWER = "what became of an approval, committed"
    ROW_WRITTEN = "a step's own row written, not committed"
    ROW_COMMITTED = "a step's own row committed, not reported"
    RESULT_LOST = "result not serialisable after F landed"


DECISIONS = (Kind.SWITCH, Kind.ROLLBACK)
INTENTS = (Kind.INTENT, Kind.RETRY)
UNDO_INTENTS = (Kind.UNDO, Kind.UNDO_RETRY)
OUTCOMES = (Kind.LANDED, Kind.FAILED)
ANSWERS = (Kind.DECIDED, Kind.WITHDRAWN)

OF_COMMITS = {
    "commit": (
        (("start",), KillPoint.BEFORE_START),
        (OUTCOMES, KillPoint.ANSWERED),
        (DECISIONS, KillPoint.CLASSIFIED),
        ((Kind.UNDONE,), KillPoint.UNDO_LANDED),
        ((Kind.ENDED,), KillPoint.DISCHARGED),
        (("inbox:operator",), KillPoint.BEFORE_ACT),
        (("vote",), KillPoint.BEFORE_VOTE),
        (ANSWERS, KillPoint.BEFORE_ANSWER),
    ),
    "committed": (
        (("start",), KillPoint.STARTED),
        (INTENTS, KillPoint.INTENT),
        (OUTCOMES, KillPoint.OUTCOME),
        (DECISIONS, KillPoint.DECIDED),
        (UNDO_INTENTS, KillPoint.UNDO_INTENT),
        ((Kind.UNDONE,), KillPoint.UNDO_OUTCOME),
        (("inbox",), KillPoint.INBOX),
        (("inbox:operator",), KillPoint.AFTER_ACT),
        (("vote",), KillPoint.VOTED),
        (ANSWERS, KillPoint.ANSWER),
    ),
    "row-commit": ((("row",), KillPoint.ROW_WRITTEN),),
    "row-committed": ((("row",), KillPoint.ROW_COMMITTED),),
}
"""Before a commit, and after it: what it held, and the point that makes it."""

OF_CALLS = {
    ("call", "apply"): KillPoint.INTENT,
    ("sent", "apply"): KillPoint.SENT,
    ("landed", "apply"): KillPoint.LANDED,
    ("answered", "apply"): KillPoint.ANSWERED,
    ("call", "undo"): KillPoint.UNDO_INTENT,
    ("sent", "undo"): KillPoint.UNDO_SENT,
    ("landed", "undo"): KillPoint.UNDO_LANDED,
    ("answered", "undo"): KillPoint.UNDO_LANDED,
}
"""Where a call was killed, and what it was. What was sent lands a moment later: see `world.ON_THE_WAY_S`."""


AIMED: dict[KillPoint, tuple[tuple[str, str], ...]] = {
    KillPoint.PIVOT_SENT: (("sent", "money"),),
    KillPoint.PIVOT_COMMITTED: (("committed", "landed:2"),),
    KillPoint.RESULT_LOST: (("commit", "failed"),),
    **{point: ((name, verb),) for (name, verb), point in OF_CALLS.items()},
    **{
        point: tuple((name, str(word)) for word in words)
        for name, known in OF_COMMITS.items()
        for words, point in known
    },
}
"""How to strike a point for certain: the name of the moment, and what a word of it begins with."""


@dataclass(frozen=True)
class Steps:
    """Numbers and keys of a run's pivots, and of the steps whose result is lost."""

    pivots: frozenset[str]
    pivot_keys: frozenset[str]
    lost: frozenset[str]
    lost_keys: frozenset[str]

    @classmethod
    def of(cls, story: Story) -> Steps:
        """Read them from a run's journal."""
        intents = [entry for entry in story.all_entries if entry.kind is Kind.INTENT]
        pivots = [entry for entry in intents if entry.meta.get("effect") == Effect.PIVOT]
        failed = [entry for entry in story.all_entries if entry.kind is Kind.FAILED]
        lost = {entry.ref for entry in failed if entry.meta.get("outcome") == "landed"}
        return cls(
            frozenset(str(entry.ref) for entry in pivots),
            frozenset(entry.meta["key"] for entry in pivots),
            frozenset(map(str, lost)),
            frozenset(entry.meta["key"] for entry in intents if entry.ref in lost),
        )


def struck(child: Exit, story: Story) -> set[KillPoint]:
    """Give the points at which a killed child was struck; none for a moment that isn't one of them."""
    return set(_at(child.said[-1], Steps.of(story))) if child.said else set()


def applying(child: Exit, story: Story) -> set[KillPoint]:
    """Give the points that a scenario has: those which its unkilled run came by."""
    steps = Steps.of(story)
    passed = {point for said in child.said for point in _at(said, steps)}
    if KillPoint.UNDO_OUTCOME in passed:
        passed.add(KillPoint.WRITE_FAILS)
    return passed | {KillPoint.FROZEN}


def _at(said: Sequence[str], steps: Steps) -> Iterator[KillPoint]:
    name, *words = said
    if name in OF_COMMITS:
        yield from _at_commit(name, words, steps)
    else:
        yield from _at_call(name, words, steps)


def _at_commit(name: str, words: Sequence[str], steps: Steps) -> Iterator[KillPoint]:
    for wanted, point in OF_COMMITS[name]:
        if any(word == kind or word.startswith(f"{kind}:") for word in words for kind in wanted):
            yield point
    parts = [word.partition(":") for word in words]
    if name == "committed" and any(kind == Kind.LANDED and ref in steps.pivots for kind, _, ref in parts):
        yield KillPoint.PIVOT_COMMITTED
    if any(kind == Kind.FAILED and ref in steps.lost for kind, _, ref in parts):
        yield KillPoint.RESULT_LOST


def _at_call(name: str, words: Sequence[str], steps: Steps) -> Iterator[KillPoint]:
    verb, _, key = (*words, "")[:3]
    if (name, verb) in OF_CALLS:
        yield OF_CALLS[name, verb]
    if verb == "apply" and key in steps.pivot_keys and name in ("sent", "landed"):
        yield KillPoint.PIVOT_SENT
    if verb == "apply" and key in steps.lost_keys and name == "answered":
        yield KillPoint.RESULT_LOST
