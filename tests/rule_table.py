"""Which tests prove which rule, by their docstrings; `python -m tests.rule_table` writes the page."""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design" / "rules.md"
RANGE = re.compile(r"\b([SLA])(\d+)\s*(?:–|to)\s*\1?(\d+)\b")
RULE = re.compile(r"\b([SLA])(\d+)\b")
WIDEST = 12
"""A range of more rules than that says that a test tries everything; it proves none of them by name."""
SHOWN = 12
"""So many tests are named for a rule; of more, the number is told."""

RULES = {
    "S1": "no call leaves the process before its intent is durable",
    "S2": "landed, not landed, unknown: only evidence says that nothing happened",
    "S3": "what landed, or may have, is undone, or the run is parked naming it, or a person has waived it",
    "S4": "one durable decision turns a scope round; nothing forward is written after it",
    "S5": "late outcomes are recorded, never obeyed, never dropped",
    "S6": "a compensation starts after its call has ended or its window has passed; late calls are refused",
    "S7": "what the body knew of when it asked for more is undone after that",
    "S8": "a compensation gets the record of its step and nothing newer",
    "S9": "compensations are attempted on record, with a key of their own, and never after a success",
    "S10": "compensating goes on from the journal, wherever it was killed",
    "S11": "compensating isn't subject to cancels, deadlines, or callers who go away",
    "S12": "a compensation that fails for good parks the run; unrelated ones go on",
    "S13": "ends are true: nothing owed, nothing unknown",
    "S14": "behind a pivot there is only forward; before its outcome is known, nothing is decided",
    "S15": "irreversible effects are told of, not undone",
    "S16": "one end: completion, cancel, deadline and operator contend for it",
    "S17": "the same id, saga and input give the same run",
    "S18": "whoever lost the lease writes nothing to a journal",
    "S19": "a child run is undone as a unit; cancels reach it, and its parent is parked with it",
    "S20": "a savepoint undoes exactly the steps called in it, once",
    "S21": "compensations are pinned by name and version; one that is missing is never skipped",
    "S22": "a compensation can't end its run, or have new effects in it",
    "S23": "state, audit and messages commit together",
    "S24": "small runs end at once, and a step without compensation blocks nobody",
    "S25": "operators' acts are conditional, attributed and audited",
    "S26": "poison parks its own run",
    "S27": "failed and abandoned steps are settled before the run completes and the body sees an error",
    "L1": "every run that isn't parked is driven without new traffic",
    "L2": "everything owed is attempted, or parked",
    "L3": "one poisoned run blocks nobody",
    "L4": "deadlines come with no worker holding the run",
    "A1": "a tool's error goes to the model, an unknown outcome only once it is settled",
    "A2": "no completion while what became of a tool's call is unknown",
    "A3": "the model's answer is on record before its calls start; replay asks and calls nothing",
    "A4": "rejecting or failing an agent undoes exactly its own work, sub-agents included",
    "A5": "what was undone is never undone again",
    "A6": "parallel calls are siblings: ended or fenced before they are undone",
    "A7": "a tool that says nothing of its effect is irreversible, and people are asked",
    "A8": "keys come from the occurrence, never from arguments or the model",
    "A9": "after an undo the model is told what was undone and what couldn't be",
    "A10": "a decision is of what was shown, by whom is known, and it counts once and in time",
    "A11": "no transcript that is sent has a call without its result",
    "A12": "budgets are counted from the journal and checked before each call",
}
"""The rules that are in force, in a few words each."""


def named(text: str) -> set[str]:
    """Give the rules that a text cites; a range cites them all, unless it is very wide."""
    found = {f"{letter}{number}" for letter, number in RULE.findall(text)}
    for letter, first, last in RANGE.findall(text):
        if int(last) - int(first) > WIDEST:
            found -= {f"{letter}{first}", f"{letter}{last}"}
            continue
        found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return found


def citing() -> Iterator[tuple[str, str]]:
    """Give pairs of a rule and a test whose docstring cites it."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for rule in named(ast.get_docstring(node) or ""):
                    yield rule, f"{file.relative_to(ROOT / 'tests')}::{node.name}"


@functools.cache
def table() -> dict[str, list[str]]:
    """Give the tests of each rule in force, by name; they are read once in a process."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for rule, test in citing():
        found[rule].add(test)
    return {rule: sorted(found[rule]) for rule in RULES}


def page() -> str:
    """Give the page."""
    rows = []
    for rule, tests in table().items():
        more = f" and {len(tests) - SHOWN} more" if len(tests) > SHOWN else ""
        rows.append(
            f"| **{rule}** | {RULES[rule]} | {', '.join(f'`{test}`' for test in tests[:SHOWN])}{more} |"
        )
    return "\n".join(
        [
            "# The rules, and the tests that prove them",
            "",
            "Made by `python -m tests.rule_table` from the tests' docstrings; a test keeps it current. Paths",
            "are below `tests/`. Beside these, the kill matrix (`crash/test_kill_matrix.py`) checks after",
            "every kill what can be seen in the world and the journal, and the simulator under every seed.",
            "",
            "| rule | in a few words | proved by |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
