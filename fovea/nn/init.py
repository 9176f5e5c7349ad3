"""Filling tensors before training: PyTorch's names, arguments and distributions.

All functions change the tensor in place, outside the tape, and return it. ``generator`` is the
source of random numbers; the default one unless given.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from fovea.autograd import no_grad
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.random import rand, randn, randperm

if TYPE_CHECKING:
    from fovea.random import Generator
    from fovea.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "fans",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "skipped",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

P = ParamSpec("P")
_thread = threading.local()


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Within, on this thread: the functions here leave tensors as they are."""
    before = getattr(_thread, "skipping", False)
    _thread.skipping = True
    try:
        yield
    finally:
        _thread.skipping = before


def _filling(fill: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A function that fills its first argument, unless that is skipped."""

    @functools.wraps(fill)
    def filling(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        if getattr(_thread, "skipping", False):
            found: Any = args[0] if args else kwargs["tensor"]
            return found
        return fill(*args, **kwargs)

    return filling


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much larger weights before this function should be, so that the signal keeps its size.

    Args:
        nonlinearity: ``"linear"``, ``"conv2d"`` (and its kin), ``"sigmoid"``, ``"tanh"``,
            ``"relu"``, ``"leaky_relu"`` or ``"selu"``.
        param: the negative slope of ``"leaky_relu"``; 0.01 unless given.

    >>> calculate_gain("relu")
    1.4142135623730951
    """
    linear = {"linear", "sigmoid"} | {f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)}
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ArgumentError(f"calculate_gain: the slope must be a number, got {param!r}.")
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    if nonlinearity not in gains:
        known = ", ".join(sorted(linear | {"leaky_relu"} | gains.keys()))
        raise ArgumentError(f"calculate_gain: {nonlinearity!r} is unknown; there is {known}.")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed an output, and how many outputs an input feeds.

    >>> import fovea
    >>> fans(fovea.empty(8, 3, 5, 5))
    (75, 200)
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"init: the fans of a weight need at least 2 dimensions, got {describe(tensor)}."
        )
    field = tensor.shape[2:].numel()
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = fans  # the name that PyTorch code imports


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """One of ``fans``; the name that PyTorch code imports."""
    return _fan("init", tensor, mode)


def _fan(name: str, tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}.")
    return fans(tensor)[mode.lower() == "fan_out"]


