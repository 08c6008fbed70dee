"""A collector of traces, OTLP over HTTP, in a process of its own: it keeps what it gets, and hands it out.

Run it as `python -m tests.tracing.receiver`: it prints its port. `POST /v1/traces` takes spans; `GET /spans`
gives all of them as JSON, in the order in which they came; `POST /behave` tells it to be `good`, to `refuse`
(503) or to `hang`. `POST /v1/metrics` takes metrics; `GET /metrics` gives what each instance said last.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

ERROR = 2


class Kept:
    """What has come, and how to answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.spans: list[dict[str, Any]] = []
        self.metrics: dict[str, dict[str, Any]] = {}
        self.manner = "good"
        self.asked = 0
        self.over = threading.Event()


KEPT = Kept()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with KEPT.lock:
            if self.path == "/metrics":
                self._answer(200, json.dumps(list(KEPT.metrics.values())).encode())
                return
            said = {"spans": KEPT.spans, "asked": KEPT.asked}
            self._answer(200, json.dumps(said).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/behave":
            KEPT.manner = body.decode()
            if KEPT.manner != "hang":
                KEPT.over.set()
            else:
                KEPT.over.clear()
            self._answer(200, b"")
            return
        with KEPT.lock:
            KEPT.asked += 1
        if KEPT.manner == "hang":
            KEPT.over.wait()
        if KEPT.manner == "refuse":
            self._answer(503, b"")
            return
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/metrics":
            self._take_metrics(body)
            return
        request = ExportTraceServiceRequest.FromString(body)
        with KEPT.lock:
            KEPT.spans += list(_spans(request))
        self._answer(200, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")

    def _take_metrics(self, body: bytes) -> None:
        with KEPT.lock:
            for said in _metrics(ExportMetricsServiceRequest.FromString(body)):
                instance = said["resource"]["service.instance.id"]
                # Two exports may overtake one another.
                if said["at"] >= KEPT.metrics.get(instance, said)["at"]:
                    KEPT.metrics[instance] = said
        answer = ExportMetricsServiceResponse().SerializeToString()
        self._answer(200, answer, "application/x-protobuf")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _spans(request: ExportTraceServiceRequest) -> Iterator[dict[str, Any]]:
    for resource in request.resource_spans:
        about = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": about,
                    "scope": scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex() or None,
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "error": span.status.code == ERROR,
                    "message": span.status.message,
                    "state": span.trace_state,
                    "attributes": _attributes(span.attributes),
                    "events": [[event.name, _attributes(event.attributes)] for event in span.events],
                    "links": [
                        [link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes)]
                        for link in span.links
                    ],
                }


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[dict[str, Any]]:
    """Give what each process says, by instrument: how many there are of each set of attributes."""
    for resource in request.resource_metrics:
        found = [
            (metric.name, point)
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in (*metric.sum.data_points, *metric.gauge.data_points, *metric.histogram.data_points)
        ]
        yield {
            "resource": _attributes(resource.resource.attributes),
            "at": max((point.time_unix_nano for _, point in found), default=0),
            "points": [[name, _attributes(point.attributes), _amount(point)] for name, point in found],
        }


def _amount(point: Any) -> float:
    if hasattr(point, "bucket_counts"):
        return int(point.count)
    return float(getattr(point, point.WhichOneof("value")))


def _attributes(pairs: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(part) for part in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
