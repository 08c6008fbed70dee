"""Links by which people decide: one approval, one person, what was shown; once, in time, unless revoked."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime as dt
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field

from amends.persistence.tables import tables_in
from amends.sagas import (
    ApprovalLinks,
    ApprovalNotFound,
    Coordinator,
    DecisionRefused,
    InputInvalid,
    LinkInvalid,
    approval,
    saga,
)
from amends.sagas.approval_links import Claim
from amends.sagas.approval_pages import ApprovalApp
from amends.sagas.notifiers import Notice
from tests.sagas.running import Clock, on_a_loop
from tests.sagas.senders import serving

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"t" * 32).decode()
LINKS = ApprovalLinks("http://test/decide", secrets=SECRET)
HOUR = dt.timedelta(hours=1)
NASTY = "<script>alert('&\"')</script>"


class Refund(BaseModel):
    amount: int = Field(gt=0, le=100, description="in EUR")
    kind: str = "card"
    express: bool = False
    day: dt.date | None = None
    notes: list[str] = []


@saga(name="links.asks")
async def asks(title: str = "Refund?", quorum: int = 1) -> dict[str, Any]:
    decision = await approval(
        Refund(amount=10),
        title=title,
        details={"order": 7, "why": NASTY},
        approvers=["ann", "bob", NASTY],
        requested_by="eve",
        quorum=quorum,
        timeout=2 * HOUR,
    )
    return {
        "status": decision.status.value,
        "by": decision.by,
        "how": decision.how,
        "reason": decision.reason,
        "amount": None if decision.values is None else decision.values.amount,
    }


@asynccontextmanager
async def asked(url: str, clock: Clock, *args: Any, **options: Any) -> AsyncIterator[Coordinator]:
    """Give a coordinator with one run, `r`, that waits for its approval, `r:1`."""
    async with Coordinator(url, clock=clock, approval_links=LINKS, **options) as coordinator:
        await coordinator.start(asks, *args, id="r")
        await coordinator.run_until_idle()
        yield coordinator


def client(coordinator: Coordinator) -> httpx.AsyncClient:
    """Give a browser, as it were, that calls the page without a socket."""
    transport = httpx.ASGITransport(ApprovalApp(coordinator), root_path="/decide")
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def everything(coordinator: Coordinator) -> dict[str, list[Any]]:
    """Give all that the database holds about approvals and runs."""
    with coordinator.engine.connect() as db:
        tables = tables_in(prefix="amends_") if db.dialect.name == "sqlite" else tables_in(schema="amends")
        wanted = (tables.approvals, tables.votes, tables.inbox, tables.journal, tables.audit)
        return {table.name: sorted(map(repr, db.execute(table.select()))) for table in wanted}


async def result(coordinator: Coordinator) -> dict[str, Any]:
    """Drive the run to its end."""
    await coordinator.run_until_idle()
    found: dict[str, Any] = await (await coordinator.get("r")).result(30)
    return found


@on_a_loop
async def test_a_get_shows_and_a_post_decides_as_the_person_of_the_link(database_url: str) -> None:
    """A10: whoever the body says, it is the person in the link; values are edited; it is on record how."""
    async with asked(database_url, Clock()) as coordinator, client(coordinator) as browser:
        link = await coordinator.links.url_of("r:1", "ann")
        before = everything(coordinator)
        for method in ("GET", "HEAD", "GET"):
            shown = await browser.request(method, link, params={"decision": "approve", "v.amount": "99"})
            assert shown.status_code == 200
        assert everything(coordinator) == before
        assert "Refund?" in shown.text
        assert '<input name="v.amount" type="number" step="1" value="10">' in shown.text
        assert "in EUR" in shown.text
        assert '<input name="v.day" type="date" value="">' in shown.text
        assert (await browser.options(link)).status_code == 405
        assert everything(coordinator) == before
        form = {"decision": "approve", "by": "bob", "v.amount": "20", "v.express": "true", "reason": "fine"}
        decided = await browser.post(link, data=form)
        assert decided.status_code == 200
        assert "Your decision counts" in decided.text
        assert await result(coordinator) == {
            "status": "approved",
            "by": "ann",
            "how": "link",
            "reason": "fine",
            "amount": 20,
        }
        again = await browser.get(link)
        assert again.status_code == 410
        assert "It is approved by ann" in again.text


@on_a_loop
async def test_every_flipped_byte_and_every_other_token_is_refused(database_url: str) -> None:
    """A10: tampered, cut, for another run, approval, person or digest, of another secret: nothing changes."""
    clock = Clock()
    async with asked(database_url, clock) as coordinator, client(coordinator) as browser:
        await coordinator.start(asks, "Other", id="other")
        await coordinator.run_until_idle()
        link = await coordinator.links.url_of("r:1", "ann")
        base, _, token = link.rpartition("/")
        claim = LINKS.read(token)
        assert claim is not None
        data = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        forged = []
        for place in range(len(data)):
            data[place] ^= 1
            forged.append(base64.urlsafe_b64encode(bytes(data)).rstrip(b"=").decode())
            data[place] ^= 1
        forged += [token[:-1], token + "A", token[1:], "", "x", "..", token.swapcase(), token + "%00"]
        stranger = ApprovalLinks("http://test/decide", secrets=OTHER)
        forged += [
            stranger.token(claim),
            LINKS.token(dataclasses.replace(claim, digest="0" * 64)),
            LINKS.token(dataclasses.replace(claim, approval_id="other:1", digest="0" * 64)),
            LINKS.token(dataclasses.replace(claim, approval_id="none:1")),
            LINKS.token(dataclasses.replace(claim, person="mallory")),
            LINKS.token(dataclasses.replace(claim, person="eve")),
            LINKS.token(dataclasses.replace(claim, expires=clock.now)),
        ]
        before = everything(coordinator)
        statuses = set()
        for each in forged:
            answer = await browser.post(f"{base}/{each}", data={"decision": "approve", "v.amount": "5"})
            statuses.add(answer.status_code)
        assert statuses == {404, 409}
        assert everything(coordinator) == before
        assert (await browser.post(link, data={"decision": "approve"})).status_code == 200


@on_a_loop
async def test_a_new_secret_signs_and_the_old_one_is_accepted_until_it_is_retired(sqlite_url: str) -> None:
    """Keys are replaced without links going dead in people's hands."""
    async with asked(sqlite_url, Clock()) as coordinator:
        token = (await coordinator.links.url_of("r:1", "ann")).rpartition("/")[2]
    assert ApprovalLinks("http://test/", secrets=[OTHER, SECRET]).read(token) is not None
    assert ApprovalLinks("http://test/", secrets=OTHER).read(token) is None


