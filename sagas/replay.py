"""Comparing what a body asks for with what the journal says."""

from __future__ import annotations

from amends.sagas.body import Body
from amends.sagas.commands import AskPeople, Command, Issued, RollBack, StartOver
from amends.sagas.journal import Entry
from amends.sagas.request import Request
from amends.sagas.step_record import StepRecord

SHOWN = 300
NON_DETERMINISM = "non-determinism: "
"""How the reason of a run begins that was parked because its body diverged from its journal."""


class Diverged(Exception):
    """The body and the journal say different things; `report` shows both sides."""

    def __init__(self, report: str) -> None:
        super().__init__(report)
        self.report = report


class Matcher:
    """Pairs the commands of a replayed body with the recorded intents."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._open: dict[int, Issued] = {}
        self.given_up: set[int] = set()

    @property
    def unmatched(self) -> list[Issued]:
        """The commands that no entry has answered yet, in their order."""
        return [command for command in self._open.values() if command.ref not in self.given_up]

    def collect(self) -> None:
        """Take over what the body has just asked for."""
        for command in self._body.take_issued():
            self._open[command.ref] = command
        self.given_up.update(self._body.given_up)
        self._body.given_up.clear()

    def match(self, entry: Entry, record: StepRecord) -> None:
        """Pair a recorded call with the body's. Raises `Diverged` when they differ."""
        command = self._open.pop(record.ref, None)
        if not isinstance(command, Command):
            raise Diverged(self._report(entry, record, None))
        another = command.step.name != record.name or (command.step.effect == "child") != bool(record.child)
        if another or not _same_arguments(command, record):
            raise Diverged(self._report(entry, record, command))

    def match_rollback(self, entry: Entry) -> None:
        """Find the recorded undoing of a savepoint among what the body asks for. Raises `Diverged`."""
        if not isinstance(self._open.pop(entry.ref or 0, None), RollBack):
            raise Diverged(
                f"journal entry {entry.seq} says: savepoint {entry.ref} is undone; {self._asked()}"
            )

    def match_approval(self, entry: Entry) -> None:
        """Find a recorded approval among what the body asks for. Raises `Diverged`."""
        command = self._open.pop(entry.ref or 0, None)
        recorded = Request.from_json(entry.payload or b"{}")
        if not isinstance(command, AskPeople) or not command.request.asks_the_same(recorded):
            asked = self._asked() if command is None else f"the body asks for: {_told(command)}"
            raise Diverged(
                f"journal entry {entry.seq} says: {_shown_request(recorded)} (step {entry.ref}); {asked}"
            )

    def expect_none(self, entry: Entry) -> None:
        """Check that the body asked for nothing that the journal lacks at this point. Raises `Diverged`."""
        for command in self._open.values():
            if isinstance(command, StartOver):
                # It is on record only once what came before it has settled.
                continue
            if not isinstance(command, Command) or command.step.effect != "read":
                asked = _told(command)
                raise Diverged(
                    f"journal entry {entry.seq} says: {entry.kind} ({entry.name or entry.ref}); before it, "
                    f"the body asks for a step that the journal lacks: {asked}"
                )

    def _report(self, entry: Entry, record: StepRecord, command: Command | None) -> str:
        recorded = (
            f"journal entry {entry.seq} says: {_shown(record.name, record.arguments)} (step {record.ref})"
        )
        asked = self._asked() if command is None else f"the body asks for: {_told(command)}"
        return f"{recorded}; {asked}"

    def _asked(self) -> str:
        if self._open:
            return f"the body asks for: {'; '.join(map(_told, self._open.values()))}"
        return "the body has ended" if self._body.returned else "the body waits and asks for no step"


def _told(command: Issued) -> str:
    if isinstance(command, RollBack):
        return f"the undoing of savepoint {command.ref}"
    if isinstance(command, StartOver):
        return "a new beginning: continue_as_new()"
    if isinstance(command, AskPeople):
        return _shown_request(command.request)
    return _shown(command.step.name, command.arguments)


def _shown_request(request: Request) -> str:
    return f"approval {request.title!r}"


def _same_arguments(command: Command, record: StepRecord) -> bool:
    if command.arguments == record.arguments:
        return True
    try:
        return command.step.arguments.json.canonical(record.arguments) == command.arguments
    except ValueError:
        return False


def _shown(name: str, arguments: bytes) -> str:
    text = arguments.decode(errors="replace")
    return f"{name}({text if len(text) <= SHOWN else text[:SHOWN] + '…'})"
