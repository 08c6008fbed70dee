"""A coordinator's options, checked: what it is to be made of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Unpack, cast, get_args

from amends.persistence.database import Database
from amends.sagas import checked
from amends.sagas.approval_links import checked_links
from amends.sagas.errors import InputInvalid
from amends.sagas.executor import Settings
from amends.sagas.notifier import by_name
from amends.sagas.options import CoordinatorOptions
from amends.sagas.places import served_queues
from amends.sagas.run import Limits
from amends.sagas.saga import Saga, as_sagas
from amends.sagas.webhook_urls import checked_webhooks
from amends.tracing.identity import Trace, TraceMode

DORMANT_AFTER_MS = 1_000
"""So long a run with nothing to do stays in memory. Under a given clock, nobody knows when that is over."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a coordinator is to be made of."""

    open_database: Callable[[], Database]
    work: bool
    sagas: list[Saga[..., Any]] | None
    queues: frozenset[str] | None
    settings: Settings
    limits: Limits
    max_running: int
    lease_ms: int
    grace: float
    trace: Trace
    trace_mode: TraceMode


def planned(url: str, **given: Unpack[CoordinatorOptions]) -> Plan:
    """Check a coordinator's options, all of them. Raises `InputInvalid`, `DefinitionError`."""
    lease_ms = round(checked.duration(given["lease"], "lease", InputInvalid) / checked.MILLISECOND)
    max_payload = checked.count(given["max_payload"], "max_payload")
    open_database = functools.partial(
        Database.open,
        url,
        schema=given["schema"],
        migrate=given["migrate"],
        codec=given["codec"],
        clock=given["clock"],
        lease_ms=lease_ms,
    )
    settings = Settings(
        given["resources"],
        checked.count(given["max_steps"], "max_steps"),
        checked.count(given["threads"], "threads"),
        max_payload,
        checked_webhooks(given["webhooks"]),
        by_name(given["notifiers"]),
        checked_links(given["approval_links"]),
    )
    if settings.notifiers:
        # It defines the saga that tells people: only who tells them needs it.
        import amends.sagas.notifying  # noqa: F401, PLC0415
    return Plan(
        open_database,
        given["work"],
        None if given["sagas"] is None else as_sagas(given["sagas"]),
        None if given["queues"] is None else served_queues(given["queues"]),
        settings,
        Limits(
            max_payload,
            checked.count(given["poison_after"], "poison_after"),
            DORMANT_AFTER_MS if given["clock"] is None else 0,
        ),
        checked.count(given["max_running"], "max_running"),
        lease_ms,
        checked.duration(given["grace"], "grace", InputInvalid, timedelta(0)).total_seconds(),
        checked_trace(given["trace"]),
        _mode(given["trace_mode"]),
    )


def checked_trace(given: object) -> Trace:
    """Check what becomes of the span under which a run is started. Raises `InputInvalid`."""
    if given not in get_args(Trace):
        raise InputInvalid(f"trace={given!r} means nothing; it is 'link' or 'join'")
    return cast("Trace", given)


def _mode(given: object) -> TraceMode:
    if given not in get_args(TraceMode):
        raise InputInvalid(f"trace_mode={given!r} means nothing; it is 'whole' or 'linked'")
    return cast("TraceMode", given)
