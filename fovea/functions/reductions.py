"""Sums, means, extrema and what is built from them, with PyTorch's ``dim`` and ``keepdim``.

As there, ``axis`` and ``keepdims`` are the same under NumPy's names.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea import dtypes, return_types
from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, ShapeError
from fovea.functions.complex_numbers import real
from fovea.functions.numpy_names import numpy_names
from fovea.functions.pointwise import abs_, finish, pow_, sqrt, to_dtype, where
from fovea.ops import index as index_ops
from fovea.ops import reduce as ops
from fovea.ops.op import Op
from fovea.ops.rules import normalize_dim, normalize_dims
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

Dims = int | tuple[int, ...] | list[int] | None


def _reduce(op: Op, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    if dim is None or dim.__class__ is int:
        attrs = _along(op.name, len(input.shape), dim, keepdim)
    else:
        given = None if isinstance(dim, tuple | list) and not dim else dim
        attrs = ops.ReduceAttrs.of(normalize_dims(op.name, given, input.ndim), keepdim)
    return op.bind((input,), attrs)


@lru_cache(maxsize=4096, typed=True)
def _along(name: str, rank: int, dim: int | None, keepdim: bool) -> ops.ReduceAttrs:
    attrs: ops.ReduceAttrs = ops.ReduceAttrs.of(normalize_dims(name, dim, rank), keepdim)
    return attrs


def sum_(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Tensor | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The sum of all elements, or along ``dim``. Booleans and integers sum to int64.

    >>> import fovea
    >>> sum_(fovea.ones(2, 3), 1)
    tensor([3., 3.])
    """
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    if dtype is not None:
        input = to_dtype(input, dtypes.as_dtype(dtype))
    elif not input.dtype.is_inexact:
        input = to_dtype(input, dtypes.int64)
    return finish(_reduce(ops.sum_, input, dim, keepdim), out)


def mean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Tensor | None = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The mean of all elements, or along ``dim``; the tensor must be floating point."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    if dtype is not None:
        input = to_dtype(input, dtypes.as_dtype(dtype))
    return finish(_reduce(ops.mean, input, dim, keepdim), out)


