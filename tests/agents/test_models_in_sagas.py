"""A model asked in steps: its errors become durable waits or ends, and killed workers ask the same again."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amends.agents import Agent, KeyRejected, OpenAIModel, QuotaExhausted, tool
from amends.sagas import Coordinator, Status
from amends.sagas.testing import VirtualClock
from examples.model_server.running import ModelServer
from tests.agents.asking_child import converse
from tests.sagas.running import failure, on_a_loop

ROOT = Path(__file__).resolve().parents[2]
CALL = {"calls": [{"id": "", "name": "search", "arguments": {}}]}


@on_a_loop
async def test_a_wait_of_an_hour_that_the_server_asks_for_is_a_durable_timer(
    server: ModelServer, database_url: str
) -> None:
    server.script({"status": 429, "headers": {"Retry-After": "3600"}}, {"text": "Three."})
    clock = VirtualClock()
    model = OpenAIModel("qwen", base_url=server.url)
    async with model, Coordinator(database_url, resources=model, clock=clock) as coordinator:
        run = await coordinator.start(converse, "kettles?")
        due = await coordinator.run_until_idle()
        assert due == clock.now + dt.timedelta(hours=1)
        assert await run.status() is Status.WAITING
        clock.advance(dt.timedelta(hours=1))
        await coordinator.run_until_idle()
        assert await run.result() == "Three."
    first, second = server.requests()
    assert first["text"] == second["text"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": 429, "error": {"code": "insufficient_quota"}}, QuotaExhausted),
        ({"status": 401, "error": {"message": "not with hunter2"}}, KeyRejected),
    ],
)
@on_a_loop
async def test_what_is_final_is_asked_once_and_reaches_the_body_as_itself(
    server: ModelServer, database_url: str, answer: dict[str, object], kind: type[BaseException]
) -> None:
    server.script(answer)
    model = OpenAIModel("qwen", base_url=server.url, api_key="hunter2")
    async with model, Coordinator(database_url, resources=model) as coordinator:
        run = await coordinator.start(converse, "kettles?")
        error = await failure(run)
        recorded = str(await run.journal())
    assert type(error.error) is kind
    assert len(server.requests()) == 1
    assert "hunter2" not in recorded


def test_workers_killed_while_the_model_thinks_ask_the_same_again_and_nothing_else(
    server: ModelServer, database_url: str
) -> None:
    """Killed at each request: the journaled answer isn't asked for again (A3)."""
    server.script({**CALL, "hold": "one"}, {"text": "Three.", "hold": "two"}, same=True)
    command = [sys.executable, "-m", "tests.agents.asking_child", database_url, server.url]
    for name in ("one", "two"):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as worker:
            while name not in server.held(at_least=1):
                assert worker.poll() is None
            worker.kill()
        server.release(name)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "Three."), done.stderr
    sent = [request["text"] for request in server.requests()]
    assert sent == [sent[0], sent[0], sent[2], sent[2]]


@dataclass(frozen=True, slots=True)
class Count:
    count: int


@tool(effect="read")
async def search(word: str) -> str:
    """Search the shop for a word."""
    return f"three of {word}"


@pytest.mark.parametrize("api", ["chat", "responses"])
@on_a_loop
async def test_an_agent_works_through_both_apis_down_to_an_answer_of_one_form(
    server: ModelServer, database_url: str, api: Any
) -> None:
    """The server takes each transcript as OpenAI would (A11), and refuses the form's first way."""
    refusal = {"status": 400, "error": {"message": "no response_format here", "param": "text.format"}}
    looking = {"name": "search", "arguments": {"word": "kettle"}, "id": ""}
    final = {"calls": [{"name": "Count", "arguments": {"count": 3}}]}
    server.script(refusal, {"calls": [looking, looking], "reasoning": "hm"}, {"text": "Well, three."}, final)
    model = OpenAIModel("qwen", base_url=server.url, api=api)
    agent = Agent(f"counting.{api}", model=model, tools=[search], output_type=Count)
    async with model, Coordinator(database_url) as coordinator:
        run = await coordinator.start(agent, "How many kettles?")
        assert await run.result(30) == Count(count=3)
    assert server.requests()[2]["text"].count("three of kettle") == 2
