"""Windows over signals by the names that SciPy (and so Keras) gives them, as NumPy arrays.

Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", 1978.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fovea.errors import ArgumentError

__all__ = ["get_window", "require_window"]

Array = np.ndarray[Any, Any]

# Sums of a_k cos(k t), t from -pi to pi.
_COSINES: dict[str, tuple[float, ...]] = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


def _triangle(n: int) -> Array:
    """Its ends are not zero, unlike those of Bartlett's."""
    return 1 - np.abs(np.arange(n) - (n - 1) / 2) / ((n + n % 2) / 2)


def _parzen(n: int) -> Array:
    x = np.abs(np.arange(n) - (n - 1) / 2) / (n / 2)
    return np.where(x <= (n - 1) / (2 * n), 1 - 6 * x**2 + 6 * x**3, 2 * (1 - x) ** 3)


def _bohman(n: int) -> Array:
    x = np.abs(np.linspace(-1, 1, n))
    y = (1 - x) * np.cos(np.pi * x) + np.sin(np.pi * x) / np.pi
    y[[0, -1]] = 0
    return y


def _bartlett_hann(n: int) -> Array:
    x = np.abs(np.arange(n) / (n - 1) - 0.5)
    return 0.62 - 0.48 * x + 0.38 * np.cos(2 * np.pi * x)


_OTHERS: dict[str, Callable[[int], Array]] = {
    "bartlett": np.bartlett,
    "barthann": _bartlett_hann,
    "bohman": _bohman,
    "cosine": lambda n: np.sin(np.pi / n * (np.arange(n) + 0.5)),
    "lanczos": lambda n: np.sinc(2 * np.arange(n) / (n - 1) - 1),
    "parzen": _parzen,
    "triang": _triangle,
}


def require_window(name: str) -> None:
    """ArgumentError if no window has this name."""
    if name not in _COSINES and name not in _OTHERS:
        known = ", ".join(sorted({*_COSINES, *_OTHERS}))
        raise ArgumentError(
            f"there is no window {name!r}.", fix=f"one of {known}, or the weights themselves"
        )


def get_window(name: str, length: int, periodic: bool = True) -> Array:
    """A window's weights in float64, as of ``scipy.signal.get_window``.

    Args:
        name: ``"boxcar"``, ``"hann"``, ``"hamming"``, ``"blackman"``, ``"nuttall"``,
            ``"blackmanharris"``, ``"flattop"``, ``"bartlett"``, ``"barthann"``, ``"bohman"``,
            ``"cosine"``, ``"lanczos"``, ``"parzen"`` or ``"triang"``.
        length: how many.
        periodic: the first weights of a window that is longer by one, for spectra; without, the
            window is symmetric.

    Raises:
        ArgumentError: another name.

    >>> get_window("hann", 4)
    array([0. , 0.5, 1. , 0.5])
    """
    require_window(name)
    if length <= 1:
        return np.ones(length)
    n = length + periodic
    if name in _OTHERS:
        return _OTHERS[name](n)[:length]
    angles = np.linspace(-np.pi, np.pi, n)
    terms = [a * np.cos(k * angles) for k, a in enumerate(_COSINES[name])]
    return np.asarray(np.sum(terms, axis=0))[:length]
