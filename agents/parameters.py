"""A function's parameters as a model fills them in: a JSON Schema, and what was filled in, checked."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, cast

from docstring_parser import parse
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import from_json

from amends.sagas.errors import DefinitionError

LARGEST: Final = 1 << 20
"""Bytes of JSON that a model may write as the arguments of one call."""
NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Misfit(ValueError):
    """What a model wrote can't be the arguments; the text is for the model."""


class Parameters:
    """What a tool is called with: its JSON Schema, and the form that people edit.

    Numbers written as texts and the like are taken (a model means 5 when it writes "5"); names that aren't
    there, missing ones, and what doesn't fit are refused.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str, parameters: list[inspect.Parameter], hints: Mapping[str, Any]
    ) -> None:
        told = parse(inspect.getdoc(fn) or "")
        self.description = "\n\n".join(filter(None, (told.short_description, told.long_description)))
        texts = {param.arg_name: param.description for param in told.params if param.description}
        fields: list[Any] = []
        for parameter in parameters:
            if parameter.kind not in NAMED:
                raise DefinitionError(
                    f"tool {name!r}: a model gives arguments by name, so {parameter} can't be a parameter"
                )
            kind = hints.get(parameter.name, Any)
            if parameter.name in texts:
                kind = Annotated[kind, Field(description=" ".join(texts[parameter.name].split()))]
            fields.append((parameter.name, kind, _default(parameter)))
        made = dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)
        self.form: type[Any] = with_config(ConfigDict(extra="forbid"))(made)
        try:
            self._type: TypeAdapter[Any] = TypeAdapter(self.form)
            self.schema = _plain(self._type.json_schema())
        except (PydanticUserError, PydanticSchemaGenerationError) as problem:
            reason = str(problem).splitlines()[0]
            raise DefinitionError(
                f"tool {name!r}: a model can't be told its parameters: {reason}"
            ) from problem

    def read(self, text: str) -> dict[str, Any]:
        """Give the arguments that a model wrote as JSON. Raises `Misfit`."""
        if len(text.encode("utf-8", "replace")) > LARGEST:
            raise Misfit(f"the arguments are too long: more than {LARGEST} bytes")
        try:
            given = json.loads(text or "{}", object_pairs_hook=_once, parse_constant=_no_constant)
            plain = json.dumps(given, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Misfit("the arguments hold a character that is no text (a lone surrogate)") from None
        except RecursionError:
            raise Misfit("the arguments are nested too deep") from None
        except Misfit:
            raise
        except ValueError as problem:
            raise Misfit(f"the arguments are no JSON: {problem}") from None
        if not isinstance(given, dict):
            raise Misfit(f"the arguments are one JSON object, not {type(given).__name__}")
        return self.checked(plain)

    def checked(self, data: bytes) -> dict[str, Any]:
        """Give the arguments that JSON stands for. Raises `Misfit`."""
        try:
            made = self._type.validate_json(data)
        except ValidationError as problem:
            raise Misfit(words_of(problem, "the arguments")) from None
        except (ValueError, RecursionError) as problem:
            raise Misfit(f"the arguments don't fit: {problem}") from None
        return {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}

    def encoded(self, arguments: Mapping[str, Any]) -> bytes:
        """Give arguments as JSON, the same bytes for the same ones."""
        return self._type.dump_json(self.form(**arguments), by_alias=False, round_trip=True)

    def plain(self, arguments: Mapping[str, Any]) -> Any:
        """Give arguments as JSON values."""
        return json.loads(self.encoded(arguments))

    def filled(self, arguments: Mapping[str, Any]) -> Any:
        """Give the form with these arguments filled in."""
        return self.form(**arguments)


def digest_of(name: str, arguments: bytes) -> str:
    """Give what an approval of a call is bound to: the hash of its tool and its exact arguments (A10)."""
    canonical = json.dumps([name, from_json(arguments)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return dataclasses.field()
    value = parameter.default
    return dataclasses.field(default_factory=lambda: value)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing to a model: the titles that pydantic makes of names."""
    return cast("dict[str, Any]", _without_titles(schema))


def _without_titles(node: Any, *, names: bool = False) -> Any:
    if isinstance(node, list):
        return [_without_titles(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(value, names=key in ("properties", "$defs"))
        for key, value in node.items()
        if names or key != "title" or not isinstance(value, str)
    }


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Misfit(f"the arguments say {twice!r} twice")
    return made


def _no_constant(word: str) -> Any:
    raise Misfit(f"{word} is no JSON; numbers are finite")


def words_of(problem: ValidationError, what: str) -> str:
    """Say in one line what doesn't fit, for a model that is to do better."""
    told = [
        f"{'.'.join(map(str, error['loc'])) or what}: {error['msg']}"
        for error in problem.errors(include_url=False, include_context=False, include_input=False)
    ]
    return f"{what} can't be taken: " + "; ".join(told[:20])
