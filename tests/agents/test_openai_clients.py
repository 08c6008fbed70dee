"""One client for each event loop of each process: made when it is needed, closed with its loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import warnings

import openai
import pytest

from amends.agents import ModelUnavailable, OpenAIModel
from amends.agents.openai_clients import Clients, send
from examples.model_server.running import ModelServer
from tests.agents.asking import asked
from tests.sagas.running import on_a_loop


async def said(model: OpenAIModel) -> str:
    return (await model.answer(asked())).message.text


def test_a_model_outlives_its_loops_and_leaves_nothing_open(server: ModelServer) -> None:
    server.script({"text": "a", "times": 0})
    model = OpenAIModel("qwen", base_url=server.url)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [asyncio.run(said(model)) for _ in range(3)] == ["a"] * 3
        del model
        gc.collect()


def test_a_loop_closed_without_care_is_no_trouble_for_the_next(server: ModelServer) -> None:
    server.script({"text": "a", "times": 0})
    model = OpenAIModel("qwen", base_url=server.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(said(model)) == "a"
            loop.close()
        assert asyncio.run(said(model)) == "a"
        gc.collect()


def test_loops_in_threads_ask_side_by_side(server: ModelServer) -> None:
    server.script({"text": "a", "times": 0})
    model = OpenAIModel("qwen", base_url=server.url)
    answers: list[str] = []

    async def several() -> None:
        answers.extend(await asyncio.gather(*(said(model) for _ in range(5))))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["a"] * 20


@on_a_loop
async def test_one_client_serves_a_loop_until_it_is_closed() -> None:
    clients = Clients("m", "http://localhost:1/v1", None)
    first = await clients.client()
    assert await clients.client() is first
    await clients.aclose()
    assert first.is_closed()
    second = await clients.client()
    assert second is not first
    await clients.aclose()
    await clients.aclose()


@on_a_loop
async def test_a_closed_model_may_be_asked_again(server: ModelServer) -> None:
    server.script({"text": "a", "times": 0})
    model = OpenAIModel("qwen", base_url=server.url)
    async with model:
        assert await said(model) == "a"
    assert await said(model) == "a"


@on_a_loop
async def test_a_call_whose_client_is_closed_under_it_may_be_made_again(server: ModelServer) -> None:
    server.script({"hold": "x", "text": "a"}, {"text": "b"})
    model = OpenAIModel("qwen", base_url=server.url)
    asking = asyncio.create_task(said(model))
    await asyncio.to_thread(server.held, 1)
    await model.aclose()
    server.release("x")
    with contextlib.suppress(ModelUnavailable):
        await asking
    assert await said(model) in ("a", "b")
    await model.aclose()
    with pytest.raises(ModelUnavailable, match="closed before the call"):
        await send(await closed(), "/chat/completions", {}, model="m", timeout=1)


async def closed() -> openai.AsyncOpenAI:
    client = openai.AsyncOpenAI(api_key="none", base_url="http://localhost:1/v1")
    await client.close()
    return client


def test_without_the_openai_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "amends.agents.openai_clients")
    with pytest.raises(ImportError, match=r"install it with amends\[agents\]"):
        OpenAIModel("gpt-5")


FORKING = """
import asyncio, os, sys
from amends.agents import ModelRequest, OpenAIModel

model = OpenAIModel("qwen", base_url=sys.argv[1])

async def said():
    return (await model.answer(ModelRequest("", ()))).message.text

async def parent():
    assert await said() == "a"
    child = os.fork()
    if child == 0:
        # In the midst of the parent's loop, with the parent's connection open.
        asyncio.events._set_running_loop(None)
        status = 1
        try:
            status = 0 if asyncio.run(said()) == "a" else 1
        finally:
            os._exit(status)
    assert await asyncio.to_thread(os.waitpid, child, 0) == (child, 0)
    assert await said() == "a"
    assert len(model._clients._held) == 1

asyncio.run(parent())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_client_of_its_own_and_the_parent_keeps_its_connection(
    server: ModelServer,
) -> None:
    server.script({"text": "a", "times": 0})
    command = [sys.executable, "-W", "error", "-c", FORKING, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
