"""``keras.ops``: order statistics, what ignores NaN, counts and segments."""

from __future__ import annotations

import math
from typing import Any

import fovea
from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.ops import reductions as knp
from fovea.keras.ops.elementwise import common, floating, numeric, tensor, wide
from fovea.keras.ops.symbolic import shapes_of, symbolic

__all__ = [
    "amax", "amin", "argpartition", "bincount", "corrcoef", "correlate", "digitize",
    "histogram", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean",
    "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar",
    "percentile", "ptp", "quantile", "searchsorted", "segment_max", "segment_min",
    "segment_prod", "segment_sum", "trapezoid", "unique",
]  # fmt: skip


@symbolic
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``max``."""
    return knp.max(x, axis, keepdims)


@symbolic
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``min``."""
    return knp.min(x, axis, keepdims)


@symbolic
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """From the smallest to the largest."""
    return knp.max(x, axis, keepdims) - knp.min(x, axis, keepdims)


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, f: Any) -> Any:
    given, x = floating(x), wide(x)
    q = tensor(q).to(x.dtype)
    axes = (
        None if axis is None else [a % x.ndim for a in ([axis] if isinstance(axis, int) else axis)]
    )
    options = {"interpolation": method}
    if axes is None or len(axes) == 1:
        found = f(x, q, dim=None if axes is None else axes[0], keepdim=keepdims, **options)
        return found.to(given.dtype)
    kept = [d for d in range(x.ndim) if d not in axes]
    moved = fovea.permute(x, (*kept, *axes)).reshape(
        [*[x.shape[d] for d in kept], math.prod(x.shape[d] for d in axes)]
    )
    found = f(moved, q, dim=-1, **options)
    for a in sorted(axes) if keepdims else []:
        found = found.unsqueeze(a + q.ndim)
    return found.to(given.dtype)


@symbolic
def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """The values below which shares ``q`` of the elements lie."""
    return _quantile(x, q, axis, method, keepdims, fovea.quantile)


@symbolic
def percentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """``quantile``, in percent."""
    return _quantile(x, floating(q) / 100, axis, method, keepdims, fovea.quantile)


# -- without NaN ---------------------------------------------------------------------------------


def _filled(x: Any, value: float) -> Any:
    x = tensor(x)
    return fovea.where(fovea.isnan(x), value, x) if x.dtype.is_floating_point else x


@symbolic
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum of what is not NaN."""
    return knp.sum(_filled(x, 0.0), axis, keepdims)


@symbolic
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product of what is not NaN."""
    return knp.prod(_filled(x, 1.0), axis, keepdims)


@symbolic
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running sums; NaN counts 0."""
    return knp.cumsum(_filled(x, 0.0), axis, dtype)


@symbolic
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running products; NaN counts 1."""
    return knp.cumprod(_filled(x, 1.0), axis, dtype)


def _count(x: Any, axis: Any, keepdims: bool) -> Any:
    return knp.sum(fovea.logical_not(fovea.isnan(x)).to(x.dtype), axis, keepdims)


@symbolic
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean of what is not NaN."""
    x = floating(x)
    return nansum(x, axis, keepdims) / _count(x, axis, keepdims)


@symbolic
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance of what is not NaN."""
    x = floating(x)
    unknown = fovea.isnan(x)
    gap = fovea.where(unknown, 0.0, _filled(x, 0.0) - nanmean(x, axis, True))
    return knp.sum(gap * gap, axis, keepdims) / _count(x, axis, keepdims)


@symbolic
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The root of ``nanvar``."""
    return nanvar(x, axis, keepdims).sqrt()


def _nan_extreme(f: Any, x: Any, worst: float, axis: Any, keepdims: bool) -> Any:
    x = tensor(x)
    if not x.dtype.is_floating_point:
        return f(x, axis, keepdims)
    found = f(_filled(x, worst), axis, keepdims)
    return fovea.where(_count(x, axis, keepdims) == 0, float("nan"), found)


@symbolic
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest that is not NaN."""
    return _nan_extreme(knp.max, x, -float("inf"), axis, keepdims)


@symbolic
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest that is not NaN."""
    return _nan_extreme(knp.min, x, float("inf"), axis, keepdims)


@symbolic
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the largest that is not NaN is; -1 where all are."""
    x = floating(x)
    found = knp.argmax(_filled(x, -float("inf")), axis, keepdims)
    return fovea.where(_count(x, axis, keepdims) == 0, -1, found)


