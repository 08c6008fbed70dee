"""Python's garbage collector, set for a process that does nothing but drive runs."""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 50)


def collect_less_often() -> None:
    """Set the garbage collector for a worker process.

    Runs are dropped without it: what they leave holds no circles. By default it would walk everything that
    is alive every few hundred objects, which costs a busy worker a third of its time. What has been
    imported by now is never walked again. It changes the whole process, so it is for processes of their own:
    `amends worker` calls it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
