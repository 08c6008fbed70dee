"""What a saga's body must not ask for, found in its source when it is decorated.

The names in the source are looked up as Python would, so it doesn't matter how
a function was imported: what counts is which object it is.
"""

import ast
import builtins
import inspect
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from amends.sagas.check_forbidden import forbidden

SET_MAKERS = (set, frozenset)
KEEP_ORDER = (list, tuple, enumerate, iter, zip, map, filter)
HIDE_ORDER = (sorted, set, frozenset, min, max, len, any, all)

_unknown = object()
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_Scope = dict[str, Any]


class DeterminismWarning(UserWarning):
    """A saga's body asks for something that is different when it is replayed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place in a body whose answer changes on replay.

    `what` names what is asked for there, `instead` what to use.
    """

    file: str
    line: int
    what: str
    instead: str

    def __str__(self) -> str:
        """Say where, what and what to do."""
        return f"{self.file}:{self.line}: {self.what} differs when the saga is replayed; use {self.instead}"


def check_body(fn: Any) -> list[Finding]:
    """Return what in a saga's body changes on replay, in the order of its lines.

    Clocks, random numbers and ids, the environment, and iterating a set. Functions
    nested in the body count, steps nested in it don't. A function whose source can't
    be had (in a prompt, frozen, built in) has no findings; nothing is ever raised.

    Example:
        ``print(check_body(body)[0])`` for a body with ``time.time()`` in its third line::

            orders.py:3: time.time differs when the saga is replayed; use amends.sagas.now()

    """
    try:
        function = inspect.unwrap(fn)
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType):
            return []
        lines, start = inspect.getsourcelines(function)
        source = "".join(lines)
        if source[:1].isspace():
            source = "if True:\n" + source
            start -= 1
        body = _find(ast.parse(source), function.__code__)
        reader = _Reader(function, start - 1)
        reader.read(body)
    except Exception:  # noqa: BLE001 - a check that fails must not keep a saga from being defined
        return []
    return sorted(set(reader.findings), key=lambda finding: (finding.line, finding.what))


def _among(found: Any, known: tuple[Any, ...]) -> bool:
    return any(found is each for each in known)


def _find(tree: ast.AST, code: CodeType) -> _Function:
    functions = [node for node in ast.walk(tree) if isinstance(node, _Function)]
    named = [node for node in functions if getattr(node, "name", "<lambda>") == code.co_name]
    return named[0]


def _bindings(function: _Function) -> _Scope:
    """Return the names that are local to a function: modules it imports, all else unknown."""
    arguments = function.args
    bound: _Scope = {
        argument.arg: _unknown for argument in ast.walk(arguments) if isinstance(argument, ast.arg)
    }
    outer: set[str] = set()
    for node in _own_nodes(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            bound[node.id] = _unknown
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound[node.name] = _unknown
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(_imported(node))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer.update(node.names)
    return {name: value for name, value in bound.items() if name not in outer}


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Any]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            module = sys.modules.get(node.module or "")
            yield alias.asname or alias.name, vars(module).get(alias.name, _unknown) if module else _unknown
        elif alias.asname:
            yield alias.asname, sys.modules.get(alias.name, _unknown)
        else:
            top = alias.name.partition(".")[0]
            yield top, sys.modules.get(top, _unknown)


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """Go through a function's body without the bodies of the functions nested in it."""
    inside: list[ast.AST] = [function.body] if isinstance(function, ast.Lambda) else list(function.body)
    while inside:
        node = inside.pop()
        yield node
        if not isinstance(node, _Function):
            inside.extend(ast.iter_child_nodes(node))


def _outside(function: FunctionType) -> Iterator[Mapping[str, Any]]:
    closure: _Scope = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            closure[name] = cell.cell_contents
        except ValueError:
            closure[name] = _unknown
    yield closure
    yield function.__globals__
    yield vars(builtins)


