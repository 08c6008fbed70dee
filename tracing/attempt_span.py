"""The span that is current while an attempt runs: it collects what is said of it, and is exported later."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.trace import Span, SpanContext, Status, StatusCode
from opentelemetry.util import types

MOST_EVENTS: Final = 128
"""So many events of an attempt are kept, and as many attributes: OpenTelemetry's own limit."""
MOST_SAID: Final = 8_192
"""Bytes of JSON, about, that an attempt may say of itself: it goes on record with the outcome."""
UNRECORDED: Final = ("gen_ai.input.messages", "gen_ai.system_instructions")
"""What a model was asked isn't recorded again for its span: where it is shown at all, a crash may lose it."""

Said = dict[str, Any]
"""What an attempt has said of itself, as it goes on record.

`attributes`, `events` (name, attributes, nanoseconds), and the `stretch` that it belongs to.
"""


class AttemptSpan(Span):
    """Collects attributes and events of an attempt under way.

    The span itself is made from the journal once the attempt's outcome is on record, and what it has said of
    itself is recorded with that: whoever takes over tells the same span under the same id. What is too much,
    or nothing that OpenTelemetry takes, is left out. `stretch` is the one that it belongs to, where each has
    a trace of its own: the attempt may outlive it.
    """

    def __init__(self, context: SpanContext, stretch: int | None = None) -> None:
        self._context = context
        self._stretch = stretch
        self.attributes: dict[str, Any] = {}
        self.events: list[tuple[str, dict[str, Any], int]] = []
        self.unrecorded: dict[str, Any] = {}
        self._left = MOST_SAID

    def get_span_context(self) -> SpanContext:
        """Give the context under which what is called from here hangs."""
        return self._context

    def is_recording(self) -> bool:
        """Tell whether anybody will see it."""
        return self._context.trace_flags.sampled

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        """Say more of the attempt."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        """Say one thing more of the attempt; what amends says itself stays."""
        if not self.is_recording():
            return
        if key in UNRECORDED:
            self.unrecorded[key] = value
        elif (key in self.attributes or len(self.attributes) < MOST_EVENTS) and self._takes(key, value):
            self.attributes[key] = value

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """Note a moment of the attempt; nanoseconds since the epoch."""
        said = {key: value for key, value in (attributes or {}).items() if _fit(value)}
        if self.is_recording() and len(self.events) < MOST_EVENTS and self._takes(name, said):
            self.events.append((name, said, time.time_ns() if timestamp is None else timestamp))

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - OpenTelemetry's signature
    ) -> None:
        """Note an error that the attempt has seen."""
        told: dict[str, types.AttributeValue] = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.escaped": str(escaped),
            **(attributes or {}),
        }
        self.add_event("exception", told, timestamp)

    def said(self) -> Said | None:
        """Give what goes on record with the outcome; None where nothing was said."""
        found: Said = {"attributes": dict(self.attributes)} if self.attributes else {}
        if self._stretch is not None:
            found["stretch"] = self._stretch
        if self.events:
            found["events"] = [list(event) for event in self.events]
        return found or None

    def _takes(self, name: str, value: Any) -> bool:
        """Tell whether there is room for it, and take that."""
        if not (isinstance(value, dict) or _fit(value)):
            return False
        room = len(json.dumps([name, value]))
        if room > self._left:
            return False
        self._left -= room
        return True

    def update_name(self, name: str) -> None:
        """Keep the name: it is the step's."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Keep the status: it follows from the attempt's outcome."""

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the attempt ends when its outcome is on record."""


def _fit(value: object) -> bool:
    """Tell whether OpenTelemetry takes a value as an attribute's, and JSON too."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str | bool | int):
        return True
    return isinstance(value, Sequence) and not isinstance(value, bytes) and all(map(_fit, value))
