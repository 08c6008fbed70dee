"""Record the journals of `tests/golden` that are missing: `python -m tests.golden.record`.

One that is there is never recorded again: it stands for the runs of those who used the code of its day.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from amends.sagas.exported import export_run
from amends.sagas.testing.schedule import Scheduled, parse
from amends.sagas.testing.subject import Subject
from tests.golden.sagas import SHAPES, SIGNALS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def record(name: str) -> str:
    """Play a saga and give its run as a JSON document."""
    saga, arguments, schedule = SHAPES[name]
    stage = Subject.of(saga, arguments, None, None, SIGNALS.get(name, ())).play(Scheduled(parse(schedule)))
    run = stage.run
    if run is None or not run.settled:
        raise SystemExit(f"{name} doesn't come to an end")
    # Tracebacks name files; where this checkout lies is nobody's business.
    return json.dumps(export_run(run.row, run.journal), indent=1).replace(f"{ROOT}/", "") + "\n"


def main() -> None:
    """Record what is missing."""
    for name in SHAPES:
        path = HERE / f"{name}.json"
        if not path.exists():
            path.write_text(record(name), encoding="utf-8")
            sys.stdout.write(f"recorded {path.name}\n")


if __name__ == "__main__":
    main()
