"""Contractions that finish their results on the way to memory.

Passes over a captured graph make these ops of a convolution (or a product) and what follows it,
after differentiation. Normalizations of that kind are in ``fused_norm.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.epilogue import NONE, Activation, check_residual, finished, function_of
from fovea.ops.fused_norm import batch_norm_apply, batch_norm_grad_fused, batch_norm_train_fused
from fovea.ops.fused_pointwise import MADE_LATER
from fovea.ops.linalg import linear, matmul
from fovea.ops.op import Attrs, Op, Shaped, Spec, numel
from fovea.ops.rules import check_vectors, require_floating, statistics_dtype

__all__ = [
    "ConvMomentsAttrs",
    "ConvPackAttrs",
    "FusedConvAttrs",
    "FusedLinearAttrs",
    "LinearPackAttrs",
    "PackedConvAttrs",
    "PackedLinearAttrs",
    "batch_norm_apply",
    "batch_norm_grad_fused",
    "batch_norm_train_fused",
    "conv2d_fused",
    "conv2d_moments",
    "conv2d_pack",
    "conv2d_packed",
    "linear_fused",
    "linear_pack",
    "linear_packed",
    "matmul_fused",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class FusedConvAttrs(ConvAttrs):
    """``residual_after``: the residual is added to the activation's result, not to its operand."""

    activation: tuple[str, tuple[float | str, ...]] = NONE
    residual_after: bool = False


@dataclass(frozen=True, eq=False)
class ConvMomentsAttrs(ConvAttrs):
    """``eps``: rstd is 1 / sqrt(var + eps)."""

    eps: float = 1e-5


@dataclass(frozen=True, eq=False)
class ConvPackAttrs(ConvAttrs):
    """What weights are packed for, as a target's planner says.

    Args:
        image: the shape of the images that the convolution will get.
        packing: how the numbers lie.
        count: how many they are.
    """

    image: tuple[int, ...] = ()
    packing: str = ""
    count: int = 0


@dataclass(frozen=True, eq=False)
class PackedConvAttrs(FusedConvAttrs, floats=True):
    """``weight``: the shape of the weights before they were packed; ``packing``: how they were."""

    weight: tuple[int, ...] = ()
    packing: str = ""


@dataclass(frozen=True, eq=False)
class FusedLinearAttrs(Attrs):
    """As in ``FusedConvAttrs``."""

    activation: tuple[str, tuple[float | str, ...]] = NONE
    residual_after: bool = False


@dataclass(frozen=True, eq=False)
class LinearPackAttrs(Attrs):
    """As in ``ConvPackAttrs``; ``rows``: of all the products' left operand."""

    rows: int
    packing: str
    count: int


@dataclass(frozen=True, eq=False)
class PackedLinearAttrs(FusedLinearAttrs, floats=True):
    """``outputs``: the features of a result; ``packing``: how the weights lie."""

    outputs: int = 0
    packing: str = ""


# y = act((conv(x, weight) + inner) * scale + bias + residual); inner, scale and bias: one number a
# channel. The result may not share memory with the residual.
conv2d_fused = Op(
    "conv2d_fused",
    ("x", "weight", "bias?", "scale?", "residual?", "inner?"),
    FusedConvAttrs,
    nondifferentiable=MADE_LATER,
)

# A convolution, and what batch normalization needs to know of its result: mean, 1 / sqrt(var + eps)
# and (biased) variance of each channel.
conv2d_moments = Op(
    "conv2d_moments",
    ("x", "weight", "bias?"),
    ConvMomentsAttrs,
    outputs=("y", "mean", "rstd", "var"),
    nondifferentiable=MADE_LATER,
)

# A convolution's weights as its kernels read them: an opaque buffer, the same for all calls with
# images of one shape. And conv2d_fused with such weights.
conv2d_pack = Op("conv2d_pack", ("weight",), ConvPackAttrs, nondifferentiable=MADE_LATER)
conv2d_packed = Op(
    "conv2d_packed",
    ("x", "packed", "bias?", "scale?", "residual?", "inner?"),
    PackedConvAttrs,
    nondifferentiable=MADE_LATER,
)

