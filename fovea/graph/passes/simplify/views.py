"""Views of views become one view; a view that shows a tensor as it is, that tensor."""

from __future__ import annotations

from fovea.graph.graph import Node, Value
from fovea.graph.passes.rewriting import Rewriter, Rules, parts
from fovea.ops.memory import is_dense, strided, strided_scatter
from fovea.ops.shape import PermuteAttrs, SliceAttrs, alias, expand, permute, slice_, view

__all__ = ["add_view_rules"]


def add_view_rules(rules: Rules) -> None:
    """Register the rules of this file."""
    rules.on(alias)(_itself)
    rules.on(view, expand)(_same_shape)
    rules.on(permute)(_in_order)
    rules.on(slice_)(_whole)
    rules.on(strided)(_whole_block)
    rules.on(strided)(_region_just_written)
    rules.on(view)(_view_of_view)
    rules.on(permute)(_permute_of_permute)
    rules.on(expand)(_expand_of_expand)
    rules.on(slice_)(_slice_of_slice)
    rules.on(strided_scatter)(_all_written)


def _itself(node: Node, r: Rewriter) -> Value | None:
    return node.inputs[0]


def _same_shape(node: Node, r: Rewriter) -> Value | None:
    x, _, y = parts(node)
    return x if tuple(x.shape) == tuple(y.shape) else None


def _in_order(node: Node, r: Rewriter) -> Value | None:
    x, a, _ = parts(node)
    return x if a.dims == tuple(range(len(a.dims))) else None


def _whole(node: Node, r: Rewriter) -> Value | None:
    x, a, _ = parts(node)
    forward = all(s == 1 for s, n in zip(a.step, a.length, strict=True) if n > 1)
    return x if a.length == tuple(x.shape) and forward else None


def _whole_block(node: Node, r: Rewriter) -> Value | None:
    x, a, y = parts(node)
    return x if tuple(x.shape) == tuple(y.shape) and a.offset == 0 else None


def _view_of_view(node: Node, r: Rewriter) -> Node | None:
    """Also across a permutation that only moves dimensions of size 1."""
    x, a, _ = parts(node)
    inner = r.producer(x, view, permute)
    if inner is None or (inner.op is permute and not _keeps_order(inner)):
        return None
    return Node(view, (inner.inputs[0],), a, node.outputs)


def _keeps_order(node: Node) -> bool:
    x, a, _ = parts(node)
    moved = [d for d in a.dims if x.shape[d] != 1]
    return moved == sorted(moved)


def _permute_of_permute(node: Node, r: Rewriter) -> Node | None:
    x, a, _ = parts(node)
    inner = r.producer(x, permute)
    if inner is None:
        return None
    base, b, _ = parts(inner)
    return Node(permute, (base,), PermuteAttrs.of(tuple(b.dims[d] for d in a.dims)), node.outputs)


def _expand_of_expand(node: Node, r: Rewriter) -> Node | None:
    x, a, _ = parts(node)
    inner = r.producer(x, expand)
    return inner and Node(expand, (inner.inputs[0],), a, node.outputs)


def _slice_of_slice(node: Node, r: Rewriter) -> Node | None:
    x, a, _ = parts(node)
    inner = r.producer(x, slice_)
    if inner is None:
        return None
    base, b, _ = parts(inner)
    joined = SliceAttrs.of(
        tuple(s + first * k for s, k, first in zip(b.start, b.step, a.start, strict=True)),
        a.length,
        tuple(k * m for k, m in zip(b.step, a.step, strict=True)),
    )
    return Node(slice_, (base,), joined, node.outputs)


def _region_just_written(node: Node, r: Rewriter) -> Value | None:
    """What is read from a block where something was just put."""
    x, a, _ = parts(node)
    writer = r.producer(x, strided_scatter)
    if writer is None:
        return None
    _, b, _ = parts(writer)
    same = (a.shape, a.strides, a.offset) == (b.shape, b.strides, b.offset)
    return writer.inputs[1] if same else None


def _all_written(node: Node, r: Rewriter) -> Value | None:
    """A block of which nothing is left: what was put there, if it lies there as it did before."""
    x, a, y = parts(node)
    fills = tuple(a.shape) == tuple(x.shape) and is_dense(a.shape, a.strides) and not a.offset
    same_place = fills and all(
        n == 1 or s == t for n, s, t in zip(a.shape, a.strides, y.strides, strict=True)
    )
    return node.inputs[1] if same_place else None
