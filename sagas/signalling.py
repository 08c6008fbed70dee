"""Sending signals to runs."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from typing import Any

from amends.persistence.records import InboxRow, Receipt, Write, Written
from amends.sagas import checked
from amends.sagas.body import too_large
from amends.sagas.desk import Desk
from amends.sagas.errors import (
    AmendsError,
    DefinitionError,
    InputInvalid,
    RunEnded,
    RunNotFound,
    StartConflict,
)
from amends.sagas.joining import Joinable
from amends.sagas.journal import Kind
from amends.sagas.missing import not_found
from amends.sagas.new_runs import new_run
from amends.sagas.registry import SAGAS
from amends.sagas.saga import Saga
from amends.sagas.signals import plain
from amends.sagas.starting import Starts
from amends.tracing.propagation import sender

LONGEST_MESSAGE_ID = 300
REMEMBERED = 10_000
"""Of so many runs it is remembered which saga they are of: that never changes."""

AnySaga = Saga[..., Any]


class Signalling:
    """Sends signals; what is sent is checked against what the run's saga receives, where that is known."""

    def __init__(self, desk: Desk, starts: Starts, most: int) -> None:
        self._desk = desk
        self._starts = starts
        self._most = most
        self._sagas: OrderedDict[str, tuple[str, str]] = OrderedDict()

    async def send(
        self,
        run_id: str,
        name: str,
        payload: Any,
        message_id: str | None,
        connection: Joinable | None = None,
    ) -> None:
        """Send a signal to a run. Raises what `Coordinator.signal` raises."""
        saga = SAGAS.get(await self._saga_of(run_id, connection))
        row = self._letter(run_id, name, payload, message_id, saga)
        receipt = await self._desk.write(Write(run_id, inbox=row), connection, claim=True)
        await self._sent(run_id, receipt, connection)

    async def send_or_start(
        self,
        saga: AnySaga,
        data: bytes,
        run_id: str,
        name: str,
        payload: Any,
        message_id: str | None,
        connection: Joinable | None = None,
    ) -> None:
        """Send a signal to a run, which is started with it where there is none of this id."""
        row = self._letter(run_id, name, payload, message_id, saga)
        there = await self._is_there(run_id, saga, connection)
        while True:
            start = None if there else self._desk.born(new_run(saga, run_id, data, row.at))
            receipt = await self._desk.write(Write(run_id, start=start, inbox=row), connection, claim=True)
            if receipt.written is Written.TAKEN:
                # Somebody else has started it meanwhile.
                there = await self._is_there(run_id, saga, connection)
            elif receipt.written is Written.UNKNOWN_RUN and there:
                # It was removed since it was last seen.
                self._sagas.pop(run_id, None)
                there = False
            else:
                break
        await self._sent(run_id, receipt, connection)

    async def _is_there(self, run_id: str, saga: AnySaga, connection: Joinable | None) -> bool:
        """Tell whether there is such a run. Raises `StartConflict` where it is another saga's."""
        try:
            name, _ = await self._saga_of(run_id, connection)
        except RunNotFound:
            return False
        if name != saga.name:
            raise StartConflict(
                f"the id {run_id!r} belongs to a run of saga {name!r}; signals for {saga.name!r} go to "
                "runs with other ids"
            )
        return True

    async def _saga_of(self, run_id: str, connection: Joinable | None) -> tuple[str, str]:
        """Give the name and version of a run's saga, from memory if possible. Raises `RunNotFound`."""
        found = self._sagas.get(checked.an_id(run_id, "a run's id"))
        if found is None:
            row = await self._desk.row(run_id, connection)
            found = row.saga, row.version
            if connection is not None:
                # It may be there for this transaction alone.
                return found
            self._sagas[run_id] = found
            if len(self._sagas) > REMEMBERED:
                self._sagas.popitem(last=False)
        return found

    def _letter(
        self, run_id: str, name: str, payload: Any, message_id: str | None, saga: AnySaga | None
    ) -> InboxRow:
        """Make the message, idempotent by its id. Raises `InputInvalid`, `PayloadTooLarge`."""
        checked_name(name)
        data = plain(name, payload) if saga is None else saga.signals.encode(name, payload)
        if len(data) > self._most:
            raise too_large(f"signal {name!r}: its payload", len(data), self._most)
        sent = uuid.uuid4().hex if message_id is None else _checked(message_id)
        return message(run_id, name, sent, data, self._desk.now())

    async def _sent(self, run_id: str, receipt: Receipt, connection: Joinable | None) -> None:
        """See what became of a signal. Raises `RunNotFound`, `RunEnded`, `AmendsError`."""
        if receipt.written is Written.UNKNOWN_RUN:
            raise not_found(run_id)
        if receipt.written is Written.ENDED:
            ended = await self._desk.row(run_id, connection)
            raise RunEnded(f"run {run_id!r} has ended: {ended.status}; nobody receives its signals any more")
        if receipt.written is not Written.DONE:
            raise AmendsError(f"run {run_id!r} can't be sent a signal: {receipt.reason or receipt.written}")
        if connection is None:
            self._desk.look_for(run_id)


def message(run_id: str, name: str, message_id: str, data: bytes, at: int) -> InboxRow:
    """Make the inbox row of a signal: its key is its message's id, so that sending is idempotent."""
    meta = {"name": name, "id": message_id}
    if (span := sender()) is not None:
        meta["from"] = span
    return InboxRow(run_id, f"signal:{message_id}", Kind.SIGNAL.value, at, json.dumps(meta), data)


def checked_name(name: object) -> None:
    """Check a signal's name. Raises `InputInvalid`."""
    try:
        checked.name(name, "a signal's name")
    except DefinitionError as problem:
        raise InputInvalid(str(problem)) from None


def _checked(message_id: object) -> str:
    if (
        not isinstance(message_id, str)
        or not 0 < len(message_id) <= LONGEST_MESSAGE_ID
        or not message_id.isprintable()
    ):
        raise InputInvalid(
            f"a message's id is a printable text of 1 to {LONGEST_MESSAGE_ID} characters, not {message_id!r}"
        )
    return message_id
