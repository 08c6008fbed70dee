"""With one trace a stretch, what an attempt made hangs on its span, whatever has woken the run meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from opentelemetry import trace

from amends.sagas import Coordinator, receive, saga, sleep, step
from amends.sagas.testing import VirtualClock
from tests.sagas.running import Gate, on_a_loop
from tests.tracing.seen import Seen, above, ids, links

DAY = timedelta(days=1)
GATES: dict[str, Gate] = {}


@step
async def stretched_slow() -> None:
    with trace.get_tracer("others").start_as_current_span("before"):
        pass
    await GATES["slow"].wait()
    with trace.get_tracer("others").start_as_current_span("after"):
        pass


@step(effect="read")
async def stretched_look() -> None:
    with trace.get_tracer("others").start_as_current_span("looked"):
        pass
    await GATES["look"].wait()


@step
async def stretched_quick() -> None:
    pass


@saga
async def stretched_beside() -> None:
    async def words() -> None:
        for _ in range(3):
            await receive(str, name="word")
            await stretched_quick()

    await asyncio.gather(stretched_slow(), stretched_look(), words())


@saga
async def stretched_child() -> None:
    await sleep(DAY)
    await stretched_quick()


@saga
async def stretched() -> None:
    await stretched_quick()
    await sleep(DAY)
    await stretched_child()
    await receive(str, name="word")


@on_a_loop
async def test_a_step_that_outlives_a_stretch_keeps_what_it_made(database_url: str, seen: Seen) -> None:
    """Tracing 2, 12: signals begin stretches while it is under way; its children and it are in one trace."""
    GATES.update(slow=Gate(), look=Gate())
    async with Coordinator(database_url, trace_mode="linked") as coordinator:
        run = await coordinator.start(stretched_beside)
        await GATES["slow"].reached.wait()
        await GATES["look"].reached.wait()
        for number in range(3):
            await coordinator.signal(run.id, "word", "next")
            while seen.names.count("step stretched_quick") <= number:  # noqa: ASYNC110 - exported by a thread
                await asyncio.sleep(0.01)
        GATES["slow"].opened.set()
        GATES["look"].opened.set()
        await run.result()
    assert seen.names.count("continue stretched_beside") == 3
    slow, look = seen.one("step stretched_slow"), seen.one("step stretched_look")
    for inside, outer in (("before", slow), ("after", slow), ("looked", look)):
        assert (ids(seen.one(inside))[0], above(seen.one(inside))) == ids(outer), inside
    _whole(seen)


@on_a_loop
async def test_each_stretch_is_a_whole_trace_that_leads_to_the_anchor(database_url: str, seen: Seen) -> None:
    """Tracing 12: in whatever process each of them is, and of children too."""
    clock = VirtualClock()
    async with Coordinator(database_url, clock=clock, trace_mode="linked") as coordinator:
        run = await coordinator.start(stretched)
        await coordinator.run_until_idle()
    for _ in range(2):
        clock.advance(DAY)
        async with Coordinator(database_url, clock=clock) as coordinator:
            await coordinator.run_until_idle()
    async with Coordinator(database_url, clock=clock) as coordinator:
        await coordinator.signal(run.id, "word", "go")
        await run_ended(coordinator, run.id)
    assert seen.names.count("continue stretched") == 2
    assert seen.names.count("continue stretched_child") == 1
    _whole(seen)


async def run_ended(coordinator: Coordinator, run: str) -> None:
    await (await coordinator.get(run)).result()


def _whole(seen: Seen) -> None:
    """Check that no span is an orphan in its trace, and that each first one leads to its run's anchor."""
    known = {ids(span) for span in seen.spans}
    anchors = {ids(span)[1] for span in seen.spans if span.name.startswith("start ")}
    for span in seen.spans:
        if above(span) is not None:
            assert (ids(span)[0], above(span)) in known, span.name
        elif not span.name.startswith("start "):
            ((why, to),) = links(span)
            assert (why, to in anchors) == ("part_of", True), span.name
    assert len(known) == len(seen.spans)
