"""What people may fill in when they approve: a type, as a JSON schema and as values that are checked."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticUserError

from amends.persistence.typed_json import JsonType
from amends.sagas.arguments import json_type
from amends.sagas.errors import DefinitionError, InputInvalid

F = TypeVar("F")


class Form(Generic[F]):
    """A type whose values people fill in: its JSON schema, and its values to JSON and back."""

    def __init__(self, kind: type[F]) -> None:
        self.kind = kind
        what = f"approval: its form {kind.__name__!r}"
        self.json: JsonType[F] = json_type(kind, what)
        self.schema = _schema(kind, what)
        self.digest = digest_of(self.schema)

    def values_of(self, filled: F) -> Any:
        """Give what is filled in already, as a JSON value. Raises `InputInvalid`."""
        try:
            return json.loads(self.json.checked(filled))
        except ValueError as problem:
            raise InputInvalid(
                f"approval: what is filled in doesn't fit {self.kind.__name__!r}: {problem}"
            ) from problem


def _schema(kind: type[Any], what: str) -> dict[str, Any]:
    """Give a form's schema, its fields by the names under which they are recorded.

    That of a class which holds itself only refers to it, and is unfolded once. Raises `DefinitionError`.
    """
    try:
        schema: dict[str, Any] = TypeAdapter(kind).json_schema(by_alias=False)
    except PydanticUserError as problem:
        raise DefinitionError(f"{what} can't be shown: {str(problem).splitlines()[0]}") from problem
    if "$ref" in schema:
        own = schema["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**own, "$defs": schema["$defs"]}
    if schema.get("type") != "object" or issubclass(kind, RootModel):
        raise DefinitionError(f"{what} has no fields; give a model or a dataclass whose fields are filled in")
    return schema


def digest_of(schema: Any) -> str:
    """Give what a form is known by: the hash of its schema."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


KNOWN: dict[str, Form[Any]] = {}
"""The forms that bodies in this process have shown, by the digest of their schema."""


@functools.cache
def form_of(kind: type[F]) -> Form[F]:
    """Give the form of a type. Raises `DefinitionError` for what isn't a class with JSON fields."""
    if not issubclass(kind, BaseModel) and not hasattr(kind, "__dataclass_fields__"):
        raise DefinitionError(f"approval: a form is a pydantic model or a dataclass, not {kind!r}")
    form = Form(kind)
    KNOWN[form.digest] = form
    return form


def filled_in(schema: dict[str, Any] | None, before: Any, given: Any) -> Any:
    """Give the values that are approved: what was filled in before, and what somebody gives.

    They are checked by the form where this process knows it, otherwise by its schema.
    Raises `InputInvalid`.
    """
    if schema is None:
        if given:
            raise InputInvalid("there is nothing to fill in: the approval has no form")
        return None
    if given is not None and not isinstance(given, dict):
        raise InputInvalid(f"values are given by name, as an object, not {given!r}")
    values = {**(before or {}), **(given or {})}
    known = schema.get("properties", {})
    if not schema.get("additionalProperties") and (unknown := sorted(values.keys() - known.keys())):
        fields = ", ".join(known) or "none"
        raise InputInvalid(f"the form has no field {unknown[0]!r}; it has: {fields}")
    form = KNOWN.get(digest_of(schema))
    return _by_schema(schema, values) if form is None else _by_form(form, values)


def _by_form(form: Form[Any], values: dict[str, Any]) -> Any:
    try:
        return json.loads(form.json.checked(form.json.decode(json.dumps(values).encode())))
    except ValueError as problem:
        raise InputInvalid(f"the values don't fit the form: {problem}") from problem


def _by_schema(schema: dict[str, Any], values: dict[str, Any]) -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - only wanted where the code isn't known

    errors = sorted(Draft202012Validator(schema).iter_errors(values), key=lambda error: list(error.path))
    if errors:
        told = "; ".join(f"{'.'.join(map(str, error.path)) or 'values'}: {error.message}" for error in errors)
        raise InputInvalid(f"the values don't fit the form: {told}")
    return values
