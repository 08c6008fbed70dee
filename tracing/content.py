"""Whether what people and models say may stand in traces: not unless somebody asks for it."""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""OpenTelemetry's own variable; anything but these says no."""
YES: Final = ("true", "1", "yes", "on", "span_only", "span_and_event")


class Content:
    """Holds what `configure(content=...)` has said; where nothing was said, the variable counts."""

    def __init__(self) -> None:
        self.said: bool | None = None

    @property
    def captured(self) -> bool:
        """Tell whether inputs, outputs, prompts and the texts of errors go into spans."""
        return os.environ.get(VARIABLE, "").strip().lower() in YES if self.said is None else self.said


CONTENT: Final = Content()