@symbolic
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the smallest that is not NaN is; -1 where all are."""
    x = floating(x)
    found = knp.argmin(_filled(x, float("inf")), axis, keepdims)
    return fovea.where(_count(x, axis, keepdims) == 0, -1, found)


@symbolic
def nanquantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """``quantile`` of what is not NaN."""
    return _quantile(x, q, axis, method, keepdims, fovea.nanquantile)


@symbolic
def nanpercentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """``percentile`` of what is not NaN."""
    return _quantile(x, floating(q) / 100, axis, method, keepdims, fovea.nanquantile)


@symbolic
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle value of what is not NaN."""
    return _quantile(x, 0.5, axis, "linear", keepdims, fovea.nanquantile)


# -- order and counts ----------------------------------------------------------------------------


@symbolic
def argpartition(x: Any, kth: int, axis: int = -1) -> Any:
    """Places in an order in which the ``kth`` is right: all are."""
    return tensor(x).argsort(axis).to(fovea.int32)


@symbolic
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where values would stand in an ordered row, in int32."""
    if tensor(sorted_sequence).ndim != 1:
        raise ArgumentError("searchsorted: the sequence must be one row.")
    row, sought = common(sorted_sequence, values)
    return fovea.searchsorted(row, sought, side=side).to(fovea.int32)


@symbolic
def digitize(x: Any, bins: Any) -> Any:
    """The number of the bin of each value: ``bins[i - 1] <= x < bins[i]``, in int32."""
    edges, values = common(floating(bins), x)
    return fovea.searchsorted(edges, values, side="right").to(fovea.int32)


@symbolic
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each number from 0 occurs (or the sums of its weights); of rows, row by row."""
    x = tensor(x).to(fovea.int64)
    w = None if weights is None else tensor(weights)
    if x.ndim == 1:
        found = fovea.bincount(x, w, minlength)
        return found.to(fovea.int32) if w is None else found
    length = max(minlength, int(x.max()) + 1)
    rows = [
        fovea.bincount(row, None if w is None else w[i], length)
        for i, row in enumerate(x.unbind(0))
    ]
    found = fovea.stack(rows)
    return found.to(fovea.int32) if w is None else found


