"""Casts that change nothing, and casts by way of a type that loses nothing."""

from __future__ import annotations

from fovea import dtypes
from fovea.dtypes import BOOL, FLOAT, INTEGER, DType
from fovea.graph.graph import Node, Value
from fovea.graph.passes.rewriting import Rewriter, Rules, parts
from fovea.ops.elementwise import cast

__all__ = ["add_cast_rules", "holds_all_of", "largest_integer"]

_DIGITS = {dtypes.float16: 11, dtypes.bfloat16: 8, dtypes.float32: 24, dtypes.float64: 53}


def add_cast_rules(rules: Rules) -> None:
    """Register the rules of this file."""
    rules.on(cast)(_same_dtype)
    rules.on(cast)(_through_a_wider_type)


def _same_dtype(node: Node, r: Rewriter) -> Value | None:
    x, a, _ = parts(node)
    return x if a.dtype is x.dtype else None


def _through_a_wider_type(node: Node, r: Rewriter) -> Value | Node | None:
    x, a, _ = parts(node)
    inner = r.producer(x, cast)
    if inner is None:
        return None
    first, _, _ = parts(inner)
    if not holds_all_of(x.dtype, first.dtype):
        return None
    if a.dtype is first.dtype:
        return first
    # What a float outside an integer type's range becomes is up to the machine and the type.
    truncates = x.dtype.category == FLOAT and a.dtype.category == INTEGER
    if truncates and first.dtype.category != BOOL:
        return None
    return Node(cast, (first,), a, node.outputs)


def largest_integer(dtype: DType) -> int:
    """Up to which number a float type holds every integer.

    >>> largest_integer(dtypes.bfloat16)
    256
    """
    return 1 << _DIGITS[dtype]


def holds_all_of(wide: DType, narrow: DType) -> bool:
    """Whether every number of one type is a number of another one.

    >>> holds_all_of(dtypes.float32, dtypes.bfloat16), holds_all_of(dtypes.float16, dtypes.int16)
    (True, False)
    """
    if wide is narrow or narrow.category == BOOL:
        return True
    if wide.category == BOOL:
        return False
    if narrow.category == FLOAT:
        halves = {wide, narrow} == {dtypes.float16, dtypes.bfloat16}
        return wide.category == FLOAT and wide.itemsize >= narrow.itemsize and not halves
    limits = dtypes.iinfo(narrow)
    if wide.category == FLOAT:
        return max(-limits.min, limits.max) <= largest_integer(wide)
    own = dtypes.iinfo(wide)
    return own.min <= limits.min and limits.max <= own.max
