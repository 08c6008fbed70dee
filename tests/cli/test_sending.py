"""Signals from the command line, and runs that wait for one."""

import json

from tests.cli.processes import Amends

PAID = ("--payload", '{"amount": 7}')


def waiting(amends: Amends) -> None:
    """Have a run wait for its signal."""
    amends.says("start", "order", "--module", "desk", "--id", "o-1")
    amends.work_off("desk")


def shown(amends: Amends, run: str = "o-1") -> str:
    return " ".join(amends.says("show", run).split())


def test_a_run_that_waits_is_sent_what_it_waits_for(amends_on_both: Amends) -> None:
    amends = amends_on_both
    waiting(amends)
    assert "waits for signal 'paid', due in 2 d 23 h" in shown(amends)
    assert amends.tells("show", "o-1")["waits_for"] == "signal 'paid'"
    assert amends.says("signal", "o-1", "paid", *PAID) == "o-1 is sent the signal 'paid'\n"
    assert """signal 'paid': {"amount":7} (not taken yet)""" in shown(amends)
    amends.work_off("desk")
    assert """signal 'paid': {"amount":7}""" in shown(amends)
    document = amends.tells("show", "o-1")
    assert (document["result"], document["waits_for"]) == (7, None)
    signals = [event for event in document["events"] if event["what"] == "signal"]
    assert json.loads(signals[0]["detail"]["payload"]) == {"amount": 7}


def test_the_same_message_is_sent_once(amends: Amends) -> None:
    waiting(amends)
    for _ in range(2):
        amends.says("signal", "o-1", "paid", *PAID, "--id", "evt-1")
    amends.work_off("desk")
    events = amends.tells("show", "o-1")["events"]
    assert [event["what"] for event in events].count("signal") == 1


def test_with_the_module_the_payload_is_checked(amends: Amends) -> None:
    waiting(amends)
    told = amends.refuses("signal", "o-1", "paid", "--payload", '"much"', "--module", "desk")
    assert "signal 'paid': the payload doesn't fit what the saga receives (Payment:" in told
    assert amends.refuses("signal", "o-1", "paid", "--payload", "{").startswith("--payload is no JSON")


def test_an_unknown_run_and_an_ended_one_are_mistakes(amends: Amends) -> None:
    waiting(amends)
    assert amends.refuses("signal", "o-2", "paid") == "there is no run 'o-2' in this database"
    amends.says("signal", "o-1", "paid", *PAID)
    amends.work_off("desk")
    assert "run 'o-1' has ended: completed" in amends.refuses("signal", "o-1", "paid", *PAID)
