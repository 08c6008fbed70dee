"""Comparing what a body asks for with what the journal says."""

from __future__ import annotations

from amends.sagas.body import Body, Command
from amends.sagas.history import StepRecord
from amends.sagas.journal import Entry

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
        self._open: dict[int, Command] = {}
        self.given_up: set[int] = set()

    @property
    def unmatched(self) -> list[Command]:
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
        if command is None:
            raise Diverged(self._report(entry, record, None))
        if command.step.name != record.name or not _same_arguments(command, record):
            raise Diverged(self._report(entry, record, command))

    def expect_none(self, entry: Entry) -> None:
        """Check that the body asked for nothing that the journal lacks at this point. Raises `Diverged`."""
        for command in self._open.values():
            if command.step.effect != "read":
                asked = _shown(command.step.name, command.arguments)
                raise Diverged(
                    f"journal entry {entry.seq} says: {entry.kind} ({entry.name or entry.ref}); before it, "
                    f"the body asks for a step that the journal lacks: {asked}"
                )

    def _report(self, entry: Entry, record: StepRecord, command: Command | None) -> str:
        recorded = (
            f"journal entry {entry.seq} says: {_shown(record.name, record.arguments)} (step {record.ref})"
        )
        if command is not None:
            asked = f"the body asks for: {_shown(command.step.name, command.arguments)}"
        elif self._open:
            others = "; ".join(_shown(c.step.name, c.arguments) for c in self._open.values())
            asked = f"the body asks for: {others}"
        else:
            asked = "the body has ended" if self._body.returned else "the body waits and asks for no step"
        return f"{recorded}; {asked}"


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
