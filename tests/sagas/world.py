"""What the participants really hold, and what they answer: the truth that a journal is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amends.sagas import Fatal, NoEffect, StepTimeout
from amends.sagas.failure import describe
from amends.sagas.news import Attempt, Attempted
from amends.sagas.outcome import Outcome

HAPPENS = ("ok", "unknown", "bad_result")
"""The answers of a step after which its effect is in the world."""


@dataclass(slots=True)
class Effect:
    """What a participant holds under one key."""

    node: int
    landed: bool = False
    undone: bool = False
    calls: int = 0
    undo_calls: int = 0


@dataclass(slots=True)
class World:
    """Participants with a script: the n-th call of a node answers with the n-th word, then with "ok".

    Steps: `ok`, `error` (nothing happened, but who knows), `unknown` (it happened, the answer was lost),
    `not_landed` (evidence), `fatal`, `bad_result` (it happened, its result can't be encoded).
    Compensations: `ok`, `error`, `unknown` (undone, the answer was lost). Probes look, and have no script.
    """

    forward: Mapping[int, Sequence[str]] = field(default_factory=dict)
    backward: Mapping[int, Sequence[str]] = field(default_factory=dict)
    effects: dict[str, Effect] = field(default_factory=dict)
    undo_keys: dict[str, str] = field(default_factory=dict)
    reads: dict[int, int] = field(default_factory=dict)
    wrongs: list[str] = field(default_factory=list)

    def execute(self, attempt: Attempt, started: int, ended: int) -> Attempted:
        """Let an attempt happen, and give what its worker learns of it."""
        word = self.land(attempt)
        return answer(attempt, word, started, ended)

    def land(self, attempt: Attempt) -> str:
        """Let an attempt happen in the world; give the word of its script."""
        node = int(json.loads(attempt.arguments)["n"])
        if attempt.probing:
            known = self.effects.get(attempt.key)
            return "found" if known is not None and known.landed else "absent"
        if attempt.undoing:
            return self._undo(attempt, node)
        if not attempt.key:
            self.reads[node] = self.reads.get(node, 0) + 1
            return _word(self.forward.get(node, ()), self.reads[node])
        effect = self.effects.setdefault(attempt.key, Effect(node))
        effect.calls += 1
        word = _word(self.forward.get(node, ()), effect.calls)
        if word in HAPPENS:
            if effect.undone:
                self.wrongs.append(f"node {node} lands after it was undone (S6)")
            effect.landed = True
        return word

    def _undo(self, attempt: Attempt, node: int) -> str:
        effect = self.effects.setdefault(attempt.forward_key, Effect(node))
        effect.undo_calls += 1
        if attempt.key == attempt.forward_key:
            self.wrongs.append(f"node {node}: its compensation uses the step's key (S9)")
        if self.undo_keys.setdefault(attempt.forward_key, attempt.key) != attempt.key:
            self.wrongs.append(f"node {node}: the compensation's key changed (S9)")
        word = _word(self.backward.get(node, ()), effect.undo_calls)
        if word in HAPPENS:
            effect.undone = True
        return word

    def stands(self, key: str) -> bool:
        """Tell whether an effect is in the world."""
        effect = self.effects.get(key)
        return effect is not None and effect.landed and not effect.undone


def answer(attempt: Attempt, word: str, started: int, ended: int) -> Attempted:
    """Give what a worker learns when the script says `word`."""
    error: BaseException | None = None
    outcome = Outcome.UNKNOWN
    if word in ("ok", "bad_result", "found"):
        outcome = Outcome.LANDED
    if word in ("not_landed", "absent"):
        outcome, error = Outcome.NOT_LANDED, NoEffect("refused")
    elif word == "fatal":
        error = Fatal("hopeless")
    elif word == "timeout":
        error = StepTimeout("took too long")
    elif word in ("error", "unknown", "bad_result"):
        error = ValueError(word)
    result = (
        attempt.arguments if outcome is Outcome.LANDED and error is None and not attempt.undoing else None
    )
    if result is not None:
        result = json.dumps(json.loads(result)["n"]).encode()
    return Attempted(
        attempt.ref,
        attempt.attempt,
        attempt.undoing,
        outcome,
        started,
        ended,
        result,
        None if error is None else describe(error).to_json(),
        error,
        probing=attempt.probing,
    )


def _word(script: Sequence[str], call: int) -> str:
    return script[call - 1] if call <= len(script) else "ok"
