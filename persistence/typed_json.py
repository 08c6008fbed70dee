"""JSON by pydantic, driven by the annotations of the code and by nothing in the data."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import SchemaSerializer, core_schema
from typing_extensions import TypedDict, is_typeddict

from amends.persistence.unfit import told

T = TypeVar("T")

CONFIG = ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64")
SETS = ("set", "frozenset")
NOT_JSON = ("callable", "generator")
OPAQUE = ("metadata", "cls", "default")
"""What a core schema holds beside schemas."""


class JsonType(Generic[T]):
    """Encodes values of one annotated type to JSON bytes and back.

    Sets are written in sorted order, so that equal values give equal bytes; NaN and the infinities
    survive where the annotation is a plain float. Fields are written under their names, and read by alias
    or name; what is computed from them isn't written. So what was written can be read, whatever aliases
    and `extra=` say. Raises `TypeError` for an annotation that has no JSON form, and for one that holds a
    `SecretStr` without a serializer of its own.
    """

    __slots__ = ("_adapter", "_dump", "_load")

    def __init__(self, annotation: Any) -> None:
        self._adapter: TypeAdapter[T] = _adapter(annotation)
        schema = self._adapter.core_schema
        if (name := _contains(schema, NOT_JSON)) is not None:
            raise TypeError(f"{annotation!r} holds a {name}, which has no JSON form")
        if _hides(schema):
            raise TypeError("a secret of pydantic's is written as stars, and could never be read again")
        sorts = _contains(schema, SETS) is not None
        # A serializer of our own: a TypedDict's would not have its configuration.
        serializer = SchemaSerializer(_with_sorted_sets(schema) if sorts else schema, CONFIG_CORE)
        self._dump = functools.partial(serializer.to_json, by_alias=False, round_trip=True, warnings=False)
        self._load: Callable[[bytes], T] = functools.partial(
            self._adapter.validator.validate_json, by_alias=not _crossed(schema), by_name=True
        )

    def encode(self, value: object) -> bytes:
        """Encode a value, without looking whether it is of the type: `checked` does.

        One that can't be encoded as it is, but fits the type, is validated first.
        Raises `ValueError`, in one line, when it can't be encoded either way.
        """
        try:
            return self._dump(value)
        except ValueError:
            return self._validated(value)

    def checked(self, value: object) -> bytes:
        """Encode a value that will decode again as the type says. Raises `ValueError` if it will not."""
        data = self.encode(value)
        self.decode(data)
        return data

    def decode(self, data: bytes) -> T:
        """Decode and validate. Raises `ValueError`, in one line, whatever a validator raises."""
        try:
            return self._load(data)
        except Exception as error:
            raise ValueError(told(error)) from error

    def canonical(self, data: bytes) -> bytes:
        """Give the bytes that the value of `data` has under the code of today (defaults filled in)."""
        return self.encode(self.decode(data))

    def _validated(self, value: object) -> bytes:
        try:
            return self._dump(self._adapter.validate_python(value, by_alias=True, by_name=True))
        except Exception as error:
            raise ValueError(told(error)) from error


def object_type(name: str, fields: Mapping[str, Any]) -> JsonType[dict[str, Any]]:
    """Make the type of a JSON object with these fields, all required: a call's arguments by name."""
    namespace = {"__annotations__": dict(fields), "__pydantic_config__": CONFIG}
    shape = types.new_class(name, (TypedDict,), exec_body=lambda body: body.update(namespace))
    return JsonType(shape)


CONFIG_CORE = core_schema.CoreConfig(ser_json_inf_nan="constants", ser_json_bytes="base64")


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    owns_its_config = (
        (isinstance(bare, type) and issubclass(bare, BaseModel))
        or hasattr(bare, "__pydantic_config__")
        or hasattr(bare, "__dataclass_fields__")
        or is_typeddict(bare)
    )
    return TypeAdapter(annotation) if owns_its_config else TypeAdapter(annotation, config=CONFIG)


