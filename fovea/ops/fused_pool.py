"""ReLU and max pooling as one op, for graph passes: what backward needs is one byte a window.

A window's *choice* is the number (row by row) of its first element that is the maximum, or
``NOTHING`` where no element is positive: there the ReLU stops the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.pool import PoolAttrs, _max_spec
from fovea.ops.rules import channels_last_strides
from fovea.ops.windows import check_pair, check_window, image_size

Array = np.ndarray[Any, Any]

__all__ = ["NOTHING", "ChoiceGradAttrs", "relu_max_pool2d", "relu_max_pool2d_grad", "suits"]

NOTHING = 255
MOST_ELEMENTS = 16  # of a window
_MADE = "graph passes make it, after differentiation"

relu_max_pool2d = Op(
    "relu_max_pool2d", ("x",), PoolAttrs, outputs=("y", "choice"), nondifferentiable=_MADE
)


def suits(shape: tuple[int, ...], a: PoolAttrs) -> bool:
    """Whether windows lie apart, whole and within the image, and are small.

    >>> suits((1, 8, 26, 26), PoolAttrs((2, 2), (2, 2), (0, 0, 0, 0), (1, 1), False))
    True
    """
    apart = all(s >= k for s, k in zip(a.stride, a.kernel, strict=True))
    whole = all(n >= k for n, k in zip(shape[2:], a.kernel, strict=True))
    small = a.kernel[0] * a.kernel[1] <= MOST_ELEMENTS
    plain = not any(a.padding) and a.dilation == (1, 1) and not a.ceil_mode
    return apart and whole and small and plain


@relu_max_pool2d.shape
def _(x: Shaped, a: PoolAttrs) -> tuple[Spec, Spec]:
    y = _max_spec("relu_max_pool2d", x, a)
    if not x.dtype.is_floating_point or not suits(tuple(x.shape), a):
        raise ArgumentError(
            "relu_max_pool2d: windows must be small and lie apart within the image.",
            {"x": describe(x), "windows": str(a)},
        )
    return y, Spec(y.shape, dtypes.uint8, y.strides)


def _elements(x: Array, a: PoolAttrs, out: tuple[int, ...]) -> Array:
    """The elements of each window, one after another in a new first dimension."""
    (kh, kw), (sh, sw) = a.kernel, a.stride
    rows, columns = (out[0] - 1) * sh + 1, (out[1] - 1) * sw + 1
    return np.stack(
        [x[:, :, i : i + rows : sh, j : j + columns : sw] for i in range(kh) for j in range(kw)]
    )


@relu_max_pool2d.reference
def _(x: Array, a: PoolAttrs) -> tuple[Array, Array]:
    out = tuple((n - k) // s + 1 for n, k, s in zip(x.shape[2:], a.kernel, a.stride, strict=True))
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    choice = np.full(y.shape, NOTHING, np.uint8)
    for number, value in enumerate(_elements(x, a, out)):
        wins = (value > y) | (np.isnan(value) & ~np.isnan(y))
        y, choice = np.where(wins, value, y), np.where(wins, np.uint8(number), choice)
    return y, choice


@dataclass(frozen=True, eq=False)
class ChoiceGradAttrs(Attrs):
    kernel: tuple[int, int]
    stride: tuple[int, int]
    input_size: tuple[int, int]


relu_max_pool2d_grad = Op(
    "relu_max_pool2d_grad", ("gy", "choice"), ChoiceGradAttrs, nondifferentiable=_MADE
)


@relu_max_pool2d_grad.shape
def _(gy: Shaped, choice: Shaped, a: ChoiceGradAttrs) -> Spec:
    name = "relu_max_pool2d_grad"
    if tuple(gy.shape) != tuple(choice.shape) or choice.dtype is not dtypes.uint8:
        raise ShapeError(f"{name}: {describe(choice)} are no choices for {describe(gy)}.")
    image_size(name, gy, "gy")
    check_window(name, a.kernel, a.stride, (0, 0, 0, 0))
    check_pair(name, "input_size", a.input_size)
    fitting = zip(gy.shape[2:], a.kernel, a.stride, a.input_size, strict=True)
    if any(s < k or n < 1 or (n - 1) * s + k > size for n, k, s, size in fitting):
        raise ShapeError(f"{name}: the windows of {describe(gy)} leave {a.input_size}.")
    shape = (gy.shape[0], gy.shape[1], *a.input_size)
    return Spec(shape, gy.dtype, channels_last_strides(shape))


@relu_max_pool2d_grad.reference
def _(gy: Array, choice: Array, a: ChoiceGradAttrs) -> Array:
    gx = np.zeros((*gy.shape[:2], *a.input_size), gy.dtype)
    (kh, kw), (sh, sw) = a.kernel, a.stride
    rows, columns = (gy.shape[2] - 1) * sh + 1, (gy.shape[3] - 1) * sw + 1
    if gy.size:
        for number in range(kh * kw):
            i, j = divmod(number, kw)
            part = np.where(choice == number, gy, np.zeros((), gy.dtype))
            gx[:, :, i : i + rows : sh, j : j + columns : sw] = part
    return gx
