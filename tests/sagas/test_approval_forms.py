"""A form on an approval's page: what a browser sends back untouched is what was shown, to the byte."""

from __future__ import annotations

import re
from html import unescape
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from amends.sagas import Coordinator, approval, saga
from tests.sagas.running import on_a_loop
from tests.sagas.test_approval_links import LINKS, client, result


class Letter(BaseModel):
    text: str = "Dear Bob,\nyou get 5 EUR.\n"
    above: str = "\nbegins with an empty line"
    windows: str = "one\r\ntwo\rthree"
    size: Literal["1", "2", "null"] = "1"
    mixed: Literal["a", 1, True] = "a"
    ratio: float = 1.0
    copy_to: str | None = None
    more: Any = None


@saga(name="forms.letter")
async def letter() -> dict[str, Any]:
    decision = await approval(Letter(), title="Send it?", approvers=["ann"])
    assert decision.values is not None
    return decision.values.model_dump()


@saga(name="forms.long")
async def long_names(person: str) -> None:
    await approval(title="Well?", approvers=[person])


def sent_by_a_browser(page: str) -> dict[str, str]:
    """Give what a browser sends for the page's form, as the HTML standard has it."""
    page, form = page.replace("\r\n", "\n").replace("\r", "\n"), {}
    for name, value in re.findall(r'<input name="(v\.\w+)"[^>]*value="([^"]*)"', page):
        form[name] = unescape(value).replace("\n", "")
    for name, value in re.findall(r'<textarea name="(v\.\w+)"[^>]*>(.*?)</textarea>', page, re.DOTALL):
        form[name] = unescape(value.removeprefix("\n")).replace("\n", "\r\n")
    for name, choices in re.findall(r'<select name="(v\.\w+)">(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', choices) or re.search(r'value="([^"]*)"', choices)
        assert chosen is not None
        form[name] = unescape(chosen[1])
    return form


@pytest.mark.parametrize(
    ("edits", "values"),
    [
        ({}, {}),
        ({"v.size": "2"}, {"size": "2"}),
        ({"v.size": "null"}, {"size": "null"}),
        ({"v.mixed": "1"}, {"mixed": 1}),
        ({"v.text": "Dear Eve,\r\nno."}, {"text": "Dear Eve,\nno."}),
        ({"v.copy_to": "eve"}, {"copy_to": "eve"}),
    ],
)
@on_a_loop
async def test_what_is_approved_is_what_was_shown_and_what_was_edited(
    database_url: str, edits: dict[str, str], values: dict[str, Any]
) -> None:
    """A10: line breaks and choices that look like numbers come back as they were."""
    async with Coordinator(database_url, approval_links=LINKS) as coordinator, client(coordinator) as browser:
        await coordinator.start(letter, id="r")
        await coordinator.run_until_idle()
        link = await coordinator.links.url_of("r:1", "ann")
        form = sent_by_a_browser((await browser.get(link)).text)
        assert len(form) == len(Letter.model_fields)
        answer = await browser.post(link, data={**form, **edits, "decision": "approve"})
        assert answer.status_code == 200, answer.text
        assert await result(coordinator) == Letter().model_dump() | values


@on_a_loop
async def test_what_is_nested_too_deeply_is_told_as_any_other_misfit(sqlite_url: str) -> None:
    """Security: no error of ours, and nothing is spent."""
    async with Coordinator(sqlite_url, approval_links=LINKS) as coordinator, client(coordinator) as browser:
        await coordinator.start(letter, id="r")
        await coordinator.run_until_idle()
        link = await coordinator.links.url_of("r:1", "ann")
        form = sent_by_a_browser((await browser.get(link)).text)
        deep = {**form, "v.ratio": "[" * 100_000, "decision": "approve"}
        assert (await browser.post(link, data=deep)).status_code == 422
        for depth in (500, 2_000, 20_000):
            content = b'{"approved": true, "values": {"more": ' + b"[" * depth + b"]" * depth + b"}}"
            answer = await browser.post(link, content=content, headers={"content-type": "application/json"})
            assert answer.status_code in (200, 422), depth
            if answer.status_code == 200:
                break


@on_a_loop
async def test_the_longest_names_have_links_that_lead_somewhere(sqlite_url: str) -> None:
    """A10: whatever may be a run's id and a person can be in a link."""
    person, run_id = "\U00020000" * 500, "\U00020001" * 200
    async with Coordinator(sqlite_url, approval_links=LINKS) as coordinator, client(coordinator) as browser:
        await coordinator.start(long_names, person, id=run_id)
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        assert (await browser.get(await coordinator.links.url_of(asked.id, person))).status_code == 200
