"""An agent waits for a person for a month, and its workers die meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from amends.persistence.records import Status
from amends.sagas.journal import Kind
from examples.model_server.running import ModelServer
from tests.crash.agents.claims import broken
from tests.crash.agents.scripts import CASES
from tests.crash.claims import breaches, told
from tests.crash.cycles import ENDED, LEASE_MS, Bench, Ending

DAY = timedelta(days=1)
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def paused(bench: Bench, model_server: ModelServer) -> Iterator[Ending]:
    """Give a run that three workers had: on the first day, on the tenth, and a month later."""
    agent, run = CASES[0], f"trip-{uuid4().hex}"
    model_server.script(*agent.script, forget=True)
    for name, directives in agent.case.directives.items():
        bench.world.direct(run, name, directives)
    with bench.store() as ledger:
        spec = bench.spec("waiting agent", ledger, run=run, act="accept", lease_ms=LEASE_MS)
        spec |= {"model_url": model_server.url, "api": agent.api}
        later = {"ahead_ms": 10 * DAY // MILLISECOND}
        last = {"ahead_ms": 30 * DAY // MILLISECOND, "play": "agent"}
        job = bench.zygote.start(spec, spec | later, spec | last)
        exits = job.wait()
        assert exits[-1].code == ENDED, job.log()
        yield Ending(exits, bench.story(ledger, run))


def test_an_agent_waits_a_month_while_its_workers_die(paused: Ending, model_server: ModelServer) -> None:
    """A3, A10, L4: nothing is asked or called again; the reminder of the second week is given by another."""
    story, days = paused.story, {entry.kind: entry.at * MILLISECOND // DAY for entry in paused.story.entries}
    assert [child.killed for child in paused.exits] == [True, True, False]
    assert [*breaches(story), *broken(CASES[0], paused, model_server.requests())] == [], told(story)
    assert story.record.row.status is Status.COMPLETED
    assert story.standing == dict.fromkeys(CASES[0].case.stands, 1)
    first = story.entries[0].at * MILLISECOND // DAY
    assert days[Kind.REMINDED] - first >= 10
    assert days[Kind.DECIDED] - first >= 30
    assert len(model_server.requests()) == CASES[0].answers
    assert len({entry.meta["worker"] for entry in story.entries if entry.kind is Kind.INTENT}) == 2
