"""What comes in wrong is refused with words that help, and harms no other run."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from amends.sagas import (
    Coordinator,
    InputInvalid,
    NotInBody,
    RecordUnreadable,
    ResultInvalid,
    Saga,
    Status,
    Undo,
    UnknownSaga,
    saga,
    step,
)
from amends.sagas.journal import Kind
from amends.sagas.registry import saga_named
from tests.sagas.running import ONCE, Gate, ended, failure, on_a_loop, parked, recorded, result_of


@step(name="bad.double")
async def double(number: int) -> int:
    return number * 2


@on_a_loop
async def test_arguments_that_do_not_fit_are_an_error_where_the_step_is_called(sqlite_url: str) -> None:
    """S26: validated and encoded before F; the error names step and parameter."""

    @saga
    async def body() -> list[str]:
        told = []
        anyhow: Any = double
        for args, more in (("x",), {}), ((), {}), ((1, 2), {}), ((1,), {"nubmer": 1}):
            try:
                await anyhow(*args, **more)
            except InputInvalid as error:
                told.append(str(error))
        return told

    told = await result_of(sqlite_url, body)
    assert len(told) == 4
    assert all("bad.double" in one for one in told)
    assert "number" in told[0]
    assert "nubmer" in told[3]


@on_a_loop
async def test_a_result_that_does_not_fit_has_landed_and_is_undone(database_url: str) -> None:
    """S26: landed, result lost, still owed; the body is told after it is undone, and it isn't tried again."""
    done: list[Any] = []

    @step
    async def lies() -> int:
        done.append("lies")
        return "no number"  # type: ignore[return-value]  # on purpose

    @lies.compensation
    async def unlies(undo: Undo[int]) -> None:
        done.append((undo.result, undo.outcome))

    @saga
    async def body() -> str:
        try:
            await lies()
        except ResultInvalid as error:
            done.append("told")
            return str(error)
        return ""

    assert "doesn't fit its annotation, although its effect has landed" in await result_of(database_url, body)
    assert done == ["lies", (None, "landed"), "told"]


@pytest.mark.parametrize(
    "value", [object(), "text", {1, 2}, "\ud800"], ids=["object", "str", "set", "surrogate"]
)
@on_a_loop
async def test_a_saga_whose_result_does_not_fit_fails(sqlite_url: str, value: Any) -> None:
    """S13: a run whose result can't be stored hasn't completed."""

    @saga
    async def body() -> dict[str, int]:
        await double(1)
        return value  # type: ignore[no-any-return]  # on purpose

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
        assert isinstance(failed.error, ResultInvalid)
        assert failed.status == "failed"


def test_a_saga_that_nobody_defined_is_unknown() -> None:
    """`UnknownSaga` lists what there is."""
    with pytest.raises(UnknownSaga, match="defined are"):
        saga_named("no such saga")
    with pytest.raises(UnknownSaga, match="no such saga@7"):
        saga_named("no such saga", "7")


def io_sagas() -> list[Saga[[], Any]]:
    """Define sagas that do real I/O, each in another way."""

    @saga(name="bad.connection")
    async def connection() -> None:
        await asyncio.open_connection("127.0.0.1", 1)

    @saga(name="bad.thread")
    async def thread() -> None:
        await asyncio.to_thread(print)

    @saga(name="bad.client")
    async def client() -> None:
        async with httpx.AsyncClient() as http:
            await http.get("http://127.0.0.1:1")

    @saga(name="bad.process")
    async def process() -> None:
        await asyncio.create_subprocess_exec("true")

    @saga(name="bad.names")
    async def names() -> None:
        await asyncio.get_running_loop().getaddrinfo("localhost", 1)

    return [connection, thread, client, process, names]


@on_a_loop
async def test_real_io_in_a_body_is_refused_by_an_error_that_names_the_line(sqlite_url: str) -> None:
    """Section 2, Bodies: sockets, threads and subprocesses raise "put it in a step"."""
    async with Coordinator(sqlite_url) as coordinator:
        for body in io_sagas():
            failed = await failure(await coordinator.start(body))
            error = failed.error
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            assert isinstance(error, NotInBody), (body.name, error)
            assert "put it in a step" in str(error), body.name
            line = body.fn.__code__.co_firstlineno
            assert str(error).startswith(f"{__file__}:"), error
            assert line < int(str(error).removeprefix(f"{__file__}:").split()[0]) <= line + 4, (
                body.name,
                error,
            )


