"""The payment listener: as a program with a provider over real HTTP, and what a provider may do to it."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from amends.sagas import Coordinator, Kind, Status
from examples.payment_webhooks.listener import Ledger, app_for
from examples.payment_webhooks.provider import deliveries
from tests.examples.programs import Program
from tests.sagas.running import kinds, on_a_loop
from tests.sagas.senders import SECRET, inside

ENVIRONMENT = {"PAYMENTS_SECRET": SECRET}
LISTENER = "payment_webhooks/listener.py"
PROVIDER = "payment_webhooks/provider.py"


def test_the_demo_books_each_payment_once_although_the_listener_is_killed(tmp_path: Path) -> None:
    with Program("payment_webhooks/demo.py", "--payments", "12", cwd=tmp_path) as program:
        assert program.end() == 0, "\n".join(program.lines)
    assert sum("killed the listener" in line for line in program.lines) == 2
    assert program.lines[-1] == "demo: 12 of 12 payments are booked, 0 of them not once: as it must be"
    assert "provider: 24 forged deliveries were answered 401" in program.lines


def test_a_listener_killed_at_any_moment_and_started_again_books_each_payment_once(tmp_path: Path) -> None:
    """Killed between verifying and answering, the provider sends again: that is one payment, not two."""
    with Program(LISTENER, "--folder", str(tmp_path), cwd=tmp_path, env=ENVIRONMENT) as listener:
        url = listener.line_with("listening on").split()[-1]
        port = url.rpartition(":")[2].partition("/")[0]
        again = ("--folder", str(tmp_path), "--port", port)
        with Program(
            PROVIDER, url, "--payments", "30", "--seed", "7", cwd=tmp_path, env=ENVIRONMENT
        ) as provider:
            listener.line_with("booked")
            listener.send(signal.SIGKILL)
            listener.end()
            with Program(LISTENER, *again, cwd=tmp_path, env=ENVIRONMENT) as second:
                assert provider.end() == 0, "\n".join(provider.lines)
                # All of it is taken; what isn't booked yet will be, by this one or the next.
                second.send(signal.SIGTERM)
                second.end()
    with Program(LISTENER, *again, cwd=tmp_path, env=ENVIRONMENT) as third:
        while len(books := booked(tmp_path)) < 30:
            third.line_with("booked")
    assert set(books.values()) == {1}


def booked(folder: Path) -> Counter[str]:
    with closing(sqlite3.connect(folder / "ledger.db")) as books:
        return Counter(payment for (payment,) in books.execute("SELECT payment FROM bookings"))


@pytest.mark.parametrize("seed", range(3))
@on_a_loop
async def test_repeated_reordered_and_forged_each_payment_is_booked_once(
    seed: int, database_url: str, tmp_path: Path
) -> None:
    sendings = deliveries(10, SECRET, random.Random(seed))  # noqa: S311 - no secrets
    async with Coordinator(database_url, resources=Ledger(tmp_path / "ledger.db")) as coordinator:
        async with inside(app_for(coordinator, SECRET)) as client:

            async def send(number: int) -> tuple[bool, int]:
                sending = sendings[number]
                headers = sending.signs.headers(sending.id, sending.body)
                answer = await client.post("/payments", content=sending.body, headers=headers)
                return sending.genuine, answer.status_code

            answers = set(await asyncio.gather(*map(send, range(len(sendings)))))
        assert answers == {(True, 200), (False, 401)}
        for info in await coordinator.list():
            run = await coordinator.get(info.id)
            await run.result(30)
            assert await run.status() is Status.COMPLETED
            assert (await kinds(run)).count(Kind.SIGNAL) == 2
    assert booked(tmp_path) == {f"p-{number}": 1 for number in range(10)}


def test_without_a_secret_the_listener_does_not_start(tmp_path: Path) -> None:
    with Program(LISTENER, cwd=tmp_path, env={"PAYMENTS_SECRET": ""}) as program:
        assert program.end() == 1
    assert "PAYMENTS_SECRET is needed" in program.lines[-1]
