"""The spans of a run: which there are, what each is called, and where it hangs.

::

    start {saga}              the anchor: a microsecond at the run's creation, on which all others hang
    ├─ invoke_workflow {saga} once the run has ended, from its creation on
    ├─ step {name}            one for each attempt, when its outcome is on record
    ├─ probe {name}           one for each time that a step's probe was asked
    ├─ waiting {what}         a mark while a pause lasts
    ├─ wait {what}            the pause, when it is over
    ├─ compensate {name}      one for each attempt, linked to the attempt that it undoes
    └─ start {child saga}     the anchor of a child run
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from opentelemetry.trace import SpanContext, SpanKind

from amends.tracing.attempt_span import Said
from amends.tracing.identity import Identity, anchor_id
from amends.tracing.ids import span_id_of, stretch_trace_id
from amends.tracing.span_data import MARK, NS, SHORTEST, Attributes, SpanData, SpanLink, Value, What, lasting

LOST: Final = "worker_lost"
"""The error type of an attempt that was lost with its worker."""
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause of a run: what it waits for, since when, and until when at most. Times are milliseconds.

    `key` tells waits of one kind apart.
    """

    kind: str
    name: str
    since: int
    key: str | int = 0
    deadline: int | None = None

    @property
    def words(self) -> str:
        """Give what stands behind the span's verb."""
        return f"{self.kind} {self.name}" if self.kind == "signal" else self.kind


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a step or compensation: its call, its number, who made it, its times.

    `kind` is the step's effect; `error` the type of the error, None where it succeeded; `said` what else is
    known of it, `told` what it has said of itself, `stretch` the one that it began in. `recovered_by` names
    the worker that found it lost.
    """

    name: str
    ref: int
    attempt: int
    kind: str
    started: int
    ended: int
    worker: str = ""
    error: str | None = None
    message: str = ""
    recovered_by: str = ""
    said: Attributes | None = None
    title: str = ""
    span_kind: SpanKind = SpanKind.INTERNAL
    round: int = 0
    told: Said | None = None
    stretch: int = 0


@dataclass(slots=True)
class RunSpans:
    """Makes the spans of one run; `stretch` counts the waits behind it, where each begins another trace."""

    run_id: str
    saga: str
    version: str
    created_at: int
    parent: str | None
    identity: Identity
    title: str = ""
    said: Attributes | None = None
    stretch: int = 0

    def anchor(self) -> SpanData:
        """Make the run's first span."""
        caller = self.identity.caller
        links: tuple[SpanLink, ...] = ()
        parent = None
        if self.parent is not None:
            parent = self.identity.context(anchor_id(self.parent))
        elif caller is not None and self.identity.joined:
            parent = self.identity.context(caller[1])
        elif caller is not None:
            links = (SpanLink(*caller, "started_by"),)
        start = self.created_at * NS
        context = self.identity.context(anchor_id(self.run_id))
        return SpanData(
            "anchor",
            context,
            parent,
            f"start {self.saga}",
            start,
            start + SHORTEST,
            self._common(),
            links,
            SpanKind.PRODUCER,
        )

    def begin_stretch(self, at: int) -> SpanData | None:
        """Begin another trace after a wait, where each stretch of work has its own; its first span."""
        if not self.identity.linked:
            return None
        self.stretch += 1
        start = at * NS
        link = SpanLink(self.identity.trace_id, anchor_id(self.run_id), "part_of")
        context = self._top(self.stretch)
        return SpanData(
            "stretch",
            context,
            None,
            f"continue {self.saga}",
            start,
            start + SHORTEST,
            self._common(),
            (link,),
            SpanKind.PRODUCER,
        )

    def step(self, made: Attempt, before: SpanContext | None) -> SpanData:
        """Make the span of an attempt of a step; `before` is that of the attempt before."""
        links = () if before is None else (SpanLink(before.trace_id, before.span_id, "retry_of"),)
        path = ("step", made.ref, made.attempt)
        return self._of_attempt("step", made.title or f"step {made.name}", path, made, links)

    def probe(self, made: Attempt) -> SpanData:
        """Make the span of a look at what became of a step."""
        path = ("probe", made.ref, made.attempt, made.round)
        return self._of_attempt("probe", f"probe {made.name}", path, made, ())

    def compensate(self, made: Attempt, undoes: SpanContext | None, of: str) -> SpanData:
        """Make the span of an attempt of a compensation; `undoes` is the step's span, `of` its name."""
        links = () if undoes is None else (SpanLink(undoes.trace_id, undoes.span_id, "compensates"),)
        path = ("compensate", made.ref, made.attempt)
        said = {**(made.said or {}), "amends.compensation.of": of}
        return self._of_attempt("compensate", f"compensate {of}", path, made, links, said)

    def waiting(self, wait: Wait) -> SpanData:
        """Make the mark that a wait has begun."""
        start = wait.since * NS
        path = ("waiting", wait.kind, wait.key, wait.since)
        return self._span("waiting", f"waiting {wait.words}", path, start, start + MARK, _of_wait(wait))

    def wait(
        self,
        wait: Wait,
        ended: int,
        seq: int,
        outcome: str,
        actor: str = "",
        sender: tuple[int, int] | None = None,
    ) -> SpanData:
        """Make the span of a wait that is over; `sender` is the span from which its end came."""
        said = (
            _of_wait(wait)
            | {"amends.wait.outcome": outcome}
            | ({"amends.wait.actor": actor} if actor else {})
        )
        links = () if sender is None else (SpanLink(*sender, "sent_by"),)
        start, end = lasting(wait.since, ended)
        # One entry may end several waits: a cancel withdraws every approval.
        return self._span("wait", f"wait {wait.words}", ("wait", seq, wait.key), start, end, said, links)

    def run(
        self, began: int, ended: int, nth: int, status: str, cause: str | None, spent: Attributes
    ) -> SpanData:
        """Make the span of the run itself, once it has ended; one that is undone later ends again."""
        said: dict[str, Value] = {**(self.said or {}), **spent, "amends.run.status": status}
        if cause is not None:
            said["amends.run.cause"] = cause
        start, end = lasting(began, ended)
        name = self.title or f"invoke_workflow {self.saga}"
        return self._span("run", name, ("run", nth), start, end, said)

    def context(self, path: Path, stretch: int | None = None) -> SpanContext:
        """Give the context of the span that stands for a path, in the trace of a stretch; of this one."""
        identity = self.identity
        found = identity.context(span_id_of(self.run_id, *path))
        nth = self.stretch if stretch is None else stretch
        if not nth:
            return found
        trace_id = stretch_trace_id(identity.trace_id, nth)
        return SpanContext(
            trace_id,
            found.span_id,
            is_remote=True,
            trace_flags=found.trace_flags,
            trace_state=found.trace_state,
        )

    def _top(self, stretch: int) -> SpanContext:
        """Give the context of the first span of a stretch."""
        return self.context(("stretch", stretch) if stretch else ("start",), stretch)

    def _common(self) -> dict[str, Value]:
        return {
            "amends.run.id": self.run_id,
            "amends.saga.name": self.saga,
            "amends.saga.version": self.version,
        }

    def _of_attempt(
        self,
        what: What,
        name: str,
        path: Path,
        made: Attempt,
        links: tuple[SpanLink, ...],
        said: Attributes | None = None,
    ) -> SpanData:
        more: dict[str, Value] = {
            **_attributes(made.told),
            **(said or made.said or {}),
            "amends.step.name": made.name,
            "amends.step.seq": made.ref,
            "amends.step.attempt": made.attempt,
            "amends.step.kind": made.kind,
        }
        if made.worker:
            more["amends.worker.id"] = made.worker
        if made.recovered_by:
            more["amends.recovered_by"] = made.recovered_by
        start, end = lasting(made.started, made.ended)
        stretch = (made.told or {}).get("stretch", made.stretch)
        span = self._span(what, name, path, start, end, more, links, made.error, made.message, stretch)
        if made.span_kind is SpanKind.INTERNAL and made.told is None:
            return span
        return replace(span, kind=made.span_kind, events=_events(made.told))

    def _span(
        self,
        what: What,
        name: str,
        path: Path,
        start: int,
        end: int,
        attributes: Attributes,
        links: tuple[SpanLink, ...] = (),
        error: str | None = None,
        message: str = "",
        stretch: int | None = None,
    ) -> SpanData:
        said = {**self._common(), **attributes}
        if error is not None:
            said["error.type"] = error
        failed = None if error is None else message or error
        parent = self._top(self.stretch if stretch is None else stretch)
        return SpanData(
            what, self.context(path, stretch), parent, name, start, end, said, links, error=failed
        )


def _attributes(told: Said | None) -> Attributes:
    """Give what an attempt has said of itself; lists are back from JSON."""
    said = (told or {}).get("attributes", {})
    return {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}


def _events(told: Said | None) -> tuple[tuple[str, Attributes, int], ...]:
    events = (told or {}).get("events", ())
    return tuple((name, _attributes({"attributes": said}), at) for name, said, at in events)


def _of_wait(wait: Wait) -> dict[str, Value]:
    said: dict[str, Value] = {"amends.wait.kind": wait.kind}
    if wait.name:
        said["amends.wait.name"] = wait.name
    if wait.deadline is not None:
        said["amends.wait.deadline"] = wait.deadline
    return said
