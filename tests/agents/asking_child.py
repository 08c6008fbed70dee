"""A worker process whose saga asks a model twice: `python -m tests.agents.asking_child DATABASE URL`."""

from __future__ import annotations

import asyncio
import sys

from amends.agents import Message, ModelAnswer, ModelRequest, OpenAIModel, ToolMessage, ToolSpec, UserMessage
from amends.sagas import Coordinator, Retry, current_step, saga, step

SEARCH = ToolSpec("search", "Searches.", {"type": "object", "properties": {}})


@step(name="models.ask", retry=Retry(attempts=3))
async def ask(messages: list[Message]) -> ModelAnswer:
    model: OpenAIModel = current_step().resources
    return await model.answer(ModelRequest("Be brief.", tuple(messages), (SEARCH,)))


@saga(name="models.converse")
async def converse(question: str) -> str:
    messages: list[Message] = [UserMessage(question)]
    while True:
        answer = await ask(messages)
        messages.append(answer.message)
        if not answer.message.calls:
            return answer.message.text
        messages += [ToolMessage(call.id, call.name, "three") for call in answer.message.calls]


async def main(database: str, url: str) -> None:
    """Carry the one run to its end."""
    async with (
        OpenAIModel("qwen", base_url=url) as model,
        Coordinator(database, resources=model) as coordinator,
    ):
        run = await coordinator.start(converse, "kettles?", id="c-1")
        sys.stdout.write(await run.result(60))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
