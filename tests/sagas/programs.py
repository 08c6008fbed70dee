"""Random sagas: a small tree, interpreted by one saga's body."""

from __future__ import annotations

import asyncio
import random as random_of
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from amends.sagas import (
    Landed,
    NotLanded,
    Retry,
    Step,
    Undo,
    approval,
    continue_as_new,
    current_step,
    now,
    random,
    receive,
    saga,
    savepoint,
    sleep,
    step,
    uuid4,
)
from amends.sagas.testing import Decides

Node = dict[str, Any]
WAIT = Retry(attempts=3, wait=timedelta(seconds=2))
SHORT = timedelta(seconds=10)
HEARD: list[tuple[asyncio.AbstractEventLoop, str, int]] = []
"""What bodies have received, replays included; a body is its loop."""
BOOKS: set[str] = set()
"""What probes look into where steps are really called: the keys of those that were."""


@step(name="program.once", retry=Retry(attempts=1), timeout=SHORT)
async def once(n: int) -> int:
    return n


@once.compensation(name="program.once.undo", retry=WAIT)
async def undo_once(undo: Undo[int], n: int) -> None: ...


@step(name="program.thrice", retry=WAIT, timeout=SHORT)
async def thrice(n: int) -> int:
    return n


@thrice.compensation(name="program.thrice.undo", retry=WAIT)
async def undo_thrice(undo: Undo[int], n: int) -> None: ...


@step(name="program.careful", retry=WAIT, timeout=SHORT, on_unknown="compensate")
async def careful(n: int) -> int:
    return n


@careful.compensation(name="program.careful.undo", retry=WAIT)
async def undo_careful(undo: Undo[int], n: int) -> None: ...


@step(name="program.plain", retry=WAIT, timeout=SHORT)
async def plain(n: int) -> int:
    return n


@step(name="program.irreversible", retry=WAIT, timeout=SHORT, effect="irreversible")
async def irreversible(n: int) -> int:
    return n


@step(name="program.read", retry=WAIT, timeout=SHORT, effect="read")
async def read(n: int) -> int:
    return n


async def found(n: int) -> Landed[int] | NotLanded:
    """Look whether a step landed. Where steps aren't really called, the simulated world answers instead."""
    return Landed(n) if current_step().idempotency_key in BOOKS else NotLanded()


@step(name="program.probed", retry=WAIT, timeout=SHORT, on_unknown=found)
async def probed(n: int) -> int:
    BOOKS.add(current_step().idempotency_key)
    return n


@probed.compensation(name="program.probed.undo", retry=WAIT)
async def undo_probed(undo: Undo[int], n: int) -> None: ...


@step(name="program.asks", retry=WAIT, timeout=SHORT, on_unknown="park")
async def asks(n: int) -> int:
    return n


@asks.compensation(name="program.asks.undo", retry=WAIT)
async def undo_asks(undo: Undo[int], n: int) -> None: ...


@step(name="program.pivot", retry=WAIT, timeout=SHORT, effect="pivot")
async def pivot(n: int) -> int:
    return n


@step(name="program.pivot_probed", retry=WAIT, timeout=SHORT, effect="pivot", on_unknown=found)
async def pivot_probed(n: int) -> int:
    BOOKS.add(current_step().idempotency_key)
    return n


@step(name="program.pivot_asks", retry=WAIT, timeout=SHORT, effect="pivot", on_unknown="park")
async def pivot_asks(n: int) -> int:
    return n


@step(name="program.retriable", retry=WAIT, timeout=SHORT, effect="retriable")
async def retriable(n: int) -> int:
    return n


PIVOTS: dict[str, Step[[int], int]] = {
    "pivot": pivot,
    "pivot_probed": pivot_probed,
    "pivot_asks": pivot_asks,
}
BEFORE: dict[str, Step[[int], int]] = {
    "once": once,
    "thrice": thrice,
    "careful": careful,
    "probed": probed,
    "asks": asks,
    "irreversible": irreversible,
    "read": read,
}
"""What may come before a pivot (S14)."""
ANYWHERE: dict[str, Step[[int], int]] = {**BEFORE, "plain": plain}
AFTER: dict[str, Step[[int], int]] = {**ANYWHERE, "retriable": retriable}
CALLS: dict[str, Step[[int], int]] = {**AFTER, **PIVOTS}
COMPENSATABLE = ("once", "thrice", "careful", "probed", "asks")
AROUND_PIVOTS = ("sequence", "gather", "collect", "group", "limited", "try", "finally", "leave")
"""The blocks in which a pivot may stand; not a savepoint, which is there to be undone."""


@saga(name="program")
async def program(node: Node) -> Any:
    return await run(node)


async def run(node: Node) -> Any:
    """Interpret one node."""
    kind: str = node["kind"]
    if kind in CALLS:
        return await CALLS[kind](node["n"])
    return await BLOCKS[kind](node, node.get("parts", []))


