"""A worker's log: one line a record, on stderr."""

from __future__ import annotations

import logging

from amends.sagas.replay_filter import ReplayFilter

FORMAT = "%(asctime)s  %(levelname)-7s  %(name)s: %(message)s"


def set_up(level: str | None) -> None:
    """Log to stderr, unless the application has set up its own handlers; a replayed body stays silent on any.

    `level` overrides the application's; left out, it is `info` where the application has set nothing up.
    """
    root = logging.getLogger()
    if not root.handlers:
        logging.basicConfig(format=FORMAT, datefmt="%H:%M:%S", level=logging.INFO)
        logging.getLogger("alembic").setLevel(logging.WARNING)
    if level is not None:
        root.setLevel(level.upper())
    for handler in root.handlers:
        handler.addFilter(ReplayFilter())
