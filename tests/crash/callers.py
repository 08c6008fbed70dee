"""Those who have something to say to a run of the kill matrix: senders, webhooks' callers, people who decide.

Whoever comes after a killed one doesn't know what that has said, and says it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from amends.sagas import Coordinator, DecisionRefused, Run, RunEnded, Status
from amends.sagas.webhooks import Call, Route, Signal, StandardWebhooks, WebhookApp

LOOK_S = 0.02
SCHEME = StandardWebhooks(bytes(24))
TAKEN = (200, 410)
"""Statuses that are answered: it was taken, or the run has ended."""

Spec = Mapping[str, Any]


async def say(coordinator: Coordinator, run: Run[Any], spec: Spec) -> None:
    """Send all signals of a case, in one way or the other."""
    signals = spec.get("signals", ())
    if signals and spec["to_dormant"] and not spec["number"]:
        while await run.status() != Status.WAITING:  # noqa: ASYNC110 - only the database says so
            await asyncio.sleep(LOOK_S)
    app = WebhookApp(coordinator, {"/signals": Route(dict[str, str], _signal, verify=SCHEME)})
    for number, (name, payload) in enumerate(signals):
        if spec.get("by_webhook"):
            body = json.dumps({"run": run.id, "name": name, "payload": payload}).encode()
            # Whoever isn't answered in time delivers again.
            for _ in range(2):
                assert await _delivered(app, f"message-{number}", body) in TAKEN
        else:
            with contextlib.suppress(RunEnded):
                await coordinator.signal(run.id, name, payload, message_id=f"message-{number}")


async def decide(coordinator: Coordinator, run: Run[Any], spec: Spec) -> None:
    """Let people decide whatever the run asks, each as the case says, until somebody ends this."""
    people = spec.get("decisions", ())
    while people:
        for asked in await coordinator.approvals(run_id=run.id):
            for by, approved in people:
                with contextlib.suppress(DecisionRefused):
                    await coordinator.decide(asked.id, approved=approved, by=by, digest=asked.digest)
        await asyncio.sleep(LOOK_S)


def _signal(call: Call[dict[str, str]]) -> Signal:
    return Signal(call.body["run"], call.body["name"], call.body["payload"])


async def _delivered(app: WebhookApp, delivery: str, body: bytes) -> int:
    """Call the app as a server does; give the status that it answers."""
    answers: list[int] = []
    headers = [(name.encode(), value.encode()) for name, value in SCHEME.headers(delivery, body).items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/signals",
        "raw_path": b"/signals",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    return answers[0]