async def _sequence(_node: Node, parts: list[Node]) -> Any:
    return [await run(part) for part in parts]


async def _gather(_node: Node, parts: list[Node]) -> Any:
    return list(await asyncio.gather(*(run(part) for part in parts)))


async def _collect(_node: Node, parts: list[Node]) -> Any:
    got = await asyncio.gather(*(run(part) for part in parts), return_exceptions=True)
    return [type(one).__name__ if isinstance(one, BaseException) else one for one in got]


async def _group(_node: Node, parts: list[Node]) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(part)) for part in parts]
    return [task.result() for task in tasks]


async def _limited(_node: Node, parts: list[Node]) -> Any:
    places = asyncio.Semaphore(1)

    async def one(part: Node) -> Any:
        async with places:
            return await run(part)

    return list(await asyncio.gather(*(one(part) for part in parts)))


async def _race(node: Node, parts: list[Node]) -> Any:
    tasks = [asyncio.create_task(run(part)) for part in parts]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if node["patient"]:
        await asyncio.gather(*pending, return_exceptions=True)
    return [task.result() for task in done]


async def _timeout(node: Node, parts: list[Node]) -> Any:
    try:
        async with asyncio.timeout(node["seconds"]):
            return await _sequence(node, parts)
    except TimeoutError:
        return "late"


async def _sleep(node: Node, _parts: list[Node]) -> Any:
    await sleep(node["seconds"])
    return "slept"


async def _chance(_node: Node, _parts: list[Node]) -> Any:
    return [str(now()), random().random(), str(uuid4())]


async def _try(_node: Node, parts: list[Node]) -> Any:
    try:
        return await run(parts[0])
    except Exception as error:  # noqa: BLE001 - whatever the part raises
        return [type(error).__name__, await _sequence({}, parts[1:])]


async def _finally(_node: Node, parts: list[Node]) -> Any:
    try:
        return await run(parts[0])
    finally:
        await _sequence({}, parts[1:])


async def _leave(_node: Node, parts: list[Node]) -> Any:
    for part in parts:
        asyncio.ensure_future(_quietly(part))  # noqa: RUF006 - the loop holds it
    return "left"


async def _quietly(part: Node) -> None:
    try:
        await run(part)
    except Exception:  # noqa: BLE001 - nobody waits for it
        return


async def _savepoint(_node: Node, parts: list[Node]) -> Any:
    try:
        async with savepoint():
            return await _sequence(_node, parts)
    except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - whatever it is, its effects are undone
        return f"undone: {type(error).__name__}"


async def _child(_node: Node, parts: list[Node]) -> Any:
    return await program({"kind": "sequence", "parts": parts})


async def _receive(node: Node, _parts: list[Node]) -> Any:
    number = await receive(int, name=node["name"])
    HEARD.append((asyncio.get_running_loop(), node["name"], number))
    return [node["name"], number]


async def _listen(node: Node, _parts: list[Node]) -> Any:
    try:
        number = await receive(int, name=node["name"], timeout=node["seconds"])
    except TimeoutError:
        return "nothing"
    HEARD.append((asyncio.get_running_loop(), node["name"], number))
    return [node["name"], number]


async def _approve(node: Node, _parts: list[Node]) -> Any:
    timeout = timedelta(seconds=node["seconds"])
    decision = await approval(title="Go on?", quorum=node["quorum"], requested_by="req", timeout=timeout)
    return [decision.status.value, *decision.voters]


async def _anew(_node: Node, parts: list[Node]) -> Any:
    await continue_as_new({"kind": "sequence", "parts": parts})


async def _raise(_node: Node, _parts: list[Node]) -> Any:
    raise ValueError("the body gives up")


BLOCKS = {
    "sequence": _sequence,
    "gather": _gather,
    "collect": _collect,
    "group": _group,
    "limited": _limited,
    "race": _race,
    "timeout": _timeout,
    "sleep": _sleep,
    "chance": _chance,
    "try": _try,
    "finally": _finally,
    "leave": _leave,
    "savepoint": _savepoint,
    "child": _child,
    "raise": _raise,
    "receive": _receive,
    "listen": _listen,
    "approve": _approve,
    "anew": _anew,
}


def _leaves(steps: Iterable[str]) -> st.SearchStrategy[Node]:
    call = st.sampled_from([*steps, "once", "thrice", "once"]).map(lambda kind: {"kind": kind, "n": 0})
    pause = st.sampled_from([0, 0.5, 3, 100]).map(lambda seconds: {"kind": "sleep", "seconds": seconds})
    other = st.sampled_from(["chance", "raise"]).map(lambda kind: {"kind": kind})
    asking = st.builds(lambda name: {"kind": "receive", "name": name}, st.sampled_from("ab"))
    listening = st.builds(lambda name, seconds: {"kind": "listen", "name": name, "seconds": seconds},
                          st.sampled_from("ab"), st.sampled_from([0, 0.5, 3, 100]))  # fmt: skip
    return st.one_of(call, call, call, pause, other, asking, listening)


