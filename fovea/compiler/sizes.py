"""Whether a user's code decides by the size of a batch: read from its source.

A program for a batch size that was never seen is a guess if Python takes another way there. Code
that only passes sizes on (``x.view(x.size(0), -1)``, ``loss / len(x)``) cannot do so. Looked for
are comparisons and conditions with a number that comes from the first dimension of a shape, and
calls of the user's own functions with one.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from fovea.errors import _PACKAGE

__all__ = ["decides_by_size"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COUNTS = ("numel", "nelement", "__len__")
_NUMBERS = ("abs", "float", "int", "list", "max", "min", "round", "sum", "tuple")
_KEEP = ("bool", "enumerate", "isinstance", "len", "print", "range", "zip", "str", *_NUMBERS)


def decides_by_size(functions: Iterable[Any], places: Iterable[tuple[str, int]] = ()) -> bool:
    """Whether one of these functions, or of those around these lines of files, decides by a size.

    What has no source that can be read counts as if it did.
    """
    return any(map(_decides, functions)) or any(_decides_at(*place) for place in places)


@functools.lru_cache(1024)
def _decides(function: FunctionType) -> bool:
    if function.__code__.co_filename.startswith(_PACKAGE):
        return False
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return True
    return any(_Reader(f).decides for f in _functions(tree))


def _decides_at(file: str, line: int) -> bool:
    lines = linecache.getlines(file)
    tree = _parsed(file, len(lines))
    if tree is None:
        return True
    around = [f for f in _functions(tree) if f.lineno <= line <= (f.end_lineno or f.lineno)]
    return bool(around) and _Reader(max(around, key=lambda f: f.lineno)).decides


@functools.lru_cache(64)
def _parsed(file: str, count: int) -> ast.Module | None:
    try:
        return ast.parse("".join(linecache.getlines(file))) if count else None
    except SyntaxError:
        return None


def _functions(tree: ast.AST) -> Iterator[_Function]:
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            yield node


class _Reader:
    """One function: which of its names hold a batch size, and what it does with them."""

    def __init__(self, function: _Function) -> None:
        self.names: set[str] = set()
        nodes = list(ast.walk(function))
        for _ in range(2):  # names that loops carry around are known the second time
            for node in nodes:
                self._note(node)
        self.decides = any(map(self._is_decision, nodes))

    def _note(self, node: ast.AST) -> None:
        """Take in an assignment."""
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value:
            self._assign(node.target, node.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            if _is_shape(value):  # n, c, h, w = x.shape
                self._assign(target.elts[0], value)
            elif isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
                for one, part in zip(target.elts, value.elts, strict=True):
                    self._assign(one, part)
            else:
                for one in target.elts:
                    self._assign(one, value)
        elif isinstance(target, ast.Name | ast.Starred) and self._is_size(value):
            name = target.value if isinstance(target, ast.Starred) else target
            if isinstance(name, ast.Name):
                self.names.add(name.id)

    def _is_size(self, e: ast.expr) -> bool:
        """Whether an expression's value depends on the first dimension of a shape."""
        if isinstance(e, ast.Name):
            return e.id in self.names
        if isinstance(e, ast.Subscript):
            return self._is_size(e.value) and not _is_later(e.slice)
        if isinstance(e, ast.Call):
            return self._is_size_call(e)
        if isinstance(e, ast.Attribute):
            return e.attr == "shape"
        if isinstance(e, ast.BinOp | ast.UnaryOp | ast.Tuple | ast.List | ast.IfExp | ast.BoolOp):
            parts = [c for c in ast.iter_child_nodes(e) if isinstance(c, ast.expr)]
            return any(map(self._is_size, parts))
        return isinstance(e, ast.Starred) and self._is_size(e.value)

    def _is_size_call(self, e: ast.Call) -> bool:
        given = any(map(self._is_size, e.args))
        if isinstance(e.func, ast.Attribute):
            if e.func.attr == "size":
                return not (e.args and _is_later(e.args[0]))
            of_module = isinstance(e.func.value, ast.Name) and e.func.value.id == "math"
            return e.func.attr in _COUNTS or (of_module and given)
        if isinstance(e.func, ast.Name):
            if e.func.id == "len":
                return not (e.args and isinstance(e.args[0], ast.Attribute))
            return e.func.id in _NUMBERS and given
        return False

    def _is_decision(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Compare):
            return any(map(self._is_size, (node.left, *node.comparators)))
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            return self._is_size(node.test)
        if isinstance(node, ast.BoolOp):
            return any(map(self._is_size, node.values))
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.Not) and self._is_size(node.operand)
        if isinstance(node, ast.Match):
            return self._is_size(node.subject)
        if isinstance(node, ast.Call):
            return self._passes_on(node)
        return False

    def _passes_on(self, e: ast.Call) -> bool:
        """Whether a function that may be the user's gets a size: what it does is not read here."""
        arguments = [*e.args, *(k.value for k in e.keywords)]
        if not any(map(self._is_size, arguments)):
            return False
        if isinstance(e.func, ast.Name):
            return e.func.id not in _KEEP
        of = e.func.value if isinstance(e.func, ast.Attribute) else None
        return isinstance(of, ast.Name) and of.id in ("self", "cls")


def _is_shape(e: ast.expr) -> bool:
    """``x.shape`` or ``x.size()``."""
    if isinstance(e, ast.Call):
        return isinstance(e.func, ast.Attribute) and e.func.attr == "size" and not e.args
    return isinstance(e, ast.Attribute) and e.attr == "shape"


def _is_later(index: ast.expr) -> bool:
    """Whether an index picks dimensions after the first: from 1 on, ``-1``, ``1:``, ``-2:``."""
    if isinstance(index, ast.Slice):
        low = index.lower
        return low is not None and (_is_later(low) or _number(low) in (-2, -3))
    n = _number(index)
    return n is not None and (n >= 1 or n == -1)


def _number(e: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(e)
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if type(value) is int else None
