"""What steps call, and what calls amends, hangs together: in every kind of step, through every door."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import httpx
import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind
from sqlalchemy import Connection

from amends.sagas import (
    Coordinator,
    NoEffect,
    Report,
    Retry,
    RunFailed,
    Undo,
    approval,
    current_step,
    receive,
    saga,
    step,
    transaction,
)
from amends.sagas.http import call
from amends.sagas.notifiers import LogNotifier, WebhookNotifier
from tests.sagas.running import on_a_loop
from tests.sagas.senders import SECRET
from tests.tracing.seen import Seen, ids, links

ONCE = Retry(attempts=1)
URL = "https://shop.invalid/"


class Shop(NamedTuple):
    """The services that steps call; `heard` are what they were told, by path."""

    client: httpx.Client
    async_client: httpx.AsyncClient
    heard: dict[str, httpx.Headers]


def shop() -> Shop:
    found: Shop = current_step().resources
    return found


def opened() -> Shop:
    heard: dict[str, httpx.Headers] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        heard[request.url.path] = request.headers
        return httpx.Response(200)

    transport = httpx.MockTransport(answer)
    return Shop(httpx.Client(transport=transport), httpx.AsyncClient(transport=transport), heard)


@step
async def carries_async() -> None:
    await call(shop().async_client, "POST", f"{URL}async")


@carries_async.compensation
async def carries_undo(undo: Undo[None]) -> None:
    await call(shop().async_client, "POST", f"{URL}undo")


@step
def carries_in_thread() -> None:
    call(shop().client, "POST", f"{URL}thread")


@carries_in_thread.compensation
def carries_undo_in_thread(undo: Undo[None]) -> None:
    call(shop().client, "POST", f"{URL}undo-thread")


@step(effect="read")
async def carries_read() -> None:
    await call(shop().async_client, "GET", f"{URL}read")


@transaction
def carries_transaction(connection: Connection) -> None:
    del connection
    call(shop().client, "POST", f"{URL}transaction")


@step(retry=ONCE)
async def carries_refused() -> None:
    await call(shop().async_client, "POST", f"{URL}refused")
    raise NoEffect("no")


@saga
async def carries() -> None:
    await carries_read()
    await carries_async()
    await carries_in_thread()
    await carries_transaction()
    await carries_refused()


@saga
async def carries_words() -> str:
    return await receive(str, name="word")


PLACES = {
    "/async": "step carries_async",
    "/thread": "step carries_in_thread",
    "/read": "step carries_read",
    "/transaction": "step carries_transaction",
    "/refused": "step carries_refused",
    "/undo": "compensate carries_async",
    "/undo-thread": "compensate carries_in_thread",
}


@on_a_loop
async def test_a_call_carries_the_attempt_s_span(database_url: str, seen: Seen) -> None:
    """Tracing 9: async, in a thread, in a transaction, reading and undoing; and nobody's baggage."""
    place = opened()
    token = attach(baggage.set_baggage("who", "ann"))
    try:
        async with Coordinator(database_url, resources=place) as coordinator:
            run = await coordinator.start(carries)
            with contextlib.suppress(RunFailed):
                await run.result()
    finally:
        detach(token)
    assert place.heard.keys() == PLACES.keys()
    for path, name in PLACES.items():
        trace_id, span_id = ids(seen.one(name))
        assert place.heard[path]["traceparent"][:52] == f"00-{trace_id:032x}-{span_id:016x}", path
        assert place.heard[path]["traceparent"].endswith("1")
        assert "baggage" not in place.heard[path]


@on_a_loop
async def test_a_caller_s_span_does_not_leak_into_steps(database_url: str, seen: Seen) -> None:
    """Tracing 1, 9: a coordinator opened and a run started under a span; what the run calls is its own."""
    place = opened()
    with trace.get_tracer("others").start_as_current_span("start-up") as outer:
        async with Coordinator(database_url, resources=place) as coordinator:
            run = await coordinator.start(carries)
            with contextlib.suppress(RunFailed):
                await run.result()
            assert trace.get_current_span() is outer
    trace_id = ids(seen.one("start carries"))[0]
    assert trace_id != outer.get_span_context().trace_id
    assert {headers["traceparent"].split("-")[1] for headers in place.heard.values()} == {f"{trace_id:032x}"}


