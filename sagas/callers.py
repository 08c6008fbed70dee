"""The local names at the place where a decorator stands, for annotations that name local classes."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

HERE = f"{__name__.partition('.')[0]}."


def callers_names() -> dict[str, Any]:
    """Give the local names of the nearest frame outside amends, when that is a function's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(HERE):
        frame = frame.f_back
    if frame is None or frame.f_locals is frame.f_globals:
        return {}
    return dict(frame.f_locals)
