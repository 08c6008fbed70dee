"""The diagram and the table of a run's states in docs/concepts.md are those of the code."""

import re
from pathlib import Path

from amends.persistence.records import Status as Stored
from amends.sagas.states import ENDS, TRANSITIONS, Status

PAGE = Path(__file__).resolve().parent.parent / "docs" / "concepts.md"


def diagram() -> str:
    """Give the diagram of the transitions, as mermaid draws it."""
    lines = ["stateDiagram-v2", "    [*] --> open"]
    lines += [f"    {state} --> {after}" for state in Stored for after in _after(state)]
    lines += [f"    {state} --> [*]" for state in Stored if state in ENDS]
    return "\n".join(lines)


def table() -> str:
    """Give the table of the transitions."""
    rows = [
        f"| `{state}` | {', '.join(f'`{after}`' for after in _after(state)) or '—'} |" for state in Stored
    ]
    return "\n".join(["| from | to |", "|---|---|", *rows])


def _after(state: Stored) -> list[Stored]:
    return [after for after in Stored if after in TRANSITIONS[state]]


def test_the_diagram_is_that_of_the_code() -> None:
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text(encoding="utf-8"), diagram()


def test_the_table_of_transitions_is_that_of_the_code() -> None:
    assert f"\n{table()}\n" in PAGE.read_text(encoding="utf-8"), table()


def test_every_status_that_a_person_sees_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \| [^`]", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(Status) <= set(explained)
