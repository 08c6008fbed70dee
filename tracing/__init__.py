"""Traces: spans, metrics and propagation for sagas and agents."""

__all__: list[str] = []
