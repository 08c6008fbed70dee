"""A worker's log: one line a record, on stderr, as text or as JSON."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from pythonjsonlogger.json import JsonFormatter

from amends.sagas.replay_filter import ReplayFilter
from amends.sagas.run_filter import RunFilter

FORMAT: Final = "%(asctime)s  %(levelname)-7s  %(name)s: %(message)s"
FIELDS: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
RENAMED: Final = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"}


class JsonLines(JsonFormatter):
    """A record as one line of JSON: what is known of worker, run, step, attempt and trace is in it."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(FIELDS, rename_fields=RENAMED)
        self.worker: str | None = None

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add the worker, and leave out what isn't known."""
        return {
            name: value
            for name, value in {**log_data, "worker": self.worker}.items()
            if value not in ("", None)
        }


def set_up(level: str | None, *, as_json: bool = False) -> None:
    """Log to stderr, unless the application has set up its own handlers; a replayed body stays silent on any.

    `level` overrides the application's; left out, it is `info` where the application has set nothing up.
    """
    root = logging.getLogger()
    if not root.handlers:
        logging.basicConfig(format=FORMAT, datefmt="%H:%M:%S", level=logging.INFO)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if as_json:
            root.handlers[0].setFormatter(JsonLines())
            root.handlers[0].addFilter(RunFilter())
    if level is not None:
        root.setLevel(level.upper())
    for handler in root.handlers:
        handler.addFilter(ReplayFilter())


def written_by(worker: str | None) -> None:
    """Name the worker in every line of JSON from now on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.worker = worker
