"""Quantiles, moments and differences, and reductions that pass over NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea import dtypes, return_types
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.functions.complex_numbers import complex_, conj
from fovea.functions.creation import from_array
from fovea.functions.indexing import gather
from fovea.functions.numpy_names import numpy_names
from fovea.functions.ordering import sort
from fovea.functions.parts import cat
from fovea.functions.pointwise import ceil, floor, isnan, lerp, round_, to_dtype, where
from fovea.functions.reductions import Dims, amax, amin, any_, cumsum, mean, sum_
from fovea.functions.shaping import flatten, movedim, narrow, reshape, select, squeeze, unsqueeze
from fovea.ops import order as ops
from fovea.ops.rules import normalize_dim
from fovea.return_types import ValuesIndices, printed
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor


class MinMax(NamedTuple):
    """Smallest and largest."""

    min: Tensor
    max: Tensor

    def __repr__(self) -> str:
        return printed("aminmax", self)


@numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """The smallest and the largest element (along ``dim``)."""
    return MinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


@numpy_names
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """The logarithms of running sums of exponentials, without overflow."""
    d = normalize_dim("logcumsumexp", dim, input.ndim)
    return ops.logcumsumexp.bind((input,), ops.DimAttrs.of(d))


@numpy_names
def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """``sum`` with NaN as zero.

    >>> import fovea
    >>> nansum(fovea.tensor([1.0, float("nan")]))
    tensor(1.)
    """
    return sum_(input.masked_fill(isnan(input), 0), dim, keepdim, dtype=dtype)


@numpy_names
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements that are not NaN."""
    if not input.dtype.is_inexact:
        raise DTypeError(f"nanmean: floating-point tensors are needed, got {input.dtype.name}.")
    count = sum_(to_dtype(isnan(input).logical_not(), input.dtype), dim, keepdim, dtype=dtype)
    return nansum(input, dim, keepdim, dtype=dtype) / count


def _middle(values: Tensor, indices: Tensor, k: Tensor, d: int, keepdim: bool) -> ValuesIndices:
    """The ``k``-th of sorted values."""
    picked, place = gather(values, d, k), gather(indices, d, k)
    if keepdim:
        return return_types.nanmedian(picked, place)
    return return_types.nanmedian(select(picked, d, 0), select(place, d, 0))


@numpy_names
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of the elements that are not NaN; with ``dim``, values and indices."""
    if dim is None:
        return nanmedian(reshape(input, -1), 0).values if input.numel() else input.sum() / 0
    d = normalize_dim("nanmedian", dim, input.ndim)
    values, indices = sort(input, d)
    if input.ndim == 0:
        return return_types.nanmedian(values, indices)
    numbers = sum_(isnan(values).logical_not(), d, keepdim=True)
    return _middle(values, indices, ((numbers - 1) // 2).clamp(min=0), d, keepdim)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@numpy_names
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The ``q``-quantiles along ``dim`` (of all elements without it).

    Args:
        q: a number or a 1-D tensor of numbers between 0 and 1; the results of a tensor stand along
            a new first dimension.
        interpolation: between two elements: ``"linear"``, ``"lower"``, ``"higher"``,
            ``"midpoint"`` or ``"nearest"``.

    >>> import fovea
    >>> quantile(fovea.tensor([0.0, 1.0, 2.0, 3.0]), 0.5)
    tensor(1.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@numpy_names
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """``quantile`` of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


def _quantile(
    name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str
) -> Tensor:
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise DTypeError(f"{name}: float32 or float64 is needed, got {x.dtype.name}.")
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(
            f"{name}: interpolation is one of {', '.join(_INTERPOLATIONS)}, got {interpolation!r}."
        )
    points = q if is_tensor(q) else x.new_full((), float(q))
    if points.ndim > 1:
        raise ShapeError(f"{name}: q must be a number or 1-D, got {points.ndim} dimensions.")
    rank = x.ndim
    d = 0 if dim is None else normalize_dim(name, dim, rank)
    rows = reshape(x, -1) if dim is None or not rank else movedim(x, d, -1)
    ordered = sort(rows, -1).values
    missing = isnan(ordered)
    numbers = sum_(missing.logical_not(), -1, keepdim=True)
    last = numbers - 1 if name == "nanquantile" else rows.shape[-1] - 1
    at = reshape(points, -1) * last
    at = at.expand(*rows.shape[:-1], at.shape[-1]) if at.ndim < rows.ndim else at
    found = _between(ordered, at.clamp(min=0), interpolation)
    lost = any_(missing, -1, keepdim=True) if name == "quantile" else numbers == 0
    found = found.masked_fill(lost, float("nan"))
    if keepdim:
        found = (
            reshape(found, ((1,) * rank + (found.shape[-1],)))
            if dim is None
            else movedim(unsqueeze(found, -1), -2, -1).movedim(-2, d)
        )
    return movedim(found, -1, 0) if points.ndim else select(found, -1, 0)


def _between(ordered: Tensor, at: Tensor, interpolation: str) -> Tensor:
    """Values at fractional places of the last dimension."""
    if interpolation == "lower":
        at = floor(at)
    elif interpolation == "higher":
        at = ceil(at)
    elif interpolation == "nearest":
        at = round_(at)
    below = floor(at)
    low = gather(ordered, -1, to_dtype(below, dtypes.int64))
    if interpolation in ("lower", "higher", "nearest"):
        return low
    high = gather(ordered, -1, to_dtype(ceil(at), dtypes.int64))
    return lerp(low, high, 0.5 if interpolation == "midpoint" else at - below)