# act(x @ weight.T + bias + residual) and act(a @ b + bias + residual); bias: one number a column.
linear_fused = Op(
    "linear_fused",
    ("x", "weight", "bias?", "residual?"),
    FusedLinearAttrs,
    nondifferentiable=MADE_LATER,
)
matmul_fused = Op(
    "matmul_fused",
    ("a", "b", "bias?", "residual?"),
    FusedLinearAttrs,
    nondifferentiable=MADE_LATER,
)
linear_pack = Op("linear_pack", ("weight",), LinearPackAttrs, nondifferentiable=MADE_LATER)
linear_packed = Op(
    "linear_packed",
    ("x", "packed", "bias?", "residual?"),
    PackedLinearAttrs,
    nondifferentiable=MADE_LATER,
)


@conv2d_fused.shape
def _(
    x: Shaped,
    weight: Shaped,
    bias: Shaped | None,
    scale: Shaped | None,
    residual: Shaped | None,
    inner: Shaped | None,
    a: FusedConvAttrs,
) -> Spec:
    assert conv2d.shape_rule is not None
    y: Spec = conv2d.shape_rule(x, weight, None, a)
    _check_epilogue("conv2d_fused", y, bias, scale, residual, a.activation, inner)
    return y


def _check_epilogue(
    name: str,
    y: Spec,
    bias: Shaped | None,
    scale: Shaped | None,
    residual: Shaped | None,
    activation: Activation,
    inner: Shaped | None = None,
) -> None:
    """Whether an epilogue's operands fit the result of a convolution."""
    check_vectors(name, y, (y.shape[1],), "channel", bias=bias, scale=scale, inner=inner)
    check_residual(name, residual, y.shape, y.dtype)
    function_of(name, activation)


@conv2d_fused.reference
def _(
    x: Array,
    weight: Array,
    bias: Array | None,
    scale: Array | None,
    residual: Array | None,
    inner: Array | None,
    a: FusedConvAttrs,
) -> Array:
    assert conv2d.reference_rule is not None
    y = _affine(_affine(conv2d.reference_rule(x, weight, None, a), None, inner), scale, bias)
    return finished(y, a.activation, residual, a.residual_after)


def _affine(y: Array, scale: Array | None, bias: Array | None) -> Array:
    """An image batch times and plus one number a channel."""
    if scale is not None:
        y = y * scale[:, None, None]
    return y if bias is None else y + bias[:, None, None]


@conv2d_moments.shape
def _(x: Shaped, weight: Shaped, bias: Shaped | None, a: ConvMomentsAttrs) -> tuple[Spec, ...]:
    assert conv2d.shape_rule is not None
    y: Spec = conv2d.shape_rule(x, weight, None, a)
    _check_epilogue("conv2d_moments", y, bias, None, None, NONE)
    statistic = Spec((y.shape[1],), statistics_dtype(y.dtype))
    return y, statistic, statistic, statistic


@conv2d_moments.reference
def _(x: Array, weight: Array, bias: Array | None, a: ConvMomentsAttrs) -> tuple[Array, ...]:
    assert conv2d.reference_rule is not None
    y = _affine(conv2d.reference_rule(x, weight, None, a), None, bias)
    wide = y.astype(np.float64)
    mean, var = wide.mean((0, 2, 3)), wide.var((0, 2, 3))
    return y, mean, 1 / np.sqrt(var + a.eps), var


@conv2d_pack.shape
def _(weight: Shaped, a: ConvPackAttrs) -> Spec:
    assert conv2d.shape_rule is not None
    _check_sizes("conv2d_pack", "image", a.image)
    conv2d.shape_rule(Spec(a.image, weight.dtype), weight, None, a)
    return _packed_spec("conv2d_pack", weight, a.count)


def _check_sizes(name: str, key: str, sizes: tuple[int, ...]) -> None:
    if len(sizes) != 4 or not all(isinstance(n, int) and n >= 0 for n in sizes):
        raise ArgumentError(f"{name}: {key} must be a shape of 4 dimensions, got {sizes}.")


def _packed_spec(name: str, weight: Shaped, count: int) -> Spec:
    require_floating(name, weight=weight)
    if count < numel(weight.shape):
        raise ArgumentError(f"{name}: {count} numbers cannot hold weight {describe(weight)}.")
    return Spec((count,), statistics_dtype(weight.dtype))


def _check_packed(name: str, x: Shaped, packed: Shaped, weight: tuple[int, ...]) -> None:
    kind = statistics_dtype(x.dtype)
    if len(packed.shape) != 1 or packed.shape[0] < numel(weight) or packed.dtype is not kind:
        raise ShapeError(
            f"{name}: packed must be {kind.name}, at least {numel(weight)} numbers, got "
            f"{describe(packed)}."
        )


