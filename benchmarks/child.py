"""One stage of a benchmark in a process of its own.

`python -m benchmarks.child MODULE FUNCTION ARGUMENTS`, the arguments as a JSON list.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amends.sagas.garbage import collect_less_often

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 900.0


class StageFailed(RuntimeError):
    """A stage's process ended without an answer; `returncode` is its exit status, negative for a signal."""

    def __init__(self, stage: str, returncode: int, complaint: str) -> None:
        super().__init__(f"{stage} ended with {returncode}:\n{complaint}")
        self.returncode = returncode


def run(module: str, function: str, *arguments: object, environment: Mapping[str, str] | None = None) -> Any:
    """Run an async function of a module of ours in a fresh process; give what it returns, through JSON.

    `environment` is added to this process's. Raises `StageFailed`, with what the process printed.
    """
    command = [sys.executable, "-m", "benchmarks.child", module, function, json.dumps(arguments)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise StageFailed(f"{module}.{function}", done.returncode, done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Run the stage named on the command line and print its answer as JSON, alone on standard output."""
    module, function, arguments = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        stage = getattr(importlib.import_module(module), function)
        # As `amends worker` does: this process, too, does nothing but drive runs.
        collect_less_often()
        answer = asyncio.run(stage(*json.loads(arguments)))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
