"""What a tool is: a step with a name, an effect and a word on who has to approve it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field

from amends.agents import ApprovalPolicy, Sticky, Tool, Toolset, tool
from amends.sagas import DefinitionError, Undo, step
from amends.sagas.outcome import Effect
from amends.sagas.step import Step

HOUR = dt.timedelta(hours=1)


@dataclasses.dataclass
class Place:
    city: str
    street: str


def refund_order(order: str, amount: int) -> str:
    """Pay an order back."""
    return f"{order}: {amount}"


def is_large(order: str, amount: int) -> bool:
    return amount > 100


def above_limit(amount: int, **others: Any) -> bool:
    return amount > 100


def broken(order: str, amount: int) -> bool:
    return bool(1 / (amount - 1))


def as_tool(**options: Any) -> Tool[..., Any]:
    return tool(**options)(refund_order)


def test_a_tool_is_a_step_and_outside_a_run_the_plain_function() -> None:
    """Section 6: a tool is a durable step; unit tests need nothing."""
    made = as_tool(effect="irreversible")
    assert isinstance(made, Step)
    assert asyncio.run(_awaited(made("o-7", amount=3))) == "o-7: 3"
    assert made.fn is refund_order


def test_the_journal_knows_a_tool_by_the_name_that_the_model_does() -> None:
    """Section 6: one name for the model, the journal and the registry: moving a function changes nothing."""
    assert as_tool(effect="read").name == as_tool(effect="read").spec.name == "refund_order"
    assert as_tool(effect="read", name="pay-back").name == "pay-back"


@pytest.mark.parametrize("name", ["", "a b", "a.b", "naïve", "x" * 65, "a\n", 7])
def test_a_name_that_providers_do_not_take_is_refused_at_decoration(name: Any) -> None:
    """House style 5: and not by the provider, in the first run."""
    with pytest.raises(DefinitionError, match="name"):
        as_tool(name=name, effect="read")


def test_a_tool_can_be_neither_a_step_nor_a_saga_besides() -> None:
    """House style 5: one function is one thing."""
    with pytest.raises(DefinitionError, match="can't be a tool besides"):
        tool(step(name="tools.step")(refund_order))


@pytest.mark.parametrize(
    ("options", "effect", "asked"),
    [
        ({}, Effect.IRREVERSIBLE, True),
        ({"effect": "irreversible"}, Effect.IRREVERSIBLE, False),
        ({"effect": "read"}, Effect.READ, False),
        ({"effect": "plain"}, Effect.PLAIN, False),
        ({"effect": "read", "approval": "always"}, Effect.READ, True),
        ({"approval": "never"}, Effect.IRREVERSIBLE, False),
    ],
)
def test_a_tool_of_which_nothing_is_said_is_irreversible_and_asks(
    options: dict[str, Any],
    effect: Effect,
    asked: bool,  # noqa: FBT001 - what is expected
) -> None:
    """A7: silence is no declaration; `effect=` and a word on approvals are."""
    made = as_tool(**options)
    assert made.effect is effect
    assert made.needs_approval({"order": "o-7", "amount": 3}) is asked


def test_a_compensation_says_what_a_tool_does_and_that_nobody_need_be_asked() -> None:
    """A7: what can be undone needs nobody's word beforehand."""
    made = as_tool(name="undone_tool")

    @made.compensation(name="tools.take_back")
    async def take_back(undo: Undo[str], order: str, amount: int) -> None: ...

    assert made.effect is Effect.COMPENSATABLE
    assert not made.needs_approval({"order": "o-7", "amount": 3})


def test_a_predicate_decides_on_the_arguments_by_name() -> None:
    """A7: also in a policy, whose other options the loop asks with."""
    large = as_tool(approval=is_large)
    assert [large.needs_approval({"order": "o", "amount": n}) for n in (100, 101)] == [False, True]
    policy = ApprovalPolicy(when=above_limit, approvers=["ann"], sticky="call")
    asking = as_tool(effect="plain", approval=policy)
    assert asking.approval_for({"order": "o", "amount": 100}) is None
    found = asking.approval_for({"order": "o", "amount": 101})
    assert found is policy
    assert (policy.approvers, policy.sticky) == (("ann",), Sticky.CALL)


def test_a_predicate_that_fails_lets_nothing_through() -> None:
    """A7: its error is told; it is never taken for a no."""
    made = as_tool(approval=broken)
    with pytest.raises(ZeroDivisionError):
        made.needs_approval({"order": "o", "amount": 1})


async def coroutine(order: str, amount: int) -> bool:
    return amount > len(order)


class Asked:
    async def __call__(self, order: str, amount: int) -> bool:
        return amount > len(order)


def too_few(order: str) -> bool:
    return bool(order)


def too_many(order: str, amount: int, more: int) -> bool:
    return amount > more


