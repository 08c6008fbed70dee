"""A moderation queue: an article is put up, a moderator answers days later, and a rejected one is taken down.

The moderator's tool answers at the URL that it was given, or somebody by a signal. A reminder goes out after
two days, and after a week without an answer it is rejected. Days pass at once, by a clock that is moved.
"""

import asyncio
import logging
import secrets
from datetime import timedelta
from tempfile import TemporaryDirectory

import httpx
from pydantic import BaseModel

from amends.sagas import (
    Coordinator,
    Fatal,
    Hook,
    Run,
    RunFailed,
    Undo,
    Webhooks,
    current_step,
    receive,
    saga,
    step,
    webhook,
)
from amends.sagas.testing import VirtualClock
from amends.sagas.webhooks import WebhookApp

DAY = timedelta(days=1)
REMINDER, LONGEST = 2 * DAY, 7 * DAY
HOOKS = Webhooks("http://newsroom.test/hooks", secrets=secrets.token_bytes(24))


class Verdict(BaseModel):
    """What a moderator decides, and why."""

    approved: bool
    reason: str = ""


class Rejected(Fatal):
    """The article isn't published."""


class Newsroom:
    """The world: what is up, what the moderator's tool was given, and `told`: what happened."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Bring everything back to the beginning."""
        self.up: dict[str, str] = {}
        self.down: set[str] = set()
        self.queue: dict[str, str] = {}
        self.told: list[str] = []

    def snapshot(self) -> list[str]:
        """Tell what is up."""
        return sorted(self.up.values())


def newsroom() -> Newsroom:
    """Give the world that the coordinator was opened with."""
    found: Newsroom = current_step().resources
    return found


@step
async def put_up(article: str) -> None:
    """Put an article up, marked as not moderated; the same key again puts up nothing more."""
    key = current_step().idempotency_key
    if key not in newsroom().down and newsroom().up.setdefault(key, article):
        newsroom().told.append(f"put up {article}")


@put_up.compensation
async def take_down(undo: Undo[None], article: str) -> None:
    """Take it down, whether or not it was up."""
    newsroom().down.add(undo.forward_key)
    if newsroom().up.pop(undo.forward_key, None):
        newsroom().told.append(f"took down {article}")


@step
async def ask_moderator(article: str, url: str) -> None:
    """Put it into the queue of the moderator's tool, with the URL to answer at."""
    newsroom().queue[article] = url


@ask_moderator.compensation
async def withdraw_question(undo: Undo[None], article: str, url: str) -> None:
    """Take it out of the queue, if it still is there."""
    newsroom().queue.pop(article, None)


@step(effect="irreversible")
async def remind_moderator(article: str) -> None:
    """Send the moderator a mail; nothing takes that back."""
    newsroom().told.append(f"reminded of {article}")


async def answer(hook: Hook[Verdict], patience: timedelta) -> Verdict:
    """Wait for the tool's call or for a signal, whichever comes first. Raises `TimeoutError`."""
    waiting = [asyncio.create_task(hook.receive()), asyncio.create_task(receive(Verdict, name="verdict"))]
    try:
        async with asyncio.timeout(patience.total_seconds()):
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in waiting if task in done).result()
    finally:
        for task in waiting:
            task.cancel()


@saga
async def publish(article: str) -> str:
    """Publish an article, unless a moderator rejects it or nobody answers for a week."""
    await put_up(article)
    hook = await webhook(Verdict)
    await ask_moderator(article, hook.url)
    try:
        verdict = await answer(hook, REMINDER)
    except TimeoutError:
        await remind_moderator(article)
        try:
            verdict = await answer(hook, LONGEST - REMINDER)
        except TimeoutError:
            verdict = Verdict(approved=False, reason="nobody has looked at it")
    if not verdict.approved:
        raise Rejected(verdict.reason)
    return f"{article} is published"


async def show(title: str, after: timedelta, verdict: Verdict | None, *, by_signal: bool = False) -> None:
    """Submit an article, let the moderator answer so after a while, and print what happened."""
    world, clock = Newsroom(), VirtualClock()
    with TemporaryDirectory(prefix="amends-moderation-") as folder:
        database = f"sqlite:///{folder}/moderation.db"
        async with Coordinator(database, resources=world, webhooks=HOOKS, clock=clock) as coordinator:
            run = await coordinator.start(publish, "Kettles", id="article-1")
            await clock.run(coordinator, until=clock.now + after)
            if verdict is not None and by_signal:
                await coordinator.signal("article-1", "verdict", verdict)
            elif verdict is not None:
                await answer_as_tool(coordinator, world.queue["Kettles"], verdict)
            await clock.run(coordinator)
            print(f"{title}: {await ending(run)}")
    print(f"  {'; '.join(world.told)}")
    print(f"  what is up: {', '.join(world.snapshot()) or 'nothing'}")


async def answer_as_tool(coordinator: Coordinator, url: str, verdict: Verdict) -> None:
    """Call the URL that the moderator's tool was given, twice, as tools do; here without a socket."""
    transport = httpx.ASGITransport(WebhookApp(coordinator, {}))
    async with httpx.AsyncClient(transport=transport) as tool:
        for _ in range(2):
            sent = await tool.post(url, json=verdict.model_dump(), headers={"Webhook-Id": "decision-1"})
            sent.raise_for_status()


async def ending(run: Run[str]) -> str:
    """Say how a run ended."""
    try:
        return f"{await run.result(30)}"
    except RunFailed as error:
        return f"{error.status}, because {error.error}"


async def main() -> None:
    """Show the ways that an article can go."""
    yes, no = Verdict(approved=True), Verdict(approved=False, reason="it is an advertisement")
    await show("approved on the first day", timedelta(hours=5), yes)
    await show("approved by signal, after the reminder", 3 * DAY, yes, by_signal=True)
    await show("rejected on the second day", DAY, no)
    await show("nobody answers", LONGEST, None)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main())
