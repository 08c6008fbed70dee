"""The patterns in `examples/patterns/`: as programs, under kills, and each way of failing that they name."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amends.sagas import Coordinator, RunFailed, Status
from amends.sagas.testing import crash_test, simulate
from examples.patterns.bank_transfer import Bank, transfer
from examples.patterns.nested_trip import Cities, travel
from examples.patterns.order_with_pivot import Shop, sell_for_good
from examples.patterns.second_supplier import Market, buy
from examples.patterns.trip_booking import Agency, book_trip
from tests.examples.programs import EXAMPLES, Program
from tests.sagas.running import ended, failure, on_a_loop, parked

SOUTH = ["50.00 set aside", "kettle ordered from South", "lorry from South"]
NORTH = ["50.00 set aside", "kettle ordered from North", "lorry from North"]
STAYS = ["dinner in Lisbon", "dinner in Porto", "hotel in Lisbon", "hotel in Porto"]
BACKWARDS = ["dinner in Porto", "hotel in Porto", "dinner in Lisbon", "hotel in Lisbon"]
HOME = "flight home from Porto"
SOLD = ["50.00 paid", "kettle put aside", "kettle sent"]

PRINTED = {
    "trip_booking.py": [
        ("all can be had: completed", "car, flight, hotel"),
        ("the car is sold out: failed", "nothing"),
        ("the hotel is sold out: compensated", "nothing"),
        ("the flight is sold out: compensated", "nothing"),
        ("the flight is booked, and the answer lost: compensated", "nothing"),
    ],
    "bank_transfer.py": [
        ("ann pays ben 30.00: completed", "ann 70.00, ben 50.00"),
        ("ann pays ben more than she has: failed", "ann 100.00, ben 20.00"),
        ("ann pays somebody without an account: compensated", "ann 100.00, ben 20.00"),
        ("ben's bank posts and doesn't answer: compensated", "ann 100.00, ben 20.00"),
    ],
    "order_with_pivot.py": [
        ("all goes well: completed", ", ".join(SOLD)),
        ("the card is declined: compensated", "nothing"),
        ("the bank takes the money and doesn't answer, twice: completed", ", ".join(SOLD)),
        ("the carrier is closed five times: completed", ", ".join(SOLD)),
    ],
    "second_supplier.py": [
        ("the first supplier delivers: completed", ", ".join(NORTH)),
        ("the first has no lorry: completed", ", ".join(SOUTH)),
        ("the first books a lorry and doesn't answer: completed", ", ".join(SOUTH)),
        ("nobody delivers: compensated", "nothing"),
    ],
    "nested_trip.py": [
        ("all can be had: completed", ", ".join(sorted([*STAYS, HOME]))),
        ("dinner in Porto is sold out: compensated", "nothing"),
        ("the flight home is sold out: compensated", "nothing"),
        ("the flight home is booked, and the answer lost: compensated", "nothing"),
        ("booked, and undone later: compensated", "nothing"),
    ],
}  # fmt: skip


PAGE = EXAMPLES.parent / "docs" / "patterns.md"
TRANSFER = ("ann", "ben", 30_00)
PLAYED: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "trip": (book_trip, "Lisbon", Agency()),
    "trip, flight sold out": (book_trip, "Lisbon", Agency(sold_out="flight")),
    "trip, flight silent": (book_trip, "Lisbon", Agency(silent="flight")),
    "transfer": (transfer, TRANSFER, Bank()),
    "transfer, no account": (transfer, ("ann", "cat", 30_00), Bank()),
    "transfer, bank silent": (transfer, TRANSFER, Bank(silent="ben")),
    "pivot": (sell_for_good, ("kettle", 50), Shop()),
    "pivot, declined": (sell_for_good, ("kettle", 50), Shop(declines=True)),
    "cities": (travel, ("Lisbon", "Porto"), Cities()),
    "cities, dinner sold out": (travel, ("Lisbon", "Porto"), Cities(sold_out="dinner in Porto")),
    "cities, flight sold out": (travel, ("Lisbon", "Porto"), Cities(sold_out=HOME)),
    "cities, flight silent": (travel, ("Lisbon", "Porto"), Cities(silent=HOME)),
    "suppliers": (buy, ("kettle", 50), Market()),
    "suppliers, first stuck": (buy, ("kettle", 50), Market(stuck=("North",))),
    "suppliers, both stuck": (buy, ("kettle", 50), Market(stuck=("North", "South"))),
}


class WatchedShop(Shop):
    """A shop whose carrier is closed; `asked` tells that it was asked for the first time."""

    def __init__(self) -> None:
        super().__init__(closed=1_000_000)
        self.asked = asyncio.Event()

    def send(self, article: str) -> None:
        self.asked.set()
        super().send(article)


@pytest.mark.parametrize("file", PRINTED)
def test_the_program_prints_how_each_try_ended_and_what_stands(file: str, tmp_path: Path) -> None:
    with Program(f"patterns/{file}", cwd=tmp_path) as program:
        assert program.end() == 0
    titles = [line for line in program.lines if not line.startswith(" ")]
    stands = [line.removeprefix("  what stands: ") for line in program.lines if "what stands" in line]
    assert list(zip(titles, stands, strict=True)) == PRINTED[file]
    assert list(tmp_path.iterdir()) == []


def test_every_pattern_has_its_program_here_and_a_word_in_the_pages() -> None:
    files = sorted(path.name for path in (EXAMPLES / "patterns").glob("*.py"))
    assert sorted(PRINTED) == files
    for page in (EXAMPLES / "README.md", PAGE):
        text = page.read_text(encoding="utf-8")
        assert [file for file in files if file not in text] == []


def test_the_excerpts_of_the_page_stand_in_their_programs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    excerpts = re.findall(r"no-run: an excerpt of (\S+),.*?-->\n```python\n(.*?)```", page, re.DOTALL)
    assert len(excerpts) == len(PRINTED)
    for file, excerpt in excerpts:
        program = (EXAMPLES.parent / file).read_text(encoding="utf-8")
        assert [part for part in excerpt.split("\n\n\n") if part.strip() not in program] == []


@pytest.mark.parametrize("name", PLAYED)
def test_the_pattern_stands_kills_failures_and_cancels_at_every_point(name: str) -> None:
    """S1, S3, S9, S10: whatever dies, the world is as at the start or as it should be at the end."""
    saga, given, world = PLAYED[name]
    accept = SOUTH.__eq__ if saga is buy else None
    # A step that is tried without bound, failing every time, makes a run of hundreds of calls.
    most = 120 if saga is sell_for_good else 5_000
    assert crash_test(saga, given, world=world, accept=accept, most=most).cycles >= 30


@pytest.mark.parametrize("name", [name for name in PLAYED if "," not in name])
def test_the_pattern_stands_several_workers_under_any_seed(name: str) -> None:
    """S5, S6, S18: frozen workers, late answers and take-overs leave nothing half done."""
    saga, given, world = PLAYED[name]
    accept = SOUTH.__eq__ if saga is buy else None
    assert len(simulate(saga, given, world=world, seeds=range(60), accept=accept).hashes) == 60


@pytest.mark.parametrize(
    ("sold_out", "status", "cancelled"),
    [
        ("car", Status.FAILED, []),
        ("hotel", Status.COMPENSATED, ["car"]),
        ("flight", Status.COMPENSATED, ["hotel", "car"]),
    ],
)
@on_a_loop
async def test_what_was_booked_before_the_refusal_is_cancelled_the_latest_first(
    sold_out: str, status: Status, cancelled: list[str], sqlite_url: str
) -> None:
    """S3, S7, S24: a refusal at any of the three; before any effect the run just fails."""
    world = Agency(sold_out=sold_out)
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(book_trip, "Lisbon")
        assert (await failure(run)).status == status
    assert [line for line in world.told if line.startswith("cancelled")] == [
        f"cancelled the {what}" for what in cancelled
    ]
    assert world.snapshot() == []


@pytest.mark.parametrize(
    ("silent", "cancelled"),
    [("car", ["car"]), ("hotel", ["hotel", "car"]), ("flight", ["flight", "hotel", "car"])],
)
@on_a_loop
async def test_a_booking_whose_answer_was_lost_is_cancelled_too(
    silent: str, cancelled: list[str], sqlite_url: str
) -> None:
    """S2, S3, S27: no answer is no evidence; both attempts have one key, so it is booked and undone once."""
    world = Agency(silent=silent)
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(book_trip, "Lisbon")
        assert (await failure(run)).status == Status.COMPENSATED
    assert world.told.count(f"booked the {silent} in Lisbon") == 1
    assert [line for line in world.told if line.startswith("cancelled")] == [
        f"cancelled the {what}" for what in cancelled
    ]
    assert world.snapshot() == []


@on_a_loop
async def test_a_trip_that_was_booked_is_undone_as_a_unit(sqlite_url: str) -> None:
    """S7, S25: a completed run can be undone days later, in the same order."""
    world = Agency()
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(book_trip, "Lisbon")
        await run.result(30)
        assert world.snapshot() == ["car", "flight", "hotel"]
        await coordinator.undo(run.id, by="ann", reason="she fell ill")
        await coordinator.run_until_idle()
        assert await run.status() == Status.COMPENSATED
    assert world.told[-3:] == ["cancelled the flight", "cancelled the hotel", "cancelled the car"]


@pytest.mark.parametrize(
    ("world", "target", "amount", "status", "told"),
    [
        (Bank(), "ben", 300_00, Status.FAILED, []),
        (Bank(), "cat", 30_00, Status.COMPENSATED, ["-30.00 on ann", "+30.00 on ann"]),
        (
            Bank(silent="ben"),
            "ben",
            30_00,
            Status.COMPENSATED,
            ["-30.00 on ann", "+30.00 on ben", "-30.00 on ben", "+30.00 on ann"],
        ),
        (Bank(silent="ann"), "ben", 30_00, Status.COMPENSATED, ["-30.00 on ann", "+30.00 on ann"]),
    ],
    ids=["not covered", "no such account", "credit unanswered", "debit unanswered"],
)
@on_a_loop
async def test_a_transfer_that_fails_leaves_every_balance_as_it_was(
    world: Bank, target: str, amount: int, status: Status, told: list[str], sqlite_url: str
) -> None:
    """S2, S3, S9: NoEffect proves that nothing happened; what may have been posted is reversed once."""
    world.reset()
    before = world.snapshot()
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(transfer, "ann", target, amount)
        assert (await failure(run)).status == status
        assert await run.left_standing() == []
    assert [line.removesuffix("'s account") for line in world.told] == told
    assert world.snapshot() == before


@on_a_loop
async def test_many_transfers_at_once_neither_make_nor_lose_money(sqlite_url: str) -> None:
    """S3, S13: covered, not covered, to nobody, both ways at once; what completed was moved, nothing else."""
    world = Bank()
    orders = [("ann", "ben", 7_00), ("ben", "ann", 9_00), ("ann", "cat", 5_00), ("ben", "ann", 90_00)] * 10
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        runs = [await coordinator.start(transfer, *order) for order in orders]
        statuses = await asyncio.gather(*(ended(run) for run in runs))
    moved = {"ann": 0, "ben": 0}
    for (source, target, amount), status in zip(orders, statuses, strict=True):
        if status == Status.COMPLETED:
            moved[source] -= amount
            moved[target] += amount
    assert world.snapshot() == {"ann": 100_00 + moved["ann"], "ben": 20_00 + moved["ben"]}
    assert sum(world.snapshot().values()) == 120_00
    assert set(statuses) == {Status.COMPLETED, Status.COMPENSATED, Status.FAILED}


@on_a_loop
async def test_a_declined_card_undoes_what_came_before_the_pivot(sqlite_url: str) -> None:
    """S14: a pivot that hasn't landed leaves the way back open."""
    world = Shop(declines=True)
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(sell_for_good, "kettle", 50)
        assert (await failure(run)).status == Status.COMPENSATED
    assert world.told == ["kettle put aside", "kettle put back"]
    assert world.snapshot() == []


