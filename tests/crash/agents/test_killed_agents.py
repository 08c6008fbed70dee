"""Agents are killed at their writes, in their tools' calls, and when they ask their model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from amends.sagas.journal import Kind
from examples.model_server.running import ModelServer
from tests.crash.agents.claims import answers, broken
from tests.crash.agents.scripts import CASES, AgentCase
from tests.crash.cycles import AT_ONCE, Bench, Blow, Ending
from tests.crash.test_kill_matrix import _spread as spread

SOME = 3
"""So many points of a case are tried by `make test`; `make soak` tries them all."""
ASKING = ("ask", "asked", "told")
"""Moments of a request to the model: before it is sent, when it was sent, when its answer has come."""


def agents(*names: str) -> pytest.MarkDecorator:
    some = [agent for agent in CASES if not names or agent.case.name in names]
    return pytest.mark.parametrize("agent", some, ids=lambda agent: agent.case.name)


class Killing:
    """Cycles of one case, with what its model was asked in each."""

    def __init__(
        self, bench: Bench, server: ModelServer, agent: AgentCase, also: Mapping[str, Any] | None = None
    ) -> None:
        self.agent = agent
        self.seed = bench.seed
        self._server = server
        also = {"model_url": server.url, "api": agent.api, **(also or {})}
        self._bench = replace(bench, play="agent", also=also)

    def cycles(self, all_blows: Sequence[Sequence[Blow]]) -> list[Ending]:
        """Make cycles, some at a time, and check what must hold of each."""
        ends: list[Ending] = []
        for begin in range(0, len(all_blows), AT_ONCE):
            some = all_blows[begin : begin + AT_ONCE]
            self._server.script(*self.agent.script, forget=True)
            ended = self._bench.cycles(self.agent.case, some)
            requests = self._server.requests()
            for blows, end in zip(some, ended, strict=True):
                run = end.story.record.row.id
                mine = [request for request in requests if request["headers"]["x-run"] == run]
                found = broken(self.agent, end, mine)
                assert not found, "\n".join([f"{self.agent.case.name}, {blows}:", *found])
            ends += ended
        return ends

    def everywhere(self) -> int:
        """Strike at one point after the other, until the run ends before it is reached; count the kills."""
        begin, kills = 1, 0
        while True:
            ends = self.cycles([(Blow(begin + place),) for place in range(AT_ONCE)])
            killed = [end for end in ends if end.first.killed]
            kills += len(killed)
            begin += AT_ONCE
            if len(killed) < len(ends):
                return kills


@pytest.fixture
def killing(bench: Bench, model_server: ModelServer, agent: AgentCase) -> Killing:
    return Killing(bench, model_server, agent)


@agents()
def test_a_killed_agent_goes_on_where_it_was(killing: Killing) -> None:
    """A1 to A11 and S1 to S27, at some points of each case; the unkilled run is the measure."""
    (unkilled,) = killing.cycles([()])
    assert unkilled.story.standing == dict.fromkeys(killing.agent.case.stands, 1)
    points = spread(len(unkilled.first.points), SOME, killing.seed)
    ends = killing.cycles([(Blow(at),) for at in points])
    assert any(end.first.killed for end in ends)


@agents("agent accepted", "agent undone to a turn")
def test_a_killed_agent_goes_on_from_its_replay_floors(
    bench: Bench, model_server: ModelServer, agent: AgentCase
) -> None:
    """A3, A5, A11, S10: struck around the writes of floors, which come with every turn or two here."""
    killing = Killing(bench, model_server, agent, {"floor": 1})
    (unkilled,) = killing.cycles([()])
    assert any(entry.kind is Kind.FLOOR for entry in unkilled.story.entries)
    floored = [
        at for at, words in enumerate(unkilled.first.said, 1) if any(w.startswith("floor") for w in words)
    ]
    assert floored
    killing.cycles([(Blow(at),) for at in floored[:4]])


@agents("agent accepted", "agent undone to a turn")
def test_an_answer_that_was_lost_with_its_worker_is_asked_for_once_more(killing: Killing) -> None:
    """A3: killed when its request was sent, an agent asks the same question again, and no other."""
    (end,) = killing.cycles([(Blow(2, only="asked"),)])
    assert end.first.killed
    assert answers(end) == killing.agent.answers


@pytest.mark.soak
@agents()
def test_an_agent_killed_anywhere_goes_on_where_it_was(killing: Killing) -> None:
    """A1 to A11 and S1 to S27, at every write, every call of a tool and every request to the model."""
    assert killing.everywhere() > 0


@pytest.mark.soak
@agents()
def test_an_agent_killed_at_every_request_and_again_goes_on(killing: Killing) -> None:
    """A3, twice: the second worker dies in the same way, one request on."""
    for moment in ASKING:
        blows = [(Blow(at, only=moment), Blow(1, only=moment)) for at in range(1, killing.agent.answers + 1)]
        assert all(end.first.killed for end in killing.cycles(blows))
