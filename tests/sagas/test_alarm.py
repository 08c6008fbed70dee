"""One timer for many due times."""

from __future__ import annotations

import asyncio

from amends.sagas.alarm import Alarm
from tests.sagas.running import on_a_loop


class Ringing:
    """An alarm with a clock that is moved by hand, and what it rang for."""

    def __init__(self) -> None:
        self.now = 1_000
        self.rung: list[str] = []
        self.alarm = Alarm(asyncio.get_running_loop(), lambda: self.now, self.rung.append)


@on_a_loop
async def test_it_rings_for_what_is_due_and_for_nothing_else() -> None:
    ringing = Ringing()
    for key, due in (("b", 1_002), ("a", 1_001), ("c", 9_000)):
        ringing.alarm.set(key, due)
    ringing.now = 1_002
    ringing.alarm.look()
    assert ringing.rung == ["a", "b"]
    ringing.alarm.close()


@on_a_loop
async def test_what_is_put_off_again_and_again_rings_once_and_when_it_is_due() -> None:
    """The timer of an earlier time wakes early, and is set anew."""
    ringing = Ringing()
    for due in range(1_001, 1_200):
        ringing.alarm.set("a", due)
    ringing.alarm.set("b", 1_400)
    for now in range(1_000, 1_199, 7):
        ringing.now = now
        ringing.alarm.look()
        assert ringing.rung == []
    ringing.now = 1_199
    while not ringing.rung:  # noqa: ASYNC110 - a timer rings
        await asyncio.sleep(0.01)
    assert ringing.rung == ["a"]
    ringing.alarm.close()


@on_a_loop
async def test_an_earlier_time_wakes_it_earlier() -> None:
    ringing = Ringing()
    ringing.alarm.set("far", 31_000)
    ringing.alarm.set("near", 1_010)
    ringing.now = 1_010
    while not ringing.rung:  # noqa: ASYNC110 - a timer rings
        await asyncio.sleep(0.01)
    assert ringing.rung == ["near"]
    ringing.alarm.set("far", None)
    ringing.alarm.close()
