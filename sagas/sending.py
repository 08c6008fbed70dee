"""A request on its way: whether it was sent, and how much time it has left."""

from __future__ import annotations

from typing import Any, Final

import httpx

from amends.sagas.context import UnderWay

SLACK: Final = 0.05
MOST_SLACK: Final = 0.5
SHORTEST: Final = 0.001
STAGES: Final = ("connect", "pool", "write", "read")
BEFORE_SENDING: Final = ("connect", "pool")


class Sending:
    """Follows a request through httpx's `trace` extension, which tells of each stage before it begins.

    `sent` turns true before the first byte of the request leaves. An attempt's time-out cuts the request's:
    connecting ends a little earlier, so that there is time to tell that nothing was sent, reading a little
    later, so that the step's own time-out is what ends it. What isn't sent by then isn't sent at all.
    """

    def __init__(self, request: httpx.Request, attempt: UnderWay | None) -> None:
        self._request = request
        self._attempt = attempt
        self._theirs: dict[str, float | None] = request.extensions.get("timeout", {})
        self._timeout = dict(self._theirs)
        self._slack = 0.0 if attempt is None else min(MOST_SLACK, SLACK * attempt.time_left())
        self.sent = False
        request.extensions["timeout"] = self._timeout
        self._cut()

    def trace(self, event: str, info: dict[str, Any]) -> None:  # noqa: ARG002 - given by httpx
        """Take in what happens to the request."""
        if not event.endswith(".started"):
            return
        self._cut()
        if event.endswith("send_request_headers.started") and not self.sent:
            if self._attempt is not None and self._attempt.time_left() <= 0:
                raise httpx.ConnectTimeout("the attempt's time was over before", request=self._request)
            self.sent = True

    async def trace_async(self, event: str, info: dict[str, Any]) -> None:
        """Do the same for an `AsyncClient`."""
        self.trace(event, info)

    def _cut(self) -> None:
        """Cut the time-outs to what is left."""
        if self._attempt is None:
            return
        left = self._attempt.time_left()
        for stage in STAGES:
            most = max(SHORTEST, left - self._slack if stage in BEFORE_SENDING else left + self._slack)
            theirs = self._theirs.get(stage)
            self._timeout[stage] = most if theirs is None else min(theirs, most)