def _blocks(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    parts = st.lists(inner, min_size=1, max_size=3)
    kinds = [
        "sequence",
        "sequence",
        "gather",
        "collect",
        "group",
        "limited",
        "try",
        "finally",
        "leave",
        "savepoint",
    ]
    blocks = st.builds(lambda kind, parts: {"kind": kind, "parts": parts}, st.sampled_from(kinds), parts)
    races = st.builds(lambda patient, parts: {"kind": "race", "patient": patient, "parts": parts},
                      st.booleans(), parts)  # fmt: skip
    limits = st.builds(lambda seconds, parts: {"kind": "timeout", "seconds": seconds, "parts": parts},
                       st.sampled_from([0.5, 5, 50]), parts)  # fmt: skip
    return st.one_of(blocks, blocks, races, limits)


def numbered(node: Node, count: list[int] | None = None, *, below: bool = False) -> Node:
    """Give every call of a tree a number of its own.

    A child run is sent nothing: it doesn't wait for ever.
    """
    count = [0] if count is None else count
    made = dict(node)
    below = below or made["kind"] == "child"
    if below and made["kind"] == "receive":
        made |= {"kind": "listen", "seconds": 3}
    if made["kind"] in CALLS:
        count[0] += 1
        made["n"] = count[0]
    if "parts" in made:
        made["parts"] = [numbered(part, count, below=below) for part in made["parts"]]
    return made


def calls(node: Node) -> list[Node]:
    """Give the calls of a tree, in the order of their numbers."""
    own = [node] if node["kind"] in CALLS else []
    return own + [call for part in node.get("parts", []) for call in calls(part)]


def letters(node: Node, numbers: dict[str, int] | None = None) -> list[tuple[str, int]]:
    """Give signals enough for a tree: names, each with payloads that count from one."""
    numbers = {} if numbers is None else numbers
    found = []
    if node["kind"] in ("receive", "listen"):
        numbers[node["name"]] = numbers.get(node["name"], 0) + 1
        found = [(node["name"], numbers[node["name"]])]
    return found + [letter for part in node.get("parts", []) for letter in letters(part, numbers)]


def decisions(node: Node, rng: random_of.Random) -> list[Decides]:
    """Give what people decide of a tree's approvals: some say no, one may not, one says it twice."""
    own = []
    if node["kind"] == "approve":
        own = [Decides(by=by, approved=rng.random() < 0.8) for by in ("ann", "req", "ann", "bob")]
    return own + [each for part in node.get("parts", []) for each in decisions(part, rng)]


def past(before: list[Node], point: Node, after: list[Node]) -> Node:
    """Give a saga with a point of no return."""
    return numbered({"kind": "sequence", "parts": [*before, point, *after]})


def _trees(steps: Iterable[str], most: int) -> st.SearchStrategy[Node]:
    return st.recursive(_leaves(steps), _blocks, max_leaves=most)


def _points() -> st.SearchStrategy[Node]:
    bare = st.sampled_from([*PIVOTS]).map(lambda kind: {"kind": kind, "n": 0})
    beside = _leaves(BEFORE)
    among = st.builds(
        lambda kind, point, others: {"kind": kind, "parts": [point, *others]},
        st.sampled_from(AROUND_PIVOTS), bare, st.lists(beside, max_size=2),
    )  # fmt: skip
    races = st.builds(lambda patient, *parts: {"kind": "race", "patient": patient, "parts": [*parts]},
                      st.booleans(), bare, beside)  # fmt: skip
    limits = st.builds(lambda seconds, point: {"kind": "timeout", "seconds": seconds, "parts": [point]},
                       st.sampled_from([0.5, 5, 50]), bare)  # fmt: skip
    return st.one_of(bare, bare, among, races, limits)


undoable = _trees(ANYWHERE, 9).map(lambda node: numbered({"kind": "sequence", "parts": [node]}))
begun_anew = st.builds(
    lambda first, second: numbered(
        {"kind": "sequence", "parts": [first, {"kind": "anew", "parts": [second]}]}
    ),
    _trees(ANYWHERE, 4), _trees(ANYWHERE, 4),
)  # fmt: skip
one_way = st.builds(
    past, st.lists(_trees(BEFORE, 4), max_size=2), _points(), st.lists(_trees(AFTER, 4), max_size=2)
)
programs = st.one_of(undoable, undoable, one_way, one_way, begun_anew)
"""Sagas that can be undone at every point, sagas with a pivot, and sagas that begin anew."""