@numpy_names
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Differences of neighbors along ``dim``, ``n`` times.

    >>> import fovea
    >>> diff(fovea.tensor([1, 4, 9]))
    tensor([3, 5])
    """
    if input.ndim == 0:
        raise ShapeError("diff: a 0-d tensor has no differences.")
    d = normalize_dim("diff", dim, input.ndim)
    if n == 0:
        return input
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, d) if len(parts) > 1 else input
    for _ in range(n):
        size = max(x.shape[d] - 1, 0)
        if not size:
            return narrow(x, d, 0, 0)
        later, earlier = narrow(x, d, 1, size), narrow(x, d, 0, size)
        x = later.logical_xor(earlier) if x.dtype is dtypes.bool_ else later - earlier
    return x


def _areas(y: Tensor, x: Tensor | None, dx: Any, dim: int) -> Tensor:
    """The areas of the trapezoids between neighbors."""
    d = normalize_dim("trapezoid", dim, y.ndim)
    n = max(y.shape[d] - 1, 0)
    heights = narrow(y, d, min(1, y.shape[d]), n) + narrow(y, d, 0, n)
    if x is None:
        return heights * dx / 2
    if x.ndim == 1 and y.ndim > 1:
        x = reshape(x, tuple(-1 if i == d else 1 for i in range(y.ndim)))
    return heights * diff(x, dim=d - y.ndim) / 2


@numpy_names
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """The integral along ``dim`` by the trapezoidal rule, over points ``x`` or ``dx`` apart."""
    return sum_(_areas(y, x, dx, dim), dim)


@numpy_names
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1
) -> Tensor:
    """The running integral along ``dim`` by the trapezoidal rule."""
    return cumsum(_areas(y, x, dx, dim), dim)


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """Covariances of the rows (variables) of a matrix over its columns (observations)."""
    x = reshape(input, (1, -1)) if input.ndim < 2 else input
    weights = None
    if fweights is not None:
        weights = fweights
    if aweights is not None:
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        total, center = (
            x.shape[1],
            mean(x, 1, keepdim=True)
            if x.dtype.is_inexact
            else (sum_(x, 1, keepdim=True) / x.shape[1]),
        )
        scale: Any = total - correction
        weighted = x - center
    else:
        total = sum_(weights)
        center = sum_(x * weights, 1, keepdim=True) / total
        scale = total - correction
        if aweights is not None and correction:
            scale = total - correction * sum_(weights * aweights) / total
        weighted = (x - center) * weights
    scale = scale.clamp(min=0) if is_tensor(scale) else max(scale, 0)
    found = weighted.matmul(conj((x - center).transpose(0, 1))) / scale
    return squeeze(found)


def corrcoef(input: Tensor) -> Tensor:
    """Correlation coefficients of the rows of a matrix."""
    found = cov(input)
    if found.ndim == 0:
        return found / found
    spread = found.diagonal().sqrt()
    found = found / unsqueeze(spread, 1) / unsqueeze(spread, 0)
    if found.dtype.is_complex:
        return complex_(found.real.clamp(-1, 1), found.imag.clamp(-1, 1))
    return found.clamp(-1, 1)


@numpy_names
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Scale slices along ``dim`` whose ``p``-norm is larger than ``maxnorm`` down to it."""
    d = normalize_dim("renorm", dim, input.ndim)
    rows = flatten(movedim(input, d, 0), 1)
    norms = rows.norm(p, 1)
    scale = where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)
    shape = tuple(-1 if i == d else 1 for i in range(input.ndim))
    return input * reshape(to_dtype(scale, input.dtype), shape)


@numpy_names
def gradient(
    input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> list[Tensor]:
    """Derivatives along ``dim`` by central differences, one-sided at the edges.

    Args:
        spacing: the distance of neighbors (1 unless given): a number, or one for each dimension.
        edge_order: 1 or 2: how exact the differences at the edges are.
    """
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    spacing = 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, Sequence) else [spacing] * len(dims)
    if any(is_tensor(s) and s.ndim for s in steps):
        raise ArgumentError("gradient: spacing by coordinates is not available.", fix="a number")
    return [_central(input, d, h, edge_order) for d, h in zip(dims, steps, strict=True)]


def _central(x: Tensor, dim: int, step: Any, edge_order: int) -> Tensor:
    d = normalize_dim("gradient", dim, x.ndim)
    n = x.shape[d]
    if n <= edge_order:
        raise ShapeError(f"gradient: dimension {d} needs more than {edge_order} elements.")

    def at(i: int) -> Tensor:
        return narrow(x, d, i % n, 1)

    inner = (narrow(x, d, 2, n - 2) - narrow(x, d, 0, n - 2)) / 2
    if edge_order == 1:
        first, last = at(1) - at(0), at(-1) - at(-2)
    else:
        first = at(1) * 2 - at(0) * 1.5 - at(2) * 0.5
        last = at(-1) * 1.5 - at(-2) * 2 + at(-3) * 0.5
    return cat([first, inner, last], d) / step


class Histogram(NamedTuple):
    """How much there is in each bin, and the edges of the bins."""

    hist: Tensor
    bin_edges: Tensor

    def __repr__(self) -> str:
        return printed("histogram", self)


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """How many elements (or how much ``weight``) fall into each bin, and the edges of the bins.

    Args:
        bins: their number, or their edges as a 1-D tensor.
        range: of the edges; that of the elements unless given.
    """
    import numpy as np

    values = input.detach()._array()
    edges = bins._array() if is_tensor(bins) else bins
    mass = None if weight is None else weight._array()
    found, at = np.histogram(values, edges, range, weights=mass, density=density)
    return Histogram(from_array(found, input.dtype), from_array(at, input.dtype))
