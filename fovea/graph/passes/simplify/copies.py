"""Copies that nobody could tell from what they copy."""

from __future__ import annotations

from fovea.graph.graph import Node, Value
from fovea.graph.passes.rewriting import Rewriter, Rules, parts
from fovea.ops.memory import StridesAttrs, lay_out
from fovea.ops.rearrange import flip, pad, roll
from fovea.ops.shape import cat, clone

__all__ = ["COPIES", "add_copy_rules"]

COPIES = (clone, lay_out)


def add_copy_rules(rules: Rules) -> None:
    """Register the rules of this file."""
    rules.on(clone, lay_out, cat, pad, flip, roll)(_same_elements)
    rules.on(clone, lay_out)(_copy_of_copy)


def _same_elements(node: Node, r: Rewriter) -> Value | None:
    x, a, _ = parts(node)
    if node.op in COPIES:
        return x
    if node.op is cat:
        return x if len(node.inputs) == 1 else None
    if node.op is pad:
        return x if not any(a.before) and not any(a.after) else None
    if node.op is flip:
        return x if all(x.shape[d] <= 1 for d in a.dims) else None
    return x if all(s == 0 for s in a.shifts) else None


def _copy_of_copy(node: Node, r: Rewriter) -> Node | None:
    """From the first straight to the last layout."""
    x, _, y = parts(node)
    inner = r.producer(x, *COPIES)
    return inner and Node(lay_out, (inner.inputs[0],), StridesAttrs.of(y.strides), node.outputs)