@on_a_loop
async def test_behind_the_pivot_a_cancel_is_refused_and_the_tail_goes_on(sqlite_url: str) -> None:
    """S14, S16: after the payment there is only forward, however long the carrier is closed."""
    world = WatchedShop()
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(sell_for_good, "kettle", 50)
        await world.asked.wait()
        await run.cancel("the customer changed her mind")
        world.refused = 0
        assert await run.result(30) == "kettle sold"
        assert "point of no return" in str([line.detail for line in await run.audit()])
        assert (await coordinator.undo_plan(run.id)).refused == "it has passed its point of no return"
    assert world.snapshot() == SOLD


@on_a_loop
async def test_a_payment_of_which_nobody_knows_waits_for_a_person(sqlite_url: str) -> None:
    """S14: pivot unknown, so it is resolved first; found to have landed, the run goes forward."""
    world = Shop(silent=1_000_000)
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(sell_for_good, "kettle", 50)
        assert "take_payment" in str(await parked(run))
        assert world.snapshot() == ["50.00 paid", "kettle put aside"]
        ann = coordinator.operator("ann")
        await ann.resolve(run.id, "take_payment", landed=True, evidence="bank statement 7")
        assert await run.result(30) == "kettle sold"
    assert world.told.count("50.00 paid") == 1
    assert world.snapshot() == SOLD


