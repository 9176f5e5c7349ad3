"""``keras.ops``: further functions that put elements in other places, and new tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

import fovea
from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.ops.elementwise import common, floating, numeric, pair, tensor
from fovea.keras.ops.elementwise import tensor as as_tensor
from fovea.keras.ops.numpy import linspace
from fovea.keras.ops.symbolic import shapes_of, symbolic

__all__ = [
    "allclose", "append", "array", "array_split", "bartlett", "blackman", "diagflat", "diagonal",
    "diff", "dsplit", "dstack", "empty", "empty_like", "fliplr", "flipud", "geomspace", "hamming",
    "hanning", "hsplit", "isclose", "isin", "kaiser", "logspace", "nonzero", "rearrange", "rot90",
    "select", "tri", "unravel_index", "vander", "view", "vsplit",
]  # fmt: skip


@symbolic
def array(x: Any, dtype: Any = None) -> Any:
    """A tensor."""
    t = tensor(x)
    return t if dtype is None else t.to(config.as_dtype(dtype))


@symbolic
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """One behind the other along an axis; all in one row without."""
    a, b = common(x1, x2)
    if axis is None:
        return fovea.cat([a.reshape(-1), b.reshape(-1)])
    return fovea.cat([a, b], axis)


def _split(x: Any, sections: Any, axis: int) -> list[Any]:
    given = sections if isinstance(sections, int) else [int(i) for i in sections]
    return list(fovea.tensor_split(tensor(x), given, axis))


@symbolic
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Parts, as equal as can be."""
    return _split(x, indices_or_sections, axis)


@symbolic
def hsplit(x: Any, indices_or_sections: Any) -> Any:
    """Parts side by side."""
    return _split(x, indices_or_sections, 0 if tensor(x).ndim == 1 else 1)


@symbolic
def vsplit(x: Any, indices_or_sections: Any) -> Any:
    """Parts below one another."""
    return _split(x, indices_or_sections, 0)


@symbolic
def dsplit(x: Any, indices_or_sections: Any) -> Any:
    """Parts one behind the other."""
    return _split(x, indices_or_sections, 2)


@symbolic
def dstack(xs: Any) -> Any:
    """Several tensors one behind the other."""
    return fovea.dstack(common(*xs))


@symbolic
def diagflat(x: Any, k: int = 0) -> Any:
    """The matrix with these elements on a diagonal."""
    return fovea.diag(tensor(x).reshape(-1), k)


@symbolic
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal, in a last axis."""
    return fovea.diagonal(tensor(x), offset, axis1, axis2)


@symbolic
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbors, ``n`` times over."""
    return fovea.diff(tensor(a), n=n, dim=axis)


@symbolic
def fliplr(x: Any) -> Any:
    """Left and right exchanged."""
    return fovea.flip(tensor(x), (1,))


@symbolic
def flipud(x: Any) -> Any:
    """Top and bottom exchanged."""
    return fovea.flip(tensor(x), (0,))


