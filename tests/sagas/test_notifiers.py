"""Telling people of approvals and parked runs: after the commit, at least once, each notifier by itself."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import threading
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from amends.sagas import Coordinator, InputInvalid, approval, saga
from amends.sagas.notifiers import LogNotifier, Notice, NoticeKind, Notifier, WebhookNotifier
from amends.sagas.webhook_keys import Secrets
from tests.sagas.running import Clock, on_a_loop
from tests.sagas.senders import SECRET, SIGNS

HOUR = dt.timedelta(hours=1)


class Recording:
    """A notifier that keeps what it is told, and fails as often as asked."""

    def __init__(self, name: str = "recording", failures: int = 0) -> None:
        self.name = name
        self.failures = failures
        self.notices: list[Notice] = []

    async def notify(self, notice: Notice) -> None:
        self.notices.append(notice)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")

    @property
    def kinds(self) -> list[str]:
        """What it was told, in short."""
        return [notice.kind.value for notice in self.notices]


@saga(name="notices.pay")
async def pay(amount: int) -> bool:
    decision = await approval(
        title=f"pay {amount}",
        details={"amount": amount},
        approvers=["ann", "bob"],
        requested_by="eve",
        timeout=5 * HOUR,
        remind_every=2 * HOUR,
        escalate_to=["cleo"],
        escalate_after=3 * HOUR,
    )
    return decision.approved


@saga(name="notices.stuck")
async def stuck() -> None:
    await asyncio.get_running_loop().create_future()


@on_a_loop
async def test_people_are_told_of_what_they_are_asked_reminded_of_and_escalated(database_url: str) -> None:
    """Section 1: an approval is for people: who may decide now is named each time."""
    clock, told = Clock(), Recording()
    async with Coordinator(database_url, clock=clock, notifiers=[told]) as coordinator:
        run = await coordinator.start(pay, 7, id="r")
        for _ in range(5):
            await coordinator.run_until_idle()
            clock.move(HOUR)
        assert told.kinds == [
            "approval.asked",
            "approval.reminder",
            "approval.escalated",
            "approval.reminder",
        ]
        first, _, third, _ = told.notices
        assert first.approval is not None
        assert third.approval is not None
        assert (first.run_id, first.saga, first.approval.id) == ("r", "notices.pay", "r:1")
        assert (first.approval.title, first.approval.details) == ("pay 7", {"amount": 7})
        assert first.approval.approvers == ("ann", "bob")
        assert third.approval.approvers == ("ann", "bob", "cleo")
        assert (first.approval.requested_by, first.approval.quorum) == ("eve", 1)
        assert first.approval.expires_at == first.at + 5 * HOUR
        assert first.approval.digest == (await coordinator.approval("r:1")).digest
        await coordinator.run_until_idle()
        assert await run.result(30) is False
    assert len({notice.id for notice in told.notices}) == 4


@on_a_loop
async def test_people_are_told_of_a_parked_run(database_url: str) -> None:
    """L2: why, and what is owed; the run that tells isn't told of itself."""
    told = Recording()
    async with Coordinator(database_url, notifiers=[told]) as coordinator:
        await coordinator.start(stuck, id="r")
        await coordinator.run_until_idle()
        assert told.kinds == ["run.parked"]
        assert "can never come" in told.notices[0].reason
        assert told.notices[0].text.startswith("run r (notices.stuck) is parked and needs a person: the body")


@on_a_loop
async def test_each_notifier_is_tried_again_by_itself(database_url: str) -> None:
    """S9: one that fails doesn't keep the others, or tell them twice; a repeat has the same id."""
    clock = Clock()
    told, fails = Recording(), Recording("fails", 2)
    async with Coordinator(database_url, clock=clock, notifiers=[told, fails]) as coordinator:
        await coordinator.start(stuck, id="r")
        for _ in range(4):
            await coordinator.run_until_idle()
            clock.move(HOUR)
    assert told.kinds == ["run.parked"]
    assert fails.kinds == ["run.parked"] * 3
    assert len({notice.id for notice in [*told.notices, *fails.notices]}) == 1


@on_a_loop
async def test_only_a_worker_with_notifiers_tells(database_url: str) -> None:
    """S21: what nobody here can do waits for a worker that can."""
    told = Recording()
    async with Coordinator(database_url, notifiers=[told], sagas=[stuck], max_running=1) as coordinator:
        await coordinator.start(stuck, id="r")
        await coordinator.run_until_idle()
        assert told.kinds == ["run.parked"]
    async with Coordinator(database_url) as without:
        await without.start(stuck, id="other")
        await without.run_until_idle()
        assert len(await without.list(saga="amends.notify")) == 1
    assert told.kinds == ["run.parked"]


