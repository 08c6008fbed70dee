"""A form's fields as HTML, and what came back of them as JSON values: by the approval's JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final

PREFIX: Final = "v."
"""The names of a form's fields begin with it, so that none stands for something else."""
LINE: Final = 200
"""Characters that are more than a line."""
KINDS: Final = {"date": "date", "date-time": "text", "time": "time", "email": "email", "uri": "url"}


@dataclass(frozen=True, slots=True)
class Field:
    """One value that may be filled in; left empty, a `nullable` one is null."""

    name: str
    schema: Mapping[str, Any]
    required: bool
    nullable: bool = False

    @property
    def label(self) -> str:
        """What the field is called."""
        return str(self.schema.get("title") or self.name.replace("_", " "))

    @property
    def kind(self) -> str:
        """The JSON type, where it is a single simple one; otherwise `json`."""
        found = self.schema.get("type")
        return found if found in ("string", "integer", "number", "boolean") else "json"

    def text(self, value: Any) -> str:
        """Give a value as it stands in the field."""
        if value is None:
            return ""
        if isinstance(value, str) and (self.kind == "string" or "enum" in self.schema):
            return value
        return json.dumps(value, ensure_ascii=False)

    def read(self, text: str) -> Any:
        """Give the value of what was typed in; what can't be one stays a text, and is refused by the form."""
        if self.nullable and not text:
            return None
        for each in self.schema.get("enum", ()):
            if self.text(each) == text:
                return each
        if self.kind == "string":
            return text.replace("\r\n", "\n")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    def html(self, text: str) -> str:
        """Give the field with what stands in it."""
        about = escape(str(self.schema.get("description", "")))
        hint = f"<small>{about}</small>" if about else ""
        return f"<label><span>{escape(self.label)}</span>{self._control(text)}{hint}</label>"

    def _control(self, text: str) -> str:
        name, given = f'name="{escape(PREFIX + self.name)}"', escape(text)
        if choices := self._choices(text):
            options = "".join(
                f'<option value="{escape(each)}"{" selected" if each == text else ""}>{escape(each)}</option>'
                for each in choices
            )
            return f"<select {name}>{options}</select>"
        if self.kind in ("integer", "number"):
            step = "1" if self.kind == "integer" else "any"
            return f'<input {name} type="number" step="{step}" value="{given}">'
        if self.kind == "json" or "\n" in text or "\r" in text or self.schema.get("maxLength", 0) > LINE:
            # A browser drops a line break at its beginning, so that there is one to drop.
            return f"<textarea {name} rows=4>\n{given}</textarea>"
        kind = KINDS.get(str(self.schema.get("format", "")), "text")
        return f'<input {name} type="{kind}" value="{given}">'

    def _choices(self, text: str) -> list[str]:
        """Give what can be chosen, as it stands in the field; nothing where anything can be typed."""
        given = self.schema.get("enum") or ([True, False] if self.kind == "boolean" else [])
        texts = [self.text(each) for each in given]
        return texts if self.required or text or not texts else ["", *texts]


def fields_of(form: Mapping[str, Any] | None) -> list[Field]:
    """Give a form's fields, in their order."""
    if form is None:
        return []
    needed, kinds = form.get("required", ()), form.get("$defs", {})
    given = form.get("properties", {}).items()
    return [_field(name, _whole(schema, kinds), name in needed, kinds) for name, schema in given]


def values_of(fields: list[Field], given: Mapping[str, str], before: object) -> dict[str, Any]:
    """Give what was filled in; what was left empty, and needn't be there, isn't.

    Nor is what came back as it stood there `before`: it stays what was shown, to the byte (A10).
    """
    values = before if isinstance(before, Mapping) else {}
    found: dict[str, Any] = {}
    for field in fields:
        text = given.get(PREFIX + field.name)
        shown = field.text(values[field.name]) if field.name in values else None
        if text is not None and shown is not None and _lines(text) == _lines(shown):
            continue
        if text is not None and (text or field.required or field.nullable or field.kind == "string"):
            found[field.name] = field.read(text)
    return found


def _lines(text: str) -> list[str]:
    """Give a text's lines: a browser sends their breaks in its own way."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _field(name: str, schema: Mapping[str, Any], required: bool, kinds: Mapping[str, Any]) -> Field:  # noqa: FBT001 - Field's own
    """Make a field; one that may be null has the form of what else it may be."""
    others = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(others) == 1 and len(schema["anyOf"]) > 1:
        return Field(name, {**schema, **_whole(others[0], kinds)}, required, nullable=True)
    return Field(name, schema, required)


def _whole(schema: Mapping[str, Any], kinds: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a field's schema with what it refers to, one level deep."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found = kinds.get(name)
    return {**found, **schema} if isinstance(found, Mapping) else schema