@pytest.mark.parametrize("world", [Market(stuck=("North",)), Market(silent=("North",))], ids=["no", "silent"])
@on_a_loop
async def test_the_second_attempt_begins_where_nothing_of_the_first_is_left(
    world: Market, sqlite_url: str
) -> None:
    """S20: exactly what was called in the savepoint is undone; what runs again has new keys."""
    world.reset()
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(buy, "kettle", 50)
        assert await run.result(30) == "kettle from South"
    undone = [line for line in world.told if line.startswith("undone")]
    assert undone[-1] == "undone: kettle ordered from North"
    assert world.told.index("kettle ordered from South") > world.told.index(undone[-1])
    assert "undone: 50.00 set aside" not in undone
    assert len(set(world.keys)) == len(world.keys) >= 4
    assert world.snapshot() == SOUTH


@on_a_loop
async def test_where_nobody_delivers_each_attempt_is_undone_once_and_then_what_came_before(
    sqlite_url: str,
) -> None:
    """S3, S20: what a savepoint has undone isn't undone again when the run turns round."""
    world = Market(stuck=("North", "South"))
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(buy, "kettle", 50)
        with contextlib.suppress(RunFailed):
            await run.result(30)
        assert await run.status() == Status.COMPENSATED
    assert [line for line in world.told if line.startswith("undone")] == [
        "undone: kettle ordered from North",
        "undone: kettle ordered from South",
        "undone: 50.00 set aside",
    ]
    assert world.snapshot() == []


