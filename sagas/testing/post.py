"""Sending signals and decisions to a simulated run: in order, each at its moment, by who may be killed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amends.persistence.records import InboxRow, Write, Written
from amends.sagas.errors import InputInvalid
from amends.sagas.saga import Saga
from amends.sagas.signalling import checked_name, message
from amends.sagas.testing.mishaps import Mishap, Point
from amends.sagas.testing.people import Decides, decide, pending

if TYPE_CHECKING:
    from amends.sagas.testing.stage import Stage

AGAIN = 0.004
"""Seconds after which a sender that was killed, or that nobody answered, sends again."""
PARTS = (2, 3)

Given = tuple[str, Any] | tuple[str, Any, str] | Decides


@dataclass(frozen=True, slots=True)
class Signal:
    """What is sent: a signal's name, its payload as JSON, and the message's id."""

    name: str
    data: bytes
    id: str


Letter = Signal | Decides


def encoded(saga: Saga[..., Any], signals: Sequence[Given]) -> tuple[Letter, ...]:
    """Check what is to be sent, as a real sender does. Raises `InputInvalid`."""
    made: list[Letter] = []
    given: Any
    for number, given in enumerate(signals, 1):
        if isinstance(given, Decides):
            made.append(given)
            continue
        if not isinstance(given, tuple) or len(given) not in PARTS:
            raise InputInvalid(
                "a signal is (name, payload) or (name, payload, message id), and a decision "
                f"Decides(by=...), not {given!r}"
            )
        name, payload, *rest = given
        checked_name(name)
        made.append(Signal(name, saga.signals.encode(name, payload), *(rest or [f"signal-{number}"])))
    return tuple(made)


class Sender:
    """Sends signals one after the other; killed, it sends the same message again.

    Each is sent when the mishaps say so: after some time, or once the run does nothing but wait for signals.
    """

    def __init__(self, stage: Stage, run_id: str, signals: Sequence[Letter]) -> None:
        self._stage = stage
        self._run_id = run_id
        self._left = deque(enumerate(signals, 1))
        self._begun = False
        self._until_asked = False
        self._met = 0
        self._idle = False
        self._aims: dict[int, str] = {}
        self._late: int | None = None

    def begin(self) -> None:
        """Begin: there is a run."""
        if not self._begun:
            self._begun = True
            self._plan()

    def asked(self, entries: int) -> None:
        """Take note that the run does nothing but wait; it has so many journal entries."""
        if self._until_asked and entries != self._late:
            self._until_asked, self._idle = False, True
            self._send()
            self._idle = False

    def _plan(self) -> None:
        if not self._left:
            return
        number, _ = self._left[0]
        ms = self._stage.mishaps.signal_ms(number)
        self._until_asked = ms is None
        if ms is None:
            self._stage.check_soon()
        else:
            self._stage.loop.call_later(ms / 1000, self._send)

    def _send(self) -> None:
        number, signal = self._left[0]
        if isinstance(signal, Decides) and not self._aimed(number, signal):
            return
        mishap = self._meet(number, signal)
        if mishap is Mishap.LATE:
            self._postpone()
            return
        if mishap is Mishap.KILLED_BEFORE:
            self._stage.note(f"the sender of {signal.name} dies")
        else:
            self._put(number, signal)
        if mishap in (Mishap.KILLED_BEFORE, Mishap.KILLED_AFTER):
            self._stage.loop.call_later(AGAIN, self._send)
            return
        if self._stage.mishaps.pick(2):
            # It was delivered twice.
            self._stage.loop.call_later(AGAIN, self._put, number, signal)
        self._left.popleft()
        self._plan()

    def _meet(self, number: int, signal: Letter) -> Mishap | None:
        """Tell what goes wrong with a signal, the first time that it is sent."""
        if self._met == number:
            return None
        self._met = number
        stage = self._stage
        return stage.meet(Point("signal", number, signal.name, stage.now(), "the sender"))

    def _postpone(self) -> None:
        """Wait until the run has gone on without the signal, where anything else can make it go on."""
        run = self._stage.run
        self._until_asked = True
        self._late = None if run is None or run.row.due_at is None else len(run.rows)
        self._stage.check_soon()

    def _aimed(self, number: int, decision: Decides) -> bool:
        """Tell whether there is something to decide, the same for every sending; else wait, or drop it."""
        found = self._aims.get(number) or pending(self._stage.run)
        if found is not None:
            self._aims[number] = found
        elif self._idle:
            self._stage.note(f"{decision.name}: nobody is asked")
            self._left.popleft()
            self._plan()
        else:
            self._until_asked, self._late = True, None
            self._stage.check_soon()
        return found is not None

    def _put(self, number: int, signal: Letter) -> None:
        stage = self._stage
        if isinstance(signal, Decides):
            if stage.run is not None:
                fate = decide(stage, stage.run, self._aims[number], signal)
                stage.note(f"{signal.name} of {self._aims[number]}: {fate}")
            stage.look_soon()
            return
        row: InboxRow = message(self._run_id, signal.name, signal.id, signal.data, stage.now())
        receipt = stage.store.apply(Write(self._run_id, inbox=row), None, None)
        fate = "sent" if receipt.written is Written.DONE else receipt.written
        stage.note(f"signal {signal.name} ({signal.id}): {fate}")
        stage.look_soon()
