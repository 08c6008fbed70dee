"""What a Jaeger shows of a trace, over its query API, in the shape of what the collector gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tests.crash.waiting import eventually
from tests.tracing.collector import Told

US = 1_000
"""Nanoseconds in a microsecond, as Jaeger counts."""
KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


def shown(base: str, trace: str, wanted: int) -> list[Told]:
    """Wait until Jaeger shows so many spans of a trace, and give them. Raises `AssertionError`."""
    found: list[Told] = []

    def all_there() -> bool:
        answer = httpx.get(f"{base.rstrip('/')}/api/traces/{trace}", timeout=30)
        found[:] = told(answer.json()) if answer.is_success else []
        return len({span["id"] for span in found}) >= wanted

    eventually(all_there, what=f"Jaeger shows {wanted} spans of {trace}", seconds=30)
    return found


def told(answer: Mapping[str, Any]) -> list[Told]:
    """Read what `/api/traces/ID` gave."""
    return [span for trace in answer["data"] for span in _spans(trace)]


def warnings(base: str, trace: str) -> list[str]:
    """Give what Jaeger finds fault with: doubled ids, clock skew, spans without length."""
    answer = httpx.get(f"{base.rstrip('/')}/api/traces/{trace}", timeout=30).json()
    return [word for each in answer["data"] for span in each["spans"] for word in span.get("warnings") or ()]


def _spans(trace: Mapping[str, Any]) -> Iterator[Told]:
    for span in trace["spans"]:
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        above = [ref for ref in span["references"] if ref["refType"] == "CHILD_OF"]
        links = [ref for ref in span["references"] if ref["refType"] != "CHILD_OF"]
        yield {
            "resource": trace["processes"][span["processID"]],
            "scope": tags.get("otel.scope.name", ""),
            "trace": span["traceID"].rjust(32, "0"),
            "id": span["spanID"],
            "parent": above[0]["spanID"] if above else None,
            "name": span["operationName"],
            "kind": KINDS.get(str(tags.get("span.kind")), 1),
            "start": span["startTime"] * US,
            "end": (span["startTime"] + span["duration"]) * US,
            "error": bool(tags.get("error")),
            "message": str(tags.get("otel.status_description", "")),
            "state": tags.get("w3c.tracestate", ""),
            "attributes": {key: value for key, value in tags.items() if "." in key},
            "events": [],
            "links": [[ref["traceID"].rjust(32, "0"), ref["spanID"], {}] for ref in links],
        }
