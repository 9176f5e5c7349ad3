"""``keras.ops``: Fourier transforms. Complex numbers are pairs of tensors, (real, imaginary)."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.ops.elementwise import floating, tensor
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "extract_sequences", "fft", "fft2", "ifft2", "irfft", "istft", "polar", "rfft", "stft",
    "view_as_complex", "view_as_real",
]  # fmt: skip

_WINDOWS = {"hann": fovea.hann_window, "hamming": fovea.hamming_window}


def _joined(x: Any) -> Any:
    if not isinstance(x, list | tuple) or len(x) != 2:
        raise ArgumentError("complex numbers are given as two tensors, (real, imaginary).")
    return fovea.complex(*(floating(part) for part in x))


def _parts(z: Any) -> Any:
    return z.real, z.imag


@symbolic
def fft(x: Any) -> Any:
    """The transform along the last axis."""
    return _parts(fovea.fft.fft(_joined(x)))


@symbolic
def fft2(x: Any) -> Any:
    """The transform over the last two axes."""
    return _parts(fovea.fft.fft2(_joined(x)))


@symbolic
def ifft2(x: Any) -> Any:
    """The inverse of ``fft2``."""
    return _parts(fovea.fft.ifft2(_joined(x)))


@symbolic
def rfft(x: Any, fft_length: int | None = None) -> Any:
    """The first half of the transform of real numbers."""
    return _parts(fovea.fft.rfft(floating(x), fft_length))


@symbolic
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """The real numbers of such a half."""
    return fovea.fft.irfft(_joined(x), fft_length)


@symbolic
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Windows that slide along the last axis: (..., windows, length)."""
    return tensor(x).unfold(-1, sequence_length, sequence_stride)


def _window(window: Any, length: int, like: Any) -> Any:
    if window is None:
        return fovea.ones(length, dtype=like.dtype)
    if isinstance(window, str):
        if window not in _WINDOWS:
            raise ArgumentError(f"window is 'hann', 'hamming' or a tensor, got {window!r}.")
        return _WINDOWS[window](length, periodic=True, dtype=like.dtype)
    return floating(window).to(like.dtype)


@symbolic
def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """Spectra of windows that slide along the last axis: (..., windows, frequencies), twice.

    Args:
        sequence_length, sequence_stride: of the windows, in samples.
        fft_length: samples of a transform, at least ``sequence_length``.
        window: ``"hann"``, ``"hamming"``, weights, or None.
        center: mirror the signal at its ends, so that windows are centered.
    """
    x = floating(x)
    flat = x.reshape(-1, x.shape[-1]) if x.ndim != 1 else x
    weights = _window(window, sequence_length, x)
    found = fovea.stft(
        flat, fft_length, sequence_stride, sequence_length, weights, center, return_complex=True
    )
    found = fovea.transpose(found, -1, -2)
    return _parts(found.reshape(*x.shape[:-1], *found.shape[-2:]))


@symbolic
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The signals of such spectra."""
    z = fovea.transpose(_joined(x), -1, -2)
    flat = z.reshape(-1, *z.shape[-2:]) if z.ndim != 2 else z
    like = fovea.zeros(0, dtype=config.as_dtype(None))
    found = fovea.istft(
        flat, fft_length, sequence_stride, sequence_length,
        _window(window, sequence_length, like), center, length=length,
    )  # fmt: skip
    return found.reshape(*z.shape[:-2], found.shape[-1])


@symbolic
def polar(abs_: Any, angle: Any) -> Any:
    """Complex numbers of these sizes and angles."""
    return fovea.polar(floating(abs_), floating(angle))


@symbolic
def view_as_complex(x: Any) -> Any:
    """(..., 2) as complex numbers."""
    return fovea.view_as_complex(floating(x))


@symbolic
def view_as_real(x: Any) -> Any:
    """Complex numbers as (..., 2)."""
    return fovea.view_as_real(tensor(x))
