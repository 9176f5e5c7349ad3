"""The standard's functions that make arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fovea

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *,
    dtype: Any = None, device: Any = None,
) -> Tensor:  # fmt: skip
    """Evenly spaced numbers from ``start`` (or 0 to ``start``) to before ``stop``."""
    first, last = (0, start) if stop is None else (start, stop)
    if (last - first) / step <= 0:  # nothing, where PyTorch's habit is an error
        kind = fovea.arange(0, 1, step if step > 0 else -step, dtype=dtype).dtype
        return fovea.empty(0, dtype=kind, device=device)
    return fovea.arange(first, last, step, dtype=dtype, device=device)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Tensor:
    """An array of numbers, sequences, or arrays of others."""
    return fovea.asarray(obj, dtype=dtype, device=device, copy=copy)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of any values."""
    return fovea.empty(shape, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of any values, like another."""
    return fovea.empty_like(x, dtype=dtype, device=device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Ones on the ``k``-th diagonal, zeros elsewhere."""
    columns = fovea.arange(n_rows if n_cols is None else n_cols)
    rows = fovea.arange(n_rows).unsqueeze(1)
    kind = fovea.get_default_dtype() if dtype is None else dtype
    return (columns - rows == k).to(kind)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """An array over the memory of another framework's."""
    return fovea.from_dlpack(x, device=device, copy=copy)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of one value."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return fovea.full(sizes, fill_value, dtype=dtype, device=device)


def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of one value, like another."""
    return fovea.full_like(x, fill_value, dtype=dtype, device=device)


def linspace(
    start: float, stop: float, /, num: int, *,
    dtype: Any = None, device: Any = None, endpoint: bool = True,
) -> Tensor:  # fmt: skip
    """``num`` evenly spaced numbers from ``start`` to ``stop``, or to before it."""
    if endpoint:
        return fovea.linspace(start, stop, num, dtype=dtype, device=device)
    return fovea.linspace(start, stop, num + 1, dtype=dtype, device=device)[:-1]


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """The coordinates of the points of a grid."""
    return tuple(fovea.meshgrid(*arrays, indexing=indexing))


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of ones."""
    return fovea.ones(shape, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of ones, like another."""
    return fovea.ones_like(x, dtype=dtype, device=device)


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The part of matrices on and below the ``k``-th diagonal."""
    return fovea.tril(x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The part of matrices on and above the ``k``-th diagonal."""
    return fovea.triu(x, k)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of zeros."""
    return fovea.zeros(shape, dtype=dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array of zeros, like another."""
    return fovea.zeros_like(x, dtype=dtype, device=device)