@_filling
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Numbers evenly spread over [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


@_filling
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Numbers of the normal distribution."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


@_filling
def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere.

    >>> import fovea
    >>> constant_(fovea.empty(2), 3.0)
    tensor([3., 3.])
    """
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


@_filling
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Raises:
        ShapeError: no matrix.
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: a matrix is needed, got {describe(tensor)}.")
    return _filled(tensor, np.eye(*tensor.shape))


def _filled(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    with no_grad():
        return tensor.copy_(from_array(values, tensor.dtype))


@_filling
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights that pass as many channels as possible on unchanged.

    Raises:
        ShapeError: no weight of 3 to 5 dimensions. ArgumentError: groups do not divide its outputs.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(f"dirac_: weights have 3 to 5 dimensions, got {describe(tensor)}.")
    if tensor.shape[0] % groups:
        raise ArgumentError(f"dirac_: groups={groups} does not divide {tensor.shape[0]} outputs.")
    values = np.zeros(tensor.shape)
    outputs = tensor.shape[0] // groups
    center = tuple(n // 2 for n in tensor.shape[2:])
    for g in range(groups):
        for d in range(min(outputs, tensor.shape[1])):
            values[(g * outputs + d, d, *center)] = 1.0
    return _filled(tensor, values)


@_filling
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform over [-a, a] with ``a = gain * sqrt(6 / (fan_in + fan_out))``.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """
    fan_in, fan_out = fans(tensor)
    a = gain * math.sqrt(6.0 / (fan_in + fan_out)) if fan_in + fan_out else 0.0
    return uniform_(tensor, -a, a, generator)


@_filling
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with deviation ``gain * sqrt(2 / (fan_in + fan_out))``."""
    fan_in, fan_out = fans(tensor)
    std = gain * math.sqrt(2.0 / (fan_in + fan_out)) if fan_in + fan_out else 0.0
    return normal_(tensor, 0.0, std, generator)


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = _fan(name, tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


@_filling
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform over [-b, b] with ``b = gain * sqrt(3 / fan)``.

    Args:
        a: the negative slope of ``leaky_relu``.
        mode: ``"fan_in"`` keeps the signal's size forward, ``"fan_out"`` the gradient's backward.
        nonlinearity: see ``calculate_gain``.

    Source: He et al., "Delving deep into rectifiers", 2015.
    """
    if not tensor.numel():
        warnings.warn("kaiming_uniform_: the tensor has no elements.", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


@_filling
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with deviation ``gain / sqrt(fan)``; arguments as of ``kaiming_uniform_``."""
    if not tensor.numel():
        warnings.warn("kaiming_normal_: the tensor has no elements.", stacklevel=2)
        return tensor
    std = _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, std, generator)


@_filling
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """The normal distribution, cut to [a, b].

    Raises:
        ArgumentError: an empty interval, or a deviation that is not positive.
    """
    if not a < b or not std > 0:
        raise ArgumentError(f"trunc_normal_: [{a}, {b}] must not be empty, std={std} positive.")
    low, high = (a - mean) / std, (b - mean) / std
    inside = _normal_cdf(high) - _normal_cdf(low)
    with no_grad():
        if inside < 0.1:  # drawing until all fit would take long
            return tensor.copy_(_by_quantiles(tensor, low, high, generator) * std + mean)
        tensor.normal_(mean, std, generator=generator)
        while True:
            outside = (tensor < a).logical_or(tensor > b)
            if not outside.any().item():
                return tensor
            again = randn(*tensor.shape, dtype=tensor.dtype, generator=generator) * std + mean
            tensor.copy_(again.where(outside, tensor))


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _by_quantiles(tensor: Tensor, low: float, high: float, generator: Generator | None) -> Tensor:
    """Standard normal numbers in [low, high]: where the cumulative function takes even values.

    Found by halving the interval. In an upper tail the mirrored lower one is used, where the
    function still tells numbers apart.
    """
    if low > 0:
        return -_by_quantiles(tensor, -high, -low, generator)
    first, last = _normal_cdf(low), _normal_cdf(high)
    u = rand(*tensor.shape, dtype=tensor.dtype, generator=generator)._array().astype(np.float64)
    wanted = first + u * (last - first)
    left = np.full(tensor.shape, max(low, -40.0))
    right = np.full(tensor.shape, min(high, 40.0))
    cdf = np.vectorize(_normal_cdf, otypes=[np.float64])
    for _ in range(40):
        middle = (left + right) / 2
        below = cdf(middle) < wanted
        left, right = np.where(below, middle, left), np.where(below, right, middle)
    return from_array((left + right) / 2, tensor.dtype)


@_filling
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A matrix (all dimensions but the first taken together) with orthonormal rows or columns.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", 2013.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: at least 2 dimensions are needed, got {describe(tensor)}.")
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    flat = randn(rows, columns, generator=generator)._array().astype(np.float64)
    q, r = np.linalg.qr(flat.T if rows < columns else flat)
    q = q * np.sign(np.diagonal(r))  # so that every orthogonal matrix is equally likely
    q = q.T if rows < columns else q
    return _filled(tensor, q.reshape(tensor.shape) * gain)


@_filling
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """A matrix of normal numbers with the fraction ``sparsity`` of each column set to zero.

    Source: Martens, "Deep learning via Hessian-free optimization", 2010.
    """
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: a matrix is needed, got {describe(tensor)}.")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0.0, std, generator)
    with no_grad():
        for column in range(columns):
            tensor[randperm(rows, generator=generator)[:zeros], column] = 0
    return tensor


def _old_name(fill: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """A function under the name without the underscore, which warns."""
    new = fill.__name__

    @functools.wraps(fill)
    def old(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        warnings.warn(
            f"nn.init.{new[:-1]} is deprecated: use nn.init.{new}.", FutureWarning, stacklevel=2
        )
        return fill(*args, **kwargs)

    old.__name__ = old.__qualname__ = new[:-1]
    old.__doc__ = f"``{new}``, with a FutureWarning."
    return old


uniform = _old_name(uniform_)
normal = _old_name(normal_)
constant = _old_name(constant_)
eye = _old_name(eye_)
dirac = _old_name(dirac_)
xavier_uniform = _old_name(xavier_uniform_)
xavier_normal = _old_name(xavier_normal_)
kaiming_uniform = _old_name(kaiming_uniform_)
kaiming_normal = _old_name(kaiming_normal_)
orthogonal = _old_name(orthogonal_)
sparse = _old_name(sparse_)
