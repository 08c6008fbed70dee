"""An agent at a refund desk: killed while it waits for its approval, approved, and another one undone.

`python examples/refund_agent/demo.py [--wait SECONDS]` says what people are asked, and how to answer from
another terminal; after so many seconds without an answer it answers itself. It exits with 1 if the services'
own books don't bear out what amends has on record.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx

from amends.sagas import AmendsError, Coordinator, Kind, Status
from amends.sagas.sync import SyncCoordinator

HERE = Path(__file__).resolve().parent
SERVICES = {"payments": "charges", "courier": "deliveries", "refunds": "refunds"}
PAID = {"1001": "149.90", "1002": "49.90"}
AGENT = HERE / "refund_desk.py"
AMENDS = (sys.executable, "-m", "amends")
PROGRAM = str(Path(sys.executable).with_name("amends")).removeprefix(f"{Path.cwd()}/")
SECONDS = 60.0
ENDS = (Status.COMPLETED, Status.COMPENSATED, Status.FAILED, Status.CANCELLED, Status.PARKED)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a customer writes, and how the demo answers what people are asked about it."""

    order: str
    text: str
    accept: bool

    @property
    def run(self) -> str:
        """The id of its run."""
        return f"refund-{self.order}"


COMPLAINTS = (
    Complaint("1001", "The clock of order 1001 came broken. I want my money back.", accept=True),
    Complaint("1002", "I have changed my mind about the kettle of order 1002.", accept=False),
)


class Processes:
    """The programs of the demo, each a process; leaving the block kills those that still run."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            self.kill(process)

    def start(self, *command: str, ready: str) -> tuple[subprocess.Popen[str], str]:
        """Start a program, and give it with its first line with these words; later lines are shown."""
        process = subprocess.Popen(
            [sys.executable, "-u", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._running.append(process)
        lines: list[str] = []
        for line in process.stdout or ():
            lines.append(line)
            if ready in line:
                threading.Thread(target=_show, args=(process,), daemon=True).start()
                return process, line.strip()
        sys.exit(f"{command[0]} didn't start:\n{''.join(lines)}")

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a process with SIGKILL, and wait until it is gone."""
        process.kill()
        process.wait()


def _show(process: subprocess.Popen[str]) -> None:
    with suppress(ValueError):
        for line in process.stdout or ():
            who, _, what = line.strip().partition(": ")
            if who in SERVICES:
                say(who, what)


def say(who: str, what: str) -> None:
    """Print a line of the story."""
    print(f"  {who:<9} {what}", flush=True)


def heading(text: str) -> None:
    """Begin a part."""
    print(f"\n{text}", flush=True)


