"""What a received trace says of waits and failures, held against the journals that it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from amends.sagas.journal import Entry, Kind
from amends.sagas.outcome import Effect
from amends.tracing.span_data import NS
from tests.tracing.collector import Told, flaws, once

OFF = 1
"""Milliseconds by which a wait may differ from what is on record."""
FAILURES = {Kind.RETRY, Kind.FAILED, Kind.LOST}
UNDO_FAILURES = {Kind.UNDO_RETRY, Kind.UNDO_FAILED, Kind.UNDO_LOST}
Journals = Mapping[str, Sequence[Entry]]
"""The journals of a run and of those below it, by run."""


def untrue(spans: Iterable[Told], journals: Journals, *, others: Collection[str] = ()) -> list[str]:
    """Say what is wrong with a run's trace, by itself and against the journals; nothing where it is whole.

    `others` are the ids of the spans of other traces: a link leads to one of this trace, or to one of those.
    """
    received = list(spans)
    each = once(received)
    return [
        *flaws(received, outside=others),
        *_links(each, others),
        *_waits(each, journals),
        *_errors(each, journals),
    ]


def _links(spans: Collection[Told], others: Collection[str]) -> Iterator[str]:
    known = {span["id"] for span in spans} | set(others)
    for span in spans:
        for _, to, said in span["links"]:
            if to not in known:
                yield f"{span['name']}: its link {said} leads to {to}, which isn't there"


def _ours(span: Told) -> bool:
    return bool(span["scope"] == "amends")


def _run(span: Told) -> str:
    return str(span["attributes"].get("amends.run.id", ""))


def _waits(spans: Iterable[Told], journals: Journals) -> Iterator[str]:
    """Compare the waits with what the journals say, beginning and end."""
    recorded = Counter(wait for run, entries in journals.items() for wait in _recorded(run, entries))
    told = [
        (_run(span), span["start"] / NS, span["end"] / NS)
        for span in spans
        if _ours(span) and span["name"].startswith("wait ")
    ]
    for run, start, end in told:
        near = [
            wait
            for wait, count in recorded.items()
            if count and wait[0] == run and abs(wait[1] - start) <= OFF and abs(wait[2] - end) <= OFF
        ]
        if near:
            recorded[near[0]] -= 1
        else:
            yield f"a wait of {run} from {start} to {end} isn't on record"
    for wait in +recorded:
        yield f"a wait on record isn't in the trace: {wait}"


def _recorded(run: str, entries: Iterable[Entry]) -> Iterator[tuple[str, int, int]]:
    """Give each wait that is over: its run, its beginning and its end in milliseconds."""
    asked: dict[int, int] = {}
    parked = None
    for entry in entries:
        since = entry.meta.get("since")
        if entry.kind is Kind.APPROVAL:
            asked[entry.ref or 0] = entry.at
        elif entry.kind in (Kind.DECIDED, Kind.WITHDRAWN):
            yield run, asked.pop(entry.ref or 0), entry.at
        elif entry.kind is Kind.SWITCH:
            yield from ((run, since, entry.at) for since in asked.values())
            asked.clear()
        elif entry.kind is Kind.PARKED:
            parked = entry.at
        elif entry.kind is Kind.RESUMED and parked is not None:
            yield run, parked, entry.at
        elif since is not None and (entry.kind is Kind.SIGNAL or since < entry.at):
            yield run, since, entry.at


def _errors(spans: Iterable[Told], journals: Journals) -> Iterator[str]:
    """Compare what is marked as an error with the attempts that failed or were lost."""
    failed = {(run, *attempt) for run, entries in journals.items() for attempt in failures(entries)}
    told = set()
    for span in spans:
        if not span["error"]:
            continue
        if not _ours(span):
            yield f"{span['name']} is marked as an error"
        said = span["attributes"]
        undoing = "amends.compensation.of" in said
        told.add((_run(span), undoing, said.get("amends.step.seq"), said.get("amends.step.attempt")))
    yield from (f"marked as an error, and none on record: {each}" for each in sorted(told - failed, key=str))
    yield from (f"failed on record, and not marked: {each}" for each in sorted(failed - told, key=str))


def failures(entries: Iterable[Entry]) -> Iterator[tuple[bool, int, int]]:
    """Give the attempts that failed or were lost: whether they undid, the call's number, the attempt's."""
    children = {e.ref for e in entries if e.kind is Kind.INTENT and e.meta["effect"] == Effect.CHILD}
    for entry in entries:
        if entry.ref in children or entry.meta.get("drained") or entry.meta.get("probed"):
            continue
        if entry.kind in FAILURES or (entry.kind is Kind.DOUBT and "started" in entry.meta):
            yield False, entry.ref or 0, entry.attempt or 1
        elif entry.kind in UNDO_FAILURES:
            yield True, entry.ref or 0, entry.attempt or 1
