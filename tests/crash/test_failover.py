"""A primary dies, and its standby, which lacks the last commits, takes its place."""

import asyncio
import logging
import signal
from collections import defaultdict

import pytest

from amends.sagas import Coordinator, Run, RunNotFound, Undo, current_step, saga, step
from tests.sagas.running import LONGEST, Gate
from tests.servers import Server, Standby, followed

RUNS = 8
STEPS = 6
SEEN_BY = (1, 4)
"""The steps at which the test holds the runs: before replication is cut off, and before the primary dies."""
GATES: dict[int, Gate] = {}
KEYS: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
TIMES: defaultdict[tuple[str, int], int] = defaultdict(int)


@step(name="failover.note")
async def note(run: str, number: int) -> int:
    here = current_step()
    KEYS[run, number].add(here.idempotency_key)
    TIMES[run, number] += 1
    if number in GATES:
        await GATES[number].wait()
    return number


@note.compensation(name="failover.erase")
async def erase(undo: Undo[int], run: str, number: int) -> None: ...


@saga(name="failover.run")
async def notes(run: str) -> int:
    return sum([await note(run, number) for number in range(STEPS)])


async def all_at(number: int, names: list[str]) -> None:
    while not all(TIMES[name, number] for name in names):  # noqa: ASYNC110 - steps tell of themselves
        await asyncio.sleep(0.01)


async def through_a_fail_over(primary: Server, standby: Standby) -> None:
    url = f"{primary.url},{standby.directory}"
    names = [f"run-{number}" for number in range(RUNS)]
    GATES.update({number: Gate() for number in SEEN_BY})
    async with Coordinator(url), Coordinator(url) as coordinator:
        runs: list[Run[int]] = [await coordinator.start(notes, name, id=name) for name in names]
        await all_at(SEEN_BY[0], names)
        standby.catch_up()
        standby.cut_off()
        late = await coordinator.start(notes, "late", id="late")
        GATES[SEEN_BY[0]].opened.set()
        await all_at(SEEN_BY[1], [*names, "late"])
        primary.stop(signal.SIGQUIT)
        standby.promote()
        GATES[SEEN_BY[1]].opened.set()
        assert [await run.result(LONGEST) for run in runs] == [sum(range(STEPS))] * RUNS
        with pytest.raises(RunNotFound):
            await late.status()
        again = await coordinator.start(notes, "late", id="late")
        assert await again.result(LONGEST) == sum(range(STEPS))
        for run in runs:
            journal = await run.journal()
            assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))


def test_a_standby_that_lacks_the_last_commits_takes_over(caplog: pytest.LogCaptureFixture) -> None:
    """S1, S18: nothing that it lacks is built upon; what was done is done again, under the same keys."""
    with caplog.at_level(logging.WARNING, "amends"), followed() as (primary, standby):
        asyncio.run(asyncio.wait_for(through_a_fail_over(primary, standby), 2 * LONGEST))
    assert "the database has lost what it had acknowledged" in caplog.text
    assert {len(keys) for (name, _), keys in KEYS.items() if name != "late"} == {1}
    assert any(times > 1 for (_, number), times in TIMES.items() if number == 2)
