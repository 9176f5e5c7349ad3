"""``keras.ops.image``: images blurred, their edges, how much two are alike."""

from __future__ import annotations

from typing import Any

import fovea
import fovea.nn.functional as F
from fovea.errors import ShapeError
from fovea.functions.shaping import permute
from fovea.keras.ops.elementwise import tensor, wide
from fovea.keras.ops.image_batches import Batch
from fovea.keras.ops.symbolic import symbolic

__all__ = ["bell", "gaussian_blur", "sobel_edges", "ssim", "weighted"]

FEW = 16  # fewer channels do not fill a vector


def bell(size: int, width: Any) -> Any:
    """``size`` numbers of a normal density of this width around their middle; their sum is 1."""
    place = fovea.arange(size, dtype=fovea.float32) - (size - 1) / 2
    values = fovea.exp(-0.5 * (place / width) ** 2)
    return values / values.sum()


def weighted(images: Any, down: Any, across: Any, padding: tuple[int, int]) -> Any:
    """Each channel of (N, H, W, C) weighted by ``down`` along columns, by ``across`` along rows."""
    if images.shape[-1] >= FEW:
        y = _depthwise(images, down.reshape(-1, 1), (padding[0], 0))
        return _depthwise(y, across.reshape(1, -1), (0, padding[1]))
    y = _down(images, down, padding[0])
    if images.shape[-1] == 1:
        return fovea.transpose(_down(fovea.transpose(y, 1, 2), across, padding[1]), 1, 2)
    return _depthwise(y, across.reshape(1, -1), (0, padding[1]))


def _down(images: Any, weights: Any, padding: int) -> Any:
    """Along columns, whole rows at once: their elements as the channels of images of one column."""
    n, h, w, c = images.shape
    y = _depthwise(images.reshape(n, h, 1, w * c), weights.reshape(-1, 1), (padding, 0))
    return y.reshape(n, y.shape[1], w, c)


def _depthwise(images: Any, kernel: Any, padding: tuple[int, int]) -> Any:
    """Every channel with one kernel."""
    c, x = images.shape[-1], permute(images, (0, 3, 1, 2))
    weights = kernel.to(x.dtype).expand(c, 1, *kernel.shape)
    return permute(F.conv2d(x, weights, padding=padding, groups=c), (0, 2, 3, 1))


@symbolic
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    """Images blurred by a bell; zeros lie outside.

    Args:
        kernel_size: height and width of what a pixel is mixed from.
        sigma: widths of the bell, to the right and downwards.
    """
    batch = Batch(images, data_format)
    height, width = (int(n) for n in kernel_size)
    across, down = tensor(sigma).unbind(0)
    y = weighted(batch.images, bell(height, down), bell(width, across), (height // 2, width // 2))
    return batch.back(y)


@symbolic
def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    """How values change downwards and to the right, in a last axis of two; zeros lie outside."""
    batch = Batch(images, data_format)
    x = batch.images
    change, smooth = fovea.tensor([-1.0, 0.0, 1.0]), fovea.tensor([1.0, 2.0, 1.0])
    edges = [weighted(x, *pair, (1, 1)) for pair in ((change, smooth), (smooth, change))]
    y = fovea.stack(edges, -1)
    y = permute(y, (0, 3, 1, 2, 4)) if batch.first else y
    return y.squeeze(0) if batch.single else y


@symbolic
def ssim(
    image1: Any,
    image2: Any,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    """How alike two images are, from -1 to 1 (equal): by means, variances and covariance of
    windows.

    The mean over places and channels of
    ``(2 m1 m2 + c1) (2 v12 + c2) / ((m1^2 + m2^2 + c1) (v1 + v2 + c2))`` with
    ``c = (k max_val)^2``.

    Args:
        image1, image2: (H, W, C) or (N, H, W, C), of one shape.
        max_val: the largest value that a pixel can have.
        filter_size, filter_sigma: of the windows, which are weighted by a bell.
        k1, k2: keep the quotient finite where all is even.

    Shapes:
        () or (N,), float.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", 2004.

    >>> import fovea
    >>> image = fovea.rand(16, 16, 3)
    >>> round(float(ssim(image, image)), 4)
    1.0
    """
    first, second = Batch(image1, data_format), Batch(image2, data_format)
    kind = first.images.dtype
    a, b = (wide(t) for t in (first.images, second.images))
    if a.shape != b.shape:
        raise ShapeError(f"ssim: images of two shapes, {tuple(a.shape)} and {tuple(b.shape)}.")
    if min(a.shape[1:3]) < filter_size:
        raise ShapeError(
            f"ssim: images of {tuple(a.shape[1:3])} are smaller than a window of {filter_size}."
        )
    weights = bell(filter_size, filter_sigma)
    means = weighted(fovea.cat([a, b, a * a, b * b, a * b], -1), weights, weights, (0, 0))
    m1, m2, square1, square2, product = means.chunk(5, -1)
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    m11, m22, m12 = m1 * m1, m2 * m2, m1 * m2
    alike = (2 * m12 + c1) * (2 * (product - m12) + c2)
    size = (m11 + m22 + c1) * (square1 - m11 + square2 - m22 + c2)
    found = (alike / size).mean((1, 2, 3)).to(kind)
    return found.squeeze(0) if first.single else found
