"""What is recorded of an attempt's outcome: pure decisions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from amends.sagas.failure import Failure
from amends.sagas.journal import Kind
from amends.sagas.news import Attempted
from amends.sagas.outcome import Effect, OnUnknown, Outcome
from amends.sagas.retry import Failed, Retry, next_wait
from amends.sagas.step import Step
from amends.sagas.step_record import StepRecord

PROBE_RETRY = Retry(attempts=10)
"""How often a probe is asked that fails, before a person has to say."""
ASKING = (OnUnknown.PARK, OnUnknown.PROBE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The entry that an outcome leads to: its kind, its meta and its payload."""

    kind: Kind
    meta: dict[str, Any]
    payload: bytes | None


def judge(
    record: StepRecord,
    news: Attempted,
    step: Step[..., Any] | None,
    *,
    again: bool,
    seed: str,
    pivoted: bool = False,
) -> Verdict:
    """Decide what a step's outcome leads to: it landed, it is tried again, it is in doubt, or it failed.

    `again` is false where no further attempt may be made: the run compensates, or the body gave the step up.
    `pivoted` tells that the run has passed its point of no return.
    """
    meta = news.begun()
    if news.outcome is Outcome.LANDED and news.error is None:
        return Verdict(Kind.LANDED, meta, news.result)
    meta["outcome"] = news.outcome.value
    if news.settled:
        meta["resolved"] = True
    if again and step is not None and news.outcome is not Outcome.LANDED:
        due = _next_due(record, news, step, seed)
        if due is not None:
            return Verdict(Kind.RETRY, {**meta, "due": due}, news.error)
    if not news.settled and _in_doubt(record, news.outcome, step, again=again, pivoted=pivoted):
        return Verdict(Kind.DOUBT, meta | doubted(step, news.ended_at), news.error)
    return Verdict(Kind.FAILED, meta, news.error)


def judge_probe(
    record: StepRecord, news: Attempted, step: Step[..., Any] | None, *, again: bool, seed: str
) -> Verdict:
    """Decide what a probe's answer leads to; one that stays away leaves it to a person."""
    meta = news.begun() | {"probed": True}
    if news.outcome is Outcome.LANDED and news.error is None:
        return Verdict(Kind.LANDED, meta, news.result)
    if news.outcome is Outcome.NOT_LANDED:
        meta |= {"outcome": news.outcome.value, "resolved": True}
        due = None if step is None or not again else _after_absence(record, news, step, seed)
        if due is not None:
            return Verdict(Kind.RETRY, {**meta, "due": due}, record.error)
        return Verdict(Kind.FAILED, meta, record.error)
    due = _due(PROBE_RETRY, news, record.probes + 1, record.started_at, f"{seed}/probe", no_effect=False)
    return Verdict(Kind.DOUBT, meta if due is None else {**meta, "due": due}, news.error)


def doubted(step: Step[..., Any] | None, at: int) -> dict[str, int]:
    """Say when a step in doubt is to be probed; never, where only a person can tell."""
    return {"due": at} if step is not None and step.options.probe is not None else {}


def judge_undo(record: StepRecord, news: Attempted, policy: Retry | None, *, seed: str) -> Verdict:
    """Decide what a compensation's outcome leads to: done, tried again, or failed for good."""
    meta = news.begun()
    if news.outcome is Outcome.LANDED:
        return Verdict(Kind.UNDONE, meta, None)
    attempt = record.undo_attempt - record.undo_lost
    began = record.undo_started_at or news.started_at
    due = None if policy is None else _due(policy, news, attempt, began, seed, no_effect=False)
    if due is None:
        return Verdict(Kind.UNDO_FAILED, meta, news.error)
    return Verdict(Kind.UNDO_RETRY, {**meta, "due": due}, news.error)


def late_meta(
    record: StepRecord | None, *, undoing: bool, outcome: str, started: int, ended: int
) -> dict[str, Any]:
    """Describe an outcome that came late.

    It is evidence that the effect landed after its compensation only where it ended later than any attempt
    was allowed to: the compensation waited for that window.
    """
    meta: dict[str, Any] = {"outcome": outcome, "started": started, "ended": ended}
    if undoing:
        meta["undoing"] = True
    elif record is not None and record.undo_attempt > 0 and outcome == Outcome.LANDED:
        window = record.window if record.window is not None else started + record.timeout_ms
        if ended > window:
            meta["after_undo"] = True
    return meta


def _next_due(record: StepRecord, news: Attempted, step: Step[..., Any], seed: str) -> int | None:
    if news.outcome is Outcome.UNKNOWN and step.options.on_unknown is not OnUnknown.RETRY:
        return None
    no_effect = news.outcome is Outcome.NOT_LANDED and not news.rolled_back
    return _due(step.retry, news, record.attempt - record.lost, record.started_at, seed, no_effect=no_effect)


def _after_absence(record: StepRecord, news: Attempted, step: Step[..., Any], seed: str) -> int | None:
    """Say when a step is tried again that a probe found absent; a lost attempt doesn't count."""
    attempt = record.attempt - record.lost
    return (
        news.ended_at
        if attempt < 1
        else _due(step.retry, news, attempt, record.started_at, seed, no_effect=False)
    )


def _in_doubt(
    record: StepRecord, outcome: Outcome, step: Step[..., Any] | None, *, again: bool, pivoted: bool
) -> bool:
    """Tell whether somebody has to say what became of a step before anything may follow from it.

    That is so for a message that couldn't be delivered; for a pivot of which any attempt may have landed;
    where the step says so; and beyond the point of no return, where one can only go on (S14).
    """
    if again and step is not None and step.parks and outcome is not Outcome.LANDED:
        return True
    if outcome is Outcome.LANDED or not (outcome is Outcome.UNKNOWN or record.doubtful):
        return False
    if record.effect is Effect.PIVOT:
        return True
    asks = step is not None and step.options.on_unknown in ASKING
    first = step is not None and step.settled_first
    return ((asks or first) and record.handler is None) or (again and (pivoted or asks))


def _due(
    policy: Retry, news: Attempted, attempt: int, began: int, seed: str, *, no_effect: bool
) -> int | None:
    error = news.exception
    if error is None:
        text = Failure.from_json(news.error).message if news.error else "the attempt was cut short"
        error = RuntimeError(text)
    failed = Failed(error, attempt, (news.ended_at - began) / 1000, no_effect=no_effect)
    wait = next_wait(policy, failed, random.Random(f"{seed}/{attempt}"))  # noqa: S311 - jitter
    return None if wait is None else news.ended_at + round(wait * 1000)