@pytest.mark.parametrize("how", ["expired", "link over", "cancelled", "decided", "revoked", "all revoked"])
@on_a_loop
async def test_a_link_is_dead_after_time_cancel_another_decision_or_revocation(
    database_url: str, how: str
) -> None:
    """A10: by the database's clock; the page says why, and nothing changes."""
    clock = Clock()
    async with asked(database_url, clock) as coordinator, client(coordinator) as browser:
        within = HOUR if how == "link over" else None
        link = await coordinator.links.url_of("r:1", "ann", within=within)
        if how in ("expired", "link over"):
            clock.move(3 * HOUR if how == "expired" else HOUR)
        elif how == "cancelled":
            await (await coordinator.get("r")).cancel()
            await coordinator.run_until_idle()
        elif how == "decided":
            await coordinator.decide("r:1", approved=False, by="bob", reason="no")
            await coordinator.run_until_idle()
        else:
            clock.move(HOUR / 60)
            await coordinator.links.revoke("r:1", "ann" if how == "revoked" else None, by="ops")
        before = everything(coordinator)
        assert (await browser.post(link, data={"decision": "approve"})).status_code == 409
        assert everything(coordinator) == before
        if how != "cancelled":
            shown = await browser.get(link)
            assert shown.status_code == 410
            words = {"decided": "It is rejected by bob", "revoked": "revoked", "all revoked": "revoked"}
            assert words.get(how, "time") in shown.text
        if "revoked" in how:
            audit = everything(coordinator)
            lines = next(rows for name, rows in audit.items() if "audit" in name)
            assert any("'revoke links'" in line and "'ops'" in line for line in lines)
            clock.move(HOUR / 60)
            fresh = await coordinator.links.url_of("r:1", "ann")
            assert (await browser.post(fresh, data={"decision": "reject"})).status_code == 200


