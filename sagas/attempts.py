"""What is recorded of an attempt's outcome: pure decisions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from amends.sagas.failure import Failure
from amends.sagas.history import StepRecord
from amends.sagas.journal import Kind
from amends.sagas.news import Attempted
from amends.sagas.outcome import OnUnknown, Outcome
from amends.sagas.retry import Failed, Retry, next_wait
from amends.sagas.step import Step


@dataclass(frozen=True, slots=True)
class Verdict:
    """The entry that an outcome leads to: its kind, its meta and its payload."""

    kind: Kind
    meta: dict[str, Any]
    payload: bytes | None


def judge(
    record: StepRecord, news: Attempted, step: Step[..., Any] | None, *, again: bool, seed: str
) -> Verdict:
    """Decide what a step's outcome leads to: it landed, it is tried again, or it failed for good.

    `again` is false where no further attempt may be made: the run compensates, or the body gave the step up.
    """
    meta: dict[str, Any] = {"started": news.started_at}
    if news.outcome is Outcome.LANDED and news.error is None:
        return Verdict(Kind.LANDED, meta, news.result)
    meta["outcome"] = news.outcome.value
    if again and step is not None and news.outcome is not Outcome.LANDED:
        due = _next_due(record, news, step, seed)
        if due is not None:
            return Verdict(Kind.RETRY, {**meta, "due": due}, news.error)
    return Verdict(Kind.FAILED, meta, news.error)


def judge_undo(record: StepRecord, news: Attempted, policy: Retry | None, *, seed: str) -> Verdict:
    """Decide what a compensation's outcome leads to: done, tried again, or failed for good."""
    meta: dict[str, Any] = {"started": news.started_at}
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
    if news.outcome is Outcome.UNKNOWN and step.options.on_unknown is OnUnknown.COMPENSATE:
        return None
    attempt = record.attempt - record.lost
    no_effect = news.outcome is Outcome.NOT_LANDED
    return _due(step.options.retry, news, attempt, record.started_at, seed, no_effect=no_effect)


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
