"""A function's parameters as JSON: encoded by name, decoded by its annotations."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.errors import PydanticUserError

from amends.persistence.typed_json import JsonType, object_type
from amends.sagas.errors import DefinitionError, InputInvalid

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Arguments:
    """The parameters of a saga, step or compensation.

    Types are resolved when first needed, so that annotations may name classes defined further down;
    `resolve()` does it at once. `skip` parameters at the front are not part of the record (`undo`).
    """

    def __init__(self, fn: Callable[..., Any], what: str, names: Mapping[str, Any], skip: int = 0) -> None:
        self.fn = fn
        self.what = what
        self._locals = dict(names)
        self.parameters = list(inspect.signature(fn).parameters.values())[skip:]
        self.names = tuple(parameter.name for parameter in self.parameters)
        self._plain = all(p.kind in POSITIONAL for p in self.parameters)
        self._all_positional = self._plain and all(p.kind is not p.KEYWORD_ONLY for p in self.parameters)
        self._signature = inspect.Signature(self.parameters)
        self._json: JsonType[dict[str, Any]] | None = None

    @property
    def json(self) -> JsonType[dict[str, Any]]:
        """The type of the JSON object that holds the arguments."""
        if self._json is None:
            self._json = self._make(self.hints())
        return self._json

    def resolve(self) -> None:
        """Resolve the annotations now, unless they name something that isn't defined yet."""
        try:
            self._json = self._make(self._hints())
        except NameError:
            return

    def hints(self) -> dict[str, Any]:
        """Give the function's annotations. Raises `DefinitionError` for one that names nothing known."""
        try:
            return self._hints()
        except NameError as error:
            raise DefinitionError(
                f"{self.what}: an annotation can't be resolved ({error}); import or define it at module level"
            ) from error

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give the call's arguments by name, defaults included. Raises `InputInvalid`."""
        if not kwargs and self._all_positional and len(args) == len(self.names):
            return dict(zip(self.names, args, strict=True))
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputInvalid(f"{self.what}: {error}") from None
        bound.apply_defaults()
        return {
            p.name: list(bound.arguments[p.name]) if p.kind is p.VAR_POSITIONAL else bound.arguments[p.name]
            for p in self.parameters
        }

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Encode a call's arguments. Raises `InputInvalid`, naming the parameter."""
        return self.encode_named(self.bind(args, kwargs))

    def encode_named(self, values: Mapping[str, Any]) -> bytes:
        """Encode arguments given by name. Raises `InputInvalid`, naming the parameter."""
        try:
            return self.json.checked(values)
        except ValueError as error:
            raise InputInvalid(f"{self.what}: the arguments don't fit the annotations: {error}") from error

    def decode(self, data: bytes) -> dict[str, Any]:
        """Decode recorded arguments. Raises `InputInvalid` when they don't fit the annotations."""
        try:
            return self.json.decode(data)
        except ValueError as error:
            raise InputInvalid(
                f"{self.what}: the recorded arguments don't fit the annotations: {error}"
            ) from error

    def call(self, fn: Callable[..., Any], values: Mapping[str, Any], *first: Any) -> Any:
        """Call `fn` with `first` and then these arguments, each the way its parameter wants it."""
        if self._plain:
            return fn(*first, *values.values())
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in self.parameters:
            value = values[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs.update(value)
            elif parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[parameter.name] = value
            else:
                args.append(value)
        return fn(*first, *args, **kwargs)

    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.fn, localns=self._locals, include_extras=True)

    def _make(self, hints: Mapping[str, Any]) -> JsonType[dict[str, Any]]:
        fields = {parameter.name: _field(parameter, hints) for parameter in self.parameters}
        for name, kind in fields.items():
            json_type(kind, f"{self.what}: parameter {name!r}")
        return object_type(self.what, fields)


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    kind = hints.get(parameter.name, Any)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return types.GenericAlias(list, (kind,))
    if parameter.kind is parameter.VAR_KEYWORD:
        return types.GenericAlias(dict, (str, kind))
    return kind


def json_type(annotation: Any, what: str) -> JsonType[Any]:
    """Make the JSON type of an annotation. Raises `DefinitionError`, saying what to use instead."""
    try:
        return JsonType(annotation)
    except (TypeError, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise DefinitionError(
            f"{what} is annotated {annotation!r}, which has no JSON form ({reason}); "
            "pass data (a pydantic model, dataclass, plain type), get clients from current_step().resources"
        ) from error
