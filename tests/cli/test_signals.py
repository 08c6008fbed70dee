import signal
import time

import pytest

from tests.cli.processes import Amends

KEEP = ("start", "keep", "--module", "shop", "--id", "k-1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_a_step_end_and_records_what_came_of_it(
    amends: Amends, number: signal.Signals
) -> None:
    amends.says(*KEEP, "--input", "false")
    with amends.worker("shop", "--grace", "60") as worker:
        worker.line_with("holding in attempt 1")
        worker.send(number)
        worker.line_with(f"{number.name}: no new steps")
        (amends.directory / "go").touch()
        assert worker.end() == 0
        assert worker.lines[-1].endswith("amends.worker: stopped")
    events = amends.tells("show", "k-1")["events"]
    assert [(event["state"], event["attempt"]) for event in events if event["what"] == "step"] == [
        ("landed", 1)
    ]


def test_a_second_worker_finishes_what_the_first_was_stopped_in(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says(*KEEP, "--input", "true")
    with amends.worker("shop", "--grace", "0.1") as worker:
        worker.line_with("holding in attempt 1")
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    assert "cut short when its worker stopped" in " ".join(amends.says("show", "k-1").split())
    assert amends.work_off("shop") == "nothing is due\n"
    shown = amends.tells("show", "k-1")
    assert (shown["status"], shown["result"]) == ("completed", "held in attempt 2")


def test_a_second_signal_exits_at_once(amends: Amends) -> None:
    amends.says(*KEEP, "--input", "true")
    with amends.worker("shop", "--grace", "600") as worker:
        worker.line_with("holding in attempt 1")
        worker.send(signal.SIGTERM)
        worker.line_with("SIGTERM: no new steps")
        worker.send(signal.SIGINT)
        assert worker.end() == 130


def test_a_thread_that_never_ends_does_not_keep_the_worker(amends: Amends) -> None:
    amends.says("start", "hog", "--module", "shop")
    with amends.worker("shop", "--grace", "0.1") as worker:
        worker.line_with("blocking")
        worker.send(signal.SIGTERM)
        began = time.monotonic()
        assert worker.end() == 0
    assert time.monotonic() - began < 50


def test_a_signal_ends_the_wait_until_idle(amends: Amends) -> None:
    amends.says(*KEEP, "--input", "true")
    with amends.worker("shop", "--until-idle", "--grace", "0.1") as worker:
        worker.line_with("holding in attempt 1")
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
        assert not any("due" in line for line in worker.lines)


def test_a_replayed_body_logs_nothing(amends: Amends) -> None:
    amends.says(*KEEP, "--input", "true")
    with amends.worker("shop", "--grace", "0.1") as worker:
        worker.line_with("holding in attempt 1")
        worker.send(signal.SIGTERM)
        worker.end()
        assert any("shop: the body begins" in line for line in worker.lines)
    again = amends("worker", "shop", "--until-idle")
    assert "holding in attempt 2" in again.stderr
    assert "the body begins" not in again.stderr


def test_the_log_level_silences_what_is_below_it(amends: Amends) -> None:
    amends.says(*KEEP, "--input", "true")
    result = amends("worker", "shop:tidy", "--until-idle", "--log-level", "error")
    assert (result.returncode, result.stdout, result.stderr) == (0, "nothing is due\n", "")
