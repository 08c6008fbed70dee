"""Events of devices: each counts once, also where the process that sends and works is killed."""

from __future__ import annotations

import datetime as dt
import signal
from pathlib import Path

import pytest

from amends.sagas import Coordinator, Status
from amends.sagas.testing import VirtualClock
from examples.device_events.devices import METADATA, Seen, Sender, differences, events, expected
from tests.examples.programs import Program
from tests.sagas.running import on_a_loop

DEVICES = "device_events/devices.py"
SILENCE = dt.timedelta(minutes=5)


def test_the_demo_counts_each_event_once_although_the_process_is_killed(tmp_path: Path) -> None:
    with Program("device_events/demo.py", "--events", "1000", "--devices", "20", cwd=tmp_path) as program:
        assert program.end() == 0, "\n".join(program.lines)
    assert any("killed process" in line for line in program.lines)
    assert program.lines[-1] == "devices: 1000 events of 20 devices, each counted once"


@pytest.mark.parametrize("moment", ["10 % sent", "90 % sent"])
def test_a_sender_that_is_killed_and_sends_everything_again_changes_nothing(
    moment: str, database_url: str, tmp_path: Path
) -> None:
    """S17: the same message id is the same event, in whichever process it is sent."""
    command = (database_url, "--events", "3000", "--devices", "60", "--silence", "1")
    with Program(DEVICES, *command, cwd=tmp_path) as program:
        program.line_with(moment)
        program.send(signal.SIGKILL)
        program.end()
    for _ in range(2):
        with Program(DEVICES, *command, cwd=tmp_path) as program:
            assert program.end() == 0, "\n".join(program.lines)
        assert program.lines[-1] == "devices: 3000 events of 60 devices, each counted once"


@on_a_loop
async def test_a_device_that_is_heard_of_again_has_its_summary_mended(database_url: str) -> None:
    """A summary when it is silent; what comes after that goes into the next one. Hours pass at once."""
    made, clock = events(200, 4, seed=3), VirtualClock()
    early = {device: sequence[:20] for device, sequence in made.items()}
    async with Coordinator(database_url, clock=clock) as coordinator:
        METADATA.create_all(coordinator.engine)
        sender = Sender(coordinator, SILENCE, 200)
        for sent in (early, made):
            await sender.send_all(sent)
            await clock.run(coordinator, until=clock.now + SILENCE * 2)
            assert differences(coordinator.engine, sent) == []
        assert {info.status for info in await coordinator.list()} == {Status.WAITING}


def test_an_alert_takes_three_readings_in_a_row() -> None:
    seen = Seen()
    assert [seen.take(celsius) for celsius in (90, 90, 20, 90, 90, 90, 90, 90, 90)] == [
        *[False] * 5,
        True,
        *[False] * 2,
        True,
    ]
    assert (seen.events, seen.alerts, seen.highest) == (9, 2, 90)


def test_events_of_one_seed_are_alike_and_call_for_alerts() -> None:
    made = events(500, 10, seed=1)
    assert made == events(500, 10, seed=1) != events(500, 10, seed=2)
    summaries, alerts = expected(made)
    assert sum(seen.events for seen in summaries.values()) == 500
    assert alerts
