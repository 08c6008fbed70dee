"""The server restarts, workers are killed, and runs are started all the while: nothing is lost or doubled."""

import datetime as dt
import os
import random
from collections.abc import Callable

import pytest

from tests.crash.children import Zygote
from tests.crash.claims import breaches, told
from tests.crash.cycles import Bench
from tests.crash.stores import postgres_store
from tests.crash.storm import MESSAGES, Pace, Storm, summary
from tests.crash.test_signallers import messages
from tests.crash.world import World
from tests.servers import restartable

SHORT = Pace(restart=(2, 5), kill=(0.7, 2), start=(0.3, 0.8))
LONG = Pace(restart=(5, 40), kill=(1, 4), start=(0.3, 2))
SHORT_S = 20.0
DRAINED_WITHIN_S = 120.0
Property = Callable[[str, object], None]


def test_nothing_is_lost_or_doubled_while_the_server_restarts_and_workers_are_killed(
    world: World, zygote: Zygote, seed: str, record_property: Property
) -> None:
    """L1, S1, S6, S9, S17, S18: each run ends, what stands in the world fits, each signal is taken once."""
    weather(world, zygote, seed, SHORT, SHORT_S, 60, record_property)


@pytest.mark.soak
def test_an_hour_of_restarts_and_kills(
    world: World, zygote: Zygote, seed: str, record_property: Property
) -> None:
    """L1, S1, S6, S9, S17, S18: AMENDS_STORM_SECONDS says how long, 3,600 s if nothing does."""
    seconds = float(os.environ.get("AMENDS_STORM_SECONDS", "3600"))
    weather(world, zygote, seed, LONG, seconds, DRAINED_WITHIN_S, record_property)


def weather(
    world: World,
    zygote: Zygote,
    seed: str,
    pace: Pace,
    seconds: float,
    patience: float,
    record_property: Property,
) -> None:
    """Let a storm pass, and look at everything that it has left."""
    begun = dt.datetime.now(dt.UTC)
    with restartable() as server:
        store = postgres_store(server.url)
        with store() as ledger:
            bench = Bench(world, zygote, store, seed)
            storm = Storm(bench, ledger, server, pace, random.Random(seed))  # noqa: S311 - a test's dice
            storm.rage(seconds)
            drained = storm.drain(patience)
            ends = []
            for run in storm.runs:
                story = bench.story(ledger, run)
                ends.append(str(story.record.row.status))
                assert story.record.row.ended_at is not None, told(story)
                assert not breaches(story), told(story)
            for run in storm.signalled:
                story = bench.story(ledger, run)
                assert story.record.row.status == "completed", told(story)
                assert not breaches(story), told(story)
                assert sorted(messages(ledger, run)) == [f"message-{n}" for n in range(MESSAGES)]
                assert story.standing == {f"0-{n}": 1 for n in range(MESSAGES)}
    assert storm.befallen["restart"] >= 1
    assert storm.befallen["kill"] >= 1
    line = f"seed {seed}, from {begun:%Y-%m-%d %H:%M:%S} UTC: {summary(storm, seconds, drained, ends)}"
    record_property("storm", line)
    print(line)  # noqa: T201 - `make soak` keeps it
