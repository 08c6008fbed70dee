"""A process that takes webhooks: `python webhook_server.py DATABASE HOOKS_URL [verified | committed]`.

With a third argument it kills itself at the first call: once that is verified, or once it is committed and
not yet answered. Its hooks' URLs are printed as they are made.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Any

import uvicorn

from amends.sagas import Coordinator, Webhooks, receive, saga, step, webhook
from amends.sagas.webhooks import Call, Route, SignalOrStart, StandardWebhooks, WebhookApp

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - for tests
MOMENT = sys.argv[3] if len(sys.argv) > 3 else ""


@step
async def note(number: int) -> None:
    """Print a number that was received."""
    say(f"received {number}")


@step
async def show(url: str) -> None:
    """Print the URL of a hook."""
    say(f"hook {url}")


@saga
async def counts(most: int) -> list[int]:
    """Receive numbers until there are so many."""
    got = []
    async for number in receive(int, name="number"):
        await note(number)
        got.append(number)
        if len(got) == most:
            break
    return got


@saga
async def hooked(most: int) -> list[int]:
    """Receive numbers at a URL until there are so many."""
    hook = await webhook(int)
    await show(hook.url)
    return [await hook.receive() for _ in range(most)]


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def die(moment: str) -> None:
    """Die where this process is to."""
    if moment == MOMENT:
        os.kill(os.getpid(), signal.SIGKILL)


async def number(call: Call[list[int]]) -> SignalOrStart[int]:
    """Send the number on to a run that waits for so many."""
    die("verified")
    which, most = call.body
    return SignalOrStart(counts, most, id="counts", name="number", payload=which)


async def main(database: str, base: str) -> None:
    """Serve until this process is killed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        settings = Webhooks(base or f"http://127.0.0.1:{port}/hooks", secrets=SECRET)
        async with Coordinator(database, webhooks=settings) as coordinator:
            app = WebhookApp(coordinator, {"/n": Route(list[int], number, verify=StandardWebhooks(SECRET))})

            async def deadly(scope: Any, receive: Any, send: Any) -> None:
                async def answered(message: Any) -> None:
                    die("committed")
                    await send(message)

                await app(scope, receive, answered)

            config = uvicorn.Config(deadly, log_level="error", ws="none", lifespan="off")
            say(f"listening on http://127.0.0.1:{port}")
            await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
