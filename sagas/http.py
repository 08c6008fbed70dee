"""Calls over HTTP from steps and compensations, with what each error says about the effect.

`call` sends the step's idempotency key, keeps to the step's time-out, and raises one of four errors::

    CallFailed
    ├── Unreachable      never sent: refused connection, unknown name, failed TLS; tried again
    ├── Refused          the service answered that it won't
    ├── Postponed        the service answered that it won't now; tried again
    └── Unclear          no answer, a cut connection, 5xx: nobody knows; tried again

The first three are a `NoEffect`, and those that are tried again a `RetryAfter`: after the seconds that the
service asked for, or else as the step's `Retry` says. See docs/apis.md.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Collection, Coroutine, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, overload

import httpx
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from amends.sagas import context
from amends.sagas.errors import AmendsError, NoEffect, RetryAfter
from amends.sagas.refusal import refusal
from amends.sagas.retry import NEVER
from amends.sagas.sending import Sending

__all__ = ["CallFailed", "Postponed", "REFUSALS", "Refused", "Unclear", "Unreachable", "call", "send"]

REFUSALS: Final = frozenset(range(400, 500)) - {408, 499}
"""The statuses by which a service says that it did nothing: 4xx, without those for a caller that was lost."""

LATER: Final = frozenset({425, 429})
IN_USE: Final = 409
DONE: Final = (301, 302, 303)
"""Redirects that httpx follows with a GET: what that says isn't about the request."""
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
LONGEST_EXCERPT: Final = 1_500
LONGEST_URL: Final = 300
KEPT_HEADERS: Final = ("content-type", "date", "retry-after", "x-request-id")
NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class CallFailed(AmendsError):
    """A call over HTTP gave no result.

    `status` is that of the answer, None where there was none; `body` the beginning of its text, `headers` a
    few of its headers, `seconds` what its `Retry-After` asks for. `response` is the answer itself in the step
    that made the call, and None once the error has been through the journal.
    """

    def __init__(
        self,
        message: str = "",
        status: int | None = None,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> None:
        AmendsError.__init__(self, message, status, body, headers, seconds)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})
        self.seconds = seconds
        self.response: httpx.Response | None = None

    def __str__(self) -> str:
        return str(self.args[0])


class Unreachable(CallFailed, NoEffect, RetryAfter):
    """The request was never sent: nothing happened."""


class Refused(CallFailed, NoEffect):
    """The service answered that it won't: nothing happened, and asking again is pointless."""


class Postponed(CallFailed, NoEffect, RetryAfter):
    """The service answered that it won't now: nothing happened, and it is tried again."""


class Unclear(CallFailed, RetryAfter):
    """There was no answer, or one that doesn't tell whether anything happened."""


@overload
def call(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    json: Any = None,
    content: str | bytes | None = None,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    ok: Collection[int] = (),
    no_effect: Collection[int] | None = None,
) -> Coroutine[Any, Any, httpx.Response]: ...
@overload
def call(
    client: httpx.Client,
    method: str,
    url: str,
    *,
    json: Any = None,
    content: str | bytes | None = None,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    ok: Collection[int] = (),
    no_effect: Collection[int] | None = None,
) -> httpx.Response: ...
def call(
    client: httpx.AsyncClient | httpx.Client,
    method: str,
    url: str,
    *,
    json: Any = None,
    content: str | bytes | None = None,
    data: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    ok: Collection[int] = (),
    no_effect: Collection[int] | None = None,
) -> httpx.Response | Coroutine[Any, Any, httpx.Response]:
    """Make the call of a step or compensation, and give the answer if its status is 2xx or in `ok`.

    Sends the attempt's key as `Idempotency-Key` and the current trace as `traceparent`, unless `headers` has
    them, and nothing after the attempt's time-out. `no_effect` are the statuses that prove that nothing
    happened; left out, `REFUSALS`, without 409 on a repeated attempt: there it may say that the key's
    first call is still under way. Make one call in a step: after one that changed something, no other of
    the same attempt proves that nothing happened. With an `httpx.AsyncClient`, await it.
    Raises `Unreachable`, `Refused`, `Postponed` or `Unclear`.

    >>> async def charge(client: httpx.AsyncClient, amount: int) -> str:
    ...     response = await call(client, "POST", "/charges", json={"amount": amount})
    ...     return response.json()["id"]
    """
    request = client.build_request(
        method, url, json=json, content=content, data=data, params=params, headers=headers
    )
    if isinstance(client, httpx.AsyncClient):
        return send(client, request, ok=ok, no_effect=no_effect)
    return send(client, request, ok=ok, no_effect=no_effect)


