"""Telling systemd how a worker is: it serves, it lives, it stops (sd_notify(3))."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator

log = logging.getLogger("amends.worker")


@contextlib.asynccontextmanager
async def told() -> AsyncIterator[None]:
    """Tell systemd that the worker serves, and as often as its watchdog wants that the event loop runs."""
    tell("READY=1")
    living = asyncio.create_task(_live())
    try:
        yield
    finally:
        living.cancel()


def tell(state: str) -> None:
    """Tell systemd a state such as `STOPPING=1`, where it has started this process and listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError as problem:
        log.warning("systemd can't be told %s: %s", state, problem)


async def _live() -> None:
    """Tell twice within the time after which the watchdog would take the worker for dead."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if not wanted.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        tell("WATCHDOG=1")
        await asyncio.sleep(int(wanted) / 2_000_000)
