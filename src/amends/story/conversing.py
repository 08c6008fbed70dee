"""Agents' runs in words: what a model said, what tools were called with and gave, what it cost.

Read from the journal alone: neither the agent's code nor any client of a model is needed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from amends.persistence.unfit import flat

MODEL = ".model"
"""How the name of the step ends by which an agent asks its model."""
LONGEST = 300
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")

Told = dict[str, Any]


class Talk:
    """What the models of a run have said so far, and so which of its steps are tools' calls."""

    def __init__(self) -> None:
        self._called: set[str] = set()

    def of(self, step: str | None, arguments: bytes | None, result: bytes | None) -> Told:
        """Give what is told of a step: `answer` of a model's, `arguments` and `result` of a tool's."""
        if step is None:
            return {}
        if step.endswith(MODEL) and result is not None:
            return self._answer(_decoded(result))
        if step not in self._called:
            return {}
        told = {"arguments": _decoded(arguments)}
        return told if result is None else {**told, "result": _decoded(result)}

    def asked(self, request: bytes | None) -> Told:
        """Give what is told of an approval: the tool that it is about, and the arguments."""
        details = _mapping(_mapping(_decoded(request)).get("details"))
        tool = details.get("tool")
        return {"tool": tool, "arguments": details.get("arguments")} if tool in self._called else {}

    def _answer(self, recorded: Any) -> Told:
        answer = _mapping(_mapping(recorded).get("answer"))
        message, usage = _mapping(answer.get("message")), _mapping(answer.get("usage"))
        if not message or not usage:
            return {}
        given = message.get("calls")
        calls = [
            {"tool": str(call.get("name")), "arguments": _decoded(str(call.get("arguments")))}
            for call in map(_mapping, given if isinstance(given, list) else ())
        ]
        self._called.update(call["tool"] for call in calls)
        refusal = message.get("refusal")
        told = {
            "text": str(message.get("text") or ""),
            "refusal": None if refusal is None else str(refusal),
            "calls": calls,
        }
        tokens = {name: count if isinstance(count := usage.get(name), int) else 0 for name in TOKENS}
        return {"answer": {**told, "finish": answer.get("finish"), "model": answer.get("model"), **tokens}}


def said(step: str | None, answer: Told) -> str:
    """Tell what a model answered."""
    parts = []
    if answer["text"]:
        parts.append(f"says: {short(answer['text'])}")
    if answer["refusal"]:
        parts.append(f"refuses: {short(answer['refusal'])}")
    if answer["calls"]:
        parts.append(
            "calls " + ", ".join(called(call["tool"], call["arguments"]) for call in answer["calls"])
        )
    spent = f"({answer['input_tokens']:,} + {answer['output_tokens']:,} tokens)"
    cut = ", cut off" if answer["finish"] == "length" else ""
    return f"{step} {'; '.join(parts) or 'says nothing'}{cut} {spent}"


def called(tool: str | None, arguments: Any) -> str:
    """Write a call as one in Python."""
    if isinstance(arguments, Mapping):
        given = ", ".join(f"{flat(str(name))}={_json(value)}" for name, value in arguments.items())
    else:
        given = _json(arguments)
    return f"{flat(str(tool))}({short(given)})"


def gave(detail: Told) -> str:
    """Tell what a tool gave."""
    return f" gave {short(_json(detail['result']))}" if detail.get("result") is not None else ""


def usage_of(answers: Iterable[Told]) -> Told | None:
    """Count what the models' answers used up; None where there are none.

    `cost` is in US dollars by list prices, as text; None where nobody knows the price of one of them.
    """
    given = list(answers)
    if not given:
        return None
    used: Counter[str] = Counter()
    for answer in given:
        used.update({name: answer[name] for name in TOKENS})
    costs = [_cost(answer) for answer in given]
    known = [each for each in costs if each is not None]
    return {
        "answers": len(given),
        "models": sorted({str(answer["model"]) for answer in given}),
        **{name: used[name] for name in TOKENS},
        "cost": f"{sum(known, Decimal(0)).normalize():f}" if len(known) == len(costs) else None,
    }


def spent(usage: Told) -> str:
    """Tell what the models' answers used up, in words."""
    count, cost = usage["answers"], usage["cost"]
    told = f"{count} answer{'s' if count > 1 else ''} of {', '.join(map(flat, usage['models']))}"
    told += f", {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out"
    return told if cost is None else f"{told}, ${Decimal(cost):,.4f} by list price"


def short(text: str) -> str:
    """Give a text in one line, and not too long a one."""
    line = " ".join(flat(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _cost(answer: Told) -> Decimal | None:
    try:
        from amends.agents.model import Usage  # noqa: PLC0415 - heavy, and an extra
        from amends.agents.prices import cost  # noqa: PLC0415
    except ImportError:
        return None
    tokens = {name: answer[name] for name in TOKENS}
    return cost(str(answer["model"]), Usage(**tokens))


def _json(value: Any) -> str:
    return value if isinstance(value, str) and not value else json.dumps(value, ensure_ascii=False)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _decoded(data: bytes | str | None) -> Any:
    """Give a payload's value; text that isn't JSON is given as it is."""
    if data is None:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data if isinstance(data, str) else data.decode(errors="backslashreplace")