def test_the_blocking_door_links_to_its_caller(database_url: str, seen: Seen) -> None:
    """Tracing 1, 9: a start, a signal, from a thread that isn't the loop's."""
    tracer = trace.get_tracer("web")
    with Coordinator.sync(database_url) as coordinator:
        with tracer.start_as_current_span("POST /orders") as started:
            run = coordinator.start(carries_words)
        with tracer.start_as_current_span("POST /again") as joined:
            other = coordinator.start(carries_words, trace="join")
        coordinator.run_until_idle()
        with tracer.start_as_current_span("POST /word") as told:
            coordinator.signal(run.id, "word", "yes")
            coordinator.signal(other.id, "word", "yes")
        assert (run.result(), other.result()) == ("yes", "yes")
    spans = {(ids(span)[0], span.name): span for span in seen.spans}
    anchors = [span for span in seen.spans if span.name == "start carries_words"]
    linked = next(span for span in anchors if span.parent is None)
    below = next(span for span in anchors if span.parent is not None)
    assert links(linked) == [("started_by", started.get_span_context().span_id)]
    assert below.parent is not None
    assert below.parent.span_id == joined.get_span_context().span_id
    for anchor in (linked, below):
        wait = spans[ids(anchor)[0], "wait signal word"]
        assert links(wait) == [("sent_by", told.get_span_context().span_id)]
        assert wait.kind is SpanKind.INTERNAL


@pytest.mark.parametrize("how", ["link", "join"])
@on_a_loop
async def test_signal_or_start_hangs_a_run_on_its_first_sender(
    database_url: str, seen: Seen, how: Any
) -> None:
    """Tracing 1, 9: the run that a first signal starts is started by its sender."""
    async with Coordinator(database_url, trace=how) as coordinator:
        with trace.get_tracer("web").start_as_current_span("event") as event:
            run = await coordinator.signal_or_start(carries_words, id="device-1", name="word", payload="yes")
        assert await run.result() == "yes"
    anchor, sender = seen.one("start carries_words"), event.get_span_context().span_id
    if how == "join":
        assert anchor.parent is not None
        assert anchor.parent.span_id == sender
    else:
        assert links(anchor) == [("started_by", sender)]


@transaction
def carries_outbox(connection: Connection) -> None:
    del connection
    current_step().outbox.put(carries_words, id="put")


@saga
async def carries_from_outbox() -> None:
    await carries_outbox()


@on_a_loop
async def test_a_run_from_an_outbox_hangs_on_the_transaction_that_put_it(
    database_url: str, seen: Seen
) -> None:
    """Tracing 1: what a step starts with its commit is linked to the attempt."""
    async with Coordinator(database_url) as coordinator:
        await (await coordinator.start(carries_from_outbox)).result()
        await coordinator.signal("put", "word", "yes")
        assert await (await coordinator.get("put")).result() == "yes"
    (link,) = links(seen.one("start carries_words"))
    assert link == ("started_by", ids(seen.one("step carries_outbox"))[1])


@saga
async def carries_asked() -> str:
    await approval(title="Well?")
    return "yes"


@carries_asked.on_complete
async def carries_report(report: Report[str]) -> None:
    """Have something to say."""
    del report


@on_a_loop
async def test_those_who_are_told_of_a_run_hang_on_it(database_url: str, seen: Seen) -> None:
    """Tracing 1, 9: notices and handlers have traces of their own, linked to the run; calls carry them."""
    place = opened()
    told = WebhookNotifier(f"{URL}notice", SECRET, client=place.async_client)
    async with Coordinator(database_url, resources=place, notifiers=[told]) as coordinator:
        with trace.get_tracer("web").start_as_current_span("POST /orders"):
            run = await coordinator.start(carries_asked)
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=True, by="ann")
        await coordinator.run_until_idle()
        assert await run.result() == "yes"
    anchor = seen.one("start carries_asked")
    for name in ("start amends.notify", "start carries_report"):
        assert links(seen.one(name)) == [("started_by", ids(anchor)[1])]
        assert ids(seen.one(name))[0] != ids(anchor)[0]
    notified = ids(seen.one("step amends.tell"))
    assert place.heard["/notice"]["traceparent"] == f"00-{notified[0]:032x}-{notified[1]:016x}-01"


@on_a_loop
async def test_those_who_are_told_of_a_run_are_sampled_as_it_is(
    database_url: str, seen: Seen, provider: TracerProvider
) -> None:
    """Tracing 10: also by a worker that would sample everything."""
    provider.sampler = ALWAYS_OFF
    async with Coordinator(database_url, work=False, resources=opened()) as starter:
        run = await starter.start(carries_asked)
    provider.sampler = ALWAYS_ON
    async with Coordinator(database_url, resources=opened(), notifiers=[LogNotifier()]) as coordinator:
        await coordinator.run_until_idle()
        (asked,) = await coordinator.approvals()
        await coordinator.decide(asked.id, approved=True, by="ann")
        await coordinator.run_until_idle()
        assert await (await coordinator.get(run.id)).result() == "yes"
        assert {row.saga for row in await coordinator.list()} == {
            "carries_asked",
            "carries_report",
            "amends.notify",
        }
    assert seen.spans == []