def _crossed(schema: Any) -> bool:
    """Tell whether a field's alias leads to where another one's name does: then names alone are read."""
    if isinstance(schema, list | tuple):
        return any(_crossed(part) for part in schema)
    if not isinstance(schema, Mapping):
        return False
    fields = schema.get("fields") if _is_node(schema) else None
    if isinstance(fields, list):
        fields = {field["name"]: field for field in fields if isinstance(field, Mapping) and "name" in field}
    if isinstance(fields, Mapping) and any(
        path[0] in fields and path != [name] for name, field in fields.items() for path in _aliases(field)
    ):
        return True
    return any(_crossed(part) for part in _parts(schema))


def _is_node(schema: Mapping[str, Any]) -> bool:
    """Tell a schema from a mapping of fields, whose names may be any word: `fields`, `default`, `type`."""
    return isinstance(schema.get("type"), str)


def _parts(schema: Mapping[str, Any]) -> list[Any]:
    """Give what a schema, or a mapping of fields, holds that may hold schemas."""
    return [part for key, part in schema.items() if key not in OPAQUE or not _is_node(schema)]


def _aliases(field: Mapping[str, Any]) -> list[list[str | int]]:
    """Give the paths under which a field is read, as pydantic's core schema has them."""
    alias = field.get("validation_alias") or []
    if isinstance(alias, str):
        return [[alias]]
    return [alias] if alias and isinstance(alias[0], str) else alias


def _contains(schema: Any, types: tuple[str, ...]) -> str | None:
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        if isinstance(kind, str) and kind in types:
            return kind
        parts: Any = _parts(schema)
    elif isinstance(schema, list | tuple):
        parts = schema
    else:
        return None
    return next((found for part in parts if (found := _contains(part, types)) is not None), None)


def _hides(schema: Any) -> bool:
    """Tell whether something in it is a secret that nobody has given a serializer of its own."""
    if isinstance(schema, list | tuple):
        return any(_hides(part) for part in schema)
    if not isinstance(schema, Mapping):
        return False
    written = schema.get("serialization")
    if isinstance(written, Mapping) and (function := written.get("function")) is not None:
        name, module = getattr(function, "__name__", ""), getattr(function, "__module__", "")
        return module == "pydantic.types" and name.startswith("_serialize_secret")
    return any(_hides(part) for key, part in schema.items() if key not in OPAQUE)


def _with_sorted_sets(schema: Any) -> Any:
    """Rebuild a core schema so that its sets serialise sorted.

    A model's node would use the serializer that its class was built with, so a model that holds sets is
    serialised through its fields instead.
    """
    if isinstance(schema, list):
        return [_with_sorted_sets(part) for part in schema]
    if isinstance(schema, tuple):
        return tuple(_with_sorted_sets(part) for part in schema)
    if not isinstance(schema, Mapping):
        return schema
    kind = schema.get("type")
    rebuilt = {
        key: value if key in OPAQUE and _is_node(schema) else _with_sorted_sets(value)
        for key, value in schema.items()
    }
    if kind in SETS and "serialization" not in schema:
        rebuilt["serialization"] = core_schema.wrap_serializer_function_ser_schema(_sorted)
    elif kind == "model" and "serialization" not in schema and _contains(schema, SETS):
        rebuilt["serialization"] = core_schema.wrap_serializer_function_ser_schema(
            _fields, schema=_as_typed_dict(rebuilt["schema"])
        )
    return rebuilt


def _as_typed_dict(schema: Any) -> Any:
    """Turn the innermost `model-fields` of a model's schema into a `typed-dict` of the same fields."""
    while schema["type"] != "model-fields":
        schema = schema["schema"]
    fields = {
        name: core_schema.typed_dict_field(
            field["schema"], serialization_exclude=field.get("serialization_exclude")
        )
        for name, field in schema["fields"].items()
    }
    return core_schema.typed_dict_schema(fields, extra_behavior=schema.get("extra_behavior", "allow"))


def _sorted(value: Any, handler: Any) -> list[Any]:
    return sorted(handler(value), key=lambda item: json.dumps(item, sort_keys=True))


def _fields(value: Any, handler: Any) -> Any:
    return handler(value.__dict__ | (value.__pydantic_extra__ or {}))
