"""Events of devices, and a process that is killed while it sends and works, twice: each event counts once.

`python examples/device_events/demo.py [--events 2000] [--devices 100] [--database URL]` exits with 1 if an
alert or a summary isn't what the events alone say.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
KILLED_AT = ("20 % sent", "60 % sent")


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start the process that sends and works."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def show(process: subprocess.Popen[str], until: str) -> bool:
    """Print what it prints until a line has these words in it; tell whether one had."""
    for line in process.stdout or ():
        print(line, end="", flush=True)
        if until in line:
            return True
    return False


def demo(database: str, number: int, devices: int) -> int:
    """Play it, and give the exit code."""
    command = [sys.executable, "-u", str(HERE / "devices.py"), database]
    command += ["--events", str(number), "--devices", str(devices)]
    process = start(command)
    try:
        for moment in KILLED_AT:
            if not show(process, moment):
                return 1
            process.kill()
            process.wait()
            print(f"demo: killed process {process.pid}; another one begins with the first event", flush=True)
            process = start(command)
        show(process, "devices, ")
        return process.wait()
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000, help="how many there are")
    parser.add_argument("--devices", type=int, default=100, help="of how many devices")
    parser.add_argument("--database", help="an empty one (default: a SQLite file that is removed again)")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="amends-devices-") as name:
        where = given.database or f"sqlite:///{name}/devices.db"
        sys.exit(demo(where, given.events, given.devices))