@pytest.mark.parametrize(
    "approval",
    [
        coroutine,
        Asked(),
        too_few,
        too_many,
        ApprovalPolicy(when=too_few),
        "sometimes",
        ["ann"],
        7,
    ],
)
def test_an_approval_that_cannot_be_decided_is_refused_at_decoration(approval: Any) -> None:
    """A7: a coroutine function's answer would always be true, other parameters' never come."""
    with pytest.raises(DefinitionError):
        as_tool(approval=approval)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 5},
        {"remind_every": dt.timedelta(0)},
        {"quorum": 0},
        {"quorum": 2, "approvers": ["ann"]},
        {"quorum": 2, "approvers": ["ann", "bob"], "requested_by": "bob"},
        {"approvers": "ann"},
        {"approvers": []},
        {"escalate_to": ["eve"]},
        {"escalate_after": HOUR},
        {"sticky": "for ever"},
        {"when": "amount > 100"},
        {"when": coroutine},
    ],
)
def test_a_policy_that_means_nothing_is_refused_where_it_is_made(options: dict[str, Any]) -> None:
    """House style 5: and not when the first person is asked."""
    with pytest.raises(DefinitionError):
        ApprovalPolicy(**options)


def test_a_title_is_made_of_the_arguments_and_never_fails() -> None:
    """A10: a title that can't be made is shown as it was written; what isn't printable is a space."""
    arguments = {"order": "o\n7", "amount": None, "place": Place("Bonn", "Am Hof")}
    titles = ["Refund {order}", "{amount:.2f}", "{nobody}", "{place.city}", "{order[x]}", "{", None]
    asked = [ApprovalPolicy(title=title).asked("refund", arguments) for title in titles]
    assert asked == ["Refund o 7", "{amount:.2f}", "{nobody}", "Bonn", "{order[x]}", "{", "refund"]


def client(c: Any, /) -> None: ...
def many(*names: str) -> None: ...
def bare(anything) -> None: ...  # type: ignore[no-untyped-def]  # that it is refused is the claim
def calling(back: Callable[[int], int]) -> None: ...
def endless(items: Iterator[int]) -> None: ...
def of_objects(thing: subprocess.Popen[str]) -> None: ...
def misfitting(count: int = "none") -> None: ...  # type: ignore[assignment]  # as above
def silently_none(count: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - as above
def with_field(count: int = Field(default=3)) -> None: ...
def with_alias(count: Annotated[int, Field(validation_alias="Count")]) -> None: ...


@pytest.mark.filterwarnings("ignore:The 'validation_alias' attribute")
@pytest.mark.parametrize(
    "fn",
    [
        client,
        many,
        bare,
        calling,
        endless,
        of_objects,
        misfitting,
        silently_none,
        with_field,
        with_alias,
    ],
)
def test_parameters_that_a_model_cannot_fill_in_are_refused_at_decoration(fn: Callable[..., Any]) -> None:
    """Section 6: a tool that can't be called is no tool."""
    with pytest.raises(DefinitionError, match=fn.__name__):
        tool(effect="read")(fn)


def test_text_is_told_as_it_is_and_anything_else_as_json_through_its_type() -> None:
    """A1: the model is told what the journal holds."""

    @tool(effect="read")
    def where_told(of: str) -> Place:
        return Place(of, of)

    @tool(effect="read")
    def which_told() -> set[str]:
        return {"a"}

    assert where_told.told("as it is\n") == "as it is\n"
    assert where_told.told(Place("Bonn", "Am Hof")) == '{"city":"Bonn","street":"Am Hof"}'
    assert which_told.told({"b", "a", "c"}) == '["a","b","c"]'


def test_a_long_result_is_cut_and_says_how_much_is_missing() -> None:
    """Section 6: a model must not take a part for the whole."""
    made = as_tool(effect="read", limit=10)
    assert made.told("x" * 10) == "x" * 10
    assert made.told("x" * 25) == "x" * 10 + "\n[cut: 10 of 25 characters are shown]"


def test_what_cannot_be_stored_is_replaced_in_what_the_model_is_told() -> None:
    """A11: a lone surrogate in an error's text would keep the next question from being recorded."""
    assert as_tool(effect="read").told("a\ud800b") == "a\ufffdb"


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": "10"}, {"description": 5}, {"retry": 3}])
def test_an_option_that_means_nothing_is_refused_at_decoration(options: dict[str, Any]) -> None:
    """House style 5."""
    with pytest.raises(DefinitionError):
        as_tool(**options)


def test_a_toolset_refuses_names_that_a_model_could_mistake() -> None:
    """Section 6: two tools of one name, or of names that differ by case or by a dash, are one to a model."""
    first = as_tool(name="find_room", effect="read")
    for name in ("find_room", "Find_Room", "find-room"):
        with pytest.raises(DefinitionError, match="can't tell apart"):
            Toolset([first, as_tool(name=name, effect="read")], "helper")
    with pytest.raises(DefinitionError, match="is no tool"):
        Toolset([refund_order], "helper")  # type: ignore[list-item]  # that it is refused is the claim


def test_importing_sagas_loads_nothing_of_agents() -> None:
    """Architecture: dependencies go one way."""
    program = (
        "import amends.sagas, sys; "
        "print([name for name in sys.modules if name.startswith(('amends.agents', 'docstring'))])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


async def _awaited(call: Any) -> Any:
    return await call
