"""What runs show of themselves, in words: attributes as they are typed and printed, progress as a bar."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from amends.persistence.unfit import flat
from amends.sagas.attributes import AttributeValue, Progress

WIDTH = 20
"""Characters of a bar."""


def listed(attributes: Mapping[str, Any]) -> str:
    """Say what attributes there are: `customer=C-7, tier=2`."""
    return ", ".join(f"{name}={_typed(value)}" for name, value in attributes.items())


def bar(progress: Progress) -> str:
    """Say how far it is: `██████░░░░ 60 % (6 of 10) importing`."""
    text = f" {flat(progress.text)}" if progress.text else ""
    fraction = progress.fraction
    if fraction is None:
        return f"{_amount(progress.done)}{text}"
    full, percent = int(fraction * WIDTH), int(fraction * 100)
    amounts = f"{_amount(progress.done)} of {_amount(progress.total or 0)}"
    return f"{'█' * full}{'░' * (WIDTH - full)} {percent} % ({amounts}){text}"


def as_json(attributes: Mapping[str, AttributeValue] | None, progress: Progress | None) -> dict[str, Any]:
    """Describe both for a machine."""
    return {
        "attributes": {name: _plain(value) for name, value in (attributes or {}).items()},
        "progress": None
        if progress is None
        else {
            "done": progress.done,
            "total": progress.total,
            "text": progress.text,
            "at": progress.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        },
    }


def _amount(number: float) -> str:
    return f"{number:,}".removesuffix(".0")


def _plain(value: AttributeValue) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, dt.datetime) else value


def _typed(value: Any) -> str:
    """Write a value so that it is read as what it is."""
    if isinstance(value, str):
        return flat(value) if value_of(value) == value and "," not in value else json.dumps(value)
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def value_of(text: str) -> AttributeValue:
    """Read a value: a number, `true`, `false` or a moment where it looks like one, otherwise a text."""
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, str | int | float | bool):
            return found
    with contextlib.suppress(ValueError):
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    return text