@on_a_loop
async def test_of_fifty_posts_by_one_link_one_counts(database_url: str) -> None:
    """A10: consumed once, by a conditional update; the others are told that it has counted."""
    async with asked(database_url, Clock()) as coordinator, client(coordinator) as browser:
        link = await coordinator.links.url_of("r:1", "ann")
        answers = await asyncio.gather(
            *(browser.post(link, data={"decision": "approve", "v.amount": str(n + 1)}) for n in range(50))
        )
        told = [("Your decision counts" in answer.text, answer.status_code) for answer in answers]
        assert told.count((True, 200)) == 1
        assert {status for counts, status in told if not counts} <= {200, 409}
        stored = everything(coordinator)
        assert len(next(rows for name, rows in stored.items() if "votes" in name)) == 1
        assert (await result(coordinator))["status"] == "approved"


@on_a_loop
async def test_two_links_make_a_quorum_and_a_second_use_says_that_it_has_counted(database_url: str) -> None:
    """A10: as after an answer that was lost; each person's vote counts once."""
    async with asked(database_url, Clock(), "Two", 2) as coordinator, client(coordinator) as browser:
        ann = await coordinator.links.url_of("r:1", "ann")
        bob = await coordinator.links.url_of("r:1", "bob")
        assert (await browser.post(ann, data={"decision": "approve"})).status_code == 200
        again = await browser.post(ann, data={"decision": "approve"})
        assert again.status_code == 200
        assert "has approved it already" in again.text
        assert "1 of 2 (ann)" in (await browser.get(bob)).text
        assert (await browser.post(bob, data={"decision": "approve"})).status_code == 200
        assert (await result(coordinator))["status"] == "approved"


@on_a_loop
async def test_values_that_do_not_fit_are_told_beside_what_was_filled_in_and_spend_nothing(
    database_url: str,
) -> None:
    """A10: edited arguments are validated; the page keeps what was typed."""
    async with asked(database_url, Clock()) as coordinator, client(coordinator) as browser:
        link = await coordinator.links.url_of("r:1", "ann")
        before = everything(coordinator)
        for form in (
            {"decision": "approve", "v.amount": "5000", "reason": NASTY},
            {"decision": "approve", "v.amount": "ten"},
            {"decision": "approve", "v.notes": "[1"},
            {"decision": "maybe"},
            {},
        ):
            answer = await browser.post(link, data=form)
            assert answer.status_code == 422
            assert "role=alert" in answer.text
            if "v.amount" in form:
                assert f'value="{form["v.amount"]}"' in answer.text
        assert everything(coordinator) == before
        form = {"decision": "approve", "v.amount": "7", "v.day": "2026-01-02", "v.notes": '["a"]'}
        assert (await browser.post(link, data=form)).status_code == 200
        assert (await result(coordinator))["amount"] == 7


@on_a_loop
async def test_nothing_that_people_write_becomes_part_of_the_page(sqlite_url: str) -> None:
    """Security: titles, details, names, reasons and values are escaped; no script, no frame, no referrer."""
    title = f"Refund {NASTY}"
    async with asked(sqlite_url, Clock(), title) as coordinator, client(coordinator) as browser:
        link = await coordinator.links.url_of("r:1", NASTY)
        pages = [await browser.get(link)]
        pages.append(await browser.post(link, data={"decision": "approve", "v.kind": NASTY, "v.amount": "x"}))
        pages.append(await browser.post(link, data={"decision": "reject", "reason": NASTY}))
        pages.append(await browser.get(link))
        for shown in pages:
            assert "<script" not in shown.text
            assert re.findall(r"<script|javascript:|\son[a-z]+=", shown.text) == []
            policy = shown.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert shown.headers["referrer-policy"] == "no-referrer"
            assert shown.headers["cache-control"] == "no-store"


@on_a_loop
async def test_programs_are_answered_in_json(database_url: str) -> None:
    """The same rules; the body says approved, reason and values."""
    headers = {"accept": "application/json"}
    async with asked(database_url, Clock()) as coordinator, client(coordinator) as browser:
        link = await coordinator.links.url_of("r:1", "ann")
        shown = (await browser.get(link, headers=headers)).json()
        assert (shown["id"], shown["person"], shown["values"]["amount"]) == ("r:1", "ann", 10)
        for bad in ("{", "[]", "{}", '{"approved": "yes"}', '{"approved": true, "reason": 7}', "[" * 100_000):
            typed = {**headers, "content-type": "application/json"}
            answer = await browser.post(link, content=bad, headers=typed)
            assert answer.status_code == 422, bad
        answer = await browser.post(link, json={"approved": True, "values": {"amount": 3}}, headers=headers)
        assert answer.status_code == 200
        assert (await result(coordinator))["amount"] == 3


