"""Arithmetic that leaves every number as it is, to the last bit."""

from __future__ import annotations

import math

from fovea.graph.graph import Node, Value
from fovea.graph.passes.rewriting import Rewriter, Rules, parts
from fovea.ops.elementwise import (
    abs_,
    add,
    ceil,
    div,
    floor,
    logical_and,
    logical_or,
    mul,
    neg,
    relu,
    round_,
    sign,
    sub,
    trunc,
)

__all__ = ["add_arithmetic_rules"]

_IDEMPOTENT = (relu, abs_, sign, floor, ceil, trunc, round_)


def add_arithmetic_rules(rules: Rules) -> None:
    """Register the rules of this file."""
    rules.on(*_IDEMPOTENT)(_twice)
    rules.on(neg)(_back)
    rules.on(mul, add, logical_and, logical_or)(_neutral_left)
    rules.on(mul, div, add, sub, logical_and, logical_or)(_neutral_right)


def _twice(node: Node, r: Rewriter) -> Value | None:
    x, _, _ = parts(node)
    return x if r.producer(x, node.op) else None


def _back(node: Node, r: Rewriter) -> Value | None:
    inner = r.producer(node.inputs[0], neg)
    return None if inner is None else inner.inputs[0]


def _neutral_left(node: Node, r: Rewriter) -> Value | None:
    return node.inputs[1] if _is_neutral(node, r.number(node.inputs[0])) else None


def _neutral_right(node: Node, r: Rewriter) -> Value | None:
    return node.inputs[0] if _is_neutral(node, r.number(node.inputs[1])) else None


def _is_neutral(node: Node, number: float | int | None) -> bool:
    """Whether the op with this number gives its other operand. Of the two zeros of a float type
    only -0 may be added and only +0 subtracted: 0 + -0 is 0."""
    if number is None:
        return False
    op, kind = node.op, node.outputs[0].dtype
    if op in (mul, div):
        return number == 1
    if op is logical_and:
        return node.inputs[0] is not None and node.inputs[0].dtype is kind and number == 1
    if op is logical_or:
        return node.inputs[0] is not None and node.inputs[0].dtype is kind and number == 0
    if number != 0 or not kind.is_floating_point:
        return number == 0
    return (math.copysign(1, number) < 0) == (op is add)
