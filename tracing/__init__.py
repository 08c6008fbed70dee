"""Traces: spans, metrics and propagation for sagas and agents."""

from amends.tracing.address import address_of
from amends.tracing.configure import configure, configure_if_asked
from amends.tracing.identity import Trace, TraceMode

__all__ = ["Trace", "TraceMode", "address_of", "configure", "configure_if_asked"]
