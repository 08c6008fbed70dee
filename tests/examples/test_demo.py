import json
import re
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.examples.programs import EXAMPLES, Program

pytestmark = pytest.mark.xdist_group("demo")
DEMO = "order_fulfilment/demo.py"
ORDER: Mapping[str, Any] = {
    "id": "7",
    "article": "kettle",
    "quantity": 1,
    "amount": "49.90",
    "card": "4242 4242 4242 4242",
    "postcode": "EH1 1YZ",
    "email": "ada@example.org",
}


def demo(folder: Path, *orders: object) -> Program:
    """Start the demo with a folder for everything temporary, and with these orders or else its own."""
    (folder / "orders.json").write_text(json.dumps(orders))
    (folder / "temporary").mkdir()
    arguments = [str(folder / "orders.json")] if orders else []
    return Program(DEMO, *arguments, cwd=folder, env={"TMPDIR": str(folder / "temporary")})


def left_behind(folder: Path) -> list[str]:
    """List the processes and the files of the demo that are still there."""
    files = [str(path) for path in (folder / "temporary").iterdir()]
    return files + [command for command in commands() if str(folder / "temporary") in command]


def commands() -> Iterator[str]:
    """Give the command line of every process, where the system shows them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().decode(errors="replace")


def told_of(order_id: str, lines: list[str]) -> list[str]:
    """Cut out what was printed while an order was carried out."""
    first = next(number for number, line in enumerate(lines) if line.startswith(f"Order {order_id}"))
    last = next(number for number, line in enumerate(lines) if f"order {order_id} is " in line)
    return [" ".join(line.split()) for line in lines[first : last + 1]]


def row_of(order_id: str, lines: list[str]) -> str:
    """Give the row that the last table has for an order."""
    return [" ".join(line.split()) for line in lines if line.startswith(f"│ {order_id} ")][-1]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give what the demo prints about its own four orders."""
    folder = tmp_path_factory.mktemp("demo")
    with demo(folder) as program:
        assert program.end() == 0, "\n".join(program.lines)
    assert left_behind(folder) == []
    return program.lines


def test_the_first_order_goes_through(shown: list[str]) -> None:
    told = told_of("1001", shown)
    assert [line for line in told if not line.startswith("worker")][1:] == [
        "stock reserved 1 x kettle for order 1001",
        "payments charged 49.90 for order 1001 to the card ending in 4242",
        "courier booked a delivery to EH1 1YZ for order 1001",
        "mail sent the receipt of order 1001 to ada@shop.test",
        "amends order 1001 is completed",
    ]


def test_the_second_order_is_declined_and_its_stock_released(shown: list[str]) -> None:
    told = told_of("1002", shown)
    assert "stock released 2 x lamp of order 1002" in told
    assert told[-1] == (
        "amends order 1002 is compensated, because of CardDeclined: the bank declined the card ending in 0002"
    )
    assert row_of("1002", shown) == "│ 1002 │ released 2 x lamp │ - │ - │ - │"


def test_the_third_order_is_compensated_though_its_outcome_is_unknown(shown: list[str]) -> None:
    told = told_of("1003", shown)
    undone = [line for line in told if "of order 1003" in line]
    assert undone == [
        "courier cancelled the delivery to ZE1 0LL of order 1003",
        "payments refunded 99.80 of order 1003",
        "stock released 2 x kettle of order 1003",
    ]
    assert told[-1].startswith("amends order 1003 is compensated, because of StepTimeout")


def test_the_fourth_order_outlives_its_worker_and_nothing_is_charged_twice(shown: list[str]) -> None:
    told = told_of("1004", shown)
    killed = next(number for number, line in enumerate(told) if line.startswith("demo killed the worker"))
    charged = [number for number, line in enumerate(told) if line.startswith("payments charged")]
    assert len(charged) == 1
    assert charged[0] < killed
    assert "worker order 1004: charge_card, attempt 2" in told[killed:]
    assert "payments the same key again: nothing is done twice" in told[killed:]
    assert told[-1] == "amends order 1004 is completed"
    row = row_of("1004", shown)
    assert row == "│ 1004 │ reserved 1 x teapot │ charged 25.00 │ booked EH1 1YZ │ sent dora@shop.test │"
    assert "charge_card landed at attempt 2" in "\n".join(shown)


@pytest.mark.parametrize("order_id", ["1003", "1004"])
def test_the_readme_shows_what_is_printed(shown: list[str], order_id: str) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8").splitlines()
    assert without_numbers(told_of(order_id, readme)) == without_numbers(told_of(order_id, shown))


