"""Queues and workers from the command line: listed, limited, paused, resumed, deleted, served."""

import signal

import pytest

from tests.cli.processes import Amends


def test_limits_are_set_shown_and_taken_away(amends_on_both: Amends) -> None:
    amends = amends_on_both
    assert "`amends db upgrade`" in amends.refuses("queues")
    amends.says("db", "upgrade")
    assert amends.says("queues") == "no queues\n"
    said = amends.says("queues", "set", "mail", "--concurrency", "3", "--rate", "5/10s", "--as", "ann")
    assert said == "mail: 3 at once, 1 of a key, 5 begin in 10 s\n"
    assert amends.says("queues", "set", "mail", "--per-worker", "2", "--per-key", "0") == (
        "mail: 2 at one worker\n"
    )
    assert amends.says("queues", "pause", "mail") == "mail is paused\n"
    lines = [" ".join(line.split()) for line in amends.says("queues").splitlines()]
    assert lines == ["QUEUE QUEUED GOING OLDEST LIMITS", "mail 0 0 paused, 2 at one worker"]
    [queue] = amends.tells("queues")["queues"]
    assert queue == {
        "name": "mail",
        "concurrency": None,
        "per_worker": 2,
        "per_key": None,
        "rate": None,
        "paused": True,
        "queued": 0,
        "oldest": None,
        "going": 0,
    }
    assert amends.says("queues", "resume", "mail") == "mail goes on\n"
    assert amends.says("queues", "delete", "mail") == "mail has no limits any more\n"
    assert "nobody has made a queue 'mail'" in amends.refuses("queues", "delete", "mail")


def test_runs_wait_in_a_paused_queue_and_a_worker_of_it_takes_them(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says("db", "upgrade")
    amends.says("queues", "pause", "mail")
    amends.says("start", "post", "--module", "planned", "--id", "letter", "--input", '"hello"')
    assert amends.tells("show", "letter")["status"] == "queued"
    assert [run["id"] for run in amends.tells("runs", "--status", "queued")["runs"]] == ["letter"]
    assert "queued" in amends.says("runs")
    assert "nothing is due" in amends.work_off("planned")
    [queue] = amends.tells("queues")["queues"]
    assert (queue["queued"], queue["going"], queue["oldest"][-1]) == (1, 0, "Z")
    amends.says("queues", "resume", "mail")
    assert "nothing is due" in amends.work_off("planned", "--queue", "default", "--queue", "other")
    assert amends.tells("show", "letter")["status"] == "queued"
    assert "nothing is due" in amends.work_off("planned", "--queue", "mail")
    assert amends.tells("show", "letter")["status"] == "completed"


def test_workers_are_listed_with_what_they_serve(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says("db", "upgrade")
    assert amends.says("workers") == "no workers\n"
    with amends.worker("planned", "--queue", "mail") as worker:
        line = worker.line_with("serves")
        assert "of the queues mail, on" in line
        [row] = amends.tells("workers")["workers"]
        assert line.split()[1] == row["id"]
        assert (row["live"], row["holding"], row["queues"]) == (True, 0, ["mail"])
        assert row["sagas"] == ["post@1", "pulse@1", "report@1"]
        table = [" ".join(line.split()) for line in amends.says("workers").splitlines()]
        assert table[0] == "WORKER HOLDS SINCE LEASE SERVES"
        assert table[1].startswith(f"{row['id']} 0 ")
        assert table[1].endswith("post, pulse, report, of the queues mail")
        amends.says("start", "report", "--module", "planned", "--id", "r", "--input", '"x"')
        assert [run["id"] for run in amends.tells("runs", "--status", "unserved")["runs"]] == ["r"]
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    assert amends.says("workers") == "no workers\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("set", "mail", "--rate", "5"), "such as 100/1m"),
        (("set", "mail", "--rate", "5/0s"), "per"),
        (("set", "mail", "--rate", "5/40d"), "31 days"),
        (("set", "mail", "--rate", "0/1m"), "count"),
        (("set", "mail", "--concurrency", "0"), "--concurrency"),
        (("set", "default"), "never wait"),
        (("set", "a b"), "letters, digits"),
        (("pause", ""), "letters, digits"),
        (("--json", "pause", "mail"), "belongs behind 'pause'"),
    ],
)
def test_what_is_no_queue_and_no_limit_is_refused(
    amends: Amends, arguments: tuple[str, ...], complaint: str
) -> None:
    amends.says("db", "upgrade")
    assert complaint in amends.refuses("queues", *arguments)
    assert amends.says("queues") == "no queues\n"
