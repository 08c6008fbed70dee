"""Starts: many at once, and one whose answer never came (S17)."""

from uuid import uuid4

from amends.sagas.journal import Kind
from tests.crash.cases import CASES
from tests.crash.cycles import Bench, Blow

PROCESSES = 4
EACH = 10


def test_forty_starts_of_one_id_make_one_run(bench: Bench) -> None:
    """S17, from four processes, two of them workers, and each effect happens once."""
    run = uuid4().hex
    with bench.store() as ledger:
        specs = [
            bench.spec("start", ledger, saga="linear", runs=[run] * EACH, work=number % 2 == 0)
            for number in range(PROCESSES)
        ]
        starting = [bench.zygote.start(spec) for spec in specs]
        assert [job.wait()[-1].code for job in starting] == [0] * PROCESSES, starting[0].log()
        assert list(ledger.runs()) == [run]
        bench.zygote.start(bench.spec("drive", ledger, saga="linear", run=run)).wait()
        story = bench.story(ledger, run)
    assert story.record.row.status == "completed"
    assert [call.name for call in story.calls] == ["hotel", "flight", "car"]


def test_a_start_whose_answer_was_lost_is_made_again_with_the_same_id(bench: Bench) -> None:
    """S17: killed after the start's commit, before its answer; the caller starts again and gets that run."""
    ends = bench.cycles(CASES[0], [(Blow(at, only="committed"),) for at in (1, 2, 3, 4)])
    between = [
        end
        for end in ends
        if "call" not in end.first.points and f"-{end.first.pid}-" in _first_intent(end.story.entries[0].meta)
    ]
    assert between, "none was killed between the commit and the answer"
    for end in ends:
        assert sum(entry.kind is Kind.INTENT for entry in end.story.entries) == len("abc")


def _first_intent(meta: dict[str, object]) -> str:
    return str(meta["worker"])
