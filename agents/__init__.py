"""Agents: sagas whose steps a model chooses."""

__all__: list[str] = []
