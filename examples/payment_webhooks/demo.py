"""A listener that is killed while a provider tells of payments, twice: each payment is booked once.

`python examples/payment_webhooks/demo.py [--payments 20]` exits with 1 if a payment is booked more or less
than once, or a forgery was let in.
"""

import argparse
import base64
import math
import os
import secrets
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
KILLS = 2


def listener(folder: Path, port: str, environment: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    """Start a listener, and give it with the address on which it listens."""
    command = [sys.executable, str(HERE / "listener.py"), "--folder", str(folder), "--port", port]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    address = next((line for line in process.stdout or () if "listening on" in line), "").split()
    if not address:
        sys.exit("demo: the listener didn't start")
    print(f"listener: process {process.pid} listens", flush=True)
    return process, address[-1]


def show(process: subprocess.Popen[str], told: set[str], most: float = math.inf) -> None:
    """Show what a listener prints, until so many payments are told to be booked, or to its end."""
    for line in process.stdout or ():
        print(line, end="", flush=True)
        if line.startswith("listener: booked"):
            told.add(line.split()[2])
        if len(told) >= most:
            return


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, if it still runs, and wait until it is gone."""
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def booked(folder: Path) -> Counter[str]:
    """Read the books: how often each payment is in them."""
    with closing(sqlite3.connect(folder / "ledger.db")) as books:
        return Counter(payment for (payment,) in books.execute("SELECT payment FROM bookings"))


def demo(folder: Path, payments: int) -> int:
    """Play it, and give the exit code."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    environment = {**os.environ, "PAYMENTS_SECRET": secret, "PYTHONUNBUFFERED": "1"}
    process, url = listener(folder, "0", environment)
    port = url.rpartition(":")[2].partition("/")[0]
    command = [sys.executable, str(HERE / "provider.py"), url, "--payments", str(payments)]
    provider = subprocess.Popen(command, env=environment, text=True)
    told: set[str] = set()
    try:
        for number in range(1, KILLS + 1):
            show(process, told, payments * number // (KILLS + 2))
            process.kill()
            show(process, told)  # what it had booked, and said before it was killed
            end(process)
            print(f"demo: killed the listener, process {process.pid}; another one starts", flush=True)
            process, _ = listener(folder, port, environment)
        refused = provider.wait()
        show(process, told, payments)
    finally:
        end(provider)
        end(process)
    books = booked(folder)
    wrong = [payment for payment in {*books, *told} if books[payment] != 1]
    verdict = "as it must be" if not wrong and not refused and len(books) == payments else "WRONG"
    print(f"demo: {len(books)} of {payments} payments are booked, {len(wrong)} of them not once: {verdict}")
    return 0 if verdict == "as it must be" else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=20, help="how many the provider tells of")
    with TemporaryDirectory(prefix="amends-payments-") as name:
        sys.exit(demo(Path(name), parser.parse_args().payments))
