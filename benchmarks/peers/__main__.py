"""Run scenarios on amends, DBOS and LangGraph, and print the ratios: `python -m benchmarks.peers --help`."""

from __future__ import annotations

import argparse
import os
from importlib.metadata import version
from itertools import product
from subprocess import TimeoutExpired

from benchmarks import child
from benchmarks.disk import Disk, flushes
from benchmarks.machine import facts
from benchmarks.peers.figures import COMPARED, Compared
from benchmarks.places import Place, Store, open_place
from benchmarks.scenarios import SCENARIOS

PEERS = {
    "DBOS": ("dbos", "benchmarks.peers.dbos_engine"),
    "LangGraph": ("langgraph", "benchmarks.peers.langgraph_engine"),
}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="Measure amends and others."
    )
    parser.add_argument("--only", default=",".join(COMPARED), metavar="A,B", help="these scenarios only")
    parser.add_argument("--store", default=",".join(Store), metavar="sqlite,postgres")
    options = parser.parse_args()
    print(", ".join(f"{name}: {fact}" for name, fact in facts().items()))
    print(", ".join(f"{name} {version(package)}" for name, (package, _) in PEERS.items()))
    for store in options.store.split(","):
        with open_place(Store(store), Disk.MODELLED) as place:
            print(f"\n{place.store} {place.version}, modelled disk")
            for letter, name in product(options.only.upper().split(","), ("amends", *PEERS)):
                _show(place, letter, name)


_ours: dict[tuple[str, str], float] = {}


def _show(place: Place, letter: str, name: str) -> None:
    compared = COMPARED[letter]
    if name == "amends":
        print(f"{letter}  {compared.label.format(compared.size)}", flush=True)
    before = flushes(place.environment) or 0
    try:
        value = _measured(place, letter, name, compared)
    except (child.StageFailed, TimeoutExpired) as failure:
        print(f"   {name:10} failed: {str(failure).strip().splitlines()[-1]}", flush=True)
        return
    if name == "amends":
        _ours[place.store, letter] = value
        ratio = ""
    else:
        ratio = f"  amends is {compared.ratio(_ours[place.store, letter], value):.1f} times as good"
    flushed = ((flushes(place.environment) or 0) - before) / compared.things
    print(f"   {name:10} {value:10,.1f} {compared.unit:9} {flushed:6.2f} flushes each{ratio}", flush=True)


def _measured(place: Place, letter: str, name: str, compared: Compared) -> float:
    url = place.new_database()
    if name == "amends":
        module = SCENARIOS[letter].module
        figures = child.run(module, "measure", url, compared.size, environment=place.environment)
        return float(next(figure["value"] for figure in figures if figure["key"] == compared.key))
    engine = PEERS[name][1]
    return float(child.run(engine, "measure", letter, url, compared.size, environment=place.environment))


if __name__ == "__main__":
    os.chdir(child.ROOT)
    main()
