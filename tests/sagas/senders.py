"""Senders of webhooks: signed calls to an app, in this process or over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn

from amends.sagas.webhooks import StandardWebhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - for tests
SIGNS = StandardWebhooks(SECRET)


def inside(app: Any, root: str = "") -> httpx.AsyncClient:
    """Give a client that calls the app without a socket."""
    transport = httpx.ASGITransport(app, root_path=root)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def send(
    client: httpx.AsyncClient, path: str, payload: Any, id: str = "msg_1", *, signs: StandardWebhooks = SIGNS
) -> httpx.Response:
    """Send a signed delivery; `payload` is what is to be JSON, or the body itself as bytes."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return await client.post(path, content=body, headers=signs.headers(id, body))


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an app on a free port of this machine until the block ends; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="on"))
    task = asyncio.create_task(server._serve())  # noqa: SLF001 - serve() would take the signals
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0.005)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
