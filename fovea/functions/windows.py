"""Windows for spectra: a bell of ``window_length`` numbers, as PyTorch names and counts them.

Sources: Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform",
1978; Kaiser and Schafer, "On the use of the I0-sinh window for spectrum analysis", 1980.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import devices, dtypes
from fovea.errors import ArgumentError, DTypeError
from fovea.functions.creation import finish, from_array

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]

Array = np.ndarray[Any, Any]


def _window(
    name: str,
    bell: Callable[[Array], Array],
    length: int,
    periodic: bool,
    dtype: Any,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    """``bell`` at ``length`` places that go from 0 to 1; a periodic window leaves out the last of
    one place more.
    """
    devices.as_device(device)
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not kind.is_floating_point:
        raise DTypeError(f"{name}: a window is floating point, got dtype {kind.name}.")
    if length < 0:
        raise ArgumentError(f"{name}: window_length must not be negative, got {length}.")
    if length < 2:
        return finish(from_array(np.ones(length), kind), requires_grad)
    places = np.arange(length) / (length if periodic else length - 1)
    return finish(from_array(bell(places), kind), requires_grad)


def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A triangle.

    Args:
        window_length: how many numbers.
        periodic: made to be repeated; False gives a symmetric window.

    >>> bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window(
        "bartlett_window",
        lambda x: 1 - np.abs(2 * x - 1),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
    )


def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Blackman's sum of three cosines.

    >>> blackman_window(5, periodic=False)[1:4]
    tensor([0.3400, 1.0000, 0.3400])
    """
    return _window(
        "blackman_window",
        lambda x: 0.42 - 0.5 * np.cos(2 * math.pi * x) + 0.08 * np.cos(4 * math.pi * x),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
    )


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``alpha - beta cos(2 pi x)``: a raised cosine that does not reach zero.

    >>> hamming_window(4, periodic=False)
    tensor([0.0800, 0.7700, 0.7700, 0.0800])
    """
    return _window(
        "hamming_window",
        lambda x: alpha - beta * np.cos(2 * math.pi * x),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
    )


def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A raised cosine.

    >>> hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window(
        "hann_window",
        lambda x: 0.5 - 0.5 * np.cos(2 * math.pi * x),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
    )


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Kaiser's: the larger ``beta``, the smaller the side lobes and the wider the main one.

    >>> kaiser_window(4, beta=2.0)
    tensor([0.4387, 0.8348, 1.0000, 0.8348])
    """
    return _window(
        "kaiser_window",
        lambda x: np.i0(beta * np.sqrt(np.maximum(1 - (2 * x - 1) ** 2, 0))) / np.i0(beta),
        window_length,
        periodic,
        dtype,
        device,
        requires_grad,
    )