@on_a_loop
async def test_hostile_callers_are_turned_away_and_no_link_is_logged(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Security: another site's form, a body too large or unreadable, a database that is away."""
    async with asked(sqlite_url, Clock()) as coordinator, client(coordinator) as browser:
        link = await coordinator.links.url_of("r:1", "ann")
        before = everything(coordinator)
        elsewhere = {"sec-fetch-site": "cross-site"}
        foreign = await browser.post(link, data={"decision": "approve"}, headers=elsewhere)
        assert foreign.status_code == 403
        assert (await browser.post(link, content=b"x" * (2 << 20))).status_code == 413
        assert (await browser.post(link, content=b"\xff\xfe")).status_code == 400
        assert (await browser.get("http://test/decide/" + "A" * 20_000)).status_code == 404
        assert (await browser.get("http://test/decide/")).status_code == 404
        assert everything(coordinator) == before
    async with client(coordinator) as browser:
        away = await browser.get(link)
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert link.rpartition("/")[2] not in caplog.text


@on_a_loop
async def test_it_serves_over_real_sockets(sqlite_url: str) -> None:
    """Under uvicorn, at its root."""
    async with asked(sqlite_url, Clock()) as coordinator, serving(ApprovalApp(coordinator)) as url:
        token = (await coordinator.links.url_of("r:1", "ann")).rpartition("/")[2]
        async with httpx.AsyncClient() as browser:
            assert "Refund?" in (await browser.get(f"{url}/{token}")).text
            assert (await browser.post(f"{url}/{token}", data={"decision": "reject"})).status_code == 200
        assert (await result(coordinator))["status"] == "rejected"


@on_a_loop
async def test_notices_carry_a_link_for_each_person_and_the_same_when_told_again(database_url: str) -> None:
    """Section 1: who asked gets none; a repeated notice has the same links."""
    told: list[Notice] = []

    class Telling:
        name = "telling"

        async def notify(self, notice: Notice) -> None:
            told.append(notice)
            if len(told) == 1:
                raise RuntimeError("not now")

    clock = Clock()
    tells = asked(database_url, clock, notifiers=[Telling()])
    async with tells as coordinator, client(coordinator) as browser:
        clock.move(HOUR / 60)
        await coordinator.run_until_idle()
        assert [sorted(notice.links) for notice in told] == [sorted(["ann", "bob", NASTY])] * 2
        assert told[0].links == told[1].links
        assert told[0].links["ann"] not in repr(told[0])
        assert (await browser.post(told[0].links["ann"], data={"decision": "approve"})).status_code == 200


@on_a_loop
async def test_links_are_made_for_those_alone_who_may_decide(sqlite_url: str) -> None:
    """A10: and only where the coordinator has a secret."""
    async with asked(sqlite_url, Clock()) as coordinator:
        for person in ("mallory", "eve"):
            with pytest.raises(DecisionRefused):
                await coordinator.links.url_of("r:1", person)
        with pytest.raises(ApprovalNotFound):
            await coordinator.links.url_of("r:9", "ann")
        with pytest.raises(ApprovalNotFound):
            await coordinator.links.revoke("r:9", by="ops")
        with pytest.raises(LinkInvalid):
            await coordinator.links.show("nonsense")
    async with Coordinator(sqlite_url, work=False) as plain:
        with pytest.raises(InputInvalid, match="approval_links="):
            await plain.links.url_of("r:1", "ann")
        with pytest.raises(InputInvalid, match="makes no links"):
            ApprovalApp(plain)


def test_what_can_be_no_links_is_refused_without_showing_the_secret() -> None:
    """Errors at the boundary; a short secret could be guessed."""
    short = "whsec_" + base64.b64encode(b"short").decode()
    given: tuple[tuple[str, Any], ...] = (
        ("ftp://x", SECRET),
        ("http://u:p@x/", SECRET),
        ("http://x/", short),
    )
    for url, secrets in (*given, ("http://x/", [])):
        with pytest.raises(InputInvalid) as caught:
            ApprovalLinks(url, secrets=secrets)
        assert short not in str(caught.value)
    with pytest.raises(InputInvalid, match="approval_links= takes"):
        Coordinator("sqlite:///x.db", approval_links="http://x/")  # type: ignore[arg-type]  # on purpose
    claim = Claim("r:1", "ann", "d", 1, None)
    assert SECRET[6:] not in repr(LINKS)
    assert LINKS.url_of(claim) == LINKS.url_of(claim)
    assert json.loads(json.dumps(dataclasses.asdict(claim)))["person"] == "ann"
