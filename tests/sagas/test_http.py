"""Calls over HTTP: what a step may conclude from an answer, from none, and from an error."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as telemetry
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from amends.sagas import (
    Coordinator,
    Entry,
    Kind,
    NoEffect,
    NotInBody,
    Retry,
    RunFailed,
    Status,
    Undo,
    context,
    current_step,
    http,
    saga,
    step,
)
from tests.sagas.running import AT_ONCE, ONCE, Clock, failure, on_a_loop
from tests.sagas.web import Web, full, nobody, paths, serving

ANSWERS: dict[str, tuple[type[http.CallFailed], str]] = {
    "/status/400": (http.Refused, "not_landed"),
    "/status/401": (http.Refused, "not_landed"),
    "/status/402": (http.Refused, "not_landed"),
    "/status/404": (http.Refused, "not_landed"),
    "/status/409": (http.Refused, "not_landed"),
    "/status/422": (http.Refused, "not_landed"),
    "/status/425": (http.Postponed, "not_landed"),
    "/status/429": (http.Postponed, "not_landed"),
    "/status/429?after=7": (http.Postponed, "not_landed"),
    "/status/402?after=7": (http.Postponed, "not_landed"),
    "/status/302": (http.Unclear, "unknown"),
    "/status/408": (http.Unclear, "unknown"),
    "/status/499": (http.Unclear, "unknown"),
    "/status/500": (http.Unclear, "unknown"),
    "/status/502": (http.Unclear, "unknown"),
    "/status/503": (http.Unclear, "unknown"),
    "/status/503?after=7": (http.Unclear, "unknown"),
    "/status/504": (http.Unclear, "unknown"),
    "/status/599": (http.Unclear, "unknown"),
    "/cut": (http.Unclear, "unknown"),
    "/half": (http.Unclear, "unknown"),
}


@pytest.fixture
def web() -> Iterator[Web]:
    """Give a service over real HTTP."""
    with serving() as running:
        yield running


Kinds = type[httpx.AsyncClient] | type[httpx.Client]


@pytest.fixture(params=[httpx.AsyncClient, httpx.Client], ids=["async", "sync"])
def client(request: pytest.FixtureRequest) -> Kinds:
    """Give either kind of client."""
    kind: Kinds = request.param
    return kind


@contextlib.asynccontextmanager
async def opened(kind: Kinds, **options: Any) -> AsyncIterator[Any]:
    """Open a client that asks no proxy."""
    made = kind(trust_env=False, **options)
    try:
        yield made
    finally:
        if isinstance(made, httpx.AsyncClient):
            await made.aclose()
        else:
            made.close()


Statuses = list[int]


@step(retry=ONCE, timeout=dt.timedelta(seconds=20))
async def posts_async(url: str, ok: Statuses, no_effect: Statuses | None) -> int:
    client: httpx.AsyncClient = current_step().resources
    return (await http.call(client, "POST", url, json={"a": 1}, ok=ok, no_effect=no_effect)).status_code


@step(retry=ONCE, timeout=dt.timedelta(seconds=20))
def posts_sync(url: str, ok: Statuses, no_effect: Statuses | None) -> int:
    client: httpx.Client = current_step().resources
    return http.call(client, "POST", url, json={"a": 1}, ok=ok, no_effect=no_effect).status_code


@saga
async def post(url: str, is_async: bool, ok: Statuses, no_effect: Statuses | None) -> int:  # noqa: FBT001 - a saga's input
    return await (posts_async if is_async else posts_sync)(url, ok, no_effect)


async def posted(
    url: str,
    database: str,
    kind: Kinds,
    *,
    timeout: float = 20,
    ok: Statuses | None = None,
    no_effect: Statuses | None = None,
) -> tuple[Any, str | None]:
    """Run a saga that posts once; give its result or error, and the outcome of a failure in the journal."""
    async with (
        opened(kind, timeout=timeout) as client,
        Coordinator(database, resources=client) as coordinator,
    ):
        run = await coordinator.start(post, url, kind is httpx.AsyncClient, ok or [], no_effect)
        try:
            found: Any = await run.result(30)
        except RunFailed as error:
            found = error.error
        return found, outcome_in(await run.journal())


def outcome_in(journal: list[Entry]) -> str | None:
    """Give the outcome of the step that failed for good, if one did."""
    failed = [entry.meta["outcome"] for entry in journal if entry.kind is Kind.FAILED]
    return failed[0] if failed else None


@on_a_loop
async def test_an_answer_says_what_became_of_the_effect(sqlite_url: str, web: Web, client: Kinds) -> None:
    """S2: evidence gives not_landed, anything else is unknown; the error comes back as itself."""
    for path, (kind, outcome) in ANSWERS.items():
        error, known = await posted(web.url + path, sqlite_url, client)
        assert (type(error), known) == (kind, outcome), path
    assert len(web.requests) == len(ANSWERS)
    assert len(set(web.keys())) == len(ANSWERS)


@on_a_loop
async def test_a_refusal_carries_what_the_service_said(sqlite_url: str, web: Web, client: Kinds) -> None:
    """Section 2: the error that the body gets is rebuilt from the journal, and holds no secrets."""
    url = web.url.replace("//", "//ada:pass@") + "/status/402?token=secret"
    error, known = await posted(url, sqlite_url, client)
    assert error.status == 402
    assert error.body.startswith('{"code": "because-402"')
    assert error.headers == {"content-type": "application/json"}
    assert str(error).startswith(f"POST {web.url}/status/402: 402 Payment Required: {{")
    assert error.response is None
    assert known == "not_landed"
    assert not any(word in repr(error) for word in ("pass@", "secret"))


@pytest.mark.parametrize("text", ["\N{GRINNING FACE}", "%01", "%22", "ä"])
@on_a_loop
async def test_a_refusal_in_any_script_comes_back_as_itself(sqlite_url: str, web: Web, text: str) -> None:
    """Section 2: what an error carries fits into its record."""
    url = f"{web.url}/status/402/{'p' * 900}?text={text}&after={'9' * 900}"
    error, _ = await posted(url, sqlite_url, httpx.AsyncClient)
    assert isinstance(error, http.Postponed)
    assert error.body.startswith('{"code": "because-402", "text": "')


@on_a_loop
async def test_statuses_can_be_declared(sqlite_url: str, web: Web, client: Kinds) -> None:
    """S2: the user's declaration is the evidence."""
    error, known = await posted(f"{web.url}/status/503", sqlite_url, client, no_effect=[503])
    assert (type(error), known) == (http.Refused, "not_landed")
    error, known = await posted(f"{web.url}/status/402", sqlite_url, client, no_effect=[503])
    assert (type(error), known) == (http.Unclear, "unknown")
    assert (await posted(f"{web.url}/status/404", sqlite_url, client, ok=[404, 410]))[0] == 404


