"""Which compensations are owed, and in which order: decided from the journal alone."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from amends.sagas.outcome import Effect
from amends.sagas.step_record import SETTLED, StepRecord, Undoing

if TYPE_CHECKING:
    from amends.sagas.history import History


class UndoOrder:
    """The order in which a run's effects are undone.

    If the outcome of a was delivered to the body before the intent of b, b is settled before a's compensation
    starts (S7). Journal positions say it all: a may start once no unsettled b has its intent after the
    delivery of a. Steps whose outcome was never delivered precede nothing. Both heaps are popped at most
    once an effect, so a turn costs what it settles, not what the run has done.
    """

    def __init__(self, steps: Mapping[int, StepRecord]) -> None:
        owed = [step for step in steps.values() if step.undoable and step.undoing not in SETTLED]
        self._steps = steps
        self._unsettled = [(-step.intent_seq, step.ref) for step in owed]
        self._idle = [(-_delivered(step), -step.intent_seq, step.ref) for step in owed]
        heapq.heapify(self._unsettled)
        heapq.heapify(self._idle)

    def ready(self, now: int) -> tuple[list[StepRecord], int | None]:
        """Give the steps whose compensation may start now, last intent first, and when to ask again.

        A step whose forward call is under way, or may still land, is not among them (S6); the second value
        is the earliest end of such a window.
        """
        last = self._last_unsettled()
        found: list[StepRecord] = []
        kept: list[tuple[float, int, int]] = []
        again: int | None = None
        while self._idle and -self._idle[0][0] > last:
            item = heapq.heappop(self._idle)
            step = self._steps[item[2]]
            if step.undoing is not Undoing.NONE or not step.owed:
                continue
            if step.moving or (step.window is not None and step.window > now):
                kept.append(item)
                if not step.moving and step.window is not None:
                    again = step.window if again is None else min(again, step.window)
            else:
                found.append(step)
        for item in kept:
            heapq.heappush(self._idle, item)
        return found, again

    def _last_unsettled(self) -> float:
        while self._unsettled:
            step = self._steps[self._unsettled[0][1]]
            if step.owed:
                return step.intent_seq
            heapq.heappop(self._unsettled)
        return -1


def _delivered(step: StepRecord) -> float:
    return inf if step.delivered_seq is None else step.delivered_seq


def owed(steps: Mapping[int, StepRecord]) -> list[StepRecord]:
    """Give the steps whose compensation must still succeed before the run ends undone, last intent first."""
    return sorted((step for step in steps.values() if step.owed), key=lambda step: -step.intent_seq)


def standing(steps: Mapping[int, StepRecord]) -> list[StepRecord]:
    """Give the effects that stay in the world although the run didn't complete, in the order of intents.

    A plain or retriable step counts where it landed; an irreversible one, a pivot, and a compensatable one
    that wasn't undone, also where nobody knows; a child run where something of it stays.
    """
    return [step for step in steps.values() if _stands(step)]


def _stands(step: StepRecord) -> bool:
    undone = step.undoing is Undoing.DONE
    if step.child is not None:
        return step.child.stands or (not undone and step.owed) or step.undoing is Undoing.WAIVED
    if undone or step.effect is Effect.READ:
        return False
    return step.landed if step.effect in (Effect.PLAIN, Effect.RETRIABLE) else step.may_stand


def can_be_undone(history: History) -> bool:
    """Tell whether there is something to undo of a run that has completed."""
    return not history.pivoted and any(step.owed for step in history.steps.values())
