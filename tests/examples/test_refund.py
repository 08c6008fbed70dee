"""The example of approvals: a quorum, an escalation, and an approved refund that is undone (A10)."""

from pathlib import Path

from tests.examples.programs import Program


def test_two_people_approve_and_change_a_refund(tmp_path: Path) -> None:
    with Program("refund.py", cwd=tmp_path) as program:
        assert program.end() == 0
    # Of an old SQLite workers warn.
    assert [line for line in program.lines if "SQLite" not in line] == [
        "order-1: eve asks for 100",
        "  eve: eve has asked for it, and can't decide it",
        "  ann: amount: input should be less than or equal to 500, not 900",
        "  ann approves 80",
        "  bob: ann approved other values; everybody has to approve the same",
        "  bob approves 80",
        "  completed: 80 paid, approved by ann and bob; the books say 80",
        "order-2: eve asks for 100",
        "  ann approves",
        "  boss: boss isn't among those who may decide: ann, bob",
        "  boss approves",
        "  completed: 100 paid, approved by ann and boss; the books say 100",
        "order-3: eve asks for 100",
        "  ann approves",
        "  bob approves",
        "  compensated: nothing is paid; the books say 0",
    ]
    assert list(tmp_path.iterdir()) == []