@on_a_loop
async def test_a_changed_body_parks_with_both_sides_and_can_still_be_undone(database_url: str) -> None:
    """Section 3: parked with a report; compensating reads the journal, not the body."""
    gate = Gate()
    done: list[str] = []

    @step(name="bad.reserve")
    async def reserve(what: str) -> str:
        done.append(what)
        return what

    @reserve.compensation(name="bad.release")
    async def release(undo: Undo[str], what: str) -> None:
        done.append(f"-{what}")

    @step(name="bad.waits", retry=ONCE)
    async def waits() -> None:
        await gate.wait()

    def define(word: str) -> Saga[[], None]:
        @saga(name="bad.changed")
        async def changed() -> None:
            await reserve(word)
            await waits()

        return changed

    async with Coordinator(database_url, grace=dt.timedelta(0)) as coordinator:
        run = await coordinator.start(define("a"), id="a")
        await gate.reached.wait()
    gate.opened.set()
    define("b")
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.get("a")
        told = str(await parked(run))
        assert 'bad.reserve({"what":"a"})' in told
        assert 'bad.reserve({"what":"b"})' in told
        assert await (await coordinator.start(define("c"), id="c")).status() is not Status.PARKED
        await run.cancel()
        assert await ended(run) is Status.COMPENSATED
    assert done == ["a", "c", "-a"]


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("landed", "payload", b"\xff{"),
        ("landed", "kind", "nonsense"),
        ("intent", "meta", "{"),
        ("intent", "meta", "{}"),
        ("landed", "format", 99),
    ],
)
@on_a_loop
async def test_a_record_that_can_not_be_decoded_parks_its_run_only(
    database_url: str, kind: str, column: str, value: Any
) -> None:
    """S26, L3: one poison record blocks nobody."""
    hold = asyncio.Event()

    @step(name="bad.holds")
    async def holds() -> None:
        await hold.wait()

    @saga(name="bad.records")
    async def body() -> int:
        got = await double(1)
        await holds()
        return got

    async with Coordinator(database_url, grace=dt.timedelta(0)) as coordinator:
        for name in "ab":
            run = await coordinator.start(body, id=name)
            await recorded(run, Kind.LANDED)
    hold.set()
    async with Coordinator(database_url, work=False) as coordinator:
        journal = "amends_journal" if database_url.startswith("sqlite") else "amends.journal"
        with coordinator.engine.begin() as connection:
            damage = f"UPDATE {journal} SET {column} = :value WHERE run_id = 'a' AND kind = :kind AND ref = 1"  # noqa: S608 - a damaged database
            connection.execute(text(damage), {"value": value, "kind": kind})
    async with Coordinator(database_url) as coordinator:
        assert await (await coordinator.get("b")).result(30) == 2
        await coordinator.run_until_idle()
        assert await (await coordinator.get("a")).status() is Status.PARKED


@on_a_loop
async def test_an_entry_that_newer_code_wrote_is_refused_in_words(sqlite_url: str) -> None:
    """Section 3: entries hold a format number."""

    @saga(name="bad.format")
    async def body() -> int:
        return await double(1)

    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(body)
        await run.result()
        with coordinator.engine.connect() as connection:
            assert set(connection.execute(_FORMATS).scalars()) == {1}
        with coordinator.engine.begin() as connection:
            connection.execute(text("UPDATE amends_journal SET format = 2 WHERE seq = 1"))
        with pytest.raises(RecordUnreadable, match=r"Entry 1 of run .* has format 2.*A newer amends wrote"):
            await run.journal()


_FORMATS = text("SELECT format FROM amends_journal")


@on_a_loop
async def test_blocking_calls_in_a_body_are_not_refused_and_not_hidden(sqlite_url: str) -> None:
    """Section 2: what asyncio never sees can't be refused; its error is the run's error like any other."""

    @saga
    async def body() -> None:
        with socket.socket() as plain:
            plain.settimeout(0.1)
            plain.connect(("127.0.0.1", 1))

    async with Coordinator(sqlite_url) as coordinator:
        failed = await failure(await coordinator.start(body))
        assert isinstance(failed.error, OSError)
