"""Run the scenarios and print the table: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from enum import StrEnum
from functools import partial
from itertools import product
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TypeVar

from benchmarks import child
from benchmarks.disk import Disk, NoCompiler
from benchmarks.figures import Figure, Limits
from benchmarks.machine import facts
from benchmarks.places import Place, Store, open_place
from benchmarks.report import Measured, Section, as_json, show
from benchmarks.scenarios import SCENARIOS

LIMITS_MODULE = "benchmarks.limits"
QUICK_LIMIT_COMMITS = 50
QUICK_LIMIT_ROWS = 2000

Word = TypeVar("Word", bound=StrEnum)


def main() -> int:
    """Measure what the command line asks for; a status of 1 says that a scenario failed."""
    options = _options()
    machine = facts()
    print(", ".join(f"{name}: {fact}" for name, fact in machine.items()))
    sections = []
    for store, disk in product(options.store, options.disk):
        try:
            with open_place(store, disk) as place:
                sections.append(_measure(place, options.only, options.size))
        except NoCompiler as reason:
            print(f"\n{store}, {disk} disk: left out: {reason}")
        else:
            show(sections[-1])
    if options.json:
        options.json.write_text(json.dumps(as_json(machine, sections), indent=1) + "\n")
    return int(any(measured.failure for section in sections for measured in section.scenarios))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure amends.")
    add = parser.add_argument
    add("--only", type=_letters, default=list(SCENARIOS), metavar="A,B", help="these scenarios only")
    add("--store", type=partial(_words, Store), default=list(Store), metavar="sqlite,postgres")
    add("--disk", type=partial(_words, Disk), default=[Disk.MODELLED], metavar="modelled,real")
    add("--size", type=int, help="runs, steps or sleepers in each scenario, instead of its own number")
    add("--json", type=Path, metavar="FILE", help="write everything there too")
    return parser.parse_args()


def _letters(text: str) -> list[str]:
    letters = text.upper().split(",")
    if unknown := set(letters) - SCENARIOS.keys():
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(SCENARIOS)}")
    return letters


def _words(kind: type[Word], text: str) -> list[Word]:
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; there are {', '.join(kind)}") from None


def _measure(place: Place, letters: list[str], size: int | None) -> Section:
    quick = () if size is None else (QUICK_LIMIT_COMMITS, QUICK_LIMIT_ROWS)
    answer = child.run(LIMITS_MODULE, "measure", place.new_database(), *quick, environment=place.environment)
    measured = tuple(_scenario(place, letter, size or SCENARIOS[letter].size) for letter in letters)
    return Section(place.store, place.version, place.disk, Limits(**answer), measured)


def _scenario(place: Place, letter: str, size: int) -> Measured:
    """Run one scenario in a process and a database of its own; a failure is a line of the table."""
    print(f"{place.store}, {place.disk} disk: {letter} …", file=sys.stderr)
    url, module = place.new_database(), SCENARIOS[letter].module
    try:
        answer = child.run(module, "measure", url, size, environment=place.environment)
    except (child.StageFailed, TimeoutExpired) as failure:
        print(failure, file=sys.stderr)
        return Measured(letter, size, failure=str(failure))
    return Measured(letter, size, tuple(Figure(**figure) for figure in answer))


if __name__ == "__main__":
    os.chdir(child.ROOT)
    sys.exit(main())