@autocasts(FLOAT32)
def prod(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The product of all elements, or along ``dim``."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    if dtype is not None:
        input = to_dtype(input, dtypes.as_dtype(dtype))
    elif not input.dtype.is_inexact:
        input = to_dtype(input, dtypes.int64)
    return _reduce(ops.prod, input, dim, keepdim)


def amax(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The largest value along ``dim``; ties share the gradient."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return _reduce(ops.amax, input, dim, keepdim)


def amin(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The smallest value along ``dim``; ties share the gradient."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return _reduce(ops.amin, input, dim, keepdim)


def _boolean(input: Tensor) -> Tensor:
    return to_dtype(input, dtypes.bool_)


def _truth(result: Tensor, input: Tensor) -> Tensor:
    """PyTorch keeps uint8, which once was its type of truth values."""
    return to_dtype(result, dtypes.uint8) if input.dtype is dtypes.uint8 else result


def any_(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Whether any element (along ``dim``) is not zero."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return _truth(_reduce(ops.any_, _boolean(input), dim, keepdim), input)


def all_(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Whether all elements (along ``dim``) are not zero."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return _truth(_reduce(ops.all_, _boolean(input), dim, keepdim), input)


def _arg(op: Op, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is None:
        flat = op.bind((input.reshape(-1),), ops.ArgAttrs.of(0, False))
        return flat.reshape((1,) * input.ndim) if keepdim else flat
    return op.bind((input,), ops.ArgAttrs.of(normalize_dim(op.name, dim, input.ndim), keepdim))


def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The index of the (first) largest element, in the flattened tensor or along ``dim``."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return _arg(ops.argmax, input, dim, keepdim)


def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The index of the (first) smallest element, in the flattened tensor or along ``dim``."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return _arg(ops.argmin, input, dim, keepdim)


def _extremum(name: str, arg: Op, both: Any, whole: Op, result: Any) -> Any:
    def call(
        input: Tensor,
        dim: Any = None,
        keepdim: bool = False,
        *,
        out: Any = None,
        axis: Any = None,
        keepdims: bool | None = None,
    ) -> Any:
        dim = dim if axis is None else axis
        keepdim = keepdim if keepdims is None else keepdims
        if dim is None:
            if input.numel() == 0:
                raise ShapeError(f"{name}: an empty tensor has no {name}.")
            return _reduce(whole, input, None, False)
        if is_tensor(dim):
            return both(input, dim, out=out)
        d = normalize_dim(name, dim, input.ndim)
        indices = arg.bind((input,), ops.ArgAttrs.of(d, True))
        if input.ndim == 0:
            values, indices = input.clone(), indices.reshape(())
            return result(values, indices)
        values = index_ops.gather.bind((input, indices), ops.DimAttrs.of(d))
        if not keepdim:
            values, indices = values.squeeze(d), indices.squeeze(d)
        return result(values, indices)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (
        f"``{name}(x)``: the {name} of all elements; ``{name}(x, dim)``: values and indices along "
        "``dim``; "
        f"``{name}(x, y)``: element by element."
    )
    return call


def _maximum(a: Any, b: Any, out: Any = None) -> Tensor:
    from fovea.functions.pointwise import maximum

    return maximum(a, b, out=out)


def _minimum(a: Any, b: Any, out: Any = None) -> Tensor:
    from fovea.functions.pointwise import minimum

    return minimum(a, b, out=out)


max_ = _extremum("max", ops.argmax, _maximum, ops.amax, return_types.max)
min_ = _extremum("min", ops.argmin, _minimum, ops.amin, return_types.min)


@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sums along ``dim``."""
    input = _accumulator(input, dtype)
    return ops.cumsum.bind((input,), ops.DimAttrs.of(normalize_dim("cumsum", dim, input.ndim)))


@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running products along ``dim``."""
    input = _accumulator(input, dtype)
    return ops.cumprod.bind((input,), ops.DimAttrs.of(normalize_dim("cumprod", dim, input.ndim)))


def _accumulator(input: Tensor, dtype: Any) -> Tensor:
    if dtype is not None:
        return to_dtype(input, dtypes.as_dtype(dtype))
    return input if input.dtype.is_inexact else to_dtype(input, dtypes.int64)


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The variance along ``dim``; ``correction`` (default 1) is subtracted from the count."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    less = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    dims = normalize_dims("var", dim, input.ndim)
    count = 1
    for d in dims:
        count *= input.shape[d]
    centered = input - mean(input, dims, keepdim=True)
    centered = abs_(centered) if centered.dtype.is_complex else centered
    total = sum_(centered * centered, dims, keepdim)
    left = max(count - less, 0)
    return total / left if left else total * float("nan")


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The standard deviation: the root of ``var``."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


@numpy_names
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean."""
    along = None if isinstance(dim, bool) else dim
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return variance, mean(input, along, keepdim)


@numpy_names
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean."""
    variance, center = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return sqrt(variance), center


@numpy_names
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along ``dim``, without overflow."""
    if not input.dtype.is_inexact:
        input = to_dtype(input, dtypes.get_default_dtype())
    dims = normalize_dims("logsumexp", dim, input.ndim)
    if not all(input.shape[d] for d in dims):
        return sum_(input.exp(), dims, keepdim).log()  # of no elements: -inf
    sizes = real(input)
    peak = amax(sizes, dims, keepdim=True).detach()
    peak = peak.masked_fill(peak.isinf(), 0.0)
    total = sum_((input - peak).exp(), dims, keepdim).log()
    return total + (peak if keepdim else peak.reshape(total.shape))


def norm(
    input: Tensor, p: Any = "fro", dim: Dims = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The ``p``-norm of the elements (along ``dim``): p may be a number, ``inf``, ``-inf``, 0 or
    ``"fro"``.
    """
    x = input if dtype is None else to_dtype(input, dtypes.as_dtype(dtype))
    if not x.dtype.is_inexact:
        raise ArgumentError(f"norm: the tensor must be floating point, got {x.dtype.name}.")
    if p == "nuc":
        from fovea.functions.matrices import matrix_norm

        return matrix_norm(x, "nuc", (0, 1) if dim is None else dim, keepdim)  # type: ignore[arg-type]
    x = abs_(x) if x.dtype.is_complex else x
    order = 2.0 if p in ("fro", None) else float(p)
    if order == 2.0:
        return _safe_root(sum_(x * x, dim, keepdim))
    if order == float("inf"):
        return amax(abs_(x), dim, keepdim)
    if order == float("-inf"):
        return amin(abs_(x), dim, keepdim)
    if order == 0:
        return sum_(where(x != 0, 1.0, x * 0), dim, keepdim)
    if order == 1.0:
        return sum_(abs_(x), dim, keepdim)
    return pow_(sum_(pow_(abs_(x), order), dim, keepdim), 1.0 / order)


def _safe_root(total: Tensor) -> Tensor:
    """The root of a sum of squares; at zero the gradient is zero (a subgradient), as in PyTorch."""
    if not total.requires_grad:
        return sqrt(total)
    zero = total == 0
    return sqrt(total.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)


@numpy_names
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements are not zero."""
    return sum_(input != 0, dim)


def median(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """The lower median of all elements, or values and indices along ``dim``."""
    dim = dim if axis is None else axis
    keepdim = keepdim if keepdims is None else keepdims
    from fovea.functions.ordering import sort

    if dim is None:
        flat = sort(input.reshape(-1)).values
        return flat[(flat.shape[0] - 1) // 2]
    d = normalize_dim("median", dim, input.ndim)
    if input.ndim == 0:
        return return_types.median(*sort(input))
    values, order = sort(input, d)
    k = (input.shape[d] - 1) // 2
    picked, where = values.narrow(d, k, 1), order.narrow(d, k, 1)
    return (
        return_types.median(picked, where)
        if keepdim
        else return_types.median(picked.squeeze(d), where.squeeze(d))
    )
