"""Attributes and progress: what a run shows of itself, checked, written as JSON, and read again."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from amends.persistence.attribute_records import AttributeKind, Searched
from amends.sagas import checked
from amends.sagas.errors import InputInvalid

AttributeValue = str | int | float | bool | dt.datetime | None
"""What an attribute may be; None removes it."""

MOST: Final = 64
"""So many attributes may a run have."""
LONGEST_NAME: Final = 64
LONGEST_TEXT: Final = 500
MOST_NUMBER: Final = 2**63
_MOMENT: Final = "moment"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, by its own account: `done` of `total`, in whatever it counts; told at a moment."""

    done: float
    total: float | None
    text: str | None
    at: dt.datetime

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None where nobody knows how much there is."""
        if not self.total:
            return None
        return min(self.done / self.total, 1.0)


def encoded(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Give attributes as JSON values. Raises `InputInvalid` for names and values that can't be attributes."""
    return {_name(name, what): _encoded(value, f"{what}: {name}") for name, value in values.items()}


def decoded(values: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Give the attributes that JSON values stand for."""
    return {name: _decoded(value) for name, value in values.items()}


def progress(done: Any, total: Any, text: Any) -> dict[str, Any]:
    """Check what a run tells of its progress, and give it as a JSON value. Raises `InputInvalid`."""
    told = {
        "done": _amount(done, "done"),
        "total": None if total is None else _amount(total, "total"),
        "text": None if text is None else _text(_as_text(text), "set_progress: text"),
    }
    return {name: value for name, value in told.items() if value is not None}


def progress_of(value: Mapping[str, Any]) -> Progress:
    """Give the progress that a JSON value stands for."""
    at = dt.datetime.fromtimestamp(value["at"] / 1000, dt.UTC)
    return Progress(value["done"], value.get("total"), value.get("text"), at)


def attributes_of(text: str | None) -> dict[str, AttributeValue]:
    """Give the attributes that stand in a run's row."""
    return {} if text is None else decoded(json.loads(text))


def progress_in(text: str | None) -> Progress | None:
    """Give the progress that stands in a run's row."""
    return None if text is None else progress_of(json.loads(text))


def searched(values: Mapping[str, Any] | None, what: str) -> tuple[Searched, ...]:
    """Give the attributes that runs are to be searched by. Raises `InputInvalid`."""
    if values is None:
        return ()
    if not isinstance(values, Mapping):
        raise InputInvalid(f'{what} takes a dict, such as attributes={{"customer": "C-7"}}, not {values!r}')
    found = encoded(values, what)
    for name, value in found.items():
        if value is None:
            raise InputInvalid(f"{what}: {name} is None; runs are found by what they have")
    return tuple(Searched(name, *in_words(value)) for name, value in found.items())


def in_words(value: Any) -> tuple[AttributeKind, str]:
    """Give the one way in which a value is written for the search: 2 and 2.0 are the same number."""
    if isinstance(value, str):
        return AttributeKind.TEXT, value
    if isinstance(value, bool):
        return AttributeKind.FLAG, "true" if value else "false"
    if isinstance(value, int | float):
        whole = isinstance(value, int) or (value.is_integer() and abs(value) < MOST_NUMBER)
        return AttributeKind.NUMBER, str(int(value)) if whole else repr(value)
    return AttributeKind.MOMENT, str(value[_MOMENT])


def _name(name: Any, what: str) -> str:
    if not isinstance(name, str) or not name.isidentifier() or len(name) > LONGEST_NAME:
        raise InputInvalid(
            f"{what}: an attribute's name is an identifier of up to {LONGEST_NAME} characters, not {name!r}"
        )
    return name


def _encoded(value: Any, what: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, what)
    if isinstance(value, int | float):
        return _number(value, what)
    if isinstance(value, dt.datetime):
        return {_MOMENT: _moment(value, what)}
    raise InputInvalid(
        f"{what} is {value!r}; an attribute is a text, a number, True or False, an aware datetime, or None, "
        "which removes it"
    )


def _decoded(value: Any) -> AttributeValue:
    if isinstance(value, dict):
        return dt.datetime.fromisoformat(value[_MOMENT])
    known: AttributeValue = value
    return known


def _text(value: str, what: str) -> str:
    text = str.__str__(value)
    checked.storable(text, what)
    if len(text) > LONGEST_TEXT:
        raise InputInvalid(f"{what} has {len(text):,} characters; {LONGEST_TEXT} are allowed")
    return text


def _number(value: Any, what: str) -> int | float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputInvalid(f"{what} is {value!r}, which no database can compare; give a finite number")
        return float(value)
    if not -MOST_NUMBER <= value < MOST_NUMBER:
        raise InputInvalid(f"{what} is a number of more than 64 bits; give it as a text")
    return int(value)


def _moment(value: dt.datetime, what: str) -> str:
    if value.tzinfo is None:
        raise InputInvalid(f"{what} is {value!r}, a naive datetime: whose time is it? Give it a time zone")
    try:
        return value.astimezone(dt.UTC).isoformat()
    except OverflowError as error:
        raise InputInvalid(f"{what} is {value!r}, which is no moment in UTC") from error


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputInvalid(f"set_progress: text is {value!r}, and should be a text")
    return value


def _amount(value: Any, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InputInvalid(f"set_progress: {what} is {value!r}, and should be a number, 0 or more")
    return _number(value, f"set_progress: {what}")
