"""Random sagas by seed: trees for `tests.sagas.programs`, without hypothesis, so that a seed says it all."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from tests.sagas.programs import (
    AFTER,
    ANYWHERE,
    AROUND_PIVOTS,
    BEFORE,
    PIVOTS,
    Node,
    decisions,
    letters,
    numbered,
    past,
)

KINDS = ["sequence", "gather", "collect", "group", "limited", "try", "finally", "leave", "child", "child"]


def tree(seed: int) -> Node:
    """Grow the saga of a seed; every third one has a point of no return, every seventh begins anew."""
    rng = random.Random(seed)  # noqa: S311 - it must repeat
    if seed % 7 == 1:
        again = {"kind": "anew", "parts": _some(rng, ANYWHERE, 2)}
        return numbered({"kind": "sequence", "parts": [*_some(rng, ANYWHERE, 2), again]})
    if seed % 3:
        return numbered({"kind": "sequence", "parts": _some(rng, ANYWHERE, 3)})
    return past(_some(rng, BEFORE, 2), _point(rng), _some(rng, AFTER, 2))


def _some(rng: random.Random, steps: Iterable[str], depth: int) -> list[Node]:
    return [_node(rng, steps, depth) for _ in range(rng.randint(1, 2))]


def _point(rng: random.Random) -> Node:
    """Give a pivot, bare or among other steps."""
    point: Node = {"kind": rng.choice([*PIVOTS]), "n": 0}
    if rng.random() < 0.5:
        return point
    return {"kind": rng.choice([*AROUND_PIVOTS, "child", "child"]), "parts": [point, _leaf(rng, BEFORE)]}


def _node(rng: random.Random, steps: Iterable[str], depth: int) -> Node:
    if depth == 0 or rng.random() < 0.35:
        return _leaf(rng, steps)
    parts = [_node(rng, steps, depth - 1) for _ in range(rng.randint(1, 3))]
    kind = rng.choice([*KINDS, "race", "timeout"])
    if kind == "race":
        return {"kind": kind, "patient": rng.random() < 0.5, "parts": parts}
    if kind == "timeout":
        return {"kind": kind, "seconds": rng.choice([0.5, 5, 50]), "parts": parts}
    return {"kind": kind, "parts": parts}


def _leaf(rng: random.Random, steps: Iterable[str]) -> Node:
    chance = rng.random()
    if chance < 0.7:
        return {"kind": rng.choice([*steps, "once", "thrice", "once"]), "n": 0}
    if chance < 0.75:
        return {"kind": "receive", "name": rng.choice("ab")}
    if chance < 0.8:
        return {"kind": "listen", "name": rng.choice("ab"), "seconds": rng.choice([0, 0.5, 3, 100])}
    if chance < 0.84:
        return {"kind": "approve", "quorum": rng.randint(1, 2), "seconds": rng.choice([0.5, 3, 100, 1e6])}
    if chance < 0.9:
        return {"kind": "sleep", "seconds": rng.choice([0, 0.5, 3, 100])}
    return {"kind": rng.choice(["chance", "raise"])}


def sent(node: Node, seed: int) -> list[Any]:
    """Give what is sent to the saga of a seed: its signals and decisions, in any order."""
    rng = random.Random(seed)  # noqa: S311 - it must repeat
    signals: list[Any] = list(letters(node))
    people: list[Any] = list(decisions(node, rng))
    return [
        (people if not signals or (people and rng.random() < 0.5) else signals).pop(0)
        for _ in range(len(signals) + len(people))
    ]
