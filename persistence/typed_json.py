"""JSON by pydantic, driven by the annotations of the code and by nothing in the data."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import SchemaSerializer, core_schema
from typing_extensions import TypedDict, is_typeddict

T = TypeVar("T")

CONFIG = ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64")
SETS = ("set", "frozenset")
NOT_JSON = ("callable", "generator")


class JsonType(Generic[T]):
    """Encodes values of one annotated type to JSON bytes and back.

    Sets are written in sorted order, so that equal values give equal bytes; NaN and the infinities
    survive where the annotation is a plain float. Raises `TypeError` for an annotation that has no JSON form.
    """

    __slots__ = ("_adapter", "_dump", "_load")

    def __init__(self, annotation: Any) -> None:
        self._adapter: TypeAdapter[T] = _adapter(annotation)
        schema = self._adapter.core_schema
        if (name := _contains(schema, NOT_JSON)) is not None:
            raise TypeError(f"{annotation!r} holds a {name}, which has no JSON form")
        sorts = _contains(schema, SETS) is not None
        # A serializer of our own: a TypedDict's would not have its configuration.
        serializer = SchemaSerializer(_with_sorted_sets(schema) if sorts else schema, CONFIG_CORE)
        self._dump = serializer.to_json
        self._load: Callable[[bytes], T] = self._adapter.validator.validate_json

    def encode(self, value: object) -> bytes:
        """Encode a value, without looking whether it is of the type: `checked` does.

        One that can't be encoded as it is, but fits the type, is validated first.
        Raises `ValueError` (pydantic's) when it can't be encoded either way.
        """
        try:
            return self._dump(value, warnings=False)
        except ValueError:
            return self._dump(self._adapter.validate_python(value), warnings=False)

    def checked(self, value: object) -> bytes:
        """Encode a value that will decode again as the type says. Raises pydantic's `ValueError` if not."""
        data = self.encode(value)
        self._load(data)
        return data

    def decode(self, data: bytes) -> T:
        """Decode and validate. Raises pydantic's `ValidationError`, a `ValueError`."""
        return self._load(data)

    def canonical(self, data: bytes) -> bytes:
        """Give the bytes that the value of `data` has under the code of today (defaults filled in)."""
        return self.encode(self.decode(data))


def object_type(name: str, fields: Mapping[str, Any]) -> JsonType[dict[str, Any]]:
    """Make the type of a JSON object with these fields, all required: a call's arguments by name."""
    namespace = {"__annotations__": dict(fields), "__pydantic_config__": CONFIG}
    shape = types.new_class(name, (TypedDict,), exec_body=lambda body: body.update(namespace))
    return JsonType(shape)


CONFIG_CORE = core_schema.CoreConfig(ser_json_inf_nan="constants", ser_json_bytes="base64")


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    owns_its_config = (isinstance(annotation, type) and issubclass(annotation, BaseModel)) or hasattr(
        annotation, "__pydantic_config__"
    )
    owns_its_config = (
        owns_its_config or hasattr(annotation, "__dataclass_fields__") or is_typeddict(annotation)
    )
    return TypeAdapter(annotation) if owns_its_config else TypeAdapter(annotation, config=CONFIG)


def _contains(schema: Any, types: tuple[str, ...]) -> str | None:
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        if isinstance(kind, str) and kind in types:
            return kind
        parts: Any = (value for key, value in schema.items() if key not in ("metadata", "cls", "default"))
    elif isinstance(schema, list | tuple):
        parts = schema
    else:
        return None
    return next((found for part in parts if (found := _contains(part, types)) is not None), None)


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
        key: value if key in ("cls", "metadata", "default") else _with_sorted_sets(value)
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
    return core_schema.typed_dict_schema(fields)


def _sorted(value: Any, handler: Any) -> list[Any]:
    return sorted(handler(value), key=lambda item: json.dumps(item, sort_keys=True))


def _fields(value: Any, handler: Any) -> Any:
    return handler(value.__dict__)
