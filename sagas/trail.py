"""Following a run's journal to the spans that it tells of: the same ones, live or read long after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amends.persistence.records import RunRow
from amends.sagas.registry import SAGAS
from amends.tracing.identity import Identity, identity_of, undecided
from amends.tracing.spans import RunSpans, Wait

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from amends.tracing.span_data import Attributes, SpanData

USAGE = ("gen_ai.usage.", "amends.usage.")
"""How the attributes begin that count what models use."""
Making = tuple[int, int, bool, int]
"""An attempt under way: number of the call, attempt, whether it undoes, how often its probe was asked."""


@dataclass(slots=True)
class Open:
    """An attempt that is under way or due, as far as the journal tells; `since` is when it may have begun.

    `stretch` is the one of the run's stretches of work that it belongs to.
    """

    attempt: int
    since: int
    worker: str
    stretch: int = 0


@dataclass(slots=True)
class Call:
    """What is known of a call of a step; `last` is the span of its latest attempt."""

    name: str
    effect: str
    arguments: bytes
    handler: str
    last: SpanContext | None = None
    probes: int = 0
    forward: Open | None = None
    backward: Open | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A span that an entry concludes, and the attempt that it is of, if it is one's."""

    span: SpanData
    of: Making | None = None


@dataclass(slots=True)
class Trail:
    """What is known of a run's trace: `trail_entries.take` follows its journal. No I/O, no clock.

    `calls` are the calls of steps by number, `approvals` what people haven't decided, `parked` since when the
    run waits for a person. `worker` is who wrote last, `began` when the run's span begins, `ends` how often
    it has ended.
    """

    spans: RunSpans
    began: int
    worker: str = ""
    ends: int = 0
    cause: str | None = None
    parked: Wait | None = None
    calls: dict[int, Call] = field(default_factory=dict)
    approvals: dict[int, Wait] = field(default_factory=dict)
    spent: dict[str, int | float] = field(default_factory=dict)

    def opened(self, attempt: int, since: int, worker: str) -> Open:
        """Give an attempt that is due from here on."""
        return Open(attempt, since, worker, self.spans.stretch)

    def spend(self, said: Attributes) -> None:
        """Count what an attempt says that it has used, for the span of the whole run."""
        for name, value in said.items():
            if name.startswith(USAGE) and isinstance(value, int | float):
                self.spent[name] = self.spent.get(name, 0) + value

    def path(self, ref: int, attempt: int, *, undoing: bool, probing: bool) -> Making:
        """Say which attempt is about to run."""
        call = self.calls.get(ref)
        return ref, attempt, undoing, 1 + (0 if call is None else call.probes) if probing else 0

    def context(self, making: Making) -> SpanContext:
        """Give the context of the span of an attempt that is about to run."""
        ref, attempt, undoing, probe = making
        stretch = self.stretch(making)
        if probe:
            return self.spans.context(("probe", ref, attempt, probe), stretch)
        return self.spans.context(("compensate" if undoing else "step", ref, attempt), stretch)

    def stretch(self, making: Making) -> int:
        """Say which stretch an attempt belongs to: that of its intent; a read has none, and is of this."""
        ref, attempt, undoing, probe = making
        call = self.calls.get(ref)
        begun = None if call is None or probe else call.backward if undoing else call.forward
        return self.spans.stretch if begun is None or begun.attempt != attempt else begun.stretch


def trail_of(row: RunRow, identity: Identity) -> Trail:
    """Begin to follow a run's journal."""
    saga: Any = SAGAS.get((row.saga, row.version))
    words = None if saga is None else saga.words
    title, said = ("", None) if words is None else (words.title(b""), words.attributes(b"", None))
    spans = RunSpans(row.id, row.saga, row.version, row.created_at, row.parent, identity, title, said)
    return Trail(spans, row.created_at)


def identity_in(row: RunRow) -> Identity:
    """Say which trace a run belongs to, as if it were sampled."""
    found = None if row.trace is None else identity_of(row.trace)
    return undecided(row.root or row.id, sampled=True) if found is None else found.sampled_now()


def trace_id_of(row: RunRow) -> str:
    """Give the id of a run's trace, 32 hexadecimal digits."""
    return f"{identity_in(row).trace_id:032x}"
