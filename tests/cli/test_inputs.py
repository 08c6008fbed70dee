import json

import pytest

from amends.cli import typed
from amends.cli.errors import CommandError, one_line
from amends.story import words
from tests.cli.processes import Amends


@pytest.mark.parametrize(
    ("saga", "given", "expected"),
    [
        ("fulfil_order", '{"order": {"id": "o"}}', {"order": {"id": "o", "quantity": 1, "card": "visa"}}),
        ("fulfil_order", '{"id": "o"}', {"order": {"id": "o", "quantity": 1, "card": "visa"}}),
        ("shop:fulfil_order", "@order.json", {"order": {"id": "file", "quantity": 1, "card": "visa"}}),
        ("shop:fulfil_order", "@-", {"order": {"id": "stdin", "quantity": 1, "card": "visa"}}),
        ("shop:book-room", '{"guest": "ann", "nights": 2}', {"guest": "ann", "nights": 2, "since": None}),
        ("shop:book_room", '"ann"', {"guest": "ann", "nights": 1, "since": None}),
        ("shop.py:tidy", None, {}),
    ],
)
def test_an_input_is_an_object_by_name_or_the_only_argument(
    amends: Amends, saga: str, given: str | None, expected: object
) -> None:
    (amends.directory / "order.json").write_text('{"id": "file"}')
    options = () if given is None else ("--input", given)
    started = ("start", saga, "--module", "shop", "--id", "r-1", *options)
    assert amends.says(*started, stdin='{"id": "stdin"}') == "r-1\n"
    assert amends.tells("show", "r-1")["input"] == expected


def test_the_modules_may_come_from_the_environment(amends: Amends) -> None:
    amends.says("start", "tidy", "--id", "r-1", env={"AMENDS_MODULES": "shop"})
    assert amends.tells("runs")["runs"][0]["saga"] == "tidy"


def test_a_worker_serves_a_list_a_file_or_a_package(amends: Amends) -> None:
    package = amends.directory / "sub" / "orders"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from orders import inner")
    (package / "inner.py").write_text(
        "from amends.sagas import saga\n\n\n@saga\nasync def deep() -> None: ...\n"
    )
    for given, served in (
        ("shop:some", "keep, hog"),
        ("sub/orders/inner.py", "deep"),
        ("sub/orders/__init__.py", "deep"),
        ("shop:book_room", "book-room@2"),
    ):
        with amends.worker(given) as worker:
            assert f" serves {served} on sqlite:///shop.db" in worker.line_with("worker ")


def test_an_error_of_pydantic_inside_an_input_error_fits_on_one_line(amends: Amends) -> None:
    payload = json.dumps({"guest": "ann", "nights": {"a": "b" * 500}})
    line = amends.refuses("start", "book-room", "--module", "shop", "--input", payload)
    assert line.startswith("saga 'book-room': the input doesn't fit: nights: input should be a valid integer")
    assert len(line) < 250


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (-5, "0 ms"),
        (999, "999 ms"),
        (1_250, "1.2 s"),
        (59_999, "59 s"),
        (185_000, "3 min 5 s"),
        (7_800_000, "2 h 10 min"),
        (3 * words.DAY, "3 d"),
    ],
)
def test_durations_are_said_in_two_units_at_most(ms: int, said: str) -> None:
    assert words.duration(ms) == said


def test_moments_are_dates_times_or_ages() -> None:
    now = 10 * words.DAY
    assert typed.moment("3d", now) == 7 * words.DAY
    assert typed.moment("90 s", now) == now - 90_000
    assert typed.moment("1970-01-02T00:00:00Z", now) == words.DAY
    with pytest.raises(CommandError, match="not 'soon'"):
        typed.moment("soon", now)


def test_an_error_without_words_is_told_by_its_class() -> None:
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("two\nlines \x1b[31m")) == "two lines [31m"
