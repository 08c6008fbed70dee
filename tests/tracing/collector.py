"""The collector as tests see it, and what has to be true of every trace."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.crash.waiting import eventually
from tests.crash.world import ROOT

Told = dict[str, Any]
SHORTEST_NS = 1_000


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector in a process of its own."""

    url: str

    def all(self) -> list[Told]:
        """Give every span that came, also those that came twice."""
        return list(self._ask()["spans"])

    def asked(self) -> int:
        """Give how often it was sent spans, taken or not."""
        return int(self._ask()["asked"])

    def of(self, trace: str) -> list[Told]:
        """Give the spans of a trace."""
        return [span for span in self.all() if span["trace"] == trace]

    def about(self, run: str) -> list[Told]:
        """Give the spans that amends has exported of a run, and of those below it."""
        spans = [span for span in self.all() if "amends.run.id" in span["attributes"]]
        mine = [span for span in spans if span["attributes"]["amends.run.id"] == run]
        below = [span for span in spans if span["attributes"]["amends.run.id"].startswith(f"{run}/")]
        return mine + below

    def metrics(self, run: str) -> list[Told]:
        """Give what each process that was started for a run has counted, as far as it has exported that."""
        said = httpx.get(f"{self.url}/metrics", timeout=30).json()
        return [each for each in said if each["resource"].get("amends.test.run") == run]

    def behave(self, manner: str) -> None:
        """Have it be `good`, `refuse` or `hang` from now on."""
        httpx.post(f"{self.url}/behave", content=manner).raise_for_status()

    def _ask(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = httpx.get(f"{self.url}/spans", timeout=30).json()
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for as long as the block runs."""
    command = [sys.executable, "-m", "tests.tracing.receiver"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        port = int(server.stdout.readline())
        yield Collector(f"http://127.0.0.1:{port}")
        server.stdin.close()


def settled(collector: Collector, run: str, wanted: int) -> list[Told]:
    """Wait until so many different spans of a run have come, but not for long; gives all of them."""
    with contextlib.suppress(AssertionError):
        eventually(lambda: len(once(collector.about(run))) >= wanted, seconds=15)
    return collector.about(run)


def once(spans: Iterable[Told]) -> list[Told]:
    """Give each span once."""
    return list({(span["trace"], span["id"]): span for span in spans}.values())


def content(span: Told) -> Told:
    """Give what a span says, without who has exported it."""
    return {name: value for name, value in span.items() if name != "resource"}


def flaws(spans: Iterable[Told], *, roots: int = 1, outside: Iterable[str] = ()) -> list[str]:
    """Say what is wrong with one trace; nothing, where all of it is as it has to be.

    `outside` are the spans, by id, that others have exported elsewhere.
    """
    spans = list(spans)
    known, found = {span["id"] for span in spans} | set(outside), list(_by_itself(spans))
    if len({span["trace"] for span in spans}) != 1:
        found.append(f"there are {len({span['trace'] for span in spans})} traces")
    tops = {span["id"] for span in spans if span["parent"] is None}
    if len(tops) != roots:
        found.append(f"there are {len(tops)} roots")
    for span in spans:
        if span["parent"] is not None and span["parent"] not in known:
            found.append(f"{span['name']} is an orphan")
        for _, to, said in span["links"]:
            if to not in known and said.get("amends.link.type") not in ("started_by", "sent_by"):
                found.append(f"{span['name']} is linked to nothing")
    return found


def _by_itself(spans: Iterable[Told]) -> Iterator[str]:
    first: dict[str, Told] = {}
    for span in spans:
        before = first.setdefault(span["id"], span)
        if content(before) != content(span):
            yield f"{span['name']} has two contents: {content(before)} and {content(span)}"
        if span["end"] - span["start"] < SHORTEST_NS:
            yield f"{span['name']} has no length"
        if span["error"] and "amends.step.attempt" not in span["attributes"]:
            yield f"{span['name']} is an error, and no attempt"
        if span["error"] is not ("error.type" in span["attributes"]):
            yield f"{span['name']} doesn't say what went wrong"
