"""Agents' runs from the command line: their story, told without their code, and their transcript."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from examples.model_server.server import problem
from tests.cli.processes import Amends


def waiting(amends: Amends) -> None:
    """Have the agent ask for the approval of a refund."""
    given = '"My kettle is broken."'
    amends.says("start", "refund_desk", "--module", "clerks", "--id", "r-1", "--input", given)
    amends.work_off("clerks")


def decided(amends: Amends, *acts: str) -> None:
    """Have people decide what they are asked, one after the other."""
    for act in acts:
        (asked,) = amends.tells("approvals")["approvals"]
        amends.says(act, asked["id"], "--as", "ann", "--reason", "so be it")
        amends.work_off("clerks")


def shown(amends: Amends, *what: str) -> str:
    return " ".join(amends.says(*what).split())


def messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    (transcript,) = document["transcripts"]
    found: list[dict[str, Any]] = transcript["messages"]
    assert problem({"messages": found}, "chat") is None
    return found


def test_the_story_tells_what_was_said_called_given_and_asked(amends_on_both: Amends) -> None:
    """A10, A12: read from the journal alone; the command is given no module."""
    amends = amends_on_both
    waiting(amends)
    told = shown(amends, "show", "r-1")
    assert 'refund_desk.model calls find_order(order="7") (1,000 + 50 tokens)' in told
    assert 'find_order(order="7") gave {"order": "7", "paid": "149.90"}' in told
    assert 'refund_desk.model says: It is broken.; calls give_back(order="7", amount=149)' in told
    assert 'asks for approval r-1:6: Refund 149?, give_back(amount=149, order="7")' in told
    assert "models 2 answers of gpt-4o, 2,000 tokens in, 100 out, $0.0060 by list price" in told
    decided(amends, "approve", "reject")
    told = shown(amends, "show", "r-1")
    assert 'give_back(order="7", amount=149) gave "149 paid back"' in told
    assert "refund_desk.model says: All is paid back. (1,000 + 50 tokens)" in told
    assert "rejected by ann: Is that right?" in told
    assert "take_back, undid give_back" in told
    assert "compensated" in told


def test_the_document_holds_what_the_story_tells(amends: Amends) -> None:
    waiting(amends)
    document = amends.tells("show", "r-1")
    assert document["models"] == {
        "answers": 2,
        "models": ["gpt-4o"],
        "input_tokens": 2_000,
        "output_tokens": 100,
        "cached_tokens": 0,
        "cost": "0.006",
    }
    answers = [event["detail"]["answer"] for event in document["events"] if "answer" in event["detail"]]
    assert answers[0]["calls"] == [{"tool": "find_order", "arguments": {"order": "7"}}]
    (asked,) = [event["detail"] for event in document["events"] if event["what"] == "approval"]
    assert (asked["tool"], asked["arguments"]) == ("give_back", {"order": "7", "amount": 149})
    (found,) = [event["detail"] for event in document["events"] if event["step"] == "find_order"]
    assert found == {"arguments": {"order": "7"}, "result": {"order": "7", "paid": "149.90"}}


def test_the_transcript_is_printed_to_be_read_and_in_the_form_of_openai(amends_on_both: Amends) -> None:
    """A11."""
    amends = amends_on_both
    waiting(amends)
    asked = ("transcript", "r-1", "--module", "clerks")
    assert 'calls give_back(order="7", amount=149) error [no result: the call has not come back]' in shown(
        amends, *asked
    )
    assert messages(amends.tells(*asked))[-1]["role"] == "tool"
    decided(amends, "approve", "reject")
    told = shown(amends, *asked)
    assert "told You work at a refund desk. user My kettle is broken. calls find_order" in told
    assert "gave 149 paid back" in told
    assert "error there is no tool 'bribe'" in told
    assert told.endswith("model All is paid back.")
    found = messages(amends.tells(*asked))
    assert found[0] == {"role": "system", "content": "You work at a refund desk."}
    assert [message["role"] for message in found].count("tool") == 4


def test_a_transcript_without_code_or_without_an_agent_is_a_mistake_in_one_line(amends: Amends) -> None:
    waiting(amends)
    assert "no saga 'refund_desk@1' is defined here" in amends.refuses("transcript", "r-1")
    assert "r-2" in amends.refuses("transcript", "r-2", "--module", "clerks")
    amends.says("start", "nap", "--module", "desk", "--id", "n-1")
    refused = amends.refuses("transcript", "n-1", "--module", "desk")
    assert refused == "run 'n-1' has no transcript: no agent has begun in it"


def test_neither_command_needs_a_client_of_a_model(amends: Amends) -> None:
    waiting(amends)
    program = (
        "import runpy, sys, atexit; sys.argv[0] = 'amends'\n"
        "atexit.register(lambda: print('openai' in sys.modules, file=sys.stderr))\n"
        "runpy.run_module('amends', run_name='__main__')"
    )
    for arguments in (["show", "r-1"], ["transcript", "r-1", "--module", "clerks"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=amends.directory,
            env=amends.environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr.strip() == "False"
        assert "give_back" in done.stdout


def test_a_step_that_only_looks_like_a_models_is_told_like_any_other(amends: Amends) -> None:
    """What isn't an answer is no answer, whatever the step's name."""
    amends.says("start", "looks_like_one", "--module", "clerks", "--id", "l-1")
    amends.work_off("clerks")
    assert "✓ some.model " in shown(amends, "show", "l-1")
    assert json.loads(amends.says("show", "l-1", "--json"))["models"] is None
