"""Orders, four services and a worker that gets killed: every order is carried out or undone.

`python examples/order_fulfilment/demo.py [ORDERS.json]` exits with 1 if the services' own books don't bear
out what amends has on record, and with 2 if the orders can't be read.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import amends.tracing
from amends.sagas import Coordinator, Entry, Kind, RunFailed
from books import End, half_done, read_books
from fulfilment import fulfil_order
from orders import Order, OrdersInvalid, read_orders
from processes import Processes, kill
from screen import Screen

HERE = Path(__file__).parent
SERVICES = {"stock": "reservations", "payments": "charges", "courier": "deliveries", "mail": "receipts"}
SETTLED = (Kind.LANDED, Kind.FAILED, Kind.UNDONE)
PATIENCE = 30.0


async def demo(orders: Sequence[Order], screen: Screen) -> list[str]:
    """Carry out the orders in a folder that is removed again, and list what is half done."""
    with TemporaryDirectory(prefix="amends-demo-") as folder:
        work = asyncio.create_task(carry_out_all(orders, Path(folder), screen))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop, work)
        return await work


def stop(work: asyncio.Task[list[str]]) -> None:
    """Cancel the work, once: another Ctrl-C doesn't disturb the cleaning up."""
    if not work.cancelling():
        work.cancel()


async def carry_out_all(orders: Sequence[Order], folder: Path, screen: Screen) -> list[str]:
    """Carry out the orders, show the books beside the records, and list what is half done."""
    database = f"sqlite:///{folder / 'amends.db'}"
    traced()
    async with Coordinator(database, work=False) as coordinator, Processes(screen.line) as processes:
        screen.heading("Four services, each with a book of its own, and a worker")
        addresses = await start_services(processes, folder)
        command = (database, *(f"{collection}={url}" for collection, url in addresses.items()))
        ready = processes.line_with("worker: ready")
        workers = asyncio.create_task(keep_working(processes, command, screen))
        await asyncio.wait_for(ready, PATIENCE)
        ends = [await carry_out(order, coordinator, screen) for order in orders]
        workers.cancel()
        books = await read_books(addresses)
    screen.records(ends)
    screen.books(ends, books)
    return half_done(ends, books)


async def start_services(processes: Processes, folder: Path) -> dict[str, str]:
    """Start each service on a free port, and give the address where each collection is served."""
    lines = {name: processes.line_with(f"{name}: listening on ") for name in SERVICES}
    for name in SERVICES:
        await processes.start(f"services/{name}.py", "--book", str(folder / f"{name}.db"))
    async with asyncio.timeout(PATIENCE):
        return {SERVICES[name]: (await line).split()[-1] for name, line in lines.items()}


async def keep_working(processes: Processes, command: Sequence[str], screen: Screen) -> None:
    """Keep a worker running, and kill it in mid-step whenever the bank is slow to confirm a charge."""
    while True:
        charge_held = processes.line_with("the bank is slow")
        worker = await processes.start("worker.py", *command)
        await charge_held
        await kill(worker)
        screen.line(f"demo: killed the worker, process {worker.pid}, with SIGKILL; another one starts")


async def carry_out(order: Order, coordinator: Coordinator, screen: Screen) -> End:
    """Start the saga of one order, and wait for its end."""
    screen.heading(f"Order {order.id}" + (f": {order.note}" if order.note else ""))
    run = await coordinator.start(fulfil_order, order, id=order.id)
    if traced():
        address = amends.tracing.address_of(await run.trace_id(), run.id)
        screen.line(f"demo: its trace, if a Jaeger has it: {address}")
    try:
        await run.result(timeout=PATIENCE)
        reason = ""
    except RunFailed as error:
        reason = f", because of {type(error.error).__name__}: {error.error}"
    except TimeoutError:
        reason = f", after {PATIENCE:.0f} seconds"
    status = await run.status()
    screen.line(f"amends: order {order.id} is {status}{reason}")
    return End(order.id, status, [settled(entry) for entry in await run.journal() if entry.kind in SETTLED])


def traced() -> bool:
    """Export traces where OTEL_EXPORTER_OTLP_ENDPOINT is set, and tell whether they are."""
    return amends.tracing.configure_if_asked("orders")


def settled(entry: Entry) -> str:
    """Say what came of a step: it landed, it didn't land, nobody knows, or it was undone."""
    outcome = entry.meta.get("outcome", entry.kind).replace("_", " ")
    attempts = f" at attempt {entry.attempt}" if (entry.attempt or 1) > 1 else ""
    return f"{entry.name} {outcome}{attempts}"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("orders", nargs="?", type=Path, default=HERE / "orders.json", help="a JSON file")
    return parser.parse_args()


def main() -> int:
    """Run the demo, and give the exit code."""
    logging.basicConfig(level=logging.ERROR)
    screen = Screen()
    try:
        orders = read_orders(arguments().orders)
        findings = asyncio.run(demo(orders, screen))
    except OrdersInvalid as error:
        print(error, file=sys.stderr)
        return 2
    except TimeoutError:
        print(f"Not everything started within {PATIENCE:.0f} seconds; see above.", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("\nStopped; the services and the worker are gone too.", file=sys.stderr)
        return 130
    screen.verdict(findings)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
