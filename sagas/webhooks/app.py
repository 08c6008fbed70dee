"""The ASGI app: from a request to what it leads to, and to the answer."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from amends.sagas import checked
from amends.sagas.coordinator import Coordinator
from amends.sagas.errors import (
    CoordinatorClosed,
    DatabaseReadOnly,
    DatabaseUnavailable,
    DefinitionError,
    InputInvalid,
    PayloadTooLarge,
    RunEnded,
    RunNotFound,
    StartConflict,
)
from amends.sagas.signalling import LONGEST_MESSAGE_ID
from amends.sagas.webhook_urls import read
from amends.sagas.webhooks.actions import carry_out, identity
from amends.sagas.webhooks.exchange import (
    Answer,
    Disconnected,
    Receive,
    Refusal,
    Scope,
    Send,
    body_of,
    headers_of,
    places_of,
    reply,
)
from amends.sagas.webhooks.routes import GONE, Route, check_delivery, parsed
from amends.sagas.webhooks.standard import SignatureInvalid

_log: Final = logging.getLogger("amends.sagas.webhooks")

LONGEST_PATH: Final = 90
TIMEOUT: Final = dt.timedelta(seconds=10)
TAKEN: Final = Answer(200, "taken")
IGNORED: Final = Answer(200, "ignored")
AWAY: Final = Answer(503, "try again later", {"retry-after": "5"})
FAILED: Final = Answer(500, "something went wrong here")
NOWHERE: Final = "there is nothing here"

ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    SignatureInvalid: Answer(401, "not signed as it must be", {"www-authenticate": "Signature"}),
    RunNotFound: Answer(404, "there is no such run"),
    StartConflict: Answer(409, "there is another run of this id"),
    PayloadTooLarge: Answer(413, "the payload is too large"),
    DatabaseUnavailable: AWAY,
    DatabaseReadOnly: AWAY,
    CoordinatorClosed: AWAY,
}
"""What each error is answered with; others are ours."""

Take = Callable[[Mapping[str, str], bytes], Awaitable[Answer]]


class WebhookApp:
    """An ASGI app that takes webhooks: each path a `Route`, and below `hooks` the URLs made by `webhook()`.

    It answers 2xx only after the commit, and a delivery that comes again is done once. `coordinator` must be
    open in the same event loop while the app serves; `work=False` is enough. `max_body` bounds a body in
    bytes. `timeout` is how long a body may take to come, and after that the function and the database; then
    503 is answered, and the sender tries again.
    Raises `DefinitionError` for a path that can't be, and `InputInvalid` for a bound that isn't one.

    >>> app = WebhookApp(coordinator, {"/payments": Route(Payment, book, verify=verify)})
    """

    def __init__(
        self,
        coordinator: Coordinator,
        routes: Mapping[str, Route[Any]],
        *,
        hooks: str = "/hooks",
        max_body: int = 1 << 20,
        timeout: dt.timedelta = TIMEOUT,
    ) -> None:
        self._coordinator = coordinator
        self._routes = {_path(path): _route(path, route) for path, route in routes.items()}
        self._hooks = _path(hooks).rstrip("/") + "/"
        self._most = checked.count(max_body, "max_body")
        self._seconds = checked.duration(timeout, "timeout", InputInvalid).total_seconds()
        for path in self._routes:
            if path.startswith(self._hooks):
                raise DefinitionError(f"WebhookApp: {path!r} is below hooks={hooks!r}, where runs are called")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one ASGI connection."""
        if scope["type"] == "http":
            answer = await self._answered(scope, receive)
            if answer is not None:
                await reply(send, answer)
        elif scope["type"] == "lifespan":
            for done in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{done}.complete"})
        else:
            await receive()
            await send({"type": "websocket.close"})

    async def _answered(self, scope: Scope, receive: Receive) -> Answer | None:
        """Do what a request asks for, and say what came of it; None where nobody waits for that."""
        try:
            take = self._taker(scope)
            if take is None:
                return Answer(404, NOWHERE)
            if scope["method"] != "POST":
                return Answer(405, "only POST is taken", {"allow": "POST"})
            headers = headers_of(scope)
            body = await body_of(headers, receive, most=self._most, seconds=self._seconds)
            return await self._in_time(take(headers, body))
        except Refusal as refusal:
            return refusal.answer
        except Disconnected:
            return None
        except Exception as error:  # noqa: BLE001 - nothing of it may reach the caller
            return _answer_to(error)

    async def _in_time(self, taking: Awaitable[Answer]) -> Answer:
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                return await taking
        except TimeoutError:
            if not limit.expired():
                raise
            _log.warning(
                "a webhook wasn't taken within %g s; its sender is asked to try again", self._seconds
            )
            return AWAY

    def _taker(self, scope: Scope) -> Take | None:
        """Find who takes a call to a path: a route, or a run."""
        root, path = places_of(scope)
        route = self._routes.get(path)
        if route is not None:
            return lambda headers, body: self._by_route(root + path, route, headers, body)
        settings = self._coordinator.webhooks
        if settings is None or not path.startswith(self._hooks):
            return None
        found = read(settings.keys, path.removeprefix(self._hooks))
        if found is None:
            return None
        return lambda headers, body: self._by_run(*found, headers, body)

    async def _by_route(
        self, path: str, route: Route[Any], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        try:
            call = route.verified(headers, body)
        except SignatureInvalid as problem:
            _log.info("webhook %s refused: %s", path, problem)
            raise
        action = await route.action(call)
        try:
            await carry_out(self._coordinator, action, f"{path}#{call.id}")
        except RunEnded:
            return Answer(route.ended, "the run has ended")
        return IGNORED if action is None else TAKEN

    async def _by_run(self, run_id: str, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            payload = parsed(body) if body else None
        except ValueError as problem:
            raise InputInvalid(f"the body isn't JSON: {problem}") from problem
        delivery, message = headers.get("webhook-id", headers.get("idempotency-key")), None
        if delivery is not None:
            check_delivery(delivery)
            message = identity(f"{name}#{delivery}", LONGEST_MESSAGE_ID)
        try:
            await self._coordinator.signal(run_id, name, payload, message_id=message)
        except RunEnded:
            return Answer(GONE, "the run has ended")
        return TAKEN


def _answer_to(error: Exception) -> Answer:
    """Give the answer to what was raised; what isn't the caller's doing is logged, and nothing of it told."""
    if isinstance(error, InputInvalid):
        return Answer(400, str(error))
    for kind, answer in ANSWERS.items():
        if isinstance(error, kind):
            return answer
    _log.error("a webhook could not be taken", exc_info=error)
    return FAILED


def _path(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/") or set(path) & set("?#"):
        raise DefinitionError(
            f"WebhookApp: a path such as '/payments' begins with '/' and has no '?' or '#', unlike {path!r}"
        )
    if len(path) > LONGEST_PATH:
        raise DefinitionError(f"WebhookApp: the path {path!r} has more than {LONGEST_PATH} characters")
    return path


def _route(path: str, route: object) -> Route[Any]:
    if not isinstance(route, Route):
        raise DefinitionError(f"WebhookApp: {path!r} leads to {route!r}; give a Route")
    return route