@symbolic
def rot90(array: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """Turned by quarters, from the first axis to the second."""
    return fovea.rot90(tensor(array), k, list(axes))


@symbolic
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803
    """Powers of each element in a row."""
    x = numeric(x)
    n = x.shape[0] if N is None else N
    powers = fovea.arange(n, dtype=x.dtype)
    powers = powers if increasing else powers.flip((0,))
    return x.unsqueeze(-1) ** powers


@symbolic
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """At each place the choice of the first condition that holds."""
    found = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        a, b = pair(choice, found)
        found = fovea.where(tensor(condition).to(fovea.bool), a, b)
    return found


@symbolic
def unravel_index(indices: Any, shape: Any) -> Any:
    """Numbers of elements as indices for each axis, in int32."""
    flat = tensor(indices).to(fovea.int32)
    found = []
    for size in reversed(list(shape)):
        found.append(fovea.remainder(flat, size))
        flat = fovea.floor_divide(flat, size)
    return tuple(reversed(found))


@symbolic
def nonzero(x: Any) -> Any:
    """The indices of what is not 0, in int32, an axis each."""
    found = fovea.nonzero(tensor(x), as_tuple=True)
    return tuple(i.to(fovea.int32) for i in found)


@shapes_of(nonzero)
def _(x: Any) -> Any:
    return tuple(KerasTensor((None,), "int32") for _ in x.shape)


@symbolic
def isclose(
    x1: Any, x2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether elements are nearly equal."""
    a, b = floating(x1), floating(x2)
    return fovea.isclose(a, b.to(a.dtype), rtol, atol, equal_nan)


@symbolic
def allclose(
    x1: Any, x2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether all elements are nearly equal."""
    return isclose(x1, x2, rtol, atol, equal_nan).all()


@symbolic
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether elements are among others."""
    return fovea.isin(tensor(x1), tensor(x2), invert=invert)


@symbolic
def view(x: Any, dtype: Any = None) -> Any:
    """The same bytes read as another type."""
    x = tensor(x)
    if dtype is None:
        return x
    kind = config.as_dtype(dtype)
    if kind.itemsize == x.dtype.itemsize:
        return x.view(kind)
    whole = np.ascontiguousarray(x.detach().numpy()).view(kind.numpy)
    return fovea.from_numpy(whole.copy())


# -- einops' notation ----------------------------------------------------------------------------


def _groups(side: str) -> list[list[str]]:
    """Axes of one side of a pattern: ``"b (h w) c"`` gives [[b], [h, w], [c]]."""
    found = []
    for inner, name in re.findall(r"\(([^()]*)\)|(\S+)", side):
        found.append(inner.split() if not name else [name])
    return found


@symbolic
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """Axes split, merged and put in another order, as einops writes it.

    >>> import fovea
    >>> rearrange(fovea.zeros(2, 6, 3), "b (h w) c -> b c h w", h=2).shape
    fovea.Size([2, 3, 2, 3])
    """
    x = as_tensor(tensor)
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise ArgumentError(f"rearrange: a pattern has two sides, 'a b -> b a', got {pattern!r}.")
    before, after = _groups(left), _groups(right)
    if len(before) != len(x.shape):
        raise ArgumentError(
            f"rearrange: {left.strip()!r} names {len(before)} axes, the tensor has {len(x.shape)}."
        )
    sizes = dict(axes_lengths)
    for group, size in zip(before, x.shape, strict=True):
        known = math.prod(sizes.get(name, 1) for name in group)
        unknown = [name for name in group if name not in sizes]
        if len(unknown) > 1 or size % known or (not unknown and known != size):
            raise ArgumentError(f"rearrange: {group} does not fit an axis of {size}.")
        if unknown:
            sizes[unknown[0]] = size // known
    names = [name for group in before for name in group]
    wanted = [name for group in after for name in group]
    if sorted(names) != sorted(wanted):
        raise ArgumentError(f"rearrange: both sides of {pattern!r} must name the same axes.")
    x = x.reshape(tuple(sizes[name] for name in names))
    x = fovea.permute(x, tuple(names.index(name) for name in wanted))
    return x.reshape(tuple(math.prod(sizes[name] for name in group) for group in after))


# -- new ones ------------------------------------------------------------------------------------


def empty(shape: Any, dtype: Any = None) -> Any:
    """Unset memory."""
    return fovea.empty(shape, dtype=config.as_dtype(dtype))


@symbolic
def empty_like(x: Any, dtype: Any = None) -> Any:
    """Unset memory in the shape of another."""
    return fovea.empty_like(tensor(x), dtype=None if dtype is None else config.as_dtype(dtype))


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:  # noqa: N803
    """Ones on and below a diagonal."""
    ones = fovea.ones(N, N if M is None else M, dtype=config.as_dtype(dtype))
    return fovea.tril(ones, k)


@symbolic
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Powers of ``base`` with exponents at equal distances."""
    exponents = linspace(start, stop, num, endpoint, axis=axis)
    return (base**exponents).to(config.as_dtype(dtype))


@symbolic
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Numbers of equal ratios, between two of one sign."""
    kind = config.as_dtype(dtype)
    if isinstance(start, int | float) and isinstance(stop, int | float):
        return fovea.tensor(np.geomspace(start, stop, num, endpoint)).to(kind)
    first, last = fovea.broadcast_tensors(*common(floating(start), floating(stop)))
    shares = linspace(0.0, 1.0, num, endpoint).to(first.dtype).reshape(-1, *(1,) * first.ndim)
    return fovea.movedim(first * (last / first) ** shares, 0, axis).to(kind)


def bartlett(x: Any) -> Any:
    """A triangle of ``x`` numbers."""
    return fovea.bartlett_window(int(x), periodic=False, dtype=config.as_dtype(None))


def blackman(x: Any) -> Any:
    """Blackman's window of ``x`` numbers."""
    return fovea.blackman_window(int(x), periodic=False, dtype=config.as_dtype(None))


def hamming(x: Any) -> Any:
    """Hamming's window of ``x`` numbers."""
    return fovea.hamming_window(int(x), periodic=False, dtype=config.as_dtype(None))


def hanning(x: Any) -> Any:
    """Hann's window of ``x`` numbers."""
    return fovea.hann_window(int(x), periodic=False, dtype=config.as_dtype(None))


def kaiser(x: Any, beta: Any) -> Any:
    """Kaiser's window of ``x`` numbers."""
    return fovea.kaiser_window(int(x), False, float(beta), dtype=config.as_dtype(None))
