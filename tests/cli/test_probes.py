"""Probes over HTTP, what systemd is told, and logs as JSON."""

import asyncio
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from amends.cli import probes
from amends.cli.probes import Place, answering
from amends.sagas import Health
from tests.cli.processes import Amends, Worker

TOKEN = "opensesame"  # noqa: S105 - for tests


def base(worker: Worker) -> str:
    """Give the address at which a worker answers, and wait until it serves."""
    found = re.search(r"on port (\d+) of ([0-9.]+)", worker.line_with("probes are answered"))
    assert found is not None
    worker.line_with("serves")
    return f"http://{found[2]}:{found[1]}"


@contextmanager
def a_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_worker_answers_probes(amends_on_both: Amends) -> None:
    with amends_on_both.worker("shop", "--health", "0") as worker:
        place = base(worker)
        for path in ("/live", "/ready"):
            answer = httpx.get(place + path)
            assert (answer.status_code, answer.text) == (200, "ok\n")
            assert httpx.head(place + path).content == b""
        assert httpx.get(place + "/").status_code == 404
        assert httpx.post(place + "/ready").status_code == 501


def test_a_page_in_a_browser_gets_nothing(amends: Amends) -> None:
    with amends.worker("shop", "--health", "0") as worker:
        place = base(worker)
        assert httpx.get(place + "/ready", headers={"Host": "shop.example"}).status_code == 401
        assert httpx.get(place + "/ready", headers={"Host": "localhost:1"}).status_code == 200


def test_with_a_token_nobody_else_is_answered(amends: Amends) -> None:
    with amends.worker("shop", "--health", "0.0.0.0:0", env={"AMENDS_HEALTH_TOKEN": TOKEN}) as worker:
        place = base(worker)
        assert httpx.get(place + "/live").status_code == 401
        for shown in (TOKEN, f"Bearer {TOKEN}x", "Bearer", "Bearer \xfc"):
            headers = {b"Authorization": shown.encode("latin-1")}
            assert httpx.get(place + "/live", headers=headers).status_code == 401
        assert httpx.get(place + "/live", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("typed", ["0.0.0.0:80", "[::]:80", "shop.example:80"])
def test_an_address_that_others_reach_is_refused_without_a_token(amends: Amends, typed: str) -> None:
    assert "AMENDS_HEALTH_TOKEN" in amends.refuses("worker", "shop", "--health", typed)


@pytest.mark.parametrize("typed", ["web", "80:", "localhost:-1", "65536", "localhost:\u0663"])
def test_what_is_no_port_is_refused(amends: Amends, typed: str) -> None:
    assert "give a port" in amends.refuses("worker", "shop", "--health", typed)


def test_a_port_that_is_taken_is_told(amends: Amends) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = amends.refuses("worker", "shop", "--health", f"{port}")
    assert f"127.0.0.1:{port} can't be listened on: Address already in use" in told


def test_a_blocked_loop_is_not_alive_and_lives_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "WITHIN", 0.1)
    held, blocked = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        held.wait(60)

    async def ready() -> Health:
        return Health(ready=False, reason="it isn't open")

    with a_loop() as loop, answering(Place("127.0.0.1", 0, None), loop, ready) as port:
        place = f"http://127.0.0.1:{port}"
        assert httpx.get(place + "/live").status_code == 200
        answer = httpx.get(place + "/ready")
        assert (answer.status_code, answer.text) == (503, "it isn't open\n")
        loop.call_soon_threadsafe(block)
        blocked.wait(60)
        answer = httpx.get(place + "/live")
        assert (answer.status_code, answer.text) == (503, "the event loop is blocked for 0.1 s and more\n")
        held.set()
        while httpx.get(place + "/live").status_code != 200:
            pass


def test_systemd_hears_that_a_worker_serves_lives_and_stops(amends: Amends, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(60)
        said = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        with amends.worker("shop", env=said) as worker:
            assert [line.recv(99) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            worker.send(signal.SIGTERM)
            while (heard := line.recv(99)) == b"WATCHDOG=1":
                pass
            assert heard == b"STOPPING=1"
            worker.line_with("stopped")


def test_a_worker_whose_systemd_is_gone_works(amends: Amends) -> None:
    result = amends("worker", "shop", "--until-idle", env={"NOTIFY_SOCKET": "/nowhere"})
    assert result.returncode == 0
    assert "systemd can't be told READY=1" in result.stderr


def test_a_log_as_json_names_worker_and_run(amends: Amends) -> None:
    for run, card in (("r-7", "broken"), ("r-8", "declined")):
        order = json.dumps({"id": run, "card": card})
        amends.says("start", "fulfil_order", "--module", "shop", "--input", order, "--id", run)
    result = amends("worker", "shop", "--until-idle", "--log-format", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    (parked,) = [line for line in lines if "is parked" in line["message"]]
    assert (parked["level"], parked["logger"], parked["run_id"]) == ("WARNING", "amends", "r-7")
    assert parked["worker"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", parked["time"])
    (released,) = [line for line in lines if line["message"] == "released r-8"]
    assert (released["run_id"], released["step"], released["attempt"]) == ("r-8", "release_stock", 1)
