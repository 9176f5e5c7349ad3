"""Windows of images as columns, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ShapeError, describe
from fovea.functions.shaping import permute, reshape
from fovea.functions.shaping import unfold as windows
from fovea.nn.functional.arguments import hashable, pair
from fovea.nn.functional.conv import conv_transpose2d
from fovea.nn.functional.padding import pad

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["fold", "unfold"]


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """All windows of an image as columns ("im2col").

    Args:
        input: (N, C, H, W) or (C, H, W).

    Returns: (N, C * kh * kw, windows).

    >>> import fovea
    >>> unfold(fovea.arange(4.0).reshape(1, 1, 2, 2), (1, 2))
    tensor([[[0., 2.],
             [1., 3.]]])
    """
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    if input.ndim != 4:
        raise ShapeError(f"unfold: input must be (N, C, H, W) or (C, H, W), got {describe(input)}.")
    kh, kw = pair("unfold", "kernel_size", hashable(kernel_size))
    dh, dw = pair("unfold", "dilation", hashable(dilation))
    ph, pw = pair("unfold", "padding", hashable(padding))
    sh, sw = pair("unfold", "stride", hashable(stride))
    x = pad(input, (pw, pw, ph, ph)) if ph or pw else input
    x = windows(x, 2, (kh - 1) * dh + 1, sh)
    x = windows(x, 3, (kw - 1) * dw + 1, sw)[..., ::dh, ::dw]
    n, c, rows, columns = x.shape[:4]
    return reshape(permute(x, (0, 1, 4, 5, 2, 3)), (n, c * kh * kw, rows * columns))


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns summed back into an image ("col2im"): the transpose of ``unfold``.

    Args:
        input: (N, C * kh * kw, windows), or without N.
        output_size: (H, W) of the image.

    Returns: (N, C, H, W).
    """
    if input.ndim == 2:
        one = input.unsqueeze(0)
        return fold(one, output_size, kernel_size, dilation, padding, stride).squeeze(0)
    height, width = pair("fold", "output_size", hashable(output_size))
    kh, kw = pair("fold", "kernel_size", hashable(kernel_size))
    dh, dw = pair("fold", "dilation", hashable(dilation))
    ph, pw = pair("fold", "padding", hashable(padding))
    sh, sw = pair("fold", "stride", hashable(stride))
    rows, rest_h = divmod(height + 2 * ph - dh * (kh - 1) - 1, sh)
    columns, rest_w = divmod(width + 2 * pw - dw * (kw - 1) - 1, sw)
    rows, columns, taps = rows + 1, columns + 1, kh * kw
    if input.ndim != 3 or input.shape[1] % taps or input.shape[2] != rows * columns:
        raise ShapeError(
            f"fold: an image of {height} x {width} has {rows} x {columns} windows of {taps} pixels "
            f"a channel; input {describe(input)} does not."
        )
    channels = input.shape[1] // taps
    # Each tap goes to its own place: a transposed convolution with filters of a single one.
    filters = reshape(input.new_ones((taps,)).diag(), (taps, 1, kh, kw)).repeat(channels, 1, 1, 1)
    image = reshape(input, (input.shape[0], input.shape[1], rows, columns))
    return conv_transpose2d(
        image, filters, None, (sh, sw), (ph, pw), (rest_h, rest_w), channels, (dh, dw)
    )