class _Reader(ast.NodeVisitor):
    """Read one body, scope by scope."""

    def __init__(self, function: FunctionType, before: int) -> None:
        self.findings: list[Finding] = []
        self._file = inspect.getsourcefile(function) or function.__code__.co_filename
        self._before = before
        self._scopes: list[Mapping[str, Any]] = list(_outside(function))
        self._sets: list[set[str]] = []
        self._ordered_later: set[ast.AST] = set()

    def read(self, function: _Function) -> None:
        """Read a function's body, and not its decorators and defaults."""
        self._scopes.insert(0, _bindings(function))
        self._sets.insert(0, self._names_of_sets(function))
        for node in [function.body] if isinstance(function, ast.Lambda) else function.body:
            self.visit(node)
        self._scopes.pop(0)
        self._sets.pop(0)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for around in (*node.decorator_list, node.args):
            self.visit(around)
        if not any(self._makes_a_step(decorator) for decorator in node.decorator_list):
            self.read(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self.read(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._look_at(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._look_at(node)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._resolve(node.func)
        if called is random.Random and not node.args and not node.keywords:
            self._found(node, "random.Random() without a seed", "amends.sagas.random()")
        for argument in node.args:
            if _among(called, HIDE_ORDER) and isinstance(argument, ast.GeneratorExp | ast.ListComp):
                self._ordered_later.add(argument)
            if _among(called, KEEP_ORDER) and node not in self._ordered_later:
                self._iterate(argument)
        if called is sorted:
            self._ordered_later.update(node.args)
        self.generic_visit(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._iterate(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        if isinstance(node.ctx, ast.Load):
            self._iterate(node.value)
        self.generic_visit(node)

    def _comprehension(self, node: _Comprehension) -> None:
        awaits = any(isinstance(each, ast.Await) for each in ast.walk(node))
        if awaits or not (isinstance(node, ast.SetComp) or node in self._ordered_later):
            for generator in node.generators:
                self._iterate(generator.iter)
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815

    def _iterate(self, node: ast.expr) -> None:
        if self._is_set(node):
            self._found(node, "the order of a set", "sorted(...)")

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            return _among(self._resolve(node.func), SET_MAKERS)
        if isinstance(node, ast.BinOp):
            return self._is_set(node.left) or self._is_set(node.right)
        return isinstance(node, ast.Name) and self._names_a_set(node.id)

    def _names_a_set(self, name: str) -> bool:
        for scope, sets in zip(self._scopes, self._sets, strict=False):
            if name in scope:
                return name in sets
        return False

    def _names_of_sets(self, function: _Function) -> set[str]:
        """Return the local names that are bound to a set wherever they are bound."""
        sets: set[str] = set()
        others: set[ast.AST] = set()
        for node in _own_nodes(function):
            if isinstance(node, ast.Assign) and self._is_set(node.value):
                names = [target for target in node.targets if isinstance(target, ast.Name)]
                sets.update(name.id for name in names)
                others.update(names)
        stored = [
            node.id
            for node in _own_nodes(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in others
        ]
        return sets.difference(stored)

    def _look_at(self, node: ast.Name | ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            known = forbidden(self._resolve(node))
            if known is not None:
                self._found(node, *known)

    def _found(self, node: ast.expr, what: str, instead: str) -> None:
        self.findings.append(Finding(self._file, node.lineno + self._before, what, instead))

    def _makes_a_step(self, decorator: ast.expr) -> bool:
        if isinstance(decorator, ast.Call):
            decorator = decorator.func
        if isinstance(decorator, ast.Attribute) and decorator.attr == "compensation":
            return True
        maker = self._resolve(decorator)
        if not isinstance(maker, FunctionType):
            return False
        return maker.__module__.startswith("amends.") and maker.__name__ in ("step", "transaction")

    def _resolve(self, node: ast.expr) -> Any:
        """Return the object that a dotted name stands for, as far as that is certain."""
        if isinstance(node, ast.Name):
            return next((scope[node.id] for scope in self._scopes if node.id in scope), _unknown)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            if isinstance(owner, ModuleType):
                return vars(owner).get(node.attr, _unknown)
            if isinstance(owner, type | random.Random):
                return getattr(owner, node.attr, _unknown)
        return _unknown
