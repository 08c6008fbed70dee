"""An agent's final answer: text, or a type that the model's JSON has to fit."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from amends.agents.model import OutputSpec
from amends.agents.parameters import Misfit, words_of

FENCE: Final = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
WRAPPED: Final = "result"
"""What isn't an object is asked for under this name: providers want one."""


class Output:
    """The type of an agent's result, as a model is asked for it and as its answer is read."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.is_text = kind is str
        self._type: TypeAdapter[Any] = TypeAdapter(kind)
        self._wrapped = False
        self.spec: OutputSpec | None = None
        if not self.is_text:
            schema = self._type.json_schema()
            self._wrapped = schema.get("type") != "object" and "$ref" not in schema
            if self._wrapped:
                definitions = schema.pop("$defs", None)
                schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
                schema |= {"$defs": definitions} if definitions else {}
            name = getattr(kind, "__name__", "") or "result"
            self.spec = OutputSpec(re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64], schema)

    def read(self, text: str) -> Any:
        """Give the result that a final answer holds. Raises `Misfit`, for the model to do better."""
        if self.is_text:
            return text
        fenced = FENCE.match(text)
        plain = fenced[1] if fenced else text
        try:
            if self._wrapped:
                return TypeAdapter(dict[str, self.kind]).validate_json(plain)[WRAPPED]  # type: ignore[name-defined]  # a type made at run time
            return self._type.validate_json(plain)
        except ValidationError as problem:
            raise Misfit(words_of(problem, "the answer")) from None
        except (KeyError, ValueError, RecursionError) as problem:
            raise Misfit(f"the answer doesn't fit: {problem}") from None
