"""A listener for a payment provider's webhooks: each payment is booked once, however often it is told of.

`PAYMENTS_SECRET=whsec_… python listener.py [--folder DIRECTORY] [--port PORT]`
"""

import argparse
import asyncio
import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Literal

import uvicorn
from pydantic import BaseModel

from amends.sagas import Coordinator, InputInvalid, current_step, receive, saga, step
from amends.sagas.webhooks import Call, Route, SignalOrStart, StandardWebhooks, WebhookApp


class Event(BaseModel):
    """What the provider tells of a payment; `amount` is in cents."""

    type: Literal["authorized", "captured"]
    payment: str
    amount: int


class Ledger:
    """The books, in a SQLite file of their own: a key that comes again books nothing more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as books, books:
            books.execute(
                "CREATE TABLE IF NOT EXISTS bookings (key TEXT PRIMARY KEY, payment TEXT, amount INT)"
            )

    def book(self, key: str, payment: str, amount: int) -> bool:
        """Book a payment; tell whether it is new."""
        with closing(self._open()) as books, books:
            added = books.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?, ?)", (key, payment, amount))
            return added.rowcount == 1

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


@step(name="payments.book")
def book(payment: str, amount: int) -> None:
    """Book what was captured."""
    attempt = current_step()
    new = attempt.resources.book(attempt.idempotency_key, payment, amount)
    print(f"listener: booked {payment}{'' if new else ' already, before it was killed'}", flush=True)


@saga
async def take_payment(payment: str) -> int:
    """Wait until a payment is authorized and captured, in whichever order that is told, and book it."""
    _, captured = await asyncio.gather(
        receive(Event, name="authorized"),
        receive(Event, name="captured"),
    )
    await book(payment, captured.amount)
    return captured.amount


async def on_event(call: Call[Event]) -> SignalOrStart[str]:
    """Tell the payment's run, and start it if this is the first that is heard of the payment."""
    event = call.body
    run_id = f"payment-{event.payment}"
    return SignalOrStart(take_payment, event.payment, id=run_id, name=event.type, payload=event)


def app_for(coordinator: Coordinator, secret: str) -> WebhookApp:
    """Make the app: what comes for a payment that has been booked is taken, and leads to nothing."""
    route = Route(Event, on_event, verify=StandardWebhooks(secret), ended=200)
    return WebhookApp(coordinator, {"/payments": route})


async def main(folder: Path, port: int, secret: str) -> None:
    """Listen and work until SIGINT or SIGTERM."""
    database, ledger = f"sqlite:///{folder / 'listener.db'}", Ledger(folder / "ledger.db")
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        async with Coordinator(database, resources=ledger) as coordinator:
            app = app_for(coordinator, secret)
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            print(f"listener: listening on {address}/payments", flush=True)
            await server.serve(sockets=[listening])


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="for its two databases")
    parser.add_argument("--port", type=int, default=0, help="a port on 127.0.0.1 (default: any free one)")
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    try:
        asyncio.run(main(given.folder, given.port, os.environ.get("PAYMENTS_SECRET", "")))
    except InputInvalid as error:
        sys.exit(f"listener: PAYMENTS_SECRET is needed, the secret that the provider signs with: {error}")
    except OSError as error:
        sys.exit(f"listener: can't listen on port {given.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
