"""Webhooks in: signed calls become signals and starts, once each, and nothing else gets in."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
import json
import logging
import signal
from collections.abc import Mapping
from typing import Any, cast

import pytest
from pydantic import BaseModel

from amends.sagas import Coordinator, DefinitionError, InputInvalid, Kind, Status, receive, saga
from amends.sagas.webhooks import (
    Call,
    Delivery,
    Route,
    Signal,
    SignalOrStart,
    SignatureInvalid,
    StandardWebhooks,
    Start,
    WebhookApp,
)
from amends.sagas.webhooks.actions import Action
from tests.sagas.running import kinds, on_a_loop
from tests.sagas.senders import SECRET, SIGNS, inside, send
from tests.servers import restartable

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def _anew() -> None:
    CALLS.clear()


class Payment(BaseModel):
    order: str
    amount: int


@saga(name="webhooks.pays")
async def pays(order: str) -> int:
    return (await receive(Payment, name="paid")).amount


@saga(name="webhooks.counts")
async def counts(order: str, most: int = 1_000) -> list[int]:
    got: list[int] = []
    async for payment in receive(Payment, name="paid"):
        got.append(payment.amount)
        if len(got) == most:
            break
    return got


@saga(name="webhooks.books")
async def books(payment: Payment) -> str:
    return f"{payment.order}: {payment.amount}"


def signals(call: Call[Payment]) -> Signal:
    CALLS.append(call)
    return Signal(call.body.order, "paid", call.body)


async def signals_or_starts(call: Call[Payment]) -> SignalOrStart[str, int]:
    return SignalOrStart(counts, call.body.order, 2, id=call.body.order, name="paid", payload=call.body)


def starts(call: Call[Payment]) -> Start[Payment]:
    return Start(books, call.body)


def starts_by_order(call: Call[Payment]) -> Start[Payment]:
    return Start(books, call.body, id=f"order-{call.body.order}")


async def ignores(call: Call[Any]) -> None:
    CALLS.append(call.body)


def app_of(coordinator: Coordinator, **options: Any) -> WebhookApp:
    routes = {
        "/signals": Route(Payment, signals, verify=SIGNS),
        "/either": Route(Payment, signals_or_starts, verify=SIGNS),
        "/starts": Route(Payment, starts, verify=SIGNS),
        "/orders": Route(Payment, starts_by_order, verify=SIGNS),
        "/ignores": Route(Any, ignores, verify=SIGNS),
        "/zahlung/über": Route(Any, ignores, verify=SIGNS),
    }
    return WebhookApp(coordinator, routes, **options)


def payment(order: str = "o-1", amount: int = 7) -> dict[str, Any]:
    return {"order": order, "amount": amount}


@on_a_loop
async def test_a_signed_call_becomes_a_signal(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator, inside(app_of(coordinator)) as client:
        run = await coordinator.start(pays, "o-1", id="o-1")
        answer = await send(client, "/signals", payment())
        assert (answer.status_code, answer.json()) == (200, {"status": "taken"})
        assert await run.result(30) == 7
    call = CALLS[0]
    assert (call.id, call.body) == ("msg_1", Payment(order="o-1", amount=7))
    assert call.headers["webhook-id"] == "msg_1"
    assert call.timestamp.tzinfo is dt.UTC
    assert json.loads(call.raw) == payment()


@on_a_loop
async def test_a_delivery_that_comes_again_is_one_message(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator, inside(app_of(coordinator)) as client:
        run = await coordinator.start(counts, "o-1", 2, id="o-1")
        for _ in range(5):
            assert (await send(client, "/signals", payment(), "msg_1")).status_code == 200
        await send(client, "/signals", payment(amount=9), "msg_2")
        assert await run.result(30) == [7, 9]
        # Also when the run has ended meanwhile: this delivery was taken.
        assert (await send(client, "/signals", payment(), "msg_1")).status_code == 200
        assert (await kinds(run)).count(Kind.SIGNAL) == 2


@on_a_loop
async def test_many_deliveries_at_once_start_one_run_that_gets_each_once(database_url: str) -> None:
    """S17: however many come, from however many processes' doors, there is one run."""
    async with (
        Coordinator(database_url) as coordinator,
        Coordinator(database_url, work=False) as other,
        inside(app_of(coordinator)) as one,
        inside(app_of(other)) as two,
    ):
        answers = await asyncio.gather(
            *(
                send((one, two)[n % 2], "/either", payment(amount=n // 2 % 2), f"msg_{n // 2 % 2}")
                for n in range(60)
            )
        )
        assert {answer.status_code for answer in answers} == {200}
        run = await coordinator.get("o-1")
        assert sorted(await run.result(30)) == [0, 1]


@on_a_loop
async def test_a_call_starts_a_run_of_its_delivery(database_url: str) -> None:
    """S17: the run's id is made from the delivery's, and a delivery that comes again changes nothing."""
    async with Coordinator(database_url) as coordinator, inside(app_of(coordinator)) as client:
        answers = await asyncio.gather(*(send(client, "/starts", payment()) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        # A sender that says something else under the same id has said it already.
        assert (await send(client, "/starts", payment(amount=8))).status_code == 200
        await send(client, "/starts", payment(amount=8), "msg_2")
        found = {info.id for info in await coordinator.list()}
        assert found == {"/starts#msg_1", "/starts#msg_2"}
        assert await (await coordinator.get("/starts#msg_1")).result(30) == "o-1: 7"


@on_a_loop
async def test_a_call_starts_a_run_of_a_given_id(database_url: str) -> None:
    """S17: another delivery with other input for the same id is refused."""
    async with Coordinator(database_url) as coordinator, inside(app_of(coordinator)) as client:
        for delivery in ("msg_1", "msg_1", "msg_2"):
            assert (await send(client, "/orders", payment(), delivery)).status_code == 200
        assert (await send(client, "/orders", payment(amount=8), "msg_3")).status_code == 409
        assert [info.id for info in await coordinator.list()] == ["order-o-1"]


@on_a_loop
async def test_deliveries_of_two_apps_are_not_taken_for_each_other(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        for root in ("/stripe", "/github"):
            async with inside(app_of(coordinator), root) as client:
                assert (await send(client, f"{root}/starts", payment())).status_code == 200
        assert {info.id for info in await coordinator.list()} == {
            "/stripe/starts#msg_1",
            "/github/starts#msg_1",
        }


@on_a_loop
async def test_an_identity_that_is_too_long_stands_for_itself_alone(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        for end in ("1", "2", "1"):
            assert (await send(client, "/starts", payment(), "m" * 199 + end)).status_code == 200
        assert len(await coordinator.list()) == 2


@on_a_loop
async def test_what_leads_to_nothing_is_taken_and_changes_nothing(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        answer = await send(client, "/ignores", {"any": "thing"})
        assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
        assert await coordinator.list() == []
    assert CALLS == [{"any": "thing"}]


@on_a_loop
async def test_a_forged_unsigned_or_stale_call_is_refused(sqlite_url: str) -> None:
    stale = StandardWebhooks(SECRET, clock=lambda: 1_600_000_000.0)
    coming = StandardWebhooks(SECRET, clock=lambda: 20_000_000_000.0)
    forger = StandardWebhooks(bytes(24))
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        run = await coordinator.start(pays, "o-1", id="o-1")
        answers = [
            await send(client, "/signals", payment(), signs=signs) for signs in (stale, coming, forger)
        ]
        answers.append(await client.post("/signals", json=payment()))
        body = json.dumps(payment()).encode()
        signed = SIGNS.headers("msg_1", body)
        twice = [*signed.items(), ("webhook-id", "msg_2")]
        answers.append(await client.post("/signals", content=body, headers=twice))
        answers.append(await client.post("/signals", content=body + b" ", headers=signed))
        assert [answer.status_code for answer in answers] == [401] * 6
        assert {answer.text for answer in answers} == {'{"error": "not signed as it must be"}'}
        assert Kind.SIGNAL not in await kinds(run)
    assert CALLS == []


NO_JSON = {
    "nothing": b"",
    "no JSON": b"order=o-1&amount=7",
    "not a number": b'{"order": "o-1", "amount": NaN}',
    "an infinity": b'{"order": "o-1", "amount": 1, "note": -Infinity}',
    "a hidden infinity": b'{"order": "o-1", "amount": 1, "note": 1e999}',
    "half a letter": b'{"order": "\\ud800", "amount": 7}',
    "no UTF-8": b'{"order": "\xff", "amount": 7}',
    "too deep": b"[" * 100_000,
    "a huge number": b'{"order": "o-1", "amount": ' + b"9" * 10_000 + b"}",
    "two values": b"{} {}",
    "another shape": b"[1, 2]",
    "a wrong field": b'{"order": "o-1", "amount": "much"}',
    "a missing field": b'{"order": "o-1"}',
}


@pytest.mark.parametrize("what", NO_JSON)
@on_a_loop
async def test_a_signed_body_that_does_not_fit_is_refused(what: str, sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        answer = await send(client, "/signals", NO_JSON[what])
        assert answer.status_code == 400, answer.text
        assert "doesn't fit" in answer.json()["error"]
    assert CALLS == []


@on_a_loop
async def test_other_paths_and_methods_are_refused(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        for path in (
            "/",
            "/signals/",
            "/signals/..",
            "/SIGNALS",
            "//signals",
            "/hooks/x",
            "/%00",
            "/ü",
            "/signal",
        ):
            assert (await send(client, path, payment())).status_code == 404, path
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = await client.request(method, "/signals", headers=SIGNS.headers("msg_1", b""))
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert (await send(client, "/zahlung/%C3%BCber", 1)).status_code == 200
        assert (await send(client, "/zahlung/ber", 1)).status_code == 404


@on_a_loop
async def test_unknown_and_ended_runs_are_told_apart(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        app = WebhookApp(
            coordinator,
            {
                "/signals": Route(Payment, signals, verify=SIGNS),
                "/kind": Route(Payment, signals, verify=SIGNS, ended=200),
            },
        )
        async with inside(app) as client:
            assert (await send(client, "/signals", payment())).status_code == 404
            run = await coordinator.start(pays, "o-1", id="o-1")
            await send(client, "/signals", payment())
            await run.result(30)
            assert (await send(client, "/signals", payment(), "msg_2")).status_code == 410
            assert (await send(client, "/kind", payment(), "msg_2")).status_code == 200


@on_a_loop
async def test_what_the_saga_would_not_receive_is_refused(sqlite_url: str) -> None:
    def mistaken(call: Call[Any]) -> Signal:
        return Signal("o-1", "paid", call.body)

    async with Coordinator(sqlite_url, max_payload=200) as coordinator:
        await coordinator.start(pays, "o-1", id="o-1")
        app = WebhookApp(coordinator, {"/any": Route(Any, mistaken, verify=SIGNS)})
        async with inside(app) as client:
            assert (await send(client, "/any", {"amount": 1})).status_code == 400
            assert (await send(client, "/any", {"order": "x" * 300, "amount": 1})).status_code == 413


@on_a_loop
async def test_a_body_over_the_limit_is_read_no_further(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        app = app_of(coordinator, max_body=1_000)
        for told in ("1001", "9" * 30, "000" + "9" * 5_000):
            assert (await raw(app, headers={"content-length": told}, bodies=[])).status == 413
        poured = Raw([b" " * 100] * 1_000)
        answer = await poured.call(app, {})
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert poured.taken == 11
        assert (await raw(app, headers={"content-length": "-1"}, bodies=[])).status == 400
        assert (await raw(app, headers={"content-length": "²"}, bodies=[])).status == 400


@on_a_loop
async def test_a_body_that_drips_is_given_up(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        app = app_of(coordinator, timeout=dt.timedelta(milliseconds=20))
        assert (await Raw([b"{"], then_waits=True).call(app, {})).status == 408


@on_a_loop
async def test_a_caller_that_goes_away_is_not_answered(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        gone = Raw([b"{"], then_leaves=True)
        await gone.call(app_of(coordinator), {})
        assert gone.sent == []


@on_a_loop
async def test_an_error_of_ours_is_logged_and_none_of_it_is_answered(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: Call[Any]) -> None:
        raise RuntimeError(f"the password is {call.body}")

    async def gives_nonsense(call: Call[Any]) -> Action:
        return cast("Action", call.body)

    def lets_in(headers: Mapping[str, str], body: bytes) -> Delivery:
        return cast("Delivery", body)

    def fails(headers: Mapping[str, str], body: bytes) -> Delivery:
        return Delivery(headers["x-delivery"])

    async with Coordinator(sqlite_url) as coordinator:
        app = WebhookApp(
            coordinator,
            {
                "/broken": Route(Any, broken, verify=SIGNS),
                "/nonsense": Route(Any, gives_nonsense, verify=SIGNS),
                "/open": Route(Any, ignores, verify=lets_in),
                "/fails": Route(Any, ignores, verify=fails),
            },
        )
        async with inside(app) as client:
            with caplog.at_level(logging.ERROR, "amends.sagas.webhooks"):
                answers = [
                    await send(client, f"/{path}", 1) for path in ("broken", "nonsense", "open", "fails")
                ]
    assert [answer.status_code for answer in answers] == [500] * 4
    assert {answer.text for answer in answers} == {'{"error": "something went wrong here"}'}
    assert len(caplog.records) == 4
    assert CALLS == []


@on_a_loop
async def test_no_secret_and_no_signature_is_logged(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        with caplog.at_level(logging.DEBUG, "amends"):
            await client.post("/signals", json=payment())
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == [
        "webhook /signals refused: webhook-id, webhook-timestamp and webhook-signature are needed"
    ]
    assert SECRET not in caplog.text


@on_a_loop
async def test_a_scheme_of_ones_own(sqlite_url: str) -> None:
    """The way GitHub signs: the body alone, in hex, and the delivery's id beside it."""
    key = b"a key of theirs"

    def github(headers: Mapping[str, str], body: bytes) -> Delivery:
        wanted = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted.encode(), headers.get("x-hub-signature-256", "").encode()):
            raise SignatureInvalid("X-Hub-Signature-256 doesn't fit")
        return Delivery(headers.get("x-github-delivery", ""))

    body = json.dumps(payment()).encode()
    signature = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    async with Coordinator(sqlite_url) as coordinator:
        app = WebhookApp(coordinator, {"/github": Route(Payment, starts, verify=github)})
        async with inside(app) as client:

            async def post(**headers: str) -> int:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return (await client.post("/github", content=body, headers=named)).status_code

            assert await post(x_hub_signature_256=signature, x_github_delivery="72d3") == 200
            assert await post(x_hub_signature_256=signature, x_github_delivery="72d3") == 200
            assert await post(x_hub_signature_256=signature[:-1], x_github_delivery="1") == 401
            assert await post(x_hub_signature_256=signature) == 400
            assert await post() == 401
        (info,) = await coordinator.list()
        assert info.id == "/github#72d3"
        assert CALLS == []


@on_a_loop
async def test_a_closed_coordinator_asks_to_try_again(sqlite_url: str) -> None:
    coordinator = Coordinator(sqlite_url)
    async with inside(app_of(coordinator)) as client:
        answer = await send(client, "/signals", payment())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        async with coordinator:
            run = await coordinator.start(pays, "o-1", id="o-1")
            assert (await send(client, "/signals", payment())).status_code == 200
            assert await run.result(30) == 7


def test_while_the_database_is_away_senders_are_asked_to_try_again_and_nothing_is_doubled() -> None:
    """What was refused with 503 may have been queued: the delivery that comes again is the same message."""

    @on_a_loop
    async def plays() -> None:
        async with Coordinator(server.url) as coordinator:
            app = app_of(coordinator, timeout=dt.timedelta(seconds=0.5))
            async with inside(app) as client:
                run = await coordinator.start(counts, "o-1", 2, id="o-1")
                await send(client, "/signals", payment(), "msg_0")
                await asyncio.to_thread(server.stop, signal.SIGKILL)
                away = [await send(client, "/signals", payment(amount=n), "msg_1") for n in (9, 9)]
                # One that can't even be read: nobody knows this run here.
                away.append(await send(client, "/signals", payment("o-2"), "msg_1"))
                assert [answer.status_code for answer in away] == [503] * 3
                await asyncio.to_thread(server.start)
                answer = away[0]
                while answer.status_code == 503:
                    answer = await send(client, "/signals", payment(amount=9), "msg_1")
                assert answer.status_code == 200
                assert await run.result(30) == [7, 9]

    with restartable() as server:
        plays()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"verify": None}, "anybody's"),
        ({"verify": StandardWebhooks}, "an unsigned call"),
        ({"do": "book"}, "no function"),
        ({"kind": object()}, "no JSON form"),
        ({"ended": 500}, "status from 200 to 499"),
        ({"ended": True}, "whole number"),
    ],
)
def test_a_route_that_could_not_work_is_refused_where_it_is_made(given: dict[str, Any], why: str) -> None:
    route: dict[str, Any] = {"kind": Any, "do": ignores, "verify": SIGNS, **given}
    with pytest.raises(DefinitionError, match=why):
        Route(**route)


def test_an_app_that_could_not_work_is_refused_where_it_is_made() -> None:
    coordinator, route = Coordinator("sqlite://"), Route(Any, ignores, verify=SIGNS)
    for path in ("payments", "", "/a?b", "/a#b", "/" + "x" * 90, 7):
        with pytest.raises(DefinitionError, match="path"):
            WebhookApp(coordinator, {cast("Any", path): route})
    with pytest.raises(DefinitionError, match="give a Route"):
        WebhookApp(coordinator, {"/payments": cast("Any", ignores)})
    with pytest.raises(DefinitionError, match="below hooks="):
        WebhookApp(coordinator, {"/hooks/payments": route})
    with pytest.raises(InputInvalid, match="max_body"):
        WebhookApp(coordinator, {}, max_body=0)
    with pytest.raises(InputInvalid, match="timeout"):
        WebhookApp(coordinator, {}, timeout=dt.timedelta(0))


@on_a_loop
async def test_a_status_is_told_of_a_run_that_a_webhook_started(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator, inside(app_of(coordinator)) as client:
        await send(client, "/either", payment())
        await coordinator.run_until_idle()
        assert await (await coordinator.get("o-1")).status() is Status.WAITING


class Raw:
    """A caller without a socket that sends its body piece by piece, and then waits, leaves, or ends."""

    def __init__(self, bodies: list[bytes], *, then_waits: bool = False, then_leaves: bool = False) -> None:
        self._bodies = bodies
        self._waits = then_waits
        self._leaves = then_leaves
        self.taken = 0
        self.sent: list[Any] = []
        self.status = 0
        self.headers: dict[str, str] = {}

    async def call(self, app: WebhookApp, headers: Mapping[str, str]) -> Raw:
        """Call the app."""
        coded = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/signals", "headers": coded}
        await app(scope, self._receive, self._send)
        if self.sent:
            self.status = self.sent[0]["status"]
            self.headers = {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}
        return self

    async def _receive(self) -> Any:
        if self.taken == len(self._bodies):
            if self._waits:
                await asyncio.Event().wait()
            if self._leaves:
                return {"type": "http.disconnect"}
            return {"type": "http.request"}
        self.taken += 1
        return {"type": "http.request", "body": self._bodies[self.taken - 1], "more_body": True}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def raw(app: WebhookApp, *, headers: Mapping[str, str], bodies: list[bytes]) -> Raw:
    return await Raw(bodies).call(app, headers)
