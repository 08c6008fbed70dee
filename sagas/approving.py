"""Asking people in a saga's body."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from pydantic_core import to_json

from amends.persistence.approval_records import ApprovalStatus
from amends.sagas import checked
from amends.sagas.context import running_body
from amends.sagas.errors import DefinitionError, InputInvalid, OutsideRun
from amends.sagas.forms import Form, form_of
from amends.sagas.request import Answer, Request

F = TypeVar("F")

LONGEST_TITLE = 500
SECOND = dt.timedelta(seconds=1)
"""Reminders are entries in the journal: nobody needs them more often."""


@dataclass(frozen=True, slots=True)
class Decision(Generic[F]):
    """What became of an approval.

    `status` is `approved`, `rejected` or `expired`; `values` is what was filled in (None where nothing was),
    `by` who decided last, `how` by which way (`api`, `cli`, `link`, …), `voters` all who took part.
    """

    status: ApprovalStatus
    values: F | None = None
    by: str | None = None
    reason: str | None = None
    how: str | None = None
    at: dt.datetime | None = None
    voters: tuple[str, ...] = ()

    @property
    def approved(self) -> bool:
        """Tell whether as many as were needed have approved."""
        return self.status is ApprovalStatus.APPROVED

    @property
    def expired(self) -> bool:
        """Tell whether nobody decided in time."""
        return self.status is ApprovalStatus.EXPIRED


@overload
async def approval(
    form: None = None,
    *,
    title: str,
    details: Any = None,
    approvers: Sequence[str] | None = None,
    requested_by: str | None = None,
    quorum: int = 1,
    timeout: dt.timedelta | None = None,
    remind_every: dt.timedelta | None = None,
    escalate_to: Sequence[str] = (),
    escalate_after: dt.timedelta | None = None,
) -> Decision[None]: ...
@overload
async def approval(
    form: type[F] | F,
    *,
    title: str,
    details: Any = None,
    approvers: Sequence[str] | None = None,
    requested_by: str | None = None,
    quorum: int = 1,
    timeout: dt.timedelta | None = None,
    remind_every: dt.timedelta | None = None,
    escalate_to: Sequence[str] = (),
    escalate_after: dt.timedelta | None = None,
) -> Decision[F]: ...
async def approval(
    form: Any = None,
    *,
    title: str,
    details: Any = None,
    approvers: Sequence[str] | None = None,
    requested_by: str | None = None,
    quorum: int = 1,
    timeout: dt.timedelta | None = None,
    remind_every: dt.timedelta | None = None,
    escalate_to: Sequence[str] = (),
    escalate_after: dt.timedelta | None = None,
) -> Decision[Any]:
    """Ask people to decide, and wait durably for what becomes of it.

    `form` is a pydantic model or a dataclass that says what may be filled in, or an instance of one, with
    values that may be edited. `title` and `details` (anything with a JSON form) are what is shown. Only
    `approvers` may decide (anybody, when left out), and never `requested_by`. `quorum` people have to
    approve; one who rejects decides for all. After `timeout` it expires. From `escalate_after` on (half of
    `timeout` when left out) the people in `escalate_to` may decide as well; `remind_every` is how often a
    reminder is on record. A body that stops waiting withdraws it.
    Raises `DefinitionError` for options that mean nothing, `InputInvalid` for details without a JSON form,
    `PayloadTooLarge` for more than people could read, `OutsideRun` outside a saga's body.

    >>> decision = await approval(
    ...     Refund(amount=10), title="Refund order 7", approvers=["ann", "bob"]
    ... )
    >>> if decision.approved:
    ...     await pay_back(decision.values.amount)
    """
    body = running_body()
    if body is None:
        raise OutsideRun("approval() was called outside a saga's body; only a run can ask people")
    kind = None if form is None else form_of(form if isinstance(form, type) else type(form))
    before = form if kind is not None and not isinstance(form, type) else None
    request = Request(
        title=_title(title),
        details=_details(details),
        form=None if kind is None else kind.schema,
        values=None if kind is None or before is None else kind.values_of(before),
        approvers=None if approvers is None else _people(approvers, "approvers"),
        requested_by=None if requested_by is None else _people([requested_by], "requested_by")[0],
        quorum=checked.count(quorum, "approval: quorum", DefinitionError),
        timeout=_milliseconds(timeout, "timeout"),
        remind_every=_milliseconds(remind_every, "remind_every", SECOND),
        escalate_to=_people(escalate_to, "escalate_to") if escalate_to else (),
        escalate_after=_escalation(escalate_to, escalate_after, timeout),
    )
    _check_quorum(request)
    return _decision(await body.ask_people(request), kind)


def _decision(answer: Answer, kind: Form[F] | None) -> Decision[F]:
    """Make the decision of what the journal says. Raises `InputInvalid` for values of other code's form."""
    told, meta = json.loads(answer.payload), answer.meta
    values = told.get("values")
    found: F | None = None
    if kind is not None and values is not None:
        try:
            found = kind.json.decode(json.dumps(values).encode())
        except ValueError as problem:
            misfit = f"the approved values don't fit {kind.kind.__name__!r}: {problem}"
            raise InputInvalid(misfit) from problem
    at = meta.get("at")
    return Decision(
        ApprovalStatus(answer.outcome),
        found,
        meta.get("by"),
        told.get("reason"),
        meta.get("how"),
        None if at is None else dt.datetime.fromtimestamp(at / 1000, dt.UTC),
        tuple(meta.get("voters", ())),
    )


def _title(title: Any) -> str:
    if not isinstance(title, str) or not 0 < len(title) <= LONGEST_TITLE or not title.isprintable():
        raise DefinitionError(
            f"approval: its title is a printable text of 1 to {LONGEST_TITLE} characters, not {title!r}"
        )
    return title


def _details(details: Any) -> Any:
    try:
        return json.loads(to_json(details, by_alias=False, round_trip=True))
    except ValueError as problem:
        raise InputInvalid(f"approval: its details have no JSON form: {problem}") from problem


def _people(people: Any, what: str) -> tuple[str, ...]:
    if isinstance(people, str) or not isinstance(people, Sequence) or not people:
        raise DefinitionError(f"approval: {what} takes names, such as {what}=['ann'], not {people!r}")
    names = (checked.person(each, f"approval: a name in {what}", DefinitionError) for each in people)
    return tuple(dict.fromkeys(names))


def _milliseconds(
    duration: dt.timedelta | None, what: str, least: dt.timedelta = checked.MILLISECOND
) -> int | None:
    if duration is None:
        return None
    return round(
        checked.duration(duration, f"approval: {what}", DefinitionError, least) / checked.MILLISECOND
    )


def _escalation(to: Sequence[str], after: dt.timedelta | None, timeout: dt.timedelta | None) -> int | None:
    """Give after how many milliseconds others are asked as well."""
    if not to:
        if after is not None:
            raise DefinitionError("approval: escalate_after= says when, and escalate_to= doesn't say to whom")
        return None
    if after is None and timeout is None:
        raise DefinitionError("approval: escalate_to= needs escalate_after= or timeout=: when is it time?")
    return _milliseconds(after if after is not None else (timeout or dt.timedelta()) / 2, "escalate_after")


def _check_quorum(request: Request) -> None:
    if request.approvers is None:
        return
    able = {*request.approvers, *request.escalate_to} - {request.requested_by}
    if len(able) < request.quorum:
        raise DefinitionError(
            f"approval {request.title!r}: {request.quorum} people have to approve, and only {len(able)} may"
        )
