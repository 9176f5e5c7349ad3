"""The standard's Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea import fft as own

if TYPE_CHECKING:
    from fovea.tensor import Tensor

    def __getattr__(name: str) -> Any: ...  # those that the loops below make


def _along_one(name: str) -> Callable[..., Tensor]:
    transform = getattr(own, name)

    def call(
        x: Tensor, /, *, n: int | None = None, axis: int = -1, norm: str = "backward"
    ) -> Tensor:
        return transform(x, n, axis, norm)

    return call


def _along_many(name: str) -> Callable[..., Tensor]:
    transform = getattr(own, name)

    def call(x: Tensor, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Tensor:
        return transform(x, s, axes, norm)

    return call


for _names, _make in (
    ("fft ifft rfft irfft hfft ihfft", _along_one),
    ("fftn ifftn rfftn irfftn", _along_many),
):
    for _name in _names.split():
        globals()[_name] = _function = _make(_name)
        _function.__name__ = _function.__qualname__ = _name
        _function.__doc__ = f"``fovea.fft.{_name}`` under the standard's arguments."


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `fft`, in cycles a unit of ``d``."""
    return own.fftfreq(n, d, dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `rfft`, in cycles a unit of ``d``."""
    return own.rfftfreq(n, d, dtype=dtype, device=device)


def fftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """Frequency 0 moved to the middle."""
    return own.fftshift(x, axes)


def ifftshift(x: Tensor, /, *, axes: Any = None) -> Tensor:
    """`fftshift` undone."""
    return own.ifftshift(x, axes)
