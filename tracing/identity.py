"""Which trace a run belongs to: decided once, when it is created, and stored with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from amends.tracing.ids import span_id_of, trace_id_of

Trace = Literal["link", "join"]
"""What becomes of the span under which a run is started: a link to it, or its trace holds the run's spans."""
TraceMode = Literal["whole", "linked"]
"""One trace for a run, or one for each stretch of work between two waits."""

PARTS: Final = 5
LONGEST_STATE: Final = 512
"""Characters of a tracestate that are kept, as W3C Trace Context asks for at least."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The trace of a run: its id, whether it is sampled, and what it hangs on.

    `caller` is the span (trace id, span id) under which the run was started: with `joined` its parent,
    otherwise linked to. `linked` gives each stretch of work a trace of its own. `anchored` tells that whoever
    created the run has exported its first span.
    """

    trace_id: int
    sampled: bool
    caller: tuple[int, int] | None = None
    joined: bool = False
    linked: bool = False
    anchored: bool = False
    state: str = ""

    def to_text(self) -> str:
        """Give it as it is stored with a run: flags, trace, span and trace of the caller, its tracestate."""
        flags = f"{'s' * self.sampled}{'j' * self.joined}{'l' * self.linked}{'a' * self.anchored}"
        trace, span = self.caller or (0, 0)
        caller = f"{trace:032x}-{span:016x}" if self.caller else ""
        return f"1;{flags};{self.trace_id:032x};{caller};{self.state}"

    def sampled_now(self) -> Identity:
        """Give the same, sampled: for whoever asks for a trace that nobody wanted before."""
        return replace(self, sampled=True)

    def context(self, span_id: int) -> SpanContext:
        """Give the context of a span of this trace, as those below it need it."""
        flags = TraceFlags(TraceFlags.SAMPLED if self.sampled else TraceFlags.DEFAULT)
        return SpanContext(
            self.trace_id,
            span_id,
            is_remote=True,
            trace_flags=flags,
            trace_state=TraceState.from_header([self.state]) if self.state else TraceState(),
        )


def identity_of(text: str) -> Identity | None:
    """Read what `Identity.to_text` gave; None for what newer code may have written."""
    parts = text.split(";", PARTS - 1)
    if len(parts) != PARTS or parts[0] != "1":
        return None
    _, flags, trace, caller, state = parts
    above, _, span = caller.partition("-")
    try:
        return Identity(
            int(trace, 16),
            "s" in flags,
            (int(above, 16), int(span, 16)) if caller else None,
            joined="j" in flags,
            linked="l" in flags,
            anchored="a" in flags,
            state=state,
        )
    except ValueError:
        return None


def inherited(text: str) -> str:
    """Give a child run's identity, of its parent's: the same trace, its own creation yet to be told."""
    found = identity_of(text)
    return text if found is None else replace(found, anchored=False).to_text()


def caused(text: str, cause: str, run_id: str, created_at: int) -> str | None:
    """Give the identity of a run that another one's commit starts: who is told of its end, or of an approval.

    `text` and `cause` are the other run's identity and its id. It has a trace of its own, linked to the
    other's first span, and is sampled as that is.
    """
    found = identity_of(text)
    if found is None:
        return None
    trace_id = trace_id_of(run_id, str(created_at))
    caller = found.trace_id, anchor_id(cause)
    return Identity(trace_id, found.sampled, caller, linked=found.linked).to_text()


def undecided(root_id: str, *, sampled: bool) -> Identity:
    """Give the identity of a run of which nobody has stored one: its starter had no telemetry.

    `root_id` is the id of the topmost run, whose trace all below it share.
    """
    return Identity(trace_id_of(root_id), sampled)


def anchor_id(run_id: str) -> int:
    """Give the id of a run's first span, on which all others hang."""
    return span_id_of(run_id, "start")