@contextmanager
def shop(processes: Processes, folder: Path) -> Iterator[dict[str, str]]:
    """Start the services, with two orders in their books, and give where each is; and a model, if need be."""
    heading("A shop with three services and two orders, which were paid and delivered")
    addresses = {}
    for name in SERVICES:
        file = HERE.parent / "order_fulfilment" / "services" / f"{name}.py"
        _, line = processes.start(str(file), "--book", str(folder / f"{name}.db"), ready="listening on")
        addresses[name] = line.split()[-1]
        os.environ[f"SHOP_{name.upper()}"] = addresses[name]
    for order, amount in PAID.items():
        buy(addresses, order, amount)
    if not (os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY")):
        server = HERE.parent / "model_server" / "server.py"
        _, line = processes.start(str(server), "--script", str(HERE / "script.json"), ready="model server: ")
        addresses["model"] = os.environ["OPENAI_BASE_URL"] = line.split()[-1]
    yield addresses


def buy(addresses: dict[str, str], order: str, amount: str) -> None:
    """Put an order into the services' books, as if it had been bought last week."""
    charge = {"order_id": order, "card": "4242424242424242", "amount": amount}
    delivery = {"order_id": order, "postcode": "EH1 1YZ"}
    for name, request in (("payments", charge), ("courier", delivery)):
        key = {"Idempotency-Key": f"{name}-{order}"}
        url = f"{addresses[name]}/{SERVICES[name]}"
        httpx.post(url, json=request, headers=key, timeout=30).raise_for_status()


class Desk:
    """The agent's worker, and the people who are asked."""

    def __init__(self, processes: Processes, database: str, wait: float) -> None:
        self._processes = processes
        self._database = database
        self._wait = wait
        self._worker = self._work()

    def _work(self) -> subprocess.Popen[str]:
        worker, _ = self._processes.start("-m", "amends", "worker", str(AGENT), ready="refund_desk")
        return worker

    def deal_with(self, complaint: Complaint, coordinator: SyncCoordinator, *, kill: bool) -> Status:
        """Have the agent deal with a complaint, and answer what people are asked, until its run has ended."""
        heading(f"Order {complaint.order}: {complaint.text}")
        given = ("--input", json.dumps(complaint.text))
        started = amends("start", "refund_desk", "--module", str(AGENT), "--id", complaint.run, *given)
        say("amends", f"started {started.strip()}")
        run = coordinator.get(complaint.run)
        until = time.monotonic() + SECONDS + 3 * self._wait
        while (status := run.status()) not in ENDS and time.monotonic() < until:
            for asked in coordinator.approvals():
                if kill:
                    self._processes.kill(self._worker)
                    killed = self._worker.pid
                    say("demo", f"killed the worker, process {killed}, with SIGKILL; another one starts")
                    self._worker, kill = self._work(), False
                self._answer(coordinator, asked, complaint)
            time.sleep(0.05)
        say("amends", f"{complaint.run} is {status}")
        return status

    def _answer(self, coordinator: SyncCoordinator, asked: Any, complaint: Complaint) -> None:
        """Let people answer from another terminal; answer for them when none does."""
        accept = complaint.accept or "order" in asked.title
        say("people", f"are asked: {asked.title}")
        say("", f"In another terminal, within {self._wait:g} seconds:")
        for act in ("approve", "reject"):
            say("", f"  {PROGRAM} {act} {asked.id} --database {self._database}")
        until = time.monotonic() + self._wait
        while asked.id in {each.id for each in coordinator.approvals()}:
            if time.monotonic() >= until:
                with suppress(AmendsError):
                    coordinator.decide(
                        asked.id, approved=accept, by="demo", reason="nobody else has answered"
                    )
                say("demo", f"{'approved' if accept else 'rejected'} it, since nobody else did")
                return
            time.sleep(0.1)
        say("people", "have answered")


def amends(*arguments: str) -> str:
    """Run a command of amends, and give what it prints."""
    return subprocess.run([*AMENDS, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def show(command: str, run: str, *arguments: str) -> None:
    """Run a command of amends about a run, as one does in a terminal: in its width and colours."""
    heading(f"$ amends {command} {run}")
    subprocess.run([*AMENDS, command, run, *arguments], check=True)


def findings(addresses: dict[str, str], coordinator: SyncCoordinator) -> list[str]:
    """List where the services' own books and the model's don't bear out what amends has on record."""
    book = httpx.get(f"{addresses['refunds']}/refunds", timeout=30).json()["refunds"]
    heading("What the refund service has in its book")
    for entry in book:
        say(entry["order_id"], f"{entry['what']} {entry['state']}, asked for {entry['asked']} x")
    found = []
    for complaint in COMPLAINTS:
        run = coordinator.get(complaint.run)
        standing = [entry for entry in book if entry["order_id"] == complaint.order and entry["stands"]]
        if (wanted := refunds(run)) != len(standing):
            found.append(f"order {complaint.order}: {len(standing)} standing refunds instead of {wanted}")
        if run.status() not in (Status.COMPLETED, Status.COMPENSATED, Status.FAILED):
            found.append(f"order {complaint.order}: the run is {run.status()}")
    if "model" in addresses:
        control = addresses["model"].removesuffix("/v1")
        asked = len(httpx.get(f"{control}/control/requests", timeout=30).json())
        answers = sum(answered(coordinator.get(complaint.run)) for complaint in COMPLAINTS)
        say("model", f"asked {asked} times, {answers} answers on record")
        found += [] if asked == answers else ["the model was asked again for an answer that was on record"]
    return found


def refunds(run: Any) -> int:
    """Count the refunds that have to stand, by the run's record."""
    landed = [entry for entry in run.journal() if entry.kind is Kind.LANDED and entry.name == "refund"]
    return len(landed) if run.status() is Status.COMPLETED else 0


def answered(run: Any) -> int:
    """Count the model's answers on record."""
    return sum(entry.kind is Kind.LANDED and entry.name == "refund_desk.model" for entry in run.journal())


def demo(folder: Path, wait: float) -> int:
    """Play it, and give the exit code."""
    database = os.environ["AMENDS_DATABASE_URL"] = f"sqlite:///{folder / 'amends.db'}"
    with Processes() as processes, shop(processes, folder) as addresses:
        desk = Desk(processes, database, wait)
        with Coordinator.sync(database, work=False) as coordinator:
            for number, complaint in enumerate(COMPLAINTS):
                desk.deal_with(complaint, coordinator, kill=number == 0)
            for complaint in COMPLAINTS:
                show("transcript", complaint.run, "--module", str(AGENT))
            show("show", COMPLAINTS[-1].run)
            found = findings(addresses, coordinator)
    for finding in found:
        print(finding)
    print("\nSomething is wrong, see above." if found else "\nThe books bear it out.", flush=True)
    return 1 if found else 0


def main() -> int:
    """Read the command line, and run the demo in a folder that is removed again."""
    parser = argparse.ArgumentParser(description=__doc__)
    waits = 20.0 if sys.stdout.isatty() else 1.0
    parser.add_argument("--wait", type=float, default=waits, help="seconds for which people may answer")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="amends-refunds-") as folder:
        try:
            return demo(Path(folder), options.wait)
        except KeyboardInterrupt:
            print("\nStopped; the services and the worker are gone too.", file=sys.stderr)
            return 130


if __name__ == "__main__":
    sys.exit(main())
