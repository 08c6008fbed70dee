"""Customers, five flaky services, and a worker that is killed twice: each is onboarded whole, or not at all.

`python examples/onboarding/demo.py [--customers 12] [--seed 1]` exits with 1 if the services' own book says
otherwise.
"""

import argparse
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

HERE = Path(__file__).parent
KILLED_AFTER = (1, 2)
"""After so many effects for each customer, on average."""
WHOLE = {"accounts": 1, "contacts": 1, "workspaces": 1, "mails": 1, "events": 1}
SECONDS = 90


def run(file: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program beside this one."""
    command = [sys.executable, "-u", str(HERE / file), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def show(process: subprocess.Popen[str], most: int | None = None) -> list[str]:
    """Print so many lines of a program, or all that it prints until it ends, and give them."""
    lines: list[str] = []
    for line in process.stdout or ():
        print(line, end="", flush=True)
        lines.append(line.strip())
        if len(lines) == most:
            break
    return lines


def end(process: subprocess.Popen[str]) -> None:
    """Kill a program, if it still runs."""
    process.kill()
    process.wait()


def half_done(ends: Mapping[str, str], book: Mapping[str, Mapping[str, int]]) -> list[str]:
    """List what stands for a customer and mustn't, or doesn't and must."""
    wanted = {customer: WHOLE if status == "completed" else {} for customer, status in ends.items()}
    return [
        f"{customer}: {dict(book.get(customer, {}))} instead of {wanted.get(customer, {})}"
        for customer in sorted(wanted.keys() | book.keys())
        if dict(book.get(customer, {})) != wanted.get(customer, {})
    ]


def demo(folder: Path, number: int, seed: int) -> int:
    """Play it, and give the exit code."""
    services = run("services.py", "--book", str(folder / "services.db"), "--seed", str(seed))
    (listening,) = show(services, 1)
    address = listening.split()[-1]
    command = ("onboarding.py", f"sqlite:///{folder / 'amends.db'}", address, "--customers", str(number))
    worker = run(*command)
    try:
        for effects in KILLED_AFTER:
            show(services, effects * number)
            end(worker)
            print(f"demo: killed the worker, process {worker.pid}; another one starts", flush=True)
            worker = run(*command)
        threading.Thread(target=show, args=(services,), daemon=True).start()
        ends = dict(line.split(",")[0].split()[1::2] for line in show(worker) if " is " in line)
        book = httpx.get(f"{address}/books", timeout=SECONDS).raise_for_status().json()
    finally:
        end(worker)
        end(services)
    findings = half_done(ends, book)
    whole = sum(status == "completed" for status in ends.values())
    print(*findings, sep="\n", end="\n" if findings else "")
    print(f"demo: {whole} of {len(ends)} customers are onboarded, {len(findings)} are half done")
    return 1 if findings or len(ends) != number else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=12, help="how many there are")
    parser.add_argument("--seed", type=int, default=1, help="for what goes wrong")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="amends-onboarding-") as name:
        sys.exit(demo(Path(name), given.customers, given.seed))
