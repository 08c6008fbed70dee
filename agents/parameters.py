"""A function's parameters as a model fills them in: a JSON Schema, and what was filled in, checked."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from amends.agents.argument_schema import described, field_infos, shaped, told_of
from amends.agents.argument_text import LARGEST, Misfit, no_constant, object_in, words_of
from amends.persistence.typed_json import CONFIG, JsonType, object_type
from amends.sagas.arguments import json_type
from amends.sagas.errors import DefinitionError

__all__ = ["LARGEST", "Misfit", "Parameters", "digest_of", "words_of"]

NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
FORM: Final = ConfigDict(**{**CONFIG, "extra": "forbid", "allow_inf_nan": False})


class Parameters:
    """What a tool is called with: its JSON Schema, and the form that people edit.

    Numbers written as texts and the like are taken (a model means 5 when it writes "5"); names that aren't
    there, missing ones, and what doesn't fit are refused. Whatever is taken has been written as JSON and read
    again: it is what the journal will hold, what people are shown, and what the function gets.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str, parameters: list[inspect.Parameter], hints: Mapping[str, Any]
    ) -> None:
        told, what = told_of(fn), f"tool {name!r}"
        self.description = told.description
        self.names = tuple(each.name for each in parameters)
        kinds = {each.name: _kind(each, hints, what) for each in parameters}
        defaults = {
            each.name: _default_json(each.default, kinds[each.name], f"{what}: parameter {each.name!r}")
            for each in parameters
            if each.default is not each.empty
        }
        fields: list[Any] = [
            (each.name, described(kinds[each.name], told.parameters.get(each.name)), _default(each))
            for each in parameters
        ]
        made = dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)
        self.form: type[Any] = with_config(FORM)(made)
        self._record = object_type(name, kinds)
        try:
            self._type: TypeAdapter[Any] = TypeAdapter(self.form)
            self.schema = shaped(self._type.json_schema(), defaults)
        except PydanticUserError as problem:
            reason = str(problem).splitlines()[0]
            raise DefinitionError(f"{what}: a model can't be told its parameters: {reason}") from problem

    def read(self, text: str) -> dict[str, Any]:
        """Give the arguments that a model wrote as JSON. Raises `Misfit`."""
        plain = object_in(text)
        try:
            made = self._type.validate_json(plain)
        except ValidationError as problem:
            raise Misfit(words_of(problem, "the arguments")) from None
        except Exception as problem:  # noqa: BLE001 - a validator of somebody else's may raise anything
            raise Misfit(f"the arguments don't fit: {problem}") from None
        return self._settled({name: getattr(made, name) for name in self.names})

    def checked(self, data: bytes) -> dict[str, Any]:
        """Give the arguments that JSON of our own stands for, as people have edited it. Raises `Misfit`."""
        try:
            return self._settled(self._record.decode(data))
        except ValueError as problem:
            raise Misfit(f"the arguments don't fit: {problem}") from None

    def encoded(self, arguments: Mapping[str, Any]) -> bytes:
        """Give arguments as JSON, the same bytes for the same ones."""
        return self._record.encode(arguments)

    def plain(self, arguments: Mapping[str, Any]) -> Any:
        """Give arguments as JSON values."""
        return json.loads(self.encoded(arguments))

    def filled(self, arguments: Mapping[str, Any]) -> Any:
        """Give the form with these arguments filled in."""
        return self.form(**arguments)

    def _settled(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Give arguments as they are when they come back from the journal. Raises `Misfit`.

        Some never settle: their validator makes something else of them each time. What people approve then
        isn't what would be done (A10).
        """
        try:
            data = self._record.encode(arguments)
            json.loads(data, parse_constant=no_constant)
            settled = self._record.decode(data)
            again = self._record.encode(settled)
        except Misfit:
            raise
        except (ValueError, RecursionError) as problem:
            raise Misfit(f"the arguments can't be recorded: {problem}") from None
        if again != data:
            raise Misfit("the arguments become others each time they are read")
        return settled


def digest_of(name: str, arguments: bytes) -> str:
    """Give what an approval of a call is bound to: the hash of its tool and its exact arguments (A10)."""
    canonical = json.dumps([name, json.loads(arguments)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _kind(parameter: inspect.Parameter, hints: Mapping[str, Any], what: str) -> Any:
    """Give a parameter's annotation. Raises `DefinitionError` for what a model can't fill in."""
    if parameter.kind not in NAMED:
        raise DefinitionError(
            f"{what}: a model gives arguments by name, so that {parameter} can't be a parameter"
        )
    if parameter.name not in hints:
        raise DefinitionError(
            f"{what}: parameter {parameter.name!r} has no annotation; a model has to be told what to "
            "write, so say Any if it may be anything"
        )
    kind = hints[parameter.name]
    if any(info.alias or info.validation_alias for info in field_infos(kind)):
        raise DefinitionError(
            f"{what}: parameter {parameter.name!r} has an alias; a model writes the parameter's own name"
        )
    return kind


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return dataclasses.field()
    value = parameter.default
    return dataclasses.field(default_factory=lambda: value)


def _default_json(value: Any, kind: Any, what: str) -> Any:
    """Give a default as JSON. Raises `DefinitionError` for one that doesn't fit its annotation."""
    if isinstance(value, FieldInfo):
        raise DefinitionError(f"{what}: write Annotated[..., Field(...)] = default, not = Field(...)")
    record: JsonType[Any] = json_type(kind, what)
    try:
        return json.loads(record.checked(value))
    except ValueError as problem:
        raise DefinitionError(f"{what}: its default {value!r} doesn't fit: {problem}") from None