@overload
def send(
    client: httpx.AsyncClient,
    request: httpx.Request,
    *,
    ok: Collection[int] = (),
    no_effect: Collection[int] | None = None,
) -> Coroutine[Any, Any, httpx.Response]: ...
@overload
def send(
    client: httpx.Client,
    request: httpx.Request,
    *,
    ok: Collection[int] = (),
    no_effect: Collection[int] | None = None,
) -> httpx.Response: ...
def send(
    client: httpx.AsyncClient | httpx.Client,
    request: httpx.Request,
    *,
    ok: Collection[int] = (),
    no_effect: Collection[int] | None = None,
) -> httpx.Response | Coroutine[Any, Any, httpx.Response]:
    """Make a call as `call` does, of `client.build_request(...)`: for files, or time-outs of its own."""
    if context.running_body() is not None:
        raise refusal(f"{request.method} {_named(request)}")
    made = _Call(request, ok, no_effect)
    if isinstance(client, httpx.AsyncClient):
        return _send_async(client, made)
    request.extensions["trace"] = made.sending.trace
    try:
        response = client.send(request)
    except httpx.RequestError as error:
        raise made.unanswered(error) from error
    return made.answered(response)


async def _send_async(client: httpx.AsyncClient, made: _Call) -> httpx.Response:
    made.request.extensions["trace"] = made.sending.trace_async
    try:
        response = await client.send(made.request)
    except httpx.RequestError as error:
        raise made.unanswered(error) from error
    return made.answered(response)


class _Call:
    """A request of an attempt, and what its answer may say."""

    def __init__(
        self, request: httpx.Request, ok: Collection[int], no_effect: Collection[int] | None
    ) -> None:
        step = context.STEP.get()
        if step is not None:
            request.headers.setdefault("Idempotency-Key", step.idempotency_key)
        _tell_the_trace(request)
        repeated = step is not None and step.attempt > 1
        known = REFUSALS - {IN_USE} if repeated else REFUSALS
        self._ok = ok
        self._no_effect = known if no_effect is None else no_effect
        self._under_way = context.UNDER_WAY.get()
        self._told = f"{request.method} {_named(request)}"
        self.request = request
        self.sending = Sending(request, self._under_way)

    def answered(self, response: httpx.Response) -> httpx.Response:
        """Give the answer, or raise what it says."""
        status = response.status_code
        if response.is_success or status in self._ok:
            self._touch()
            return response
        seconds = _retry_after(response.headers)
        later = seconds is not None or status in LATER
        refused: type[CallFailed] = Postponed if later else Refused
        body = _excerpt(response.text)
        told = f"{self._told}: {status} {httpx.codes.get_reason_phrase(status)}".rstrip()
        headers = {name: response.headers[name][:150] for name in KEPT_HEADERS if name in response.headers}
        proven = status in self._no_effect and not any(past.status_code in DONE for past in response.history)
        kind = self._kind(refused if proven else Unclear)
        error = kind(f"{told}: {body}" if body else told, status, body, headers, seconds)
        error.response = response
        raise error

    def unanswered(self, error: httpx.RequestError) -> CallFailed:
        """Make the error for a request without an answer."""
        never = not self.sending.sent and isinstance(error, NEVER_SENT)
        what = "it was never sent" if never else "nobody knows whether it happened"
        words = f"{type(error).__name__} {error}".rstrip()[:LONGEST_URL]
        return self._kind(Unreachable if never else Unclear)(f"{self._told}: {what}: {words}")

    def _kind(self, kind: type[CallFailed]) -> type[CallFailed]:
        """Take nothing for evidence once an earlier call of the attempt may have landed."""
        if issubclass(kind, NoEffect) and self._under_way is not None and self._under_way.touched:
            return Unclear
        if kind is Unclear:
            self._touch()
        return kind

    def _touch(self) -> None:
        if self._under_way is not None and self.request.method not in SAFE_METHODS:
            self._under_way.touched = True


def _tell_the_trace(request: httpx.Request) -> None:
    """Send the trace along, W3C, and no baggage: what that holds isn't for everybody."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    if "traceparent" not in request.headers:
        request.headers.update(carrier)


def _named(request: httpx.Request) -> str:
    """Give the URL without what may be secret: user, password, query."""
    return str(request.url.copy_with(userinfo=b"", query=None, fragment=None))[:LONGEST_URL]


def _excerpt(text: str) -> str:
    """Cut a text so that an error, which holds it twice, fits into a record."""
    excerpt = text[:LONGEST_EXCERPT]
    while len(json_module.dumps(excerpt)) > LONGEST_EXCERPT:
        excerpt = excerpt[: len(excerpt) * 3 // 4]
    return excerpt


def _retry_after(headers: httpx.Headers) -> float | None:
    """Read `Retry-After`: seconds, or a moment by the clock that the answer's own `Date` shows."""
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return min(NEVER, float(told))
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())
