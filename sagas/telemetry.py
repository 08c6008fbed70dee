"""What a coordinator tells the application's providers of its runs: after each commit, never before."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from amends.persistence.records import NewRun, RunRow
from amends.sagas.journal import Entry
from amends.sagas.new_runs import row_of
from amends.sagas.news import Attempt
from amends.sagas.run import LiveRun
from amends.sagas.trail import Making, Told, Trail, trail_of
from amends.sagas.trail_entries import take
from amends.tracing.attempt_span import AttemptSpan
from amends.tracing.emitter import Emitter, Said, emitter_of
from amends.tracing.gauges import Source
from amends.tracing.identity import Identity, Trace, TraceMode, identity_of, undecided
from amends.tracing.metrics import Metrics, meter_provider_in_use, metrics_of
from amends.tracing.propagation import born, sampled
from amends.tracing.span_data import NS
from amends.tracing.spans import Wait
from amends.tracing.tracer import Unfit, provider_in_use

LOSS_WINDOW_MS = 60_000
"""What a dead worker had finished so long before the last thing on record may not have been exported."""

REMEMBERED = 10_000
"""Of so many runs it is remembered that their creation was told from here, where nobody has stored that."""

log = logging.getLogger("amends.tracing")


class Traced:
    """The trace of a run that this process holds: where its journal stands, and what its attempts say.

    Waits that began before `since` were marked by whoever held the run then. `spans` tells whether spans are
    told of it at all, or only counts.
    """

    def __init__(self, trail: Trail, since: int, *, spans: bool) -> None:
        self.trail = trail
        self._spans = spans
        self._since = since
        self._said: dict[Making, AttemptSpan] = {}
        self._marked: set[Wait] = set()

    def begins(self, attempt: Attempt) -> AttemptSpan | None:
        """Give the span under which an attempt runs that is about to, if there are spans."""
        if not self._spans:
            return None
        making = self.trail.path(
            attempt.ref, attempt.attempt, undoing=attempt.undoing, probing=attempt.probing
        )
        stretch = self.trail.stretch(making) if self.trail.spans.identity.linked else None
        span = self._said[making] = AttemptSpan(self.trail.context(making), stretch)
        return span

    def said(self, told: Iterable[Told]) -> list[Said]:
        """Put what attempts said of themselves with their spans."""
        return [(each.span, None if each.of is None else self._said.pop(each.of, None)) for each in told]

    def unmarked(self, waits: Iterable[Wait]) -> list[Wait]:
        """Give the waits that haven't been marked yet, and note that they are."""
        found = [wait for wait in waits if wait.since > self._since and wait not in self._marked]
        self._marked.update(found)
        return found