@conv2d_packed.shape
def _(
    x: Shaped,
    packed: Shaped,
    bias: Shaped | None,
    scale: Shaped | None,
    residual: Shaped | None,
    inner: Shaped | None,
    a: PackedConvAttrs,
) -> Spec:
    name = "conv2d_packed"
    assert conv2d.shape_rule is not None
    _check_sizes(name, "weight", a.weight)
    y: Spec = conv2d.shape_rule(x, Spec(a.weight, x.dtype), None, a)
    _check_packed(name, x, packed, a.weight)
    _check_epilogue(name, y, bias, scale, residual, a.activation, inner)
    return y


def _packed(weight: Array, count: int) -> Array:
    """What the reference takes as packed: the weights as they are, then zeros."""
    return np.pad(weight.reshape(-1), (0, count - weight.size))


@conv2d_pack.reference
def _(weight: Array, a: ConvPackAttrs) -> Array:
    return _packed(weight, a.count)


@conv2d_packed.reference
def _(
    x: Array,
    packed: Array,
    bias: Array | None,
    scale: Array | None,
    residual: Array | None,
    inner: Array | None,
    a: PackedConvAttrs,
) -> Array:
    assert conv2d_fused.reference_rule is not None
    weight = packed[: numel(a.weight)].reshape(a.weight)
    return conv2d_fused.reference_rule(x, weight, bias, scale, residual, inner, a)


# -- products ---------------------------------------------------------------------------------


def _product_spec(
    op: Op, y: Spec, bias: Shaped | None, residual: Shaped | None, a: FusedLinearAttrs
) -> Spec:
    """The spec of a product, once its epilogue is checked."""
    require_floating(op.name, result=y)
    check_vectors(op.name, y, y.shape[-1:], "column", bias=bias)
    check_residual(op.name, residual, y.shape, y.dtype)
    function_of(op.name, a.activation)
    return y


@linear_fused.shape
def _(
    x: Shaped,
    weight: Shaped,
    bias: Shaped | None,
    residual: Shaped | None,
    a: FusedLinearAttrs,
) -> Spec:
    assert linear.shape_rule is not None
    return _product_spec(linear_fused, linear.shape_rule(x, weight, None), bias, residual, a)


@matmul_fused.shape
def _(
    a: Shaped, b: Shaped, bias: Shaped | None, residual: Shaped | None, attrs: FusedLinearAttrs
) -> Spec:
    assert matmul.shape_rule is not None
    return _product_spec(matmul_fused, matmul.shape_rule(a, b), bias, residual, attrs)


@linear_pack.shape
def _(weight: Shaped, a: LinearPackAttrs) -> Spec:
    if len(weight.shape) != 2 or a.rows < 0:
        raise ShapeError(
            f"linear_pack: weight must be 2-D (out, in), got {describe(weight)} for {a.rows} rows."
        )
    return _packed_spec("linear_pack", weight, a.count)


@linear_packed.shape
def _(
    x: Shaped,
    packed: Shaped,
    bias: Shaped | None,
    residual: Shaped | None,
    a: PackedLinearAttrs,
) -> Spec:
    if not x.shape or a.outputs < 0:
        raise ShapeError(f"linear_packed: {describe(x)} has no features, or {a.outputs} outputs.")
    _check_packed("linear_packed", x, packed, (a.outputs, x.shape[-1]))
    y = Spec((*x.shape[:-1], a.outputs), x.dtype)
    return _product_spec(linear_packed, y, bias, residual, a)


def _finished_product(
    y: Array, bias: Array | None, residual: Array | None, a: FusedLinearAttrs
) -> Array:
    y = y if bias is None else y + bias
    return finished(y, a.activation, residual, a.residual_after)


@linear_fused.reference
def _(
    x: Array, weight: Array, bias: Array | None, residual: Array | None, a: FusedLinearAttrs
) -> Array:
    return _finished_product(np.matmul(x, weight.T), bias, residual, a)


@matmul_fused.reference
def _(
    a: Array, b: Array, bias: Array | None, residual: Array | None, attrs: FusedLinearAttrs
) -> Array:
    return _finished_product(np.matmul(a, b), bias, residual, attrs)


@linear_pack.reference
def _(weight: Array, a: LinearPackAttrs) -> Array:
    return _packed(weight, a.count)


@linear_packed.reference
def _(
    x: Array, packed: Array, bias: Array | None, residual: Array | None, a: PackedLinearAttrs
) -> Array:
    weight = packed[: a.outputs * x.shape[-1]].reshape(a.outputs, x.shape[-1])
    return _finished_product(np.matmul(x, weight.T), bias, residual, a)
