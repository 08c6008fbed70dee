"""The travel agent: as a program, and killed at every point until nobody's answer undoes the trip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from amends.agents import ScriptedModel, ToolCall
from amends.sagas.testing import crash_test
from examples.model_server.running import ModelServer
from examples.travel_agent.travel_agent import HERE, TASK, Agency, travel_agent
from tests.examples.programs import Program

PROGRAM = "travel_agent/travel_agent.py"
BOOKED = ["booked the car", "booked the flight", "booked the hotel"]
CANCELLED = ["cancelled the car", "cancelled the flight", "cancelled the hotel"]
OFFLINE = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
SCRIPT: dict[str, Any] = json.loads((HERE / "script.json").read_text(encoding="utf-8"))


def parts(program: Program) -> dict[str, list[str]]:
    """Give what was printed of each trip, under its title."""
    found: dict[str, list[str]] = {}
    for line in program.lines:
        if line.startswith("  "):
            found[list(found)[-1]].append(line.strip())
        elif ": " in line and "SQLite" not in line:
            found[line] = []
    return found


def test_the_trip_is_undone_when_the_person_says_no_after_two_days(tmp_path: Path) -> None:
    """A4, A6: siblings in any order, and what preceded them after both."""
    with Program(PROGRAM, cwd=tmp_path, env=OFFLINE) as program:
        assert program.end() == 0, program.lines
    kept, rejected, unanswered = parts(program).items()
    assert kept[0].startswith("yes on the same day: kept, city='Lisbon' nights=3 price=1010")
    assert sorted(kept[1][:-1]) == BOOKED
    assert kept[1][-1] == "what stands: car, flight, hotel"
    assert rejected[0].endswith("compensated, because agent 'travel_agent': Ada has rejected the result: "
                                "I have to work")  # fmt: skip
    assert unanswered[0].endswith("nobody has accepted the result in time")
    for told in (rejected[1], unanswered[1]):
        assert sorted(told[:3]) == BOOKED
        assert sorted(told[3:6]) == CANCELLED
        assert told[0] == "booked the flight"
        assert told[5:] == ["cancelled the flight", "what stands: nothing"]


def test_another_server_is_asked_where_the_environment_names_it(tmp_path: Path) -> None:
    """A3: three questions for each of three trips, however many days and coordinators there were."""
    with ModelServer(*SCRIPT["answers"] * 3) as server:
        environment = {**OFFLINE, "OPENAI_BASE_URL": server.url, "AMENDS_EXAMPLE_MODEL": "gpt-4o"}
        with Program(PROGRAM, cwd=tmp_path, env=environment) as program:
            assert program.end() == 0, program.lines
        asked = server.requests()
    assert len(asked) == 9
    assert {request["body"]["model"] for request in asked} == {"gpt-4o"}


def scripted(request: Any) -> Any:
    """Answer as the example's script does."""
    answer = SCRIPT["answers"][sum(message.kind == "model" for message in request.messages)]
    calls = [
        ToolCall(f"{call['name']}-1", call["name"], json.dumps(call["arguments"]))
        for call in answer.get("calls", ())
    ]
    return calls or answer["text"]


def test_nothing_stays_booked_wherever_the_worker_is_killed() -> None:
    """A2, A3, A4, A6, S3, S10: nobody answers, and whatever was booked is cancelled."""
    world = Agency()
    report = crash_test(travel_agent(ScriptedModel(scripted)), TASK, world=world)
    assert report.points > 10