@on_a_loop
async def test_what_was_never_sent_has_not_landed(sqlite_url: str, web: Web, client: Kinds) -> None:
    """S2: refused before sending."""
    with nobody() as closed:
        for url in (closed, web.url.replace("http:", "https:"), "nothing://127.0.0.1/"):
            error, known = await posted(url, sqlite_url, client)
            assert (type(error), known) == (http.Unreachable, "not_landed"), url
    assert web.requests == []


@on_a_loop
async def test_a_name_that_nobody_knows_has_not_landed(sqlite_url: str, client: Kinds) -> None:
    """S2: refused before sending."""
    error, known = await posted("http://nobody.invalid/", sqlite_url, client)
    assert (type(error), known) == (http.Unreachable, "not_landed")


@on_a_loop
async def test_a_connection_that_is_never_made_ends_before_the_attempt_does(
    sqlite_url: str, client: Kinds
) -> None:
    """S2, S6: the step's time-out is the request's too, and leaves time to tell that nothing was sent."""

    @step(name="connects async", retry=ONCE, timeout=dt.timedelta(seconds=0.5))
    async def connects_async(url: str) -> None:
        await http.call(current_step().resources, "POST", url)

    @step(name="connects sync", retry=ONCE, timeout=dt.timedelta(seconds=0.5))
    def connects_sync(url: str) -> None:
        http.call(current_step().resources, "POST", url)

    connects = connects_async if client is httpx.AsyncClient else connects_sync

    @saga
    async def body(url: str) -> None:
        await connects(url)

    with full() as url:
        async with opened(client) as made, Coordinator(sqlite_url, resources=made) as coordinator:
            run = await coordinator.start(body, url)
            assert isinstance((await failure(run)).error, http.Unreachable)
            assert outcome_in(await run.journal()) == "not_landed"


@on_a_loop
async def test_a_request_that_gets_no_answer_is_unknown(sqlite_url: str, web: Web, client: Kinds) -> None:
    """S2: read and write time-outs tell nothing of the effect."""
    error, known = await posted(f"{web.url}/silent", sqlite_url, client, timeout=0.2)
    assert (type(error), known) == (http.Unclear, "unknown")
    assert "ReadTimeout" in str(error)


