"""Telling people by the log."""

from __future__ import annotations

import logging

from amends.sagas.notices import Notice, NoticeKind

log = logging.getLogger("amends.notices")


class LogNotifier:
    """Writes notices to the logger `amends.notices`: parked runs as warnings, the others as info."""

    def __init__(self, name: str = "log") -> None:
        self.name = name

    def notify(self, notice: Notice) -> None:
        """Write the line."""
        level = logging.WARNING if notice.kind is NoticeKind.RUN_PARKED else logging.INFO
        log.log(level, "%s", notice.text, extra={"notice": notice})