@on_a_loop
async def test_a_notice_waits_for_the_notifier_that_it_names(database_url: str) -> None:
    """S26: under another set of notifiers it is tried again and says what is missing; nothing is lost."""
    clock, late = Clock(), Recording("recording")
    async with Coordinator(database_url, clock=clock, notifiers=[Recording(failures=1)]) as coordinator:
        await coordinator.start(stuck, id="r")
        await coordinator.run_until_idle()
    clock.move(HOUR)
    async with Coordinator(database_url, clock=clock, notifiers=[Recording("another")]) as coordinator:
        await coordinator.run_until_idle()
        run = await coordinator.get("r/amends.notify/1")
        assert b"has no notifier 'recording'" in ((await run.journal())[-1].payload or b"")
    clock.move(HOUR)
    async with Coordinator(database_url, clock=clock, notifiers=[late]) as coordinator:
        await coordinator.run_until_idle()
    assert late.kinds == ["run.parked"]


@on_a_loop
async def test_a_sync_notifier_is_called_in_a_thread(database_url: str) -> None:
    """Section 2: as with steps, what blocks doesn't hold up the others."""
    threads: list[threading.Thread] = []

    class Blocking:
        name = "blocking"

        def notify(self, notice: Notice) -> None:
            assert notice.kind is NoticeKind.RUN_PARKED
            threads.append(threading.current_thread())

    async with Coordinator(database_url, notifiers=[Blocking()]) as coordinator:
        await coordinator.start(stuck)
        await coordinator.run_until_idle()
    assert threads
    assert threads[0] is not threading.main_thread()


@on_a_loop
async def test_the_log_tells_in_one_line(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Parked runs are warnings; the notice itself goes along for handlers of the log."""
    caplog.set_level(logging.INFO, "amends.notices")
    async with Coordinator(sqlite_url, notifiers=[LogNotifier()]) as coordinator:
        await coordinator.start(pay, 7, id="r")
        await coordinator.start(stuck, id="s")
        await coordinator.run_until_idle()
    told = {record.levelname: record for record in caplog.records if record.name == "amends.notices"}
    assert told["INFO"].getMessage() == (
        "an approval is asked for: pay 7 (r:1, run r), to be decided by ann, bob"
    )
    assert told["WARNING"].notice.kind is NoticeKind.RUN_PARKED  # type: ignore[attr-defined]  # by extra=


class Receiver:
    """What takes webhooks and verifies them; answers by a list of statuses, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.ids: list[str] = []
        self.bodies: list[Any] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        self.ids.append(SIGNS(dict(request.headers), body).id)
        self.bodies.append(json.loads(body))
        return httpx.Response(self.statuses.pop(0) if self.statuses else 204)


@on_a_loop
async def test_a_webhook_is_signed_and_tried_again_until_it_is_taken(database_url: str) -> None:
    """Section 3: whoever has the secret can tell that it is ours; a refusal isn't the end of it."""
    clock, receiver = Clock(), Receiver(500, 404, 429)
    client = httpx.AsyncClient(transport=httpx.MockTransport(receiver))
    notifier = WebhookNotifier("http://ops.test/amends", SECRET, client=client)
    async with client, Coordinator(database_url, clock=clock, notifiers=[notifier]) as coordinator:
        await coordinator.start(pay, 7, id="r\N{SNOWMAN}")
        for _ in range(5):
            await coordinator.run_until_idle()
            clock.move(HOUR / 10)
    assert len(receiver.ids) == 4
    assert len(set(receiver.ids)) == 1
    notice = TypeAdapter(Notice).validate_python(receiver.bodies[0])
    assert notice.approval is not None
    assert (notice.kind, notice.run_id, notice.approval.title) == ("approval.asked", "r\N{SNOWMAN}", "pay 7")
    assert receiver.bodies[0] == receiver.bodies[-1]


@pytest.mark.parametrize(
    "url", ["ops.test", "ftp://ops.test", "http://", "http://eve:pass@ops.test", 7, "http://[x"]
)
def test_a_url_that_leads_nowhere_is_refused_without_showing_it(url: str) -> None:
    """Errors at the boundary, and no password in them."""
    with pytest.raises(InputInvalid, match="url= is where notices are sent") as caught:
        WebhookNotifier(url, SECRET)
    assert "pass" not in str(caught.value)


def test_nothing_is_sent_unsigned() -> None:
    """A missing secret is refused, and none is shown."""
    secrets: tuple[Secrets, ...] = ("", b"", [], "no base64!")
    for secret in secrets:
        with pytest.raises(InputInvalid):
            WebhookNotifier("http://ops.test/", secret)
    assert SECRET not in repr(WebhookNotifier("http://ops.test/?token=secret", SECRET))
    assert "token" not in repr(WebhookNotifier("http://ops.test/?token=secret", SECRET))


@pytest.mark.parametrize(
    ("notifiers", "words"),
    [
        ([Recording(), Recording()], "two are called 'recording'"),
        ([object()], "needs a name and a method notify"),
        (7, "takes a list of notifiers"),
    ],
)
def test_what_can_be_no_notifier_is_refused(notifiers: list[Notifier], words: str) -> None:
    """Errors at the boundary say what is wanted."""
    with pytest.raises(InputInvalid, match=words):
        Coordinator("sqlite:///x.db", notifiers=notifiers)
