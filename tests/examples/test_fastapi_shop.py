"""The FastAPI shop: real uvicorn, two processes over one database, one of which is killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, func, make_url, select

from amends.sagas import Coordinator
from examples.fastapi_shop.shop import ORDERS, PAYMENTS, SHELVES
from tests.examples.programs import Program
from tests.sagas.running import on_a_loop

ANN = {"Authorization": "Bearer ann-s-token"}
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Open:
    """A shop that is open: its address, its program, and its database."""

    address: str
    program: Program
    database_url: str

    def client(self) -> httpx.AsyncClient:
        """Give a client of the shop."""
        return httpx.AsyncClient(base_url=self.address, timeout=PATIENCE)


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Open]:
    """Open the shop with two processes."""
    environment = {"SHOP_DATABASE": database_url, "SHOP_APPROVERS": "ann:ann-s-token,bob:bob-s-token"}
    with Program("fastapi_shop/shop.py", "--port", "0", cwd=tmp_path, env=environment) as program:
        address = program.line_with("Uvicorn running on").split("running on ")[1].split()[0]
        for _ in range(2):
            program.line_with("is open")
        yield Open(address, program, database_url)


def processes(program: Program) -> list[int]:
    """List the shop's processes, in the order in which they opened."""
    return [int(line.split()[2]) for line in program.lines if line.endswith("is open")]


async def put(client: httpx.AsyncClient, id: str, article: str, quantity: int) -> httpx.Response:
    """Place an order, again and again until there is an answer, as a client with a lost answer does."""
    while True:
        try:
            answer = await client.put(f"/orders/{id}", json={"article": article, "quantity": quantity})
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code < 500:
            return answer


async def until(client: httpx.AsyncClient, id: str, *states: str) -> dict[str, Any]:
    """Ask for an order until it is in one of these states."""
    while True:
        try:
            told: dict[str, Any] = (await client.get(f"/orders/{id}")).json()
        except httpx.TransportError:
            told = {"state": ""}
        if told["state"] in states:
            return told
        await asyncio.sleep(0.05)


async def asked(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
    """Wait until so many orders are to be approved; give what is asked, by order."""
    while True:
        pending = (await client.get("/approvals", headers=ANN)).json()
        if len(pending) >= number:
            return {one["details"]["order"]: one for one in pending}
        await asyncio.sleep(0.05)


class Books:
    """The shop's tables, read from outside."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url)
        postgres = url.get_backend_name() == "postgresql"
        engine = create_engine(url.set(drivername="postgresql+psycopg") if postgres else url)
        with engine.connect() as db:
            self.orders = {row.id: row.state for row in db.execute(select(ORDERS))}
            self.payments = Counter(db.execute(select(PAYMENTS.c.order_id)).scalars())
            self.cents = db.execute(select(func.coalesce(func.sum(PAYMENTS.c.cents), 0))).scalar_one()
            self.free = {row.article: row.free for row in db.execute(select(SHELVES))}
        engine.dispose()


async def runs(database_url: str) -> set[str]:
    async with Coordinator(database_url, work=False) as coordinator:
        return {info.id for info in await coordinator.list(limit=1_000)}


@on_a_loop
async def test_of_orders_taken_while_a_process_is_killed_none_is_lost_and_none_is_doubled(
    shop: Open,
) -> None:
    """S17: a client that got no answer asks again, and that is one order, one run, one payment."""
    ids = [f"o-{number}" for number in range(60)]
    async with shop.client() as client:
        placing = [asyncio.create_task(put(client, order, "kettle", 1)) for order in ids]
        for answer in itertools.islice(asyncio.as_completed(placing), len(ids) // 4):
            await answer
        os.kill(processes(shop.program)[0], signal.SIGKILL)
        answers = await asyncio.gather(*placing)
        assert {answer.status_code for answer in answers} == {202}
        for order in ids:
            await until(client, order, "shipped")
    books = Books(shop.database_url)
    assert books.orders == dict.fromkeys(ids, "shipped")
    assert books.payments == dict.fromkeys(ids, 1)
    assert books.free["kettle"] == 1_000 - len(ids)
    assert await runs(shop.database_url) == {f"order-{order}" for order in ids}


@on_a_loop
async def test_a_request_that_fails_after_it_started_a_run_leaves_neither_order_nor_run(
    shop: Open,
) -> None:
    async with shop.client() as client:
        placing = (put(client, f"o-{number}", "teapot", 1) for number in range(8))
        answers = await asyncio.gather(*placing)
        assert sorted(answer.status_code for answer in answers) == [202] * 3 + [409] * 5
        taken = [number for number, answer in enumerate(answers) if answer.status_code == 202]
        for number in taken:
            await until(client, f"o-{number}", "shipped")
        refused = next(number for number in range(8) if number not in taken)
        assert (await client.get(f"/orders/o-{refused}")).status_code == 404
        again = f"o-{taken[0]}"
        assert (await put(client, again, "teapot", 1)).status_code == 202
        assert (await put(client, again, "teapot", 2)).status_code == 409
        assert (await put(client, "senseless", "teapot", 0)).status_code == 422
    books = Books(shop.database_url)
    assert books.orders.keys() == books.payments.keys() == {f"o-{number}" for number in taken}
    assert books.free["teapot"] == 0
    assert await runs(shop.database_url) == {f"order-o-{number}" for number in taken}


@on_a_loop
async def test_a_large_order_waits_for_somebody_with_a_token(shop: Open) -> None:
    """A10: who decided is told by the token; what was rejected is back on the shelf."""
    async with shop.client() as client:
        for order in ("yes", "no"):
            assert (await put(client, order, "kettle", 30)).json()["state"] in {"placed", "accepted"}
        by_order = await asked(client, 2)
        for order, approved in (("yes", True), ("no", False)):
            one = by_order[order]
            verdict = {"approved": approved, "digest": one["digest"], "by": "the boss"}
            url = f"/approvals/{one['id']}"
            assert (await client.post(url, json=verdict)).status_code in {401, 403}
            bad = {"Authorization": "Bearer ann"}
            assert (await client.post(url, json=verdict, headers=bad)).status_code == 401
            other = {**verdict, "digest": "of something else"}
            assert (await client.post(url, json=other, headers=ANN)).status_code in {409, 422}
            assert (await client.post(url, json=verdict, headers=ANN)).json() == {"decided by": "ann"}
            assert (await client.post(url, json=verdict, headers=ANN)).status_code == 409
        await until(client, "yes", "shipped")
        assert (await until(client, "no", "given up"))["run"] in {"compensating", "compensated"}
        assert (await client.post("/approvals/nothing", json=verdict, headers=ANN)).status_code == 404
    books = Books(shop.database_url)
    assert (books.payments, books.free["kettle"]) == ({"yes": 1}, 970)
