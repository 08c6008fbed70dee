"""Webhooks that belong to a run: a body makes one, gives its URL away, and waits until it is called."""

from __future__ import annotations

import datetime as dt
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from amends.sagas import checked, context
from amends.sagas.errors import OutsideRun, WebhooksMissing
from amends.sagas.outcome import Effect
from amends.sagas.receiving import Receiving, receive
from amends.sagas.retry import Retry
from amends.sagas.signals import NAMELESS, default_name
from amends.sagas.step import step
from amends.sagas.webhook_urls import CONFIGURED, family_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hook(Generic[T]):
    """A URL that leads to this run alone: each POST to it is a message to the run.

    `url` is to be given away by a step; whoever knows it can call it. `name` is the name of the signals that
    the calls become.
    """

    url: str = field(repr=False)
    name: str
    kind: Any

    def receive(self, *, timeout: dt.timedelta | float | None = None) -> Receiving[T]:
        """Wait durably for the next call; gives its body. As `amends.sagas.receive`."""
        return receive(self.kind, name=self.name, timeout=timeout)

    def __aiter__(self) -> Receiving[T]:
        return self.receive()


@overload
def webhook(kind: type[T], *, name: str | None = None) -> Coroutine[Any, Any, Hook[T]]: ...
@overload
def webhook(kind: Any, *, name: str | None = None) -> Coroutine[Any, Any, Hook[Any]]: ...
def webhook(kind: Any, *, name: str | None = None) -> Coroutine[Any, Any, Hook[Any]]:
    """Make a URL by which somebody outside can call this run once, or again and again.

    `kind` is what a call's body, JSON, is decoded to; `name` tells webhooks of one saga apart in records,
    the type's own name when left out. The URL is recorded: it stays the same on every replay. It is signed
    with the first of the secrets in `Coordinator(url, webhooks=Webhooks(...))`, and leads to the `WebhookApp`
    that stands there (`amends.sagas.webhooks`).
    Raises `WebhooksMissing` where the worker's coordinator has no `webhooks=`, `DefinitionError` for a name
    or a type that can't be, and `OutsideRun` outside a saga's body.

    >>> hook = await webhook(Verdict)
    >>> await ask_moderator(article, hook.url)
    >>> verdict = await hook.receive(timeout=timedelta(days=3))
    """
    given = (default_name(kind) or NAMELESS) if name is None else name
    return _made(kind, family_of(checked.name(given, "a webhook's name")))


async def _made(kind: Any, family: str) -> Hook[Any]:
    body = context.running_body()
    if body is None:
        raise OutsideRun("webhook() was called outside a saga's body; only a run can have one")
    name = checked.name(f"{family}:{body.next_number()}", "a webhook's name")
    body.saga.signals.learn(name, kind)
    return Hook(await url_of_webhook(body.run.id, name), name, kind)


@step(name="amends.webhook", effect=Effect.READ, retry=Retry(attempts=1))
async def url_of_webhook(run_id: str, name: str) -> str:
    """Make the URL of one webhook of a run."""
    configured = CONFIGURED.get()
    if configured is None:
        raise WebhooksMissing(
            f"run {run_id!r} called webhook(), and its worker doesn't know where webhooks lead: give it "
            "Coordinator(url, webhooks=Webhooks('https://…', secrets=...))"
        )
    return configured.url_of(run_id, name)
