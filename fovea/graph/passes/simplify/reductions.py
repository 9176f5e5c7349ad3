"""Reductions of what was spread, of what was reduced, and of nothing."""

from __future__ import annotations

from math import prod as product

from fovea.dtypes import FLOAT
from fovea.graph.graph import Node
from fovea.graph.passes.rewriting import Rewriter, Rules, parts
from fovea.graph.passes.simplify.casts import largest_integer
from fovea.ops.elementwise import mul
from fovea.ops.memory import StridesAttrs, lay_out
from fovea.ops.reduce import ReduceAttrs, amax, amin, mean, prod, sum_
from fovea.ops.shape import ShapeAttrs, expand, view

__all__ = ["add_reassociations", "add_reduction_rules"]


def add_reduction_rules(rules: Rules) -> None:
    """Register the rules of this file that keep results to the last bit."""
    rules.on(sum_, mean, prod, amax, amin)(_of_one_element)


def add_reassociations(rules: Rules) -> None:
    """Register the rules of this file that round otherwise."""
    rules.on(sum_, mean, amax, amin)(_of_spread)
    rules.on(sum_, amax, amin)(_of_reduced)


def _of_one_element(node: Node, r: Rewriter) -> Node | None:
    x, a, y = parts(node)
    if any(x.shape[d] != 1 for d in a.dims):
        return None
    return Node(view, (x,), ShapeAttrs.of(tuple(y.shape)), node.outputs)


def _of_spread(node: Node, r: Rewriter) -> Node | None:
    """Over dimensions along which a value was repeated: the value, for a sum their number times
    it (which rounds once instead of often)."""
    x, a, y = parts(node)
    inner = r.producer(x, expand)
    if inner is None:
        return None
    base, _, _ = parts(inner)
    lead = len(x.shape) - len(base.shape)
    sizes = (1,) * lead + tuple(base.shape)
    if any(sizes[d] != 1 for d in a.dims):
        return None
    kept = tuple(n for d, n in enumerate(sizes) if a.keepdim or d not in a.dims)
    found = r.make(view, base, attrs=ShapeAttrs.of(kept))
    if kept != tuple(y.shape):
        found = r.make(expand, found, attrs=ShapeAttrs.of(tuple(y.shape)))
    if node.op is not sum_:
        return Node(lay_out, (found,), StridesAttrs.of(y.strides), node.outputs)
    count = product(x.shape[d] for d in a.dims)
    if y.dtype.category == FLOAT and y.dtype.itemsize < 8 and count > largest_integer(y.dtype):
        return None
    return Node(mul, (found, r.constant(count, y.dtype)), None, node.outputs)


def _of_reduced(node: Node, r: Rewriter) -> Node | None:
    """One reduction over the dimensions of both."""
    x, a, _ = parts(node)
    inner = r.producer(x, node.op)
    if inner is None or not r.read_once(x):
        return None
    base, b, _ = parts(inner)
    if b.keepdim != a.keepdim and (a.dims and b.dims):
        return None
    if b.keepdim:
        dims = {*a.dims, *b.dims}
    else:
        left = [d for d in range(len(base.shape)) if d not in b.dims]
        dims = {*b.dims, *(left[d] for d in a.dims)}
    attrs = ReduceAttrs.of(tuple(sorted(dims)), a.keepdim)
    return Node(node.op, (base,), attrs, node.outputs)
