"""Handing spans to the application's provider, in a thread of its own: nobody waits for an exporter."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.trace import Tracer, TracerProvider

from amends.tracing.attempt_span import AttemptSpan
from amends.tracing.span_data import SpanData
from amends.tracing.tracer import emit, tracer_of

MOST_WAITING: Final = 20_000
"""So many spans may wait for a provider that doesn't take them; those that come then are left out."""
SETTLE: Final = 0.3
"""Seconds for which spans are gathered before they are made and flushed: a thread that woke for each of them
would cost the loop more than the spans do."""
MOST_AT_ONCE: Final = 512
"""So many spans are made before they are flushed: OpenTelemetry's processors keep some 2,000, and no more."""
LAST_FLUSH: Final = 2.0
"""Seconds that closing waits, at most, for what is left."""

Said = tuple[SpanData, AttemptSpan | None]
log = logging.getLogger("amends.tracing")


class Emitter:
    """Takes spans from any thread, makes them in its own, and has them flushed soon after.

    What is left out because the provider doesn't keep up is counted in `dropped`; the journal has it still.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self.tracer: Tracer = tracer_of(provider)
        self._provider: Any = provider
        self._waiting: deque[Said] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._quiet = threading.Event()
        self._quiet.set()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self.dropped = 0
        self._warned = False
        atexit.register(self.flush)

    def put(self, spans: Iterable[Said]) -> None:
        """Have spans exported, soon."""
        for said in spans:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(said)
            else:
                self._drop()
        if self._waiting:
            self._quiet.clear()
            self._run()
            self._wake.set()

    def flush(self, seconds: float = LAST_FLUSH) -> bool:
        """Wait until everything so far has been exported, at most so long. Gives whether it has."""
        self._hurry.set()
        return self._quiet.wait(seconds)

    def _drop(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "spans come faster than the tracer provider takes them, or its exporter hangs; some are left "
                "out. `amends trace export RUN` rebuilds a trace from the journal"
            )
        self.dropped += 1

    def _run(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._starting:
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._work, name="amends-traces", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(SETTLE)
            self._wake.clear()
            self._emit_all()
            self._flush_provider()
            if not self._waiting:
                self._warned = False
                self._hurry.clear()
                self._quiet.set()
                if self._waiting:
                    self._quiet.clear()

    def _emit_all(self) -> None:
        made = 0
        while self._waiting:
            data, said = self._waiting.popleft()
            made += 1
            if made % MOST_AT_ONCE == 0:
                self._flush_provider()
            try:
                emit(self.tracer, data, said)
            except Exception:
                log.exception("span %r could not be made", data.name)

    def _flush_provider(self) -> None:
        flush = getattr(self._provider, "force_flush", None)
        if flush is None:
            return
        try:
            flush()
        except Exception:
            log.exception("the tracer provider could not flush")


_emitters: dict[int, tuple[TracerProvider, Emitter]] = {}
_making = threading.Lock()


def emitter_of(provider: TracerProvider) -> Emitter:
    """Give the emitter of a provider: one in a process. Raises `Unfit`."""
    with _making:
        found = _emitters.get(id(provider))
        if found is None or found[0] is not provider:
            found = _emitters[id(provider)] = (provider, Emitter(provider))
        return found[1]