def without_numbers(told: list[str]) -> list[str]:
    """Leave out what differs from time to time: the process's number, and which of two speaks first."""
    return sorted(re.sub(r"process \d+", "process …", line) for line in told)


def test_nothing_is_half_done(shown: list[str]) -> None:
    assert shown[-1] == "Nothing is half done."


def test_what_is_piped_holds_no_control_codes(shown: list[str]) -> None:
    assert [line for line in shown if not line.isprintable()] == []


def test_orders_may_be_edited(tmp_path: Path) -> None:
    orders = (
        {**ORDER, "id": "good", "quantity": 3, "note": "[bold]as you like[/bold]"},
        {**ORDER, "id": "unheard-of", "article": "unicorn"},
        {**ORDER, "id": "too-many", "article": "teapot", "quantity": 4},
        {**ORDER, "id": "too-far", "postcode": "XX9 9XX"},
        {**ORDER, "id": "declined", "card": "4000000000000002"},
    )
    with demo(tmp_path, *orders) as program:
        assert program.end() == 0, "\n".join(program.lines)
    assert "Order good: [bold]as you like[/bold]" in program.lines
    ends = [line.split(" is ")[1] for line in program.lines if line.lstrip().startswith("amends")]
    assert [end.partition(":")[0] for end in ends] == [
        "completed",
        "failed, because of OutOfStock",
        "failed, because of OutOfStock",
        "compensated, because of AddressNotServed",
        "compensated, because of CardDeclined",
    ]


def test_books_that_do_not_bear_out_the_records_are_found(tmp_path: Path) -> None:
    with demo(tmp_path, ORDER, {**ORDER, "id": "8", "postcode": "ZE1 0LL"}) as program:
        program.line_with("order 7 is completed")
        (book,) = (tmp_path / "temporary").rglob("payments.db")
        with closing(sqlite3.connect(book)) as db, db:
            db.execute("INSERT INTO charges VALUES (99, 'stray', '7', '4242', '49.90', 'charged', 1)")
        assert program.end() == 1
    assert "order 7: 2 standing charges instead of 1" in program.lines
    assert program.lines[-1] == "Something is half done, see above."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["listening on", "looking for a ferry"])
def test_stopped_and_stopped_again_it_leaves_nothing_behind(
    moment: str, number: signal.Signals, tmp_path: Path
) -> None:
    with demo(tmp_path, {**ORDER, "postcode": "ZE1 0LL"}) as program:
        program.line_with(moment)
        program.send(number)
        program.send(number)
        assert program.end() == 130
    assert not any("Traceback" in line for line in program.lines)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ("[", "orders.json isn't JSON: Expecting value: line 1 column 2"),
        ("{}", "orders.json must hold a list of orders, and at least one"),
        ("[]", "orders.json must hold a list of orders, and at least one"),
        ("[7]", "orders.json: order 1: Input should be a valid dictionary or instance of Order, not 7"),
        ([ORDER, {**ORDER, "id": "8", "quantity": 0}], "order 2 (8): quantity: Input should be greater"),
        ([{**ORDER, "amount": "49.999"}], "order 1 (7): amount: Decimal input should have no more than 2"),
        ([{**ORDER, "card": "four"}], "order 1 (7): card: String should match pattern"),
        ([{**ORDER, "email": "ada"}], "order 1 (7): email: String should match pattern"),
        ([{**ORDER, "note": "a\nb"}], "order 1 (7): note: Value error, must be one line"),
        ([{**ORDER, "colour": "red"}], "order 1 (7): colour: Extra inputs are not permitted"),
        ([ORDER, ORDER], "order 2: id: '7' is another order's id already"),
        ([{"id": "a/b"}], "order 1 (a/b): id: String should match pattern"),
    ],
)  # fmt: skip
def test_orders_that_cannot_be_read_are_explained_in_one_line(
    orders: str | list[object], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "orders.json"
    file.write_text(orders if isinstance(orders, str) else json.dumps(orders))
    with Program(DEMO, str(file), cwd=tmp_path) as program:
        assert program.end() == 2
    (line,) = program.lines
    assert said in line


def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with Program(DEMO, "nowhere.json", cwd=tmp_path) as program:
        assert program.end() == 2
    assert program.lines == ["nowhere.json can't be read: No such file or directory"]


def test_the_orders_that_come_with_it_can_be_read_by_an_editor() -> None:
    orders = json.loads((EXAMPLES / "order_fulfilment" / "orders.json").read_text())
    assert [order["id"] for order in orders] == ["1001", "1002", "1003", "1004"]
