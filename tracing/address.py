"""Where a trace can be looked at."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

JAEGER: Final = "http://localhost:16686/trace/{trace_id}"
"""The template for a Jaeger on this host."""


def address_of(trace_id: str, run_id: str, template: str = JAEGER) -> str:
    """Fill a template in with a trace's id, 32 hexadecimal digits, and a run's.

    Raises `ValueError` for a template that takes anything but `{trace_id}` and `{run_id}`.
    """
    try:
        return template.format(trace_id=trace_id, run_id=quote(run_id, safe=""))
    except (KeyError, IndexError, ValueError) as problem:
        raise ValueError(
            f"the template {template!r} can't be filled in: it takes {{trace_id}} and {{run_id}} alone"
        ) from problem
