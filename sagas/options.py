"""The options of a coordinator, as types: for the doors that pass them on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from amends.persistence.codec import Codec
from amends.sagas.approval_links import ApprovalLinks
from amends.sagas.notifier import Notifier
from amends.sagas.saga import Saga
from amends.sagas.webhook_urls import Webhooks
from amends.tracing.identity import Trace, TraceMode


class CoordinatorOptions(TypedDict, total=False):
    """The keyword options of `Coordinator`, each explained there."""

    work: bool
    resources: Any
    sagas: Iterable[Saga[..., Any]] | None
    queues: Iterable[str] | None
    max_running: int
    max_steps: int
    threads: int
    max_payload: int
    lease: dt.timedelta
    grace: dt.timedelta
    poison_after: int
    schema: str
    migrate: bool
    codec: Codec | None
    webhooks: Webhooks | None
    notifiers: Iterable[Notifier]
    approval_links: ApprovalLinks | None
    trace: Trace
    trace_mode: TraceMode
    clock: Callable[[], int] | None
