"""Exporting what a command does, where OpenTelemetry's variables say so."""

from __future__ import annotations

import logging

from amends.tracing import configure_if_asked

log = logging.getLogger("amends")


def trace_if_asked() -> None:
    """Export traces to the endpoint that the variables name, unless the modules have set a provider."""
    try:
        configure_if_asked()
    except ImportError as missing:
        log.warning("no traces are exported: %s", missing)
