"""Webhooks of a run: a URL that leads to it alone, recorded, signed, and refused where it was changed."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, cast

import httpx
import pytest
from pydantic import BaseModel

from amends.sagas import (
    Coordinator,
    InputInvalid,
    Kind,
    OutsideRun,
    RunFailed,
    Status,
    Webhooks,
    WebhooksMissing,
    continue_as_new,
    receive,
    saga,
    savepoint,
    sleep,
    step,
    webhook,
)
from amends.sagas.testing import crash_test
from amends.sagas.webhook_keys import Keys
from amends.sagas.webhook_urls import read, token
from amends.sagas.webhooks import WebhookApp
from tests.sagas.running import Clock, ended, failure, kinds, on_a_loop
from tests.sagas.senders import inside

HOUR = dt.timedelta(hours=1)
BASE = "http://test/hooks"
OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
HOOKS = Webhooks(BASE, secrets=NEW)
GIVEN: dict[str, str] = {}
"""The URLs that bodies have given away, by what for."""
GAVE: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _anew() -> None:
    GIVEN.clear()
    GAVE.clear()


class Verdict(BaseModel):
    approved: bool
    note: str = ""


@step(name="hooks.give")
async def give(what: str, url: str) -> None:
    GIVEN[what] = url
    GAVE.setdefault(what, asyncio.Event()).set()


@saga(name="hooks.asks")
async def asks(what: str = "asks") -> bool:
    hook = await webhook(Verdict)
    await give(what, hook.url)
    return (await hook.receive()).approved


@saga(name="hooks.asks_two")
async def asks_two() -> list[Any]:
    verdict = await webhook(Verdict)
    number = await webhook(int, name="number")
    await give("verdict", verdict.url)
    await give("number", number.url)
    said, counted = await asyncio.gather(verdict.receive(), number.receive())
    return [said.approved, counted]


@saga(name="hooks.collects")
async def collects(most: int) -> list[int]:
    got: list[int] = []
    hook = await webhook(int)
    await give("collects", hook.url)
    async for number in hook:
        got.append(number)
        if len(got) == most:
            break
    return got


def door(coordinator: Coordinator, **options: Any) -> httpx.AsyncClient:
    return inside(WebhookApp(coordinator, {}, **options))


async def given(what: str) -> str:
    GAVE.setdefault(what, asyncio.Event())
    await GAVE[what].wait()
    return GIVEN[what]


@on_a_loop
async def test_the_url_of_a_webhook_leads_to_its_run(database_url: str) -> None:
    async with Coordinator(database_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run, other = await coordinator.start(asks, "a"), await coordinator.start(asks, "b")
        for what, approved in (("a", True), ("b", False)):
            answer = await client.post(await given(what), json={"approved": approved})
            assert (answer.status_code, answer.json()) == (200, {"status": "taken"})
        assert (await run.result(30), await other.result(30)) == (True, False)
        assert GIVEN["a"].startswith(f"{BASE}/")


@on_a_loop
async def test_two_webhooks_of_a_run_are_told_apart(database_url: str) -> None:
    async with Coordinator(database_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(asks_two)
        await client.post(await given("number"), json=7)
        await client.post(await given("verdict"), json={"approved": True})
        assert await run.result(30) == [True, 7]


@on_a_loop
async def test_a_process_that_does_no_work_takes_calls(database_url: str) -> None:
    """The door needs no look-up and no worker: what it needs to know stands in the URL."""
    async with Coordinator(database_url, webhooks=HOOKS) as worker:
        run = await worker.start(asks)
        url = await given("asks")
        async with (
            Coordinator(database_url, webhooks=HOOKS, work=False) as stranger,
            door(stranger) as client,
        ):
            assert (await client.post(url, json={"approved": True})).status_code == 200
        assert await run.result(30) is True


@on_a_loop
async def test_one_delivery_is_one_message_and_without_an_id_each_call_is(database_url: str) -> None:
    async with Coordinator(database_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(collects, 6)
        url = await given("collects")
        for name in ("webhook-id", "Idempotency-Key"):
            answers = await asyncio.gather(
                *(client.post(url, json=n, headers={name: f"{name} {n}"}) for n in (1, 2) for _ in range(10))
            )
            assert {answer.status_code for answer in answers} == {200}
        for _ in range(2):
            await client.post(url, json=3)
        assert sorted(await run.result(30)) == [1, 1, 2, 2, 3, 3]
        # Taken before the run ended: said again, it is no other message.
        again = await client.post(url, json=1, headers={"webhook-id": "webhook-id 1"})
        late = await client.post(url, json=1, headers={"webhook-id": "new"})
        assert (again.status_code, late.status_code) == (200, 410)


@on_a_loop
async def test_the_same_delivery_to_two_webhooks_of_a_run_reaches_both(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(asks_two)
        for what, payload in (("number", 7), ("verdict", {"approved": True})):
            await client.post(await given(what), json=payload, headers={"webhook-id": "1"})
        assert await run.result(30) == [True, 7]


@on_a_loop
async def test_the_url_stays_the_same_over_crashes_and_new_secrets(database_url: str) -> None:
    """It is recorded: what was given away is what the body sees, whatever the settings say by now."""

    @saga(name="hooks.patient")
    async def patient() -> list[str]:
        hook = await webhook(Verdict)
        await give("before", hook.url)
        await sleep(HOUR)
        await give("after", hook.url)
        return [hook.url, (await hook.receive()).note]

    clock = Clock()
    async with Coordinator(database_url, webhooks=Webhooks(BASE, secrets=OLD), clock=clock) as coordinator:
        await coordinator.start(patient, id="patient")
        await coordinator.run_until_idle()
    both = Webhooks("http://elsewhere", secrets=[NEW, OLD])
    async with (
        Coordinator(database_url, webhooks=both, clock=clock) as coordinator,
        door(coordinator) as client,
    ):
        clock.move(HOUR)
        await coordinator.run_until_idle()
        assert GIVEN["after"] == GIVEN["before"]
        assert (await client.post(GIVEN["after"], json={"approved": True, "note": "n"})).status_code == 200
        await coordinator.run_until_idle()
        assert await (await coordinator.get("patient")).result(30) == [GIVEN["before"], "n"]


@on_a_loop
async def test_a_secret_that_is_gone_lets_nobody_in(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, webhooks=Webhooks(BASE, secrets=OLD)) as coordinator:
        run = await coordinator.start(asks, id="asks")
        url = await given("asks")
        for settings in (HOOKS, None):
            async with Coordinator(sqlite_url, webhooks=settings, work=False) as other, door(other) as client:
                assert (await client.post(url, json={"approved": True})).status_code == 404
        assert Kind.SIGNAL not in await kinds(run)


@on_a_loop
async def test_a_url_that_was_changed_leads_nowhere(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run, other = await coordinator.start(asks, "a", id="a"), await coordinator.start(asks, "b", id="b")
        base, _, good = (await given("a")).rpartition("/")
        await given("b")
        data = base64.urlsafe_b64decode(good + "==")
        changed = [good[:n] + ("A" if good[n] != "A" else "B") + good[n + 1 :] for n in range(len(good))]
        changed += [good[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef-_" if last != good[-1]]
        changed += [
            f"{good}=",
            f"{good}==",
            f"{good}A",
            f"{good}/",
            good[:-1],
            good[1:],
            "",
            "é",
            "x" * 5_000,
        ]
        changed += [good.swapcase(), f"{good}%00", f"{good}%0A"]
        for said in (b"webhook:Verdict:1\0b", b"webhook:Verdict:2\0a", b"paid\0a"):
            changed.append(base64.urlsafe_b64encode(data[:32] + said).rstrip(b"=").decode())
        changed.append(token(Keys(OLD, "test"), "a", "webhook:Verdict:1"))
        for each in changed:
            answer = await client.post(f"{base}/{each}", json={"approved": True})
            assert answer.status_code == 404, each
        assert Kind.SIGNAL not in [*await kinds(run), *await kinds(other)]
        assert (await client.post(f"{base}/{good}", json={"approved": True})).status_code == 200


@on_a_loop
async def test_reading_a_url_delivers_nothing(sqlite_url: str) -> None:
    """Mail scanners and link previews follow every link."""
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(asks)
        url = await given("asks")
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            assert (await client.request(method, url, json={"approved": True})).status_code == 405
        assert Kind.SIGNAL not in await kinds(run)


BODIES: Mapping[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "no JSON": (b"approved=true", 400),
    "another shape": (b'{"note": "x"}', 400),
    "another type": (b'{"approved": "perhaps"}', 400),
    "NaN": (b'{"approved": NaN}', 400),
    "an infinity": (b'{"approved": true, "x": 1e999}', 400),
    "too deep": (b"[" * 10_000, 400),
    "too large": (b" " * (1 << 20) + b'{"approved": true}', 413),
}


@pytest.mark.parametrize("what", BODIES)
@on_a_loop
async def test_a_body_that_does_not_fit_is_refused_and_the_run_goes_on_waiting(
    what: str, sqlite_url: str
) -> None:
    body, status = BODIES[what]
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(asks)
        url = await given("asks")
        assert (await client.post(url, content=body)).status_code == status
        assert Kind.SIGNAL not in await kinds(run)
        await client.post(url, json={"approved": True})
        assert await run.result(30) is True


@on_a_loop
async def test_a_body_is_checked_where_the_code_is_known_although_it_never_ran_there(sqlite_url: str) -> None:
    """The types are found in the source: both webhooks of this saga, each by its own name."""
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator:
        await coordinator.start(asks_two, id="two")
        urls = {what: await given(what) for what in ("verdict", "number")}
        asks_two.signals._types = None  # noqa: SLF001 - what bodies taught is forgotten, as in another process
        async with Coordinator(sqlite_url, webhooks=HOOKS, work=False) as stranger, door(stranger) as client:
            assert (await client.post(urls["verdict"], json=7)).status_code == 400
            refused = await client.post(urls["number"], json={"approved": True})
            assert refused.status_code == 400
            assert "doesn't fit what the saga receives" in refused.json()["error"]
            assert (await client.post(urls["number"], json=7)).status_code == 200


@pytest.mark.parametrize("id", ["", "a\tb", "é" * 3 + "\x7f", "x" * 1_001])
@on_a_loop
async def test_a_delivery_id_that_is_none_is_refused(id: str, sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        await coordinator.start(asks)
        headers = [(b"webhook-id", id.encode())]
        answer = await client.post(await given("asks"), json={"approved": True}, headers=headers)
        assert answer.status_code == 400


@on_a_loop
async def test_a_call_without_a_body_is_null(sqlite_url: str) -> None:
    @saga(name="hooks.rings")
    async def rings() -> str:
        hook = await webhook(None)
        await give("rings", hook.url)
        return f"rung: {await hook.receive()}"

    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(rings)
        assert (await client.post(await given("rings"))).status_code == 200
        assert await run.result(30) == "rung: None"


@on_a_loop
async def test_who_waits_in_vain_can_wait_again(database_url: str) -> None:
    @saga(name="hooks.reminds")
    async def reminds() -> str:
        hook = await webhook(Verdict)
        await give("first", hook.url)
        try:
            verdict = await hook.receive(timeout=HOUR)
        except TimeoutError:
            await give("reminded", hook.url)
            verdict = await hook.receive()
        return verdict.note

    clock = Clock()
    async with (
        Coordinator(database_url, webhooks=HOOKS, clock=clock) as coordinator,
        door(coordinator) as client,
    ):
        run = await coordinator.start(reminds)
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        clock.move(HOUR)
        await coordinator.run_until_idle()
        await client.post(GIVEN["first"], json={"approved": True, "note": "late"})
        await coordinator.run_until_idle()
        assert await run.result(30) == "late"
        assert GIVEN["reminded"] == GIVEN["first"]


@on_a_loop
async def test_every_webhook_has_a_number_of_its_own_also_after_a_new_beginning(database_url: str) -> None:
    @saga(name="hooks.anew")
    async def anew(urls: list[str]) -> list[str]:
        async with savepoint():
            urls.append((await webhook(int)).url)
        urls.extend([hook.url for hook in await asyncio.gather(webhook(int), webhook(str))])
        if len(urls) < 9:
            await give(str(len(urls)), urls[-1])
            await continue_as_new(urls)
        return urls

    async with Coordinator(database_url, webhooks=HOOKS) as coordinator:
        urls = await (await coordinator.start(anew, [], id="anew")).result(30)
    assert len(set(urls)) == 9
    keys = Keys(NEW, "test")
    assert {read(keys, url.rpartition("/")[2]) for url in urls} > {("anew", "webhook:int:2")}


@on_a_loop
async def test_a_new_beginning_can_go_on_with_a_url_that_was_given_away(database_url: str) -> None:
    @saga(name="hooks.goes_on")
    async def goes_on(name: str = "", total: int = 0) -> int:
        if not name:
            hook = await webhook(int)
            await give("goes_on", hook.url)
            name = hook.name
        number = await receive(int, name=name)
        if number:
            await continue_as_new(name, total + number)
        return total

    async with Coordinator(database_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(goes_on)
        for number in (1, 10, 100, 0):
            assert (await client.post(await given("goes_on"), json=number)).status_code == 200
        assert await run.result(30) == 111


@on_a_loop
async def test_a_run_that_was_cancelled_answers_gone(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        run = await coordinator.start(asks)
        url = await given("asks")
        await run.cancel()
        await ended(run)
        assert (await client.post(url, json={"approved": True})).status_code == 410


@on_a_loop
async def test_a_url_of_a_run_that_was_never_here_leads_nowhere(sqlite_url: str) -> None:
    url = HOOKS.url_of("of another database", "webhook:Verdict:1")
    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
        assert (await client.post(url, json={"approved": True})).status_code == 404


@on_a_loop
async def test_the_path_is_where_the_app_says(sqlite_url: str) -> None:
    settings = Webhooks("http://test/deep/in/calls/", secrets=NEW)
    async with Coordinator(sqlite_url, webhooks=settings) as coordinator:
        run = await coordinator.start(asks, id="ein Lauf/mit Ümläuten")
        url = await given("asks")
        app = WebhookApp(coordinator, {}, hooks="/calls")
        async with inside(app, "/deep/in") as client, inside(app) as elsewhere:
            assert (await elsewhere.post(url, json={"approved": True})).status_code == 404
            assert (await client.post(url, json={"approved": True})).status_code == 200
        assert await run.result(30) is True


@on_a_loop
async def test_without_settings_a_webhook_is_an_error_that_says_what_to_do(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator, door(coordinator) as client:
        error = await failure(await coordinator.start(asks))
        assert isinstance(error.error, WebhooksMissing)
        assert "Coordinator(url, webhooks=" in str(error.error)
        assert (await client.post(f"{BASE}/x", json=1)).status_code == 404


@on_a_loop
async def test_outside_a_run_there_is_no_webhook(sqlite_url: str) -> None:
    with pytest.raises(OutsideRun, match=r"webhook\(\)"):
        await webhook(int)
    hook = await result_of_outside(sqlite_url)
    with pytest.raises(OutsideRun):
        await hook.receive()


async def result_of_outside(url: str) -> Any:
    kept: list[Any] = []

    @saga(name="hooks.leaks")
    async def leaks() -> None:
        kept.append(await webhook(int))

    async with Coordinator(url, webhooks=HOOKS) as coordinator:
        await (await coordinator.start(leaks)).result(30)
    return kept[0]


@pytest.mark.parametrize("name", ["", "a\nb", "n" * 500, 7])
@on_a_loop
async def test_a_name_that_could_not_be_stored_is_refused(name: Any, sqlite_url: str) -> None:
    @saga(name="hooks.misnamed")
    async def misnamed() -> None:
        await webhook(int, name=name)

    async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator:
        with pytest.raises(RunFailed, match="a webhook's name"):
            await (await coordinator.start(misnamed)).result(30)


@pytest.mark.parametrize(
    ("url", "secrets", "why"),
    [
        ("https://shop.example", None, "secrets"),
        ("https://shop.example", "", "16"),
        ("https://shop.example", [], "needs a secret"),
        ("https://shop.example", [NEW, ""], "16"),
        ("https://shop.example", "whsec_c2hvcnQ=", "16"),
        ("https://shop.example", "no base64!", "base64"),
        ("shop.example", NEW, "http or https"),
        ("ftp://shop.example", NEW, "http or https"),
        ("https://", NEW, "http or https"),
        ("https://[", NEW, "http or https"),
        ("https://ann:pw@shop.example", NEW, "without a user"),
        ("https://shop.example/?a=b", NEW, "a query"),
        ("https://shop.example/#a", NEW, "a fragment"),
        ("https://shop.example/a\nb", NEW, "http or https"),
        (7, NEW, "http or https"),
    ],
)
def test_settings_that_would_be_an_open_door_are_refused(url: Any, secrets: Any, why: str) -> None:
    with pytest.raises(InputInvalid, match=why) as caught:
        Webhooks(url, secrets=secrets)
    assert "pw" not in str(caught.value)
    assert NEW not in str(caught.value)


def test_a_coordinator_takes_settings_and_nothing_else() -> None:
    with pytest.raises(InputInvalid, match="webhooks="):
        Coordinator("sqlite://", webhooks=cast("Any", BASE))


@on_a_loop
async def test_nothing_shows_the_secrets(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    secret = base64.b64decode(NEW[6:])
    with caplog.at_level(logging.DEBUG):
        async with Coordinator(sqlite_url, webhooks=HOOKS) as coordinator, door(coordinator) as client:
            run = await coordinator.start(asks)
            await client.post(await given("asks"), json={"approved": True})
            await run.result(30)
            exported = str(await run.export())
    shown = f"{HOOKS!r} {HOOKS.keys!r} {dataclasses.astuple(HOOKS)!r} {caplog.text} {exported}"
    assert NEW[6:] not in shown
    assert repr(secret)[2:-1] not in shown
    assert repr(HOOKS) == f"Webhooks(url='{BASE}')"


def test_a_hook_does_not_show_its_url(sqlite_url: str) -> None:
    """Who knows the URL can call it."""

    @saga(name="hooks.shows")
    async def shows() -> str:
        return repr(await webhook(int))

    with Coordinator.sync(sqlite_url, webhooks=HOOKS) as coordinator:
        assert coordinator.run(shows) == "Hook(name='webhook:int:1', kind=<class 'int'>)"


def test_a_saga_with_a_webhook_survives_every_kill() -> None:
    """The URL that was given away is the one that the body has, wherever it was killed (S1)."""
    world = Handed()

    @step(name="hooks.hand", effect="irreversible")
    async def hand(url: str) -> None:
        world.urls.append(url)

    @saga(name="hooks.survives")
    async def survives() -> str:
        hook = await webhook(int)
        await hand(hook.url)
        try:
            await hook.receive(timeout=HOUR)
        except TimeoutError:
            await hand(hook.url)
        return "done"

    crash_test(survives, (), world=world)
    assert len(set(world.urls)) == 1


class Handed:
    """The world: the URLs that were handed out."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def reset(self) -> None:
        """Forget them."""
        self.urls = []

    def snapshot(self) -> list[str]:
        """Tell which were handed out, each once."""
        return sorted(set(self.urls))
