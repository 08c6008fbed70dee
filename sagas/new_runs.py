"""Describing a run that is to be started: its id, its input, its row."""

from __future__ import annotations

import uuid
from typing import Any, Final

from amends.persistence.records import NewRun
from amends.sagas.body import too_large
from amends.sagas.checked import MILLISECOND
from amends.sagas.errors import InputInvalid
from amends.sagas.saga import Saga

LONGEST_ID: Final = 200


def encoded(saga: Saga[..., Any], args: tuple[Any, ...], limit: int) -> bytes:
    """Encode a run's input, of at most `limit` bytes. Raises `InputInvalid`, `PayloadTooLarge`."""
    data = saga.arguments.encode(args, {})
    if len(data) > limit:
        raise too_large(f"saga {saga.name!r}: its input", len(data), limit)
    return data


def new_run(saga: Saga[..., Any], run_id: str, data: bytes, now: int) -> NewRun:
    """Describe a run that is to be inserted."""
    deadline = None if saga.deadline is None else now + round(saga.deadline / MILLISECOND)
    return NewRun(run_id, saga.name, saga.version, data, now, deadline)


def checked_id(run_id: object) -> str:
    """Check a run's id, or make one. Raises `InputInvalid`."""
    if run_id is None:
        return str(uuid.uuid4())
    if not isinstance(run_id, str) or not 0 < len(run_id) <= LONGEST_ID or not run_id.isprintable():
        raise InputInvalid(f"a run's id is a printable text of 1 to {LONGEST_ID} characters, not {run_id!r}")
    return run_id
