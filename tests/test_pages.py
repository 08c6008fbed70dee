"""What the pages say about the code is what the code says, and their links lead somewhere."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from amends import agents
from amends.agents import Agent, ApprovalPolicy, Budget, OpenAIModel, model_errors, tool
from amends.agents import errors as agent_errors
from amends.sagas import (
    Coordinator,
    CurrentStep,
    Retry,
    Schedules,
    Step,
    Undo,
    errors,
    saga,
    step,
    transaction,
)
from tests import rule_table

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
AGENT_PAGES = ("agents.md", "tools.md", "models.md")
PAGE_OF: dict[object, str] = {
    transaction: "transactions.md",
    OpenAIModel: "models.md",
    Agent: "agents.md",
    Budget: "agents.md",
}
INNER = ("self", "fn", "url", "beat", "note", "box", "beside")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCE = re.compile(r"^[ ]*(```+).*?^[ ]*\1[ ]*$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """List the links of a page that lead nowhere."""
    found = []
    for path, anchor in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = page if not path else (page.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(f"{path}#{anchor}" if anchor else path)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_the_page_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_every_error_is_explained_once() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted({*errors.__all__, *agent_errors.__all__, "Misfit"})


def test_every_error_of_a_model_is_explained_once() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    explained = re.findall(
        r"^\| `(\w+)` \|", page.partition("## Errors")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert sorted(["ModelError", *explained]) == sorted(model_errors.__all__)


def test_every_error_of_an_agent_is_explained_once() -> None:
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    errors_only = page.partition("## Hostile answers")[2].partition("\n## ")[0]
    explained = re.findall(r"^\| `(\w+)` \|", errors_only, re.MULTILINE)
    assert sorted(explained) == sorted(agent_errors.__all__)


def test_every_public_name_of_the_agents_stands_in_one_of_their_pages() -> None:
    pages = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in AGENT_PAGES)
    words = set(re.findall(r"\w+", pages))
    assert [name for name in agents.__all__ if name not in words] == []


@pytest.mark.parametrize(
    ("title", "described"),
    [
        ("option of `@saga`", saga),
        ("option of `@step`", step),
        ("option of `@transaction`", transaction),
        ("option of `Retry`", Retry),
        ("option", Step.compensation),
        ("option of `Coordinator(url, …)`", Coordinator),
        ("field of `Undo`", Undo),
        ("field", CurrentStep),
        ("option of `OpenAIModel(name, …)`", OpenAIModel),
        ("option of `Agent(name, …)`", Agent),
        ("option of `Budget(…)`", Budget),
    ],
)
def test_the_table_names_every_option(title: str, described: Callable[..., object]) -> None:
    name = PAGE_OF.get(described, "sagas.md")
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    rows = page.split(f"\n| {title} |")[1].partition("\n\n")[0].splitlines()[2:]
    named = [name for row in rows for name in re.findall(r"`(\w+)=?`", row.split("|")[1])]
    inner = (*INNER, "name") if described in (OpenAIModel, Agent) else INNER
    taken = [name for name in inspect.signature(described).parameters if name not in inner]
    assert sorted(named) == sorted(name.removesuffix("_ms") for name in taken)


@pytest.mark.parametrize(("title", "described"), [("`@tool`", tool), ("`ApprovalPolicy`", ApprovalPolicy)])
def test_the_table_names_every_option_of_a_tool(title: str, described: Callable[..., object]) -> None:
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    rows = page.split(f"\n| option of {title} |")[1].partition("\n\n")[0].splitlines()[2:]
    named = [name for row in rows for name in re.findall(r"`(\w+)=`", row.split("|")[1])]
    assert sorted(named) == sorted(name for name in inspect.signature(described).parameters if name != "fn")


def test_the_table_names_every_option_of_a_schedule() -> None:
    page = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")
    rows = page.split("\n| option of `put(")[1].partition("\n\n")[0].splitlines()[2:]
    named = [row.split("|")[1].strip().strip("`") for row in rows]
    taken = [name for name in inspect.signature(Schedules.put).parameters if name not in ("self", "args")]
    assert sorted(["id", "saga", *named]) == sorted(taken)


def test_the_guarantees_name_every_rule() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    assert [rule for rule in rule_table.RULES if rule not in rule_table.named(page)] == []


def test_the_readme_shows_the_first_saga() -> None:
    example = (ROOT / "examples" / "first_saga.py").read_text(encoding="utf-8")
    program = example[example.index("import asyncio") :].partition("\n\n# ruff")[0].strip()
    assert f"```python\n{program}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")
