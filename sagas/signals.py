"""Which signals a saga receives, and of which types: what is sent to its runs is checked against them."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, Final

from pydantic_core import to_json

from amends.persistence.typed_json import JsonType
from amends.sagas.arguments import json_type
from amends.sagas.errors import DefinitionError, InputInvalid
from amends.sagas.webhook_urls import family, family_of

RECEIVE: Final = ("amends.sagas.receiving", "receive")
WEBHOOK: Final = ("amends.sagas.hooks", "webhook")
"""Where the functions are defined whose calls in a body tell what it receives."""
NAMELESS: Final = "call"
"""What a webhook is called whose type has no name of its own."""

_unknown: Final = object()


class Signals:
    """The signals that bodies of one saga receive: found in its source, and learned as bodies ask for them.

    A signal that is received nowhere in the source, or under a name that is computed, is known once a body
    in this process has asked for it. Until then any JSON is taken.
    """

    def __init__(self, fn: Callable[..., Any], names: Mapping[str, Any]) -> None:
        self._fn = fn
        self._names = dict(names)
        self._types: dict[str, dict[str, JsonType[Any]]] | None = None

    def learn(self, name: str, annotation: Any) -> JsonType[Any]:
        """Note that a body asks for this; gives its type. Raises `DefinitionError` for one without JSON."""
        kind = json_of(annotation, name)
        self._known().setdefault(family(name), {}).setdefault(_shown(annotation), kind)
        return kind

    def encode(self, name: str, payload: Any) -> bytes:
        """Encode what is to be sent. Raises `InputInvalid` where it fits none of the types received."""
        kinds = self._known().get(family(name), {})
        problems: list[str] = []
        for shown, kind in kinds.items():
            try:
                return kind.checked(payload)
            except ValueError as problem:
                problems.append(f"{shown}: {problem}")
        if problems:
            told = "; ".join(problems)
            raise InputInvalid(f"signal {name!r}: the payload doesn't fit what the saga receives ({told})")
        return plain(name, payload)

    def _known(self) -> dict[str, dict[str, JsonType[Any]]]:
        if self._types is None:
            self._types = {}
            for name, annotation in _received(self._fn, self._names):
                try:
                    kind = json_of(annotation, name)
                except DefinitionError:
                    # The body will say so where it asks for it.
                    continue
                self._types.setdefault(name, {})[_shown(annotation)] = kind
        return self._types


def plain(name: str, payload: Any) -> bytes:
    """Encode a payload by its own type. Raises `InputInvalid`."""
    try:
        return to_json(payload, by_alias=False, round_trip=True)
    except ValueError as problem:
        told = f"signal {name!r}: the payload {payload!r} has no JSON form: {problem}"
        raise InputInvalid(told) from problem


def json_of(annotation: Any, name: str) -> JsonType[Any]:
    """Give the JSON type of what is received. Raises `DefinitionError`."""
    try:
        return _cached(annotation, name)
    except TypeError:
        # What can't be hashed, such as an Annotated with a list in it.
        return json_type(annotation, f"signal {name!r}")


@functools.lru_cache(maxsize=1024)
def _cached(annotation: Any, name: str) -> JsonType[Any]:
    return json_type(annotation, f"signal {name!r}")


def _shown(annotation: Any) -> str:
    return default_name(annotation) or repr(annotation)


def default_name(annotation: Any) -> str:
    """Name a signal after its type; nothing, where the type has no name of its own."""
    return annotation.__name__ if isinstance(annotation, type) else ""


def _received(fn: Callable[..., Any], names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Find what a body's source receives: names and types, as far as they are certain."""
    function = inspect.unwrap(fn)
    if not isinstance(function, FunctionType):
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    scope = {**function.__globals__, **names, **inspect.getclosurevars(function).nonlocals}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _resolved(node.func, scope)
            place = getattr(called, "__module__", ""), getattr(called, "__name__", "")
            found = _one(node, scope, place) if place in (RECEIVE, WEBHOOK) else None
            if found is not None:
                yield found


def _one(call: ast.Call, scope: Mapping[str, Any], place: tuple[str, str]) -> tuple[str, Any] | None:
    """Give the name and the type of one call of `receive` or `webhook`."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    kind = _resolved(call.args[0], scope) if call.args else _unknown
    if kind is _unknown:
        return None
    name = _resolved(given["name"], scope) if "name" in given else default_name(kind)
    if place == WEBHOOK and isinstance(name, str):
        return family_of(name or NAMELESS), kind
    return (name, kind) if isinstance(name, str) and name else None


def _resolved(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """Give the object that an expression of names, attributes, subscripts and `|` stands for."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return scope.get(node.id, getattr(builtins, node.id, _unknown))
    if isinstance(node, ast.Attribute):
        return getattr(_resolved(node.value, scope), node.attr, _unknown)
    parts: list[ast.expr] = []
    combine: Callable[..., Any] = operator.or_
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Subscript):
        parts, combine = [node.value, node.slice], operator.getitem
    elif isinstance(node, ast.Tuple):
        parts, combine = node.elts, lambda *items: items
    found = [_resolved(part, scope) for part in parts]
    if not found or any(part is _unknown for part in found):
        return _unknown
    try:
        return combine(*found)
    except TypeError:
        return _unknown
