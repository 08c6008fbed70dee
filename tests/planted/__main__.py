"""Plant each bug in a copy of the tree, and see that the tests notice: `python -m tests.planted`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.planted.patches import Patch, planted
from tests.planted.scratch import Scratch, scratch
from tests.planted.trial import Finding, complaints, try_out, uncited, unfit, unsound


def main(arguments: Sequence[str]) -> int:
    """Try the chosen bugs out; 1 where one isn't caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of patches' names, such as S09; all if left out")
    parser.add_argument("--no-check", action="store_true", help="leave out `make check` of the bugs")
    given = parser.parse_args(arguments)
    chosen = [patch for patch in planted() if not given.names or patch.name.startswith(tuple(given.names))]
    if not chosen:
        parser.error(f"there are no patches {', '.join(given.names)}")
    wrong = [*unfit(chosen), *uncited(chosen)]
    if wrong:
        return _told(wrong)
    with scratch() as copy:
        complaint = unsound(copy, chosen) or ("" if given.no_check else copy.check())
        if complaint:
            return _told([f"not sound without any bug:\n{complaint}"])
        noticed = {} if given.no_check else complaints(copy, chosen)
        findings = _tried(copy, chosen)
    missed = [finding for finding in findings if finding.problem]
    _tell(f"{len(findings) - len(missed)} of {len(findings)} planted bugs are caught by their tests")
    return _told(
        [
            *(f"{finding.patch.name}: {finding.problem}" for finding in missed),
            *(f"{patch.name}: {problem}" for patch, problem in noticed.items()),
        ]
    )


def _tried(copy: Scratch, chosen: Sequence[Patch]) -> list[Finding]:
    width = max(len(patch.name) for patch in chosen)
    _tell(f"{'rule':4}  {'patch':{width}}  {'seconds':>7}  caught by")
    findings = []
    for patch in chosen:
        findings.append(try_out(copy, patch))
        _tell(_row(findings[-1], width))
    return findings


def _row(finding: Finding, width: int) -> str:
    patch = finding.patch
    by = "ESCAPED" if finding.problem else f"tests/{patch.test}"
    return f"{patch.rule:4}  {patch.name:{width}}  {finding.seconds:7.1f}  {by}"


def _told(problems: Sequence[str]) -> int:
    for problem in problems:
        _tell(f"\n{problem}")
    return 1 if problems else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
