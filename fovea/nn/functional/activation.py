"""Activation functions. ``inplace=True`` writes the result into the input's memory."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea import dispatch
from fovea.casting import LOWER, autocasts
from fovea.dtypes import as_dtype
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.numpy_names import numpy_names
from fovea.ops import activation as ops
from fovea.ops import elementwise
from fovea.ops.op import Attrs, Op
from fovea.ops.rules import normalize_dim
from fovea.ops.softmax import SoftmaxAttrs
from fovea.ops.softmax import log_softmax as log_softmax_op
from fovea.ops.softmax import softmax as softmax_op

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "celu",
    "celu_",
    "elu",
    "elu_",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
]

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _run(op: Op, input: Tensor, attrs: Attrs | None, inplace: bool) -> Tensor:
    if inplace:
        return dispatch.bind_into(op, input, (input,), attrs)
    return op.bind((input,), attrs)


def _settle(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    """What a function written in other ops returns."""
    return input.copy_(result) if inplace else result


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``.

    >>> import fovea
    >>> relu(fovea.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _run(elementwise.relu, input, None, inplace)


def relu_(input: Tensor) -> Tensor:
    """``relu`` in place."""
    return relu(input, True)


@lru_cache(256)
def _range(low: float, high: float) -> ops.RangeAttrs:
    return ops.RangeAttrs.of(float(low), float(high))


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``x`` limited to [min_val, max_val]."""
    return _run(ops.hardtanh, input, _range(min_val, max_val), inplace)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``hardtanh`` in place."""
    return hardtanh(input, min_val, max_val, True)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return _run(ops.hardtanh, input, _range(0.0, 6.0), inplace)


@lru_cache(256)
def _slope(slope: float) -> ops.SlopeAttrs:
    return ops.SlopeAttrs.of(float(slope))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    >>> import fovea
    >>> leaky_relu(fovea.tensor([-1.0, 2.0]))
    tensor([-0.0100,  2.0000])
    """
    return _run(ops.leaky_relu, input, _slope(negative_slope), inplace)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``leaky_relu`` in place."""
    return leaky_relu(input, negative_slope, True)


@autocasts(LOWER)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``leaky_relu`` with a learned slope, one for all channels or one for each.

    Args:
        weight: (1,) or (C,) for an input (N, C, ...).

    Raises:
        ShapeError: as many slopes as neither 1 nor the channels.
    """
    if weight.numel() != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels or weight.ndim != 1:
            raise ShapeError(
                f"prelu: weight must hold 1 slope or one for each of {channels} channels.",
                {"input": describe(input), "weight": describe(weight)},
            )
        weight = weight.reshape((1, -1) + (1,) * (input.ndim - 2))
    elif weight.ndim > input.ndim:
        weight = weight.reshape(())
    return input.where(input > 0, input * weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """``leaky_relu`` with slopes drawn from [lower, upper] in training, their mean otherwise."""
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = input.detach().clone().uniform_(lower, upper)
    return _settle(input, input.where(input >= 0, input * slopes), inplace)


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """``rrelu`` in place."""
    return rrelu(input, lower, upper, training, True)


@lru_cache(256)
def _elu(alpha: float, scale: float, input_scale: float) -> ops.EluAttrs:
    return ops.EluAttrs.of(float(alpha), float(scale), float(input_scale))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""
    return _run(ops.elu, input, _elu(alpha, 1.0, 1.0), inplace)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``elu`` in place."""
    return elu(input, alpha, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``elu`` scaled so that activations keep mean 0 and variance 1."""
    return _run(ops.elu, input, _elu(SELU_ALPHA, SELU_SCALE, 1.0), inplace)


def selu_(input: Tensor) -> Tensor:
    """``selu`` in place."""
    return selu(input, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below: smooth for every alpha."""
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0.")
    return _run(ops.elu, input, _elu(alpha, 1.0, 1.0 / alpha), inplace)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``celu`` in place."""
    return celu(input, alpha, True)


@lru_cache(8)
def _gelu(approximate: str) -> ops.GeluAttrs:
    return ops.GeluAttrs.of(approximate)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution's cumulative function at ``x``.

    Args:
        approximate: ``"none"``, or ``"tanh"`` for the formula that many models were trained with.

    >>> import fovea
    >>> gelu(fovea.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    """
    return ops.gelu.bind((input,), _gelu(approximate))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``, also called swish."""
    return _run(ops.silu, input, None, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return _run(ops.mish, input, None, inplace)


@lru_cache(256)
def _softplus(beta: float, threshold: float) -> ops.SoftplusAttrs:
    return ops.SoftplusAttrs.of(float(beta), float(threshold))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``; ``x`` itself where ``beta * x > threshold``."""
    return ops.softplus.bind((input,), _softplus(beta, threshold))


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))``, without overflow."""
    return -ops.softplus.bind((-input,), _softplus(1.0, math.inf))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``relu6(x + 3) / 6``."""
    return _run(ops.hardsigmoid, input, None, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * relu6(x + 3) / 6``."""
    return _run(ops.hardswish, input, None, inplace)


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return input - input.tanh()


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` where ``|x| > lambd``, else 0."""
    return input.masked_fill(input.abs() <= lambd, 0.0)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 where that would pass it."""
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, got {lambd}.")
    return (input - lambd).relu() - (-input - lambd).relu()


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where it is larger than ``threshold``, else ``value``."""
    return _settle(input, input.where(~(input <= threshold), value), inplace)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """``threshold`` in place."""
    return _settle(input, input.where(~(input <= threshold), value), True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second.

    Raises:
        ShapeError: an odd size along ``dim``.
    """
    d = normalize_dim("glu", dim, input.ndim)
    if not input.ndim or input.shape[d] % 2:
        raise ShapeError(f"glu: dimension {dim} must be even, got {describe(input)}.")
    half = input.shape[d] // 2
    return input.narrow(d, 0, half) * input.narrow(d, half, half).sigmoid()


# -- along a dimension -------------------------------------------------------------------------


def _softmax_dim(name: str, input: Tensor, dim: int | None, stacklevel: int) -> int:
    """The dimension; without one, PyTorch's old choice, with a warning."""
    if dim is not None:
        return normalize_dim(name, dim, len(input.shape))
    warnings.warn(
        f"{name}: give dim; without it the dimension is guessed from the rank.",
        stacklevel=stacklevel + 1,
    )
    return 0 if input.ndim in (0, 1, 3) else 1


@lru_cache(64)
def _dim_attrs(dim: int) -> SoftmaxAttrs:
    return SoftmaxAttrs.of(dim)


@numpy_names
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """Exponentials that sum to one along ``dim``.

    Args:
        dtype: cast to this first.

    >>> import fovea
    >>> softmax(fovea.tensor([1.0, 1.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    return softmax_op.bind((input,), _dim_attrs(_softmax_dim("softmax", input, dim, _stacklevel)))


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """``softmax(-x)``."""
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    dim = _softmax_dim("softmin", input, dim, _stacklevel)
    return softmax_op.bind((-input,), _dim_attrs(dim))


@numpy_names
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """The logarithm of ``softmax``, computed without underflow."""
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    dim = _softmax_dim("log_softmax", input, dim, _stacklevel)
    return log_softmax_op.bind((input,), _dim_attrs(dim))


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A draw from the distribution that logits stand for, made smooth so that it has a gradient.

    ``softmax((logits + g) / tau)``, g drawn from Gumbel(0, 1)

    Args:
        tau: the lower, the nearer to one class.
        hard: one-hot rows, with the gradient of the smooth ones.
        eps: has no effect.
        dim: the dimension of the classes.

    Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", 2017.

    >>> import fovea
    >>> gumbel_softmax(fovea.zeros(2, 3), hard=True).sum(-1)
    tensor([1., 1.])
    """
    if eps != 1e-10:
        warnings.warn("gumbel_softmax: eps has no effect.", stacklevel=2)
    drawn = -logits.detach().clone().exponential_().log()
    soft = softmax((logits + drawn) / tau, dim)
    if not hard:
        return soft
    fixed = soft.detach()
    one = fixed.new_zeros(fixed.shape).scatter(dim, fixed.argmax(dim, keepdim=True), 1.0)
    return one + (soft - fixed)