@pytest.mark.parametrize(("world", "first"), [(Cities(sold_out=HOME), []), (Cities(silent=HOME), [HOME])])
@on_a_loop
async def test_cities_that_were_booked_are_undone_when_the_last_step_fails(
    world: Cities, first: list[str], sqlite_url: str
) -> None:
    """S7, S19: a child that has ended stays undoable, and is undone as a unit in its place."""
    world.reset()
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(travel, "Lisbon", "Porto", id="trip")
        assert (await failure(run)).status == Status.COMPENSATED
        assert [(city.id, city.saga, city.status) for city in await coordinator.list(parent="trip")] == [
            ("trip/2", "stay", Status.COMPENSATED),
            ("trip/1", "stay", Status.COMPENSATED),
        ]
    cancelled = [line.removeprefix("cancelled the ") for line in world.told if line.startswith("cancelled")]
    assert cancelled == first + BACKWARDS
    assert world.snapshot() == []


@on_a_loop
async def test_a_trip_of_two_cities_is_undone_later_as_its_plan_says(sqlite_url: str) -> None:
    """S7, S19, S25: the plan names every compensation of every run below, in the order in which they run."""
    world = Cities()
    async with Coordinator(sqlite_url, resources=world) as coordinator:
        run = await coordinator.start(travel, "Lisbon", "Porto")
        await run.result(30)
        plan = await coordinator.undo_plan(run.id)
        flight, *cities = [each for group in plan.steps for each in group]
        assert flight.handler == "cancel_flight_home@1"
        below = [city.plan for city in cities if city.plan is not None]
        assert [each.step for city in below for group in city.steps for each in group] == [
            *("reserve_table", "reserve_room", "reserve_table", "reserve_room"),
        ]
        await coordinator.undo(run.id, by="ann", reason="she fell ill")
        await coordinator.run_until_idle()
        assert await run.status() == Status.COMPENSATED
    assert world.told[-5:] == [f"cancelled the {what}" for what in [HOME, *BACKWARDS]]
    assert world.snapshot() == []
