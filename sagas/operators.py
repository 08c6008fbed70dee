"""What a person does about runs that need one: each act attributed, audited, and done once (S25)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from amends.persistence.records import AuditRow, InboxRow, Wake, Write, Written
from amends.sagas import checked
from amends.sagas.desk import Desk
from amends.sagas.errors import ActionRefused, InputInvalid, RecordUnreadable, RunEnded, RunNotFound
from amends.sagas.handle import fold
from amends.sagas.history import History
from amends.sagas.journal import OPERATOR
from amends.sagas.operating import Act, Action, objection
from amends.sagas.step_record import StepRecord

StepName = int | str
WAKES = {Act.UNDO: Wake.UNDO}


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of one run of many: `refused` says why nothing was done to it."""

    run_id: str
    refused: str | None = None


class Operator:
    """One person's acts on runs; made by `coordinator.operator(by=...)`.

    A step is named by its number in the journal, or by its name where it was called only once. Each act is
    durable when the call returns, in the audit trail under the person's name, and carried out by the worker
    that has the run. All raise `RunNotFound`, and `ActionRefused` where the act doesn't fit the run as it
    stands, or somebody else has acted on the same state before. With `dry_run` nothing is written.
    """

    def __init__(self, desk: Desk, by: str, *, dry_run: bool = False) -> None:
        self._desk = desk
        self.by = checked.person(by, "an operator's name")
        self.dry_run = dry_run

    async def retry(self, run_id: str, step: StepName, *, reason: str | None = None) -> None:
        """Have a step that is in doubt, or a compensation that failed for good, tried again."""
        await self._act(run_id, Act.RETRY, step, reason=reason)

    async def resolve(
        self, run_id: str, step: StepName, *, landed: bool, evidence: str, result: Any = None
    ) -> None:
        """Say whether a step landed, with evidence; `result` is what it would have returned.

        Raises `InputInvalid` where the result has no JSON form.
        """
        if not evidence:
            raise InputInvalid("to resolve a step takes evidence: where did you look, and what did you find?")
        try:
            data = to_json(result, by_alias=False, round_trip=True) if landed else None
        except ValueError as error:
            raise InputInvalid(f"the result {result!r} has no JSON form: {error}") from error
        await self._act(run_id, Act.RESOLVE, step, reason=evidence, landed=landed, result=data)

    async def skip(self, run_id: str, step: StepName, *, reason: str | None = None) -> None:
        """Leave out a compensation that failed for good: the effect stays, and is listed as left standing."""
        await self._act(run_id, Act.SKIP, step, reason=reason)

    async def waive(self, run_id: str, step: StepName, *, reason: str) -> None:
        """Give up a compensation that is owed: the effect stays, and is listed as left standing."""
        await self._act(run_id, Act.WAIVE, step, reason=reason)

    async def resume(self, run_id: str, *, reason: str | None = None) -> None:
        """Let a parked run go on: under other code, or because what was in its way is gone."""
        await self._act(run_id, Act.RESUME, reason=reason)

    async def abort(self, run_id: str, *, reason: str | None = None) -> None:
        """Have a run undone that is going on or parked."""
        await self._act(run_id, Act.ABORT, reason=reason)

    async def undo(self, run_id: str, *, reason: str | None = None) -> None:
        """Have a completed run undone as a unit."""
        await self._act(run_id, Act.UNDO, reason=reason)

    async def for_each(self, act: Callable[[str], Awaitable[None]], run_ids: list[str]) -> list[Acted]:
        """Do `act`, one of this operator's methods for whole runs, to each run; a refusal stops nothing.

        Nor does a run that isn't there, or whose journal can't be read.
        """
        done = []
        for run_id in run_ids:
            try:
                await act(run_id)
            except (ActionRefused, RunEnded, RunNotFound, RecordUnreadable) as refusal:
                done.append(Acted(run_id, str(refusal)))
            else:
                done.append(Acted(run_id))
        return done

    async def _act(
        self,
        run_id: str,
        act: Act,
        step: StepName | None = None,
        *,
        reason: str | None,
        landed: bool | None = None,
        result: bytes | None = None,
    ) -> None:
        checked.storable(reason, "the reason")
        history = fold(await self._desk.journal(run_id))
        status = await self._desk.status(run_id)
        ref = None if step is None else _numbered(run_id, history, step)
        action = Action(act, self.by, ref, reason, landed, result)
        told = objection(history, action)
        if act is Act.RESUME and told is None and not history.parked:
            told = f"it isn't parked, it is {status}"
        if told is not None:
            raise ActionRefused(f"run {run_id!r}: {told}")
        if not self.dry_run:
            await self._send(run_id, action, history)

    async def _send(self, run_id: str, action: Action, history: History) -> None:
        """Write the act and its line in the audit trail, unless somebody has acted on this very state."""
        desk, meta = self._desk, json.dumps(action.meta())
        now = desk.now()
        key = f"{OPERATOR}:{history.seq}:{action.ref or 0}"
        receipt = await desk.write(
            Write(
                run_id,
                inbox=InboxRow(run_id, key, OPERATOR, now, meta, action.result),
                wake=WAKES.get(action.act, Wake.OPERATOR),
                fresh=True,
                audit=(AuditRow(run_id, now, self.by, action.act.value, meta),),
            )
        )
        if receipt.written is Written.KNOWN:
            raise ActionRefused(
                f"run {run_id!r}: somebody has acted on the state that you saw (journal entry {history.seq});"
                f" see `amends audit {run_id}`, and look again"
            )
        if receipt.written is Written.ENDED:
            raise RunEnded(f"run {run_id!r} has ended already")
        if receipt.written is not Written.DONE:
            raise ActionRefused(f"run {run_id!r}: {receipt.reason or receipt.written}")
        desk.look_for(run_id)


def _numbered(run_id: str, history: History, step: StepName) -> int:
    """Find a step by its number or name. Raises `ActionRefused`."""
    found: list[StepRecord] = [
        record for record in history.steps.values() if step in (record.ref, record.name, str(record.ref))
    ]
    if len(found) == 1:
        return found[0].ref
    if found:
        numbers = ", ".join(str(record.ref) for record in found)
        raise ActionRefused(f"run {run_id!r} called step {step!r} more than once: say which of {numbers}")
    known = ", ".join(f"{record.ref} {record.name}" for record in history.steps.values()) or "none"
    raise ActionRefused(f"run {run_id!r} has no step {step!r}; it has: {known}")
