"""Webhooks over real sockets: mounted, hostile callers, several processes, and processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from amends.sagas import Coordinator, Kind, Webhooks, receive, saga, step, webhook
from amends.sagas.webhooks import Call, Route, SignalOrStart, WebhookApp
from tests.examples.programs import Program
from tests.sagas.running import on_a_loop
from tests.sagas.senders import SECRET, SIGNS, send, serving

SERVER = str(Path(__file__).with_name("webhook_server.py"))
URLS: list[str] = []


@step(name="sockets.give")
async def give(url: str) -> None:
    URLS.append(url)


@saga(name="sockets.counts")
async def counts(most: int) -> list[int]:
    return [await receive(int, name="number") for _ in range(most)]


@saga(name="sockets.asks")
async def asks() -> int:
    hook = await webhook(int)
    await give(hook.url)
    return await hook.receive()


async def number(call: Call[list[int]]) -> SignalOrStart[int]:
    which, most = call.body
    return SignalOrStart(counts, most, id="counts", name="number", payload=which)


def app_of(coordinator: Coordinator, **options: Any) -> WebhookApp:
    return WebhookApp(coordinator, {"/n": Route(list[int], number, verify=SIGNS)}, **options)


@contextlib.asynccontextmanager
async def opened(database: str, **options: Any) -> AsyncIterator[tuple[Coordinator, str]]:
    """Open a coordinator and serve its app; gives both, the app by its address."""
    async with Coordinator(database) as coordinator, serving(app_of(coordinator, **options)) as address:
        yield coordinator, address


@on_a_loop
async def test_mounted_in_another_app_it_takes_calls_below_its_place(database_url: str) -> None:
    settings = Webhooks("http://placeholder/in/calls", secrets=SECRET)
    async with Coordinator(database_url, webhooks=settings) as coordinator:
        outer = Starlette(routes=[Mount("/in", app_of(coordinator, hooks="/calls"))])
        async with serving(outer) as address, httpx.AsyncClient() as client:
            assert (await send(client, f"{address}/in/n", [7, 1])).status_code == 200
            assert (await send(client, f"{address}/n", [7, 1])).status_code == 404
            assert await (await coordinator.get("counts")).result(30) == [7]
            run = await coordinator.start(asks)
            await coordinator.run_until_idle()
            path = httpx.URL(URLS.pop()).path
            assert (await client.get(f"{address}{path}")).status_code == 405
            assert (await client.post(f"{address}{path}", json=8)).status_code == 200
            assert await run.result(30) == 8


@on_a_loop
async def test_two_hundred_deliveries_at_once_are_taken_once_each(database_url: str) -> None:
    async with opened(database_url) as (coordinator, address), httpx.AsyncClient(timeout=60) as client:
        sent = [send(client, f"{address}/n", [n % 20, 20], f"msg_{n % 20}") for n in range(200)]
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}
        assert sorted(await (await coordinator.get("counts")).result(30)) == list(range(20))


@on_a_loop
async def test_an_endless_body_is_cut_off(sqlite_url: str) -> None:
    """Chunked, so that nobody says beforehand how long it is."""
    async with opened(sqlite_url, max_body=10_000) as (_, address):
        reader, writer = await connect(address)
        writer.write(head("transfer-encoding: chunked"))
        sent, chunk = 0, b"3e8\r\n" + b" " * 1_000 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            while sent < 100_000:
                writer.write(chunk * 1_000)
                await writer.drain()
                sent += 1_000
        answer = await answered(reader)
        writer.close()
        assert answer in (413, 0)
        assert sent < 100_000


@on_a_loop
async def test_a_body_that_drips_is_given_up_and_others_are_served_meanwhile(sqlite_url: str) -> None:
    async with (
        opened(sqlite_url, timeout=dt.timedelta(seconds=1)) as (_, address),
        httpx.AsyncClient() as client,
    ):
        slow = [await connect(address) for _ in range(20)]
        for _, writer in slow:
            writer.write(head("content-length: 100") + b"{")
        assert (await send(client, f"{address}/n", [7, 1])).status_code == 200
        assert {await answered(reader) for reader, _ in slow} == {408}
        for _, writer in slow:
            writer.close()


@pytest.mark.parametrize(
    "lines",
    [
        "webhook-id: msg_1\r\n x-admin: yes",
        "webhook-id: msg_1\0",
        "webhook-id: \x01",
        "webhook-id: msg_1\nwebhook-id: msg_2",
        "webhook-id : msg_1",
        "content-length: 1\r\ncontent-length: 2",
        "content-length: -1",
        "content-length: 5\r\ntransfer-encoding: chunked",
    ],
)
@on_a_loop
async def test_a_request_that_smuggles_something_in_leads_to_nothing(lines: str, sqlite_url: str) -> None:
    async with opened(sqlite_url) as (coordinator, address):
        body = json.dumps([7, 1]).encode()
        signed = "\r\n".join(f"{name}: {value}" for name, value in SIGNS.headers("msg_1", body).items())
        reader, writer = await connect(address)
        length = "" if "length" in lines else f"content-length: {len(body)}\r\n"
        writer.write(head(f"{length}{lines}\r\n{signed}") + body)
        writer.write_eof()
        assert await answered(reader) in (400, 401, 0)
        writer.close()
        assert await coordinator.list() == []


@on_a_loop
async def test_a_caller_that_hangs_up_in_the_middle_leads_to_nothing(sqlite_url: str) -> None:
    async with opened(sqlite_url) as (coordinator, address), httpx.AsyncClient() as client:
        for rest in (b"", b"{", b"[7"):
            _, writer = await connect(address)
            writer.write(head("content-length: 100") + rest)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await client.post(f"{address}/n", content=b"[7, 1]")).status_code == 401
        assert await coordinator.list() == []


@on_a_loop
async def test_a_websocket_is_refused(sqlite_url: str) -> None:
    said: list[Any] = []

    async def connects() -> Any:
        return {"type": "websocket.connect"}

    async def tells(message: Any) -> None:
        said.append(message["type"])

    async with Coordinator(sqlite_url) as coordinator:
        await app_of(coordinator)({"type": "websocket", "path": "/n"}, connects, tells)
    assert said == ["websocket.close"]


def test_two_processes_that_get_the_same_deliveries_take_each_once(database_url: str, tmp_path: Path) -> None:
    """S17: one run is started, whichever process hears first."""
    with (
        Program(SERVER, database_url, "", cwd=tmp_path) as one,
        Program(SERVER, database_url, "", cwd=tmp_path) as two,
    ):
        addresses = [server.line_with("listening on").split()[-1] for server in (one, two)]

        @on_a_loop
        async def plays() -> None:
            async with httpx.AsyncClient(timeout=60) as client:
                sent = [
                    send(client, f"{addresses[n % 2]}/n", [n // 2 % 25, 25], f"msg_{n // 2 % 25}")
                    for n in range(200)
                ]
                assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}

        plays()
        assert received(database_url, "counts") == list(range(25))


@pytest.mark.parametrize("moment", ["verified", "committed"])
def test_killed_between_verifying_and_answering_the_delivery_that_comes_again_is_taken_once(
    moment: str, database_url: str, tmp_path: Path
) -> None:
    """S23: the answer says what was committed; without one, sending it again changes nothing that was."""

    @on_a_loop
    async def lost() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            with pytest.raises(httpx.TransportError):
                await send(client, f"{address}/n", [7, 2])

    @on_a_loop
    async def again() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            for id_, which in (("msg_1", 7), ("msg_1", 7), ("msg_2", 8)):
                assert (await send(client, f"{address}/n", [which, 2], id_)).status_code == 200

    with Program(SERVER, database_url, "", moment, cwd=tmp_path) as server:
        address = server.line_with("listening on").split()[-1]
        lost()
        server.end()
    with Program(SERVER, database_url, "", cwd=tmp_path) as server:
        address = server.line_with("listening on").split()[-1]
        again()
        assert received(database_url, "counts") == [7, 8]


def test_a_url_given_away_before_a_crash_works_at_the_next_process(database_url: str, tmp_path: Path) -> None:
    @on_a_loop
    async def started() -> None:
        async with Coordinator(database_url, work=False) as stranger:
            run = await stranger.start(hooked_elsewhere, 2, id="hooked")
            assert run.id == "hooked"

    @on_a_loop
    async def lost(url: str) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            with pytest.raises(httpx.TransportError):
                await client.post(url, json=7, headers={"webhook-id": "1"})

    @on_a_loop
    async def again(path: str) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            for delivery, which in (("1", 7), ("1", 7), ("2", 8)):
                headers = {"webhook-id": delivery}
                answer = await client.post(f"{address}{path}", json=which, headers=headers)
                assert answer.status_code == 200

    started()
    with Program(SERVER, database_url, "", "committed", cwd=tmp_path) as server:
        url = server.line_with("hook ").split()[-1]
        lost(url)
        server.end()
    with Program(SERVER, database_url, "", cwd=tmp_path) as server:
        address = server.line_with("listening on").split()[-1]
        again(httpx.URL(url).path)
        assert received(database_url, "hooked") == [7, 8]


@saga(name="hooked")
async def hooked_elsewhere(most: int) -> list[int]:
    raise NotImplementedError  # the server's is meant


def received(url: str, run_id: str) -> list[int]:
    """Wait for a run's end, and give what it was sent, sorted."""
    found: list[int] = []

    @on_a_loop
    async def look() -> None:
        async with Coordinator(url, work=False) as stranger:
            run = await stranger.get(run_id)
            await run.result(30)
            found.extend(
                json.loads(entry.payload or b"null")
                for entry in await run.journal()
                if entry.kind is Kind.SIGNAL
            )

    look()
    return sorted(found)


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = httpx.URL(address)
    return await asyncio.open_connection(url.host, url.port)


def head(lines: str) -> bytes:
    return f"POST /n HTTP/1.1\r\nhost: test\r\n{lines}\r\n\r\n".encode("latin-1")


async def answered(reader: asyncio.StreamReader) -> int:
    """Give the status of an answer, 0 where there is none."""
    with contextlib.suppress(ConnectionError):
        line = await reader.readline()
        return int(line.split()[1]) if line else 0
    return 0