def test_a_request_that_isnt_taken_is_unknown() -> None:
    """S2: half a request may have been enough."""
    unclear = pytest.raises(http.Unclear, match="WriteTimeout")
    with nobody(backlog=5) as deaf, httpx.Client(timeout=0.2) as client, unclear:
        http.call(client, "POST", deaf, content=b" " * 50_000_000)


@on_a_loop
async def test_waiting_for_a_free_connection_in_vain_has_not_landed(sqlite_url: str, web: Web) -> None:
    """S2: the second request never left the queue."""

    @step(retry=ONCE)
    async def queues() -> None:
        await http.call(current_step().resources, "POST", f"{web.url}/status/200")

    @saga
    async def body() -> None:
        await queues()

    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(30, pool=0.2)) as client:
        first = asyncio.create_task(client.post(f"{web.url}/silent"))
        await asyncio.to_thread(web.asked.wait, 30)
        async with Coordinator(sqlite_url, resources=client) as coordinator:
            run = await coordinator.start(body)
            assert isinstance((await failure(run)).error, http.Unreachable)
            assert outcome_in(await run.journal()) == "not_landed"
        web.gate.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await first
    assert paths(web) == ["/silent"]


@on_a_loop
async def test_nothing_is_sent_once_the_attempts_time_is_over(web: Web, client: Kinds) -> None:
    """S6: a thread that outlives its window can't reach the world any more."""
    async with opened(client) as made:
        await answer(http.call(made, "GET", f"{web.url}/status/200"))
        context.begin_attempt(-1)
        with pytest.raises(http.Unreachable, match="it was never sent"):
            await answer(http.call(made, "POST", f"{web.url}/status/200"))
    assert len(web.requests) == 1


async def answer(made: Any) -> httpx.Response:
    """Wait for an answer that an `AsyncClient` gets."""
    response: httpx.Response = await made if inspect.isawaitable(made) else made
    return response


