"""Ids of traces and spans that every process derives alike, so that nobody has to ask another for them.

The digest is BLAKE2b (RFC 7693), cut to the length that the W3C Trace Context asks for.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

SEPARATOR: Final = b"\0"
"""Can stand in no run's id and in no part of a path, so that no two paths look alike."""


def trace_id_of(run_id: str, salt: str = "") -> int:
    """Give the trace id of a run: the digits of its id where that is a UUID, a digest of it otherwise.

    `salt` tells runs apart that have one id in two databases; a UUID needs none.
    """
    try:
        found = uuid.UUID(run_id)
    except ValueError:
        return _digest(16, run_id, salt)
    return found.int if str(found) == run_id and found.int else _digest(16, run_id, salt)


def stretch_trace_id(trace_id: int, stretch: int) -> int:
    """Give the id of the trace of a run's n-th stretch of work, if each has one; `trace_id` is the run's."""
    return _digest(16, trace_id, stretch)


def span_id_of(run_id: str, *path: str | int) -> int:
    """Give the id of the span that stands for `path` in a run: ("step", 3, 1) is attempt 1 of call 3."""
    return _digest(8, run_id, *path)


def _digest(size: int, *parts: str | int) -> int:
    text = SEPARATOR.join(str(part).encode(errors="surrogatepass") for part in parts)
    # An id of zero is none; that one digest in 2⁶⁴ becomes 1.
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest()) or 1
