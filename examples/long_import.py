"""A long import that shows how far it is; watched from a second process while it goes on.

python examples/long_import.py          in one terminal: imports, and can be stopped and started again
python examples/long_import.py watch    in another: a line for each change, until the import has ended
"""

import asyncio
import sys
from contextlib import suppress

from amends.sagas import (
    Coordinator,
    RunNotFound,
    Undo,
    current_step,
    saga,
    set_attributes,
    set_progress,
    step,
)

DATABASE = "sqlite:///long_import.db"
IMPORT = "import-1"
ROWS = 300


@step
async def load(file: str, rows: int) -> int:
    here = current_step()
    for row in range(here.details or 0, rows):
        await asyncio.sleep(0.01)
        here.heartbeat(row + 1)
        set_progress(row + 1, rows, f"rows of {file}")
    return rows


@load.compensation
async def unload(undo: Undo[int], file: str, rows: int) -> None:
    set_progress(0, rows, f"took the rows of {file} out again")


@saga
async def import_files(customer: str, files: list[str]) -> int:
    set_attributes(customer=customer, files=len(files), state="loading")
    rows = 0
    for file in files:
        rows += await load(file, ROWS)
    set_attributes(state="done", rows=rows)
    return rows


async def work() -> None:
    async with Coordinator(DATABASE) as coordinator:
        run = await coordinator.start(import_files, "C-7", ["a.csv", "b.csv"], id=IMPORT)
        print(f"{IMPORT} is done: {await run.result()} rows")


async def watch() -> None:
    async with Coordinator(DATABASE, work=False) as coordinator:
        try:
            run = await coordinator.get(IMPORT)
        except RunNotFound:
            begun = await anext(coordinator.watch(attributes={"customer": "C-7"}))
            run = await coordinator.get(begun.run_id)
        async for change in run.watch():
            shown = change.progress
            told = "" if shown is None else f", {shown.done} of {shown.total} {shown.text}"
            print(f"{change.status}, {(change.attributes or {}).get('state', 'not begun')}{told}")


with suppress(KeyboardInterrupt):
    asyncio.run(watch() if sys.argv[1:] == ["watch"] else work())

# ruff: noqa: D103 - a page that says what it does