class Telemetry:
    """Tells of runs: their creation, what becomes of their attempts and waits, their ends.

    Spans go to `emitter`, counts to `metrics`; an application may have either, or both.
    """

    def __init__(
        self, emitter: Emitter | None, how: Trace, mode: TraceMode, metrics: Metrics | None = None
    ) -> None:
        self._emitter = emitter
        self.metrics = metrics
        self._source: Source | None = None
        self._how: Trace = how
        self._mode: TraceMode = mode
        self._told: set[str] = set()

    def born(self, new: NewRun, how: Trace | None, *, anchored: bool) -> NewRun:
        """Decide which trace a new run belongs to, and whether it is sampled.

        `anchored` tells that its creation is told from here, once it is certain.
        """
        if self._emitter is None:
            return new
        said = {"amends.run.id": new.id, "amends.saga.name": new.saga, "amends.saga.version": new.version}
        name = f"start {new.saga}"
        tracer, mode = self._emitter.tracer, self._mode
        found = born(tracer, new.id, new.created_at, name, said, how=how or self._how, mode=mode)
        return replace(new, trace=replace(found, anchored=anchored).to_text())

    def unanchored(self, new: NewRun) -> NewRun:
        """Decide the same for a run whose worker is to tell that it was created."""
        return self.born(new, None, anchored=False)

    def created(self, new: NewRun) -> None:
        """Tell that a run was created here."""
        if self._emitter is None:
            return
        identity = self._identity(row_of(new))
        if identity.sampled and identity.anchored:
            self._emitter.put([(trail_of(row_of(new), identity).spans.anchor(), None)])

    def taken(self, row: RunRow, entries: Sequence[Entry] = (), *, new: bool = False) -> Traced:
        """Begin to follow a run that this process holds from now on.

        One that was lost with its worker is told anew, as far as its worker may not have got that out; so is
        the creation of one that nobody has told.
        """
        identity = self._identity(row)
        trail = trail_of(row, identity)
        since = entries[-1].at if entries and not row.lost else -1
        traced = Traced(trail, since, spans=self._emitter is not None)
        told = followed(trail, entries)
        if self._emitter is None:
            return traced
        if row.lost:
            last = entries[-1].at if entries else row.created_at
            self._retell(trail, told, last - LOSS_WINDOW_MS)
        elif identity.sampled and not new and self._unseen(row, identity, entries):
            self._emitter.put([(trail.spans.anchor(), None)])
        return traced

    def retell(self, row: RunRow, entries: Sequence[Entry], since: int) -> None:
        """Tell anew what was done since a time in a run that nobody takes over: ended, or put to sleep."""
        if (entries[-1].at if entries else row.created_at) < since:
            return
        trail = trail_of(row, self._identity(row))
        told = followed(trail, entries)
        told += [Told(trail.spans.waiting(wait)) for wait in trail.approvals.values()]
        self._retell(trail, told, since)

    def _retell(self, trail: Trail, told: Iterable[Told], since: int) -> None:
        """Tell anew what is young enough to have been lost with whoever should have told it.

        Only spans: they have ids, by which they are known again. Counts would be counted twice.
        """
        spans = trail.spans
        if self._emitter is None or not spans.identity.sampled:
            return
        anchor = [spans.anchor()] if spans.created_at >= since else []
        young = [each.span for each in told if each.span.end >= since * NS]
        self._emitter.put([(span, None) for span in (*anchor, *young)])

    def _unseen(self, row: RunRow, identity: Identity, entries: Sequence[Entry]) -> bool:
        """Tell whether nobody may have told that a run was created which is taken now, and note that.

        Where nothing is stored, whoever had it before may have had no telemetry: each process tells it, all
        the same.
        """
        asleep = row.waits_for is not None or (row.due_at or 0) > row.created_at
        told = row.id in self._told or (row.trace is not None and (identity.anchored or entries or asleep))
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add(row.id)
        return not told

    def committed(self, traced: Traced, run: LiveRun, entries: Iterable[Entry], *, sleeps: bool) -> None:
        """Tell what the entries of a turn conclude, which is on record now."""
        trail = traced.trail
        told = followed(trail, entries)
        if self.metrics is not None:
            self.metrics.told(each.span for each in told)
        if self._emitter is None:
            return
        said = traced.said(told)
        if not trail.spans.identity.sampled:
            return
        if sleeps:
            said += [(trail.spans.waiting(wait), None) for wait in traced.unmarked(waits_of(run, trail))]
        if said:
            self._emitter.put(said)

    @property
    def traces(self) -> bool:
        """Whether spans are told at all."""
        return self._emitter is not None

    def watch(self, source: Source) -> None:
        """Have gauges ask a coordinator that is open now."""
        if self.metrics is not None:
            self._source = source
            self.metrics.gauges.add(source)

    def close(self) -> None:
        """Wait until all spans have been exported, but not for long; gauges ask no more."""
        if self._emitter is not None:
            self._emitter.flush()
        if self.metrics is not None and self._source is not None:
            self.metrics.gauges.remove(self._source)

    def _identity(self, row: RunRow) -> Identity:
        found = None if row.trace is None else identity_of(row.trace)
        if found is not None:
            return found
        root = row.root or row.id
        if self._emitter is None:
            return undecided(root, sampled=False)
        return undecided(root, sampled=sampled(self._emitter.tracer, root, f"start {row.saga}"))


def followed(trail: Trail, entries: Iterable[Entry]) -> list[Told]:
    """Give the spans that entries conclude; one that can't be told harms neither the run nor the others."""
    told: list[Told] = []
    for entry in entries:
        try:
            told += take(trail, entry)
        except Exception:
            run_id = trail.spans.run_id
            log.exception("entry %d of run %s can't be traced", entry.seq, run_id, extra={"run_id": run_id})
    return told


def waits_of(run: LiveRun, trail: Trail) -> list[Wait]:
    """Say what a run waits for that is about to leave memory."""
    found = list(trail.approvals.values())
    body = run.body
    if body is None:
        return found
    found += [
        Wait("signal", name, body.mailbox.since(name) or run.history.at) for name in body.mailbox.awaited
    ]
    number = body.loop.earliest()
    if number is not None:
        found.append(Wait("timer", "", body.loop.since(number), number, body.loop.next_due_ms()))
    return found


def telemetry_of(how: Trace, mode: TraceMode) -> Telemetry | None:
    """Give what tells of runs, if the application has a tracer provider or a meter provider by now."""
    provider, meters = provider_in_use(), meter_provider_in_use()
    emitter = None
    if provider is not None:
        try:
            emitter = emitter_of(provider)
        except Unfit as problem:
            log.warning("%s", problem)
    if emitter is None and meters is None:
        return None
    return Telemetry(emitter, how, mode, None if meters is None else metrics_of(meters))
