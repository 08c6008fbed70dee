"""One planted bug on trial: its test must fail, by what it asserts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from subprocess import TimeoutExpired
from xml.etree import ElementTree as ET

from tests import rule_table
from tests.planted.patches import ROOT, Patch, PatchUnfit, apply
from tests.planted.scratch import Scratch

SECONDS = 30
"""So long one test may take; one that hangs is failed by pytest-timeout, which is an assertion too."""
ASSERTIONS = ("AssertionError", "Failed", "SimulationFailed", "CrashTestFailed", "RunFailed", "RunParked")
"""The errors by which a test says that something behaves otherwise than it claims.

The last two say of a run that was waited for that it ended otherwise.
"""
SHOWN = 1_500


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one bug: `problem` says why it isn't caught, and is empty where it is."""

    patch: Patch
    seconds: float
    problem: str = ""


def failures(scratch: Scratch, tests: Sequence[str], *options: str) -> tuple[list[str], str]:
    """Run tests in the copy. Gives those that failed, each with its message, and what else went wrong."""
    report = scratch.root.parent / "report.xml"
    report.unlink(missing_ok=True)
    paths = [f"tests/{test}" for test in tests]
    settings = ["-q", "-p", "no:cacheprovider", f"--timeout={SECONDS}", f"--junitxml={report}"]
    try:
        made = scratch.python("-m", "pytest", *settings, *options, *paths)
    except TimeoutExpired as hang:
        return [], f"the tests never end: {hang}"
    if not report.exists() or made.returncode not in (0, 1):
        return [], f"pytest itself ends with {made.returncode}:\n{(made.stdout + made.stderr)[-SHOWN:]}"
    found = ET.parse(report).getroot()  # noqa: S314 - as above
    errors = [str(error.get("message")) for error in found.iter("error")]
    failed = [
        f"{case.get('name')}: {failure.get('message')}"
        for case in found.iter("testcase")
        for failure in case.iter("failure")
    ]
    return failed, "; ".join(errors)


def unfit(patches: Sequence[Patch]) -> list[str]:
    """Say which patches don't apply to the working tree as it is."""
    found = []
    for patch in patches:
        try:
            apply(patch, ROOT, "--check")
        except PatchUnfit as problem:
            found.append(str(problem))
    return found


def uncited(patches: Sequence[Patch]) -> list[str]:
    """Say which patches name a test that isn't there, or that doesn't cite their rule."""
    cited = set(rule_table.citing())
    return [
        f"{patch.name}: no test tests/{patch.test} cites {patch.rule}"
        for patch in patches
        if (patch.rule, patch.test) not in cited
    ]


def unsound(scratch: Scratch, patches: Sequence[Patch]) -> str:
    """Run every named test once without any bug; say what fails even so."""
    failed, wrong = failures(scratch, sorted({patch.test for patch in patches}))
    return "\n".join([*failed, *([wrong] if wrong else [])])


def complaints(scratch: Scratch, patches: Sequence[Patch]) -> dict[Patch, str]:
    """Run `make check` on the bugs, together as far as they fit; say which it notices.

    Where it complains of several, each of them is checked alone.
    """
    found: dict[Patch, str] = {}
    left = list(patches)
    while left:
        group, left = _together(scratch, left)
        complaint = scratch.check()
        for patch in reversed(group):
            apply(patch, scratch.root, "--reverse")
        if complaint and len(group) > 1:
            for patch in group:
                found |= complaints(scratch, [patch])
        elif complaint:
            found[group[0]] = f"make check notices it:\n{complaint[-SHOWN:]}"
    return found


def try_out(scratch: Scratch, patch: Patch) -> Finding:
    """Plant a bug, run its test, and take the bug back. Raises `PatchUnfit`."""
    began = time.monotonic()
    apply(patch, scratch.root)
    try:
        problem = _problem(scratch, patch)
    finally:
        apply(patch, scratch.root, "--reverse")
    return Finding(patch, time.monotonic() - began, problem)


def _together(scratch: Scratch, patches: Sequence[Patch]) -> tuple[list[Patch], list[Patch]]:
    """Apply what fits beside the others; give that, and the rest. Raises `PatchUnfit` where nothing does."""
    group, rest = [patches[0]], []
    apply(patches[0], scratch.root)
    for patch in patches[1:]:
        try:
            apply(patch, scratch.root)
        except PatchUnfit:
            rest.append(patch)
        else:
            group.append(patch)
    return group, rest


def _problem(scratch: Scratch, patch: Patch) -> str:
    failed, wrong = failures(scratch, [patch.test], "-x")
    if wrong:
        return f"its test doesn't fail but break: {wrong}"
    if not failed:
        return "it escapes: its test passes"
    if not _asserted(failed[0]):
        return f"its test fails, but not by what it asserts: {failed[0][:SHOWN]}"
    return ""


def _asserted(failed: str) -> bool:
    message = failed.partition(": ")[2]
    kind = message.partition(":")[0].rpartition(".")[2]
    return kind in ASSERTIONS or message.startswith("assert ")