EARLIER, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:50:37 GMT"
WAITS: dict[str, tuple[str, float | None]] = {
    "seconds": ("after=7", 7),
    "none": ("after=0", 0),
    "a moment": (f"date={EARLIER}&after={LATER}", 60),
    "a moment that is over": (f"date={LATER}&after={EARLIER}", 0),
    "for ever": (f"after={'9' * 400}", 100 * 365 * 86_400),
    "a moment without a clock": (f"after={LATER}", None),
    "words": ("after=soon", None),
    "less than nothing": ("after=-5", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize("named", WAITS)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_or_as_a_moment(web: Web, status: int, named: str) -> None:
    """RFC 9110, 10.2.3; a moment is told by the clock of the service, so that ours may differ."""
    asked, seconds = WAITS[named]
    with httpx.Client() as client, pytest.raises(http.CallFailed) as caught:
        http.call(client, "POST", f"{web.url}/status/{status}?{asked}")
    assert caught.value.seconds == seconds


@on_a_loop
async def test_the_wait_that_a_service_asks_for_is_durable(sqlite_url: str, web: Web) -> None:
    """Section 2: `Retry-After` overrules the policy, and five minutes of it are a row in the database."""
    clock = Clock()

    @step(retry=Retry(attempts=2, wait=dt.timedelta(days=9)))
    async def patient() -> int:
        async with httpx.AsyncClient() as client:
            return (await http.call(client, "POST", f"{web.url}/script/503,200?after=300")).status_code

    @saga
    async def body() -> int:
        return await patient()

    async with Coordinator(sqlite_url, clock=clock) as coordinator:
        run = await coordinator.start(body)
        await coordinator.run_until_idle()
        assert await run.status() is Status.WAITING
        clock.move(dt.timedelta(minutes=5))
        await coordinator.run_until_idle()
        assert await run.result(30) == 200
    first, second = web.keys()
    assert first == second


@on_a_loop
async def test_what_may_pass_is_tried_again_and_a_refusal_is_not(sqlite_url: str, web: Web) -> None:
    """Section 2: with the default `on=`, by attempts and wait of the policy."""

    @step(name="tried again", retry=AT_ONCE)
    async def tried(url: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await http.call(client, "POST", url)).status_code

    @saga(name="trying again")
    async def body(url: str) -> int:
        return await tried(url)

    async with Coordinator(sqlite_url) as coordinator:
        for script in ("429,425,200", "500,502,201", "409,500,200", "500,409,200"):
            run = await coordinator.start(body, f"{web.url}/script/{script}")
            if script.startswith("409"):
                assert isinstance((await failure(run)).error, http.Refused)
            else:
                assert await run.result(30) in (200, 201)
        with nobody() as closed:
            run = await coordinator.start(body, closed)
            assert isinstance((await failure(run)).error, http.Unreachable)
            assert [entry.kind for entry in await run.journal()].count(Kind.RETRY) == 2


@on_a_loop
async def test_a_compensation_sends_its_own_key_and_takes_nothing_there_for_done(
    sqlite_url: str, web: Web
) -> None:
    """S6, S9: nothing there is success, where the compensation says so."""
    keys: list[str] = []

    @step(retry=ONCE)
    async def books(url: str) -> None:
        async with httpx.AsyncClient() as client:
            await http.call(client, "POST", f"{url}/status/500")

    @books.compensation(retry=ONCE)
    async def cancels(undo: Undo[None], url: str) -> None:
        keys.extend((undo.forward_key, undo.key))
        async with httpx.AsyncClient() as client:
            await http.call(client, "DELETE", f"{url}/status/404", ok=(404, 410))

    @saga
    async def body(url: str) -> None:
        await books(url)

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body, web.url)
        assert (await failure(run)).status == Status.COMPENSATED
    assert web.keys() == keys


@on_a_loop
async def test_after_a_call_that_landed_another_proves_nothing(sqlite_url: str, web: Web) -> None:
    """S2: the first of two calls has landed, so the step has; reading before is no harm."""

    @step(retry=ONCE)
    async def calls(paths: list[str]) -> None:
        async with httpx.AsyncClient() as client:
            for path in paths:
                method = "GET" if path == "/status/200?read" else "POST"
                await http.call(client, method, web.url + path)

    @saga
    async def body(paths: list[str]) -> None:
        await calls(paths)

    async with Coordinator(sqlite_url) as coordinator:
        for first, kind in (("/status/200", http.Unclear), ("/status/200?read", http.Refused)):
            run = await coordinator.start(body, [first, "/status/402"])
            assert type((await failure(run)).error) is kind


def test_a_refusal_behind_a_redirect_that_was_done_proves_nothing(web: Web) -> None:
    """S2: `303 See Other` says that the request was done; that its page isn't there says nothing."""
    with httpx.Client(follow_redirects=True) as client:
        with pytest.raises(http.Unclear):
            http.call(client, "POST", f"{web.url}/status/303?to=/status/404")
        with pytest.raises(http.Refused):
            http.call(client, "POST", f"{web.url}/status/307?to=/status/404")


def test_a_redirect_to_nobody_is_unknown(web: Web) -> None:
    """S2: the service that was asked first has seen the request."""
    with nobody() as closed, httpx.Client(follow_redirects=True) as client, pytest.raises(http.Unclear):
        http.call(client, "POST", f"{web.url}/status/307?to={closed}/")


def test_the_trace_goes_along_and_baggage_does_not(web: Web) -> None:
    """W3C; a header of the caller's own stands."""
    span = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    token = telemetry.attach(
        baggage.set_baggage("who", "ada", trace.set_span_in_context(NonRecordingSpan(span)))
    )
    try:
        with httpx.Client() as client:
            http.call(client, "POST", f"{web.url}/status/200")
            http.call(client, "POST", f"{web.url}/status/200", headers={"traceparent": "mine"})
    finally:
        telemetry.detach(token)
    first, second = (headers for _, _, headers in web.requests)
    assert first["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert first["baggage"] is None
    assert second["traceparent"] == "mine"


def test_outside_a_run_it_is_a_plain_call(web: Web) -> None:
    """Section 2: unit tests need nothing."""
    with httpx.Client() as client:
        assert http.call(client, "GET", f"{web.url}/status/201").status_code == 201
        with pytest.raises(NoEffect):
            http.call(client, "GET", f"{web.url}/status/404")
    assert web.keys() == [None, None]


@on_a_loop
async def test_a_call_in_a_body_is_refused_with_its_line(sqlite_url: str, web: Web) -> None:
    """Section 2, Bodies: I/O belongs in a step, with a blocking client too."""

    @saga
    async def body(url: str) -> None:
        with httpx.Client() as client:
            http.call(client, "POST", url)

    async with Coordinator(sqlite_url) as coordinator:
        error = (await failure(await coordinator.start(body, web.url))).error
    assert isinstance(error, NotInBody)
    assert "test_http.py" in str(error)
    assert web.requests == []
