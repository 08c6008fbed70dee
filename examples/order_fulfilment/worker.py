"""A worker: it runs the sagas that are started in the database, until it is told to stop."""

import argparse
import asyncio
import logging
import signal
import sys

import httpx

import amends.tracing
from amends.sagas import Coordinator
from fulfilment import fulfil_order
from remote import Services


async def main(database: str, addresses: dict[str, str]) -> None:
    """Work until SIGINT or SIGTERM; what is unfinished then goes on at the next start."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with (
        httpx.AsyncClient(timeout=10) as client,
        Coordinator(database, resources=Services(client, addresses)),
    ):
        print(f"worker: ready to {fulfil_order.name}", flush=True)
        await stopped.wait()


def options() -> argparse.Namespace:
    """Read the command line: the database, and each collection with the address of its service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="such as sqlite:///orders.db")
    parser.add_argument("service", nargs="+", help="such as charges=http://127.0.0.1:5001")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="worker: %(message)s")
    for quiet in ("amends", "httpx"):
        logging.getLogger(quiet).setLevel(logging.ERROR)
    given = options()
    amends.tracing.configure_if_asked("orders")
    asyncio.run(main(given.database, dict(service.split("=", 1) for service in given.service)))
