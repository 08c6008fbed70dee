"""A logging filter that keeps a replayed body silent."""

from __future__ import annotations

import logging

from amends.sagas.context import replaying


class ReplayFilter(logging.Filter):
    """Drops the records that a saga's body logs while it is only being replayed.

    Put it on handlers, so that it sees the records of every logger:

    >>> logging.getLogger().handlers and logging.getLogger().handlers[0].addFilter(ReplayFilter())
    """

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's signature
        """Tell whether the record is to be logged."""
        return not replaying()