@shapes_of(bincount)
def _(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    kind = "int32" if weights is None else tensor(weights).dtype
    return KerasTensor((*x.shape[:-1], None), str(getattr(kind, "name", kind)))


@symbolic
def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    """How many values lie in each of equal bins, and the bins' edges."""
    x = floating(x)
    low, high = (0.0, 1.0) if range is None else range
    if range is None and x.numel():
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = fovea.histc(x, bins, low, high)
    return counts, fovea.linspace(low, high, bins + 1, dtype=x.dtype)


@symbolic
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different values, in order; their first places, the way back and counts, if asked for.

    Args:
        axis: different slices along it.
        size: exactly so many: cut, or filled with ``fill_value`` (default: the smallest).
    """
    x = tensor(x)
    found, inverse, counts = fovea.unique(
        x, sorted=True, return_inverse=True, return_counts=True, dim=axis
    )
    n = counts.shape[0]
    flat = inverse.reshape(-1)
    places = fovea.arange(flat.shape[0])
    first = fovea.full((n,), flat.shape[0], dtype=fovea.int64)
    first = first.scatter_reduce(0, flat, places, "amin")
    along = 0 if axis is None else axis % x.ndim
    if size is not None:
        found, first, counts = _sized(found, first, counts, size, fill_value, along)
    parts = [found]
    shape = inverse.shape if axis is None else (x.shape[along],)
    for wanted, value in (
        (return_index, first),
        (return_inverse, inverse.reshape(shape)),
        (return_counts, counts),
    ):
        if wanted:
            parts.append(value.to(fovea.int32))
    return tuple(parts) if len(parts) > 1 else found


@shapes_of(unique)
def _(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    along = 0 if axis is None else axis % len(x.shape)
    found = (size,) if axis is None else (*x.shape[:along], size, *x.shape[along + 1 :])
    back = x.shape if axis is None else (x.shape[along],)
    parts = [KerasTensor(found, x.dtype)]
    for wanted, shape in (
        (return_index, (size,)),
        (return_inverse, back),
        (return_counts, (size,)),
    ):
        if wanted:
            parts.append(KerasTensor(shape, "int32"))
    return tuple(parts) if len(parts) > 1 else parts[0]


def _sized(found: Any, first: Any, counts: Any, size: int, fill: Any, along: int) -> Any:
    n = counts.shape[0]
    if size <= n:
        return found.narrow(along, 0, size), first[:size], counts[:size]
    more = size - n
    shape = [more if d == along else m for d, m in enumerate(found.shape)]
    filler = fovea.full(shape, 0, dtype=found.dtype)
    filler = filler + (found.min() if fill is None else fill)
    zeros = fovea.zeros(more, dtype=fovea.int64)
    return (
        fovea.cat([found, filler.to(found.dtype)], along),
        fovea.cat([first, zeros]),
        fovea.cat([counts, zeros]),
    )


def _segments(name: str, data: Any, ids: Any, count: int | None, reduce: str, start: float) -> Any:
    given, ids = tensor(data), tensor(ids).to(fovea.int64)
    data = numeric(given)
    if ids.ndim != 1 or ids.shape[0] != data.shape[0]:
        raise ArgumentError(f"{name}: one segment a row of the data is needed.")
    n = int(ids.max()) + 1 if count is None and ids.numel() else count or 0
    if reduce == "sum":
        row = fovea.where(ids < n, ids, n)
        return fovea.zeros((n + 1, *data.shape[1:]), dtype=data.dtype).index_add(0, row, data)[:n]
    index = ids.reshape(-1, *(1,) * (data.ndim - 1)).expand(data.shape)
    inside = index < n
    begin = fovea.full((n + 1, *data.shape[1:]), start, dtype=data.dtype)
    index = fovea.where(inside, index, n)
    return begin.scatter_reduce(0, index, data, reduce)[:n].to(given.dtype)


@symbolic
def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The sums of the rows of each segment."""
    return _segments("segment_sum", data, segment_ids, num_segments, "sum", 0)


@symbolic
def segment_prod(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The products of the rows of each segment."""
    return _segments("segment_prod", data, segment_ids, num_segments, "prod", 1)


def _least(data: Any) -> float:
    kind = numeric(data).dtype
    return -float("inf") if kind.is_floating_point else fovea.iinfo(kind).min


def _most(data: Any) -> float:
    kind = numeric(data).dtype
    return float("inf") if kind.is_floating_point else fovea.iinfo(kind).max


@symbolic
def segment_max(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The largest of the rows of each segment."""
    return _segments("segment_max", data, segment_ids, num_segments, "amax", _least(data))


@symbolic
def segment_min(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    """The smallest of the rows of each segment."""
    return _segments("segment_min", data, segment_ids, num_segments, "amin", _most(data))


for _reduction in (segment_sum, segment_prod, segment_max, segment_min):

    @shapes_of(_reduction)
    def _(
        data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
    ) -> Any:
        data = tensor(data)
        kind = data.dtype if isinstance(data, KerasTensor) else data.dtype.name
        return KerasTensor((num_segments, *data.shape[1:]), kind)


# -- sums over neighbors -------------------------------------------------------------------------


@symbolic
def corrcoef(x: Any) -> Any:
    """Correlation coefficients of the rows."""
    return fovea.corrcoef(floating(x))


@symbolic
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The sums of products of a row with another, moved along it.

    Args:
        mode: ``"valid"`` (where they overlap whole), ``"same"`` or ``"full"``.
    """
    a, b = common(floating(x1), floating(x2))
    if mode not in ("valid", "same", "full"):
        raise ArgumentError(f"correlate: mode is 'valid', 'same' or 'full', got {mode!r}.")
    swapped = a.shape[0] < b.shape[0]
    long, short = (b, a) if swapped else (a, b)
    m, n = long.shape[0], short.shape[0]
    full = fovea.nn.functional.conv1d(
        long.reshape(1, 1, m), short.reshape(1, 1, n), padding=n - 1
    ).reshape(-1)
    start, length = {
        "full": (0, m + n - 1),
        "same": (n - 1 - n // 2, m),
        "valid": (n - 1, m - n + 1),
    }[mode]
    part = full[start : start + length]
    return part.flip((0,)) if swapped else part


@symbolic
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral along an axis by the trapezoidal rule."""
    y = floating(y)
    if x is not None:
        return fovea.trapezoid(y, floating(x), dim=axis)
    return fovea.trapezoid(y, dx=dx, dim=axis)
