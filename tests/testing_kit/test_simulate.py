"""simulate repeats a seed exactly, keeps the rules of amends, and finds mistakes in sagas."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from amends.sagas.testing import SimulationFailed, simulate
from tests.sagas.programs import BOOKS, program
from tests.testing_kit import shops
from tests.testing_kit.random_sagas import sent, tree
from tests.testing_kit.shops import SHOP

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 8


def ends_of(seeds: Iterable[int]) -> set[str]:
    """Play each seed's own saga under that seed's mishaps; whatever breaks a rule raises."""
    ends: set[str] = set()
    for seed in seeds:
        BOOKS.clear()
        node = tree(seed)
        ends |= set(simulate(program, node, seeds=[seed], signals=sent(node, seed)).ends)
    return ends


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_sagas_under_random_mishaps_keep_the_rules(block: int) -> None:
    """S1, S3, S4, S7, S9, S13, S14, S27, A10: several workers, kills, freezes, lost answers; 2,000 seeds."""
    assert {"completed", "compensated", "failed"} <= ends_of(range(block * 250, block * 250 + 250))


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_random_sagas_under_random_mishaps_keep_the_rules_at_length(block: int) -> None:
    """The same, with 20,000 other seeds."""
    assert ends_of(range(10_000 + block * 1_000, 11_000 + block * 1_000))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_good_saga_passes_with_any_number_of_workers(workers: int) -> None:
    trace = simulate(shops.sell_two, ("kettle", "pot"), seeds=range(60), workers=workers, world=SHOP)
    assert len(trace.hashes) == 60
    assert len(trace.ends) > 1


def test_everything_that_can_go_wrong_does() -> None:
    trace = simulate(shops.sell, "kettle", seeds=range(200), world=SHOP)
    wanted = {"killed before", "killed after", "frozen", "fails", "times out", "unanswered"}
    assert wanted | {"cancelled before", "cancelled after", "cancelled during"} == set(trace.mishaps)
    assert str(trace).startswith("kit.sell: 200 seeds, ")


def test_the_same_seed_gives_the_same_trace() -> None:
    first = simulate(shops.sell_two, ("kettle", "pot"), seeds=[17], world=SHOP)
    again = simulate(shops.sell_two, ("kettle", "pot"), seeds=[17], world=SHOP)
    other = simulate(shops.sell_two, ("kettle", "pot"), seeds=[18], world=SHOP)
    assert first.hash == again.hash
    assert first.lines == again.lines
    assert first.hash != other.hash


def test_the_same_seeds_give_the_same_trace_in_every_process() -> None:
    code = (
        "from amends.sagas.testing import simulate\n"
        "from tests.testing_kit import shops\n"
        "from tests.testing_kit.test_simulate import hashes\n"
        "print(simulate(shops.sell_two, ('kettle', 'pot'), seeds=range(40), world=shops.SHOP).hash)\n"
        "print(hashes(range(40)))\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(told) == 1
    assert hashes(range(40)) in told.pop()


def hashes(seeds: Iterable[int]) -> str:
    """Give the traces of random sagas as one text."""
    found = []
    for seed in seeds:
        BOOKS.clear()
        node = tree(seed)
        found.append(simulate(program, node, seeds=[seed], signals=sent(node, seed)).hash)
    return " ".join(found)


@pytest.mark.parametrize(
    ("saga", "words"),
    [
        (shops.ignores_its_key, "kit.keyless was called more than once with the same idempotency key"),
        (shops.pays_back_twice, "the compensation of kit.pay was called more than once"),
        (shops.forgets_to_undo, "kit.give landed and has no compensation"),
        (shops.charges_again, "kit.charge plainly landed and has no compensation"),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_a_mistake_is_found_and_its_seed_repeats_it(saga: object, words: str) -> None:
    with pytest.raises(SimulationFailed) as caught:
        simulate(saga, 5, seeds=range(2_000), world=SHOP)  # type: ignore[arg-type]  # of any parameters
    failed = caught.value
    assert words in failed.problem
    assert f"simulate(..., seeds=[{failed.seed}])" in str(failed)
    with pytest.raises(SimulationFailed) as again:
        simulate(saga, 5, seeds=[failed.seed], world=SHOP)  # type: ignore[arg-type]  # as above
    assert str(again.value) == str(failed)
    assert again.value.trace == failed.trace


def test_a_body_that_is_not_deterministic_is_found() -> None:
    with pytest.raises(SimulationFailed, match="the body isn't deterministic"):
        simulate(shops.reads_the_world, "pot", seeds=range(500), world=SHOP)
