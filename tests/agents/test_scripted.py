"""The model for tests: what it answers, what it keeps, and that it refuses what a server would."""

from __future__ import annotations

from typing import Any

import pytest

from amends.agents import (
    Finish,
    Model,
    ModelAnswer,
    ModelMessage,
    ModelRequest,
    ModelUnavailable,
    OpenAIModel,
    ScriptedModel,
    ToolCall,
    TranscriptInvalid,
    Usage,
    UserMessage,
)
from amends.sagas import DefinitionError, Fatal
from tests.agents.asking import asked, called, given
from tests.sagas.running import on_a_loop

CALL = ToolCall("a", "search", "{}")


@on_a_loop
async def test_it_gives_its_answers_in_order_and_keeps_what_it_was_asked() -> None:
    whole = ModelAnswer(ModelMessage("w"), Finish.LENGTH, Usage(1, 2), "other")
    model = ScriptedModel(["text", CALL, [CALL, ToolCall("b", "search", "{}")], ModelMessage("m"), whole])
    requests = [asked(UserMessage(str(number))) for number in range(5)]
    answers = [await model.answer(request) for request in requests]
    assert [answer.message.text for answer in answers] == ["text", "", "", "m", "w"]
    assert [len(answer.message.calls) for answer in answers] == [0, 1, 2, 0, 0]
    assert [answer.finish for answer in answers] == ["stop", "calls", "calls", "stop", "length"]
    assert answers[4] is whole
    assert model.asked == requests


@on_a_loop
async def test_it_raises_what_the_script_says_and_fatal_when_it_is_over() -> None:
    model = ScriptedModel([ModelUnavailable("down"), "up"])
    with pytest.raises(ModelUnavailable):
        await model.answer(asked())
    assert (await model.answer(asked())).message.text == "up"
    with pytest.raises(Fatal, match="there is no answer number 3; it has 2"):
        await model.answer(asked())


@on_a_loop
async def test_by_turn_a_request_that_is_made_again_gets_the_same_answer() -> None:
    """A killed worker asks again, and its script isn't used up by that."""
    model = ScriptedModel([CALL, "done"], by="turn")
    first, after = asked(), asked(UserMessage("?"), called("a"), *given("a"))
    answers = [await model.answer(request) for request in (first, first, after, after, first)]
    assert [answer.message.text for answer in answers] == ["", "", "done", "done", ""]


@on_a_loop
async def test_a_function_answers_as_it_likes() -> None:
    async def later(request: ModelRequest) -> str:
        return f"{len(request.messages)}"

    assert (await ScriptedModel(later).answer(asked())).message.text == "1"
    assert (await ScriptedModel(lambda _: CALL).answer(asked())).message.calls == (CALL,)


@on_a_loop
async def test_it_refuses_an_unanswered_call() -> None:
    """A test with it proves that (A11) holds in what it tests."""
    model = ScriptedModel(["a"])
    with pytest.raises(TranscriptInvalid):
        await model.answer(asked(called("a")))
    assert model.asked == []


@on_a_loop
async def test_its_usage_is_an_estimate_and_says_so() -> None:
    usage = (await ScriptedModel(["x" * 40]).answer(asked())).usage
    assert (usage.output_tokens, usage.known) == (10, False)
    assert usage.input_tokens > 10


@pytest.mark.parametrize(
    ("answers", "options"), [("text", {}), (5, {}), (["a"], {"by": "chance"}), (["a"], {"name": ""})]
)
def test_a_script_that_is_none_is_refused(answers: Any, options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError):
        ScriptedModel(answers, **options)


@on_a_loop
async def test_an_answer_that_is_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match="5 is no answer"):
        await ScriptedModel([5]).answer(asked())  # type: ignore[list-item]  # that is the claim


def test_both_models_are_what_an_agent_asks() -> None:
    models: list[Model] = [ScriptedModel([]), OpenAIModel("gpt-5")]
    assert [model.name for model in models] == ["scripted", "gpt-5"]
