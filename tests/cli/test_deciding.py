"""Approvals from the command line, and runs that are woken."""

from tests.cli.processes import Amends


def waiting(amends: Amends) -> None:
    """Have a run ask for its approval."""
    amends.says("start", "refund", "--module", "desk", "--id", "r-1", "--input", "10")
    amends.work_off("desk")


def shown(amends: Amends, *what: str) -> str:
    return " ".join(amends.says(*what).split())


def test_two_people_approve_what_they_edited(amends_on_both: Amends) -> None:
    amends = amends_on_both
    waiting(amends)
    listed = shown(amends, "approvals")
    assert "r-1:1 Refund of an order pending" in listed
    assert "0 of 2" in listed
    one = shown(amends, "approvals", "r-1:1")
    assert 'details {"order": 7} fields amount, note values {"amount": 10, "note": ""}' in one
    assert "approvers ann, bob, cy approved 0 of 2" in one
    assert "waits for approval 'Refund of an order', due in 23 h" in shown(amends, "show", "r-1")
    edited = ("--set", "amount=5", "--set", "note=half")
    first = amends.says("approve", "r-1:1", "--as", "ann", *edited)
    assert first == "r-1:1 is approved by 1 of 2: Refund of an order\n"
    assert "ann has approved it already" in amends.refuses("approve", "r-1:1", "--as", "ann", *edited)
    assert "ann approved other values" in amends.refuses("approve", "r-1:1", "--as", "bob")
    second = amends.says("approve", "r-1:1", "--as", "bob", *edited, "--reason", "fair")
    assert second == "r-1:1 is approved: Refund of an order\n"
    assert "approved by bob: r-1:1 (not taken yet)" in shown(amends, "show", "r-1")
    amends.work_off("desk")
    assert amends.tells("show", "r-1")["result"] == "approved: amount=5 note='half'"
    assert "approved by bob: Refund of an order" in shown(amends, "show", "r-1")
    assert amends.says("approvals") == "nobody is asked\n"
    (decided,) = amends.tells("approvals", "--status", "all")["approvals"]
    assert (decided["status"], decided["decided_by"], decided["reason"]) == ("approved", "bob", "fair")
    assert decided["values"] == {"amount": 5, "note": "half"}
    assert "bob approve" in shown(amends, "audit", "r-1")


def test_one_who_rejects_says_why(amends: Amends) -> None:
    waiting(amends)
    told = amends.says("reject", "r-1:1", "--as", "cy", "--reason", "no receipt")
    assert told == "r-1:1 is rejected: Refund of an order\n"
    amends.work_off("desk")
    assert amends.tells("show", "r-1")["result"] == "rejected: None"
    assert amends.tells("approvals", "r-1:1")["reason"] == "no receipt"


def test_what_does_not_count_is_a_mistake(amends: Amends) -> None:
    waiting(amends)
    assert "zoe isn't among those who may decide" in amends.refuses("approve", "r-1:1", "--as", "zoe")
    assert "no approval 'r-1:2'" in amends.refuses("approve", "r-1:2", "--as", "ann")
    assert "give a field and a value" in amends.refuses("approve", "r-1:1", "--as", "ann", "--set", "amount")
    assert "no field 'sum'" in amends.refuses("approve", "r-1:1", "--as", "ann", "--set", "sum=1")
    wrong = amends.refuses("approve", "r-1:1", "--as", "ann", "--set", "amount=much")
    assert "the values don't fit the form: amount:" in wrong
    assert "there are: pending" in amends.refuses("approvals", "--status", "open")


def test_a_run_that_sleeps_is_woken(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says("start", "nap", "--module", "desk", "--id", "n-1")
    amends.work_off("desk")
    assert amends.says("wake", "n-1", "--as", "ann") == "n-1 is told to wake up\n"
    assert "told to wake up by ann (not taken yet)" in shown(amends, "show", "n-1")
    amends.work_off("desk")
    assert amends.tells("show", "n-1")["result"] == "awake"
    assert "woken by ann" in shown(amends, "show", "n-1")
    assert "has ended already" in amends.refuses("wake", "n-1")
