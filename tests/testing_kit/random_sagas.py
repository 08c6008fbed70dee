"""Random sagas by seed: trees for `tests.sagas.programs`, without hypothesis, so that a seed says it all."""

from __future__ import annotations

import random

from tests.sagas.programs import CALLS, Node, numbered

KINDS = ["sequence", "sequence", "gather", "collect", "group", "limited", "try", "finally", "leave"]


def tree(seed: int) -> Node:
    """Grow the saga of a seed."""
    rng = random.Random(seed)  # noqa: S311 - it must repeat
    return numbered({"kind": "sequence", "parts": [_node(rng, 3) for _ in range(rng.randint(1, 2))]})


def _node(rng: random.Random, depth: int) -> Node:
    if depth == 0 or rng.random() < 0.35:
        return _leaf(rng)
    parts = [_node(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    kind = rng.choice([*KINDS, "race", "timeout"])
    if kind == "race":
        return {"kind": kind, "patient": rng.random() < 0.5, "parts": parts}
    if kind == "timeout":
        return {"kind": kind, "seconds": rng.choice([0.5, 5, 50]), "parts": parts}
    return {"kind": kind, "parts": parts}


def _leaf(rng: random.Random) -> Node:
    chance = rng.random()
    if chance < 0.8:
        return {"kind": rng.choice([*CALLS, "once", "thrice", "once"]), "n": 0}
    if chance < 0.9:
        return {"kind": "sleep", "seconds": rng.choice([0, 0.5, 3, 100])}
    return {"kind": rng.choice(["chance", "raise"])}
