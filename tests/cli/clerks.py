"""An agent at a refund desk, with a model that answers by a script: no client of a model is needed."""

from amends.agents import (
    Agent,
    ApprovalPolicy,
    ModelAnswer,
    ModelMessage,
    ScriptedModel,
    ToolCall,
    Usage,
    tool,
)
from amends.agents.model import Finish
from amends.sagas import Undo, saga, step


@tool(effect="read")
async def find_order(order: str) -> dict[str, str]:
    """Look an order up."""
    return {"order": order, "paid": "149.90"}


@tool(approval=ApprovalPolicy(when=lambda **given: given["amount"] > 100, title="Refund {amount}?"))
async def give_back(order: str, amount: int) -> str:
    """Pay money back."""
    return f"{amount} paid back"


@give_back.compensation
async def take_back(undo: Undo[str], order: str, amount: int) -> None: ...


def answer(text: str = "", *calls: ToolCall) -> ModelAnswer:
    finish = Finish.CALLS if calls else Finish.STOP
    return ModelAnswer(ModelMessage(text, calls), finish, Usage(1_000, 50), "gpt-4o")


ANSWERS = (
    answer("", ToolCall("c1", "find_order", '{"order": "7"}')),
    answer("It\nis broken.", ToolCall("c2", "give_back", '{"order": "7", "amount": 149}')),
    answer("", ToolCall("c3", "give_back", '{"order": "7"'), ToolCall("c4", "bribe", "{}")),
    answer("All is paid back."),
)

refund_desk = Agent(
    "refund_desk",
    model=ScriptedModel(ANSWERS, by="turn"),
    instructions="You work at a refund desk.",
    tools=[find_order, give_back],
    review=ApprovalPolicy(title="Is that right?"),
)


@step(name="some.model")
async def forecast() -> dict[str, str]:
    return {"answer": "rain"}


@saga
async def looks_like_one() -> dict[str, str]:
    return await forecast()
