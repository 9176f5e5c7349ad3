"""How alike two images are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.metrics.inputs import as_array, choice, divided, same_shape
from fovea.metrics.metric import Metric

__all__ = [
    "MultiScaleStructuralSimilarityIndexMeasure",
    "PeakSignalNoiseRatio",
    "StructuralSimilarityIndexMeasure",
]

Array = np.ndarray[Any, Any]
Range = float | tuple[float, float] | None
REDUCTIONS = ("elementwise_mean", "sum", "none", None)
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class PeakSignalNoiseRatio(Metric):
    """Peak signal-to-noise ratio, in decibels: ``10 log10(data_range² / mean squared error)``.

    Args:
        data_range: the largest minus the smallest value there can be; a pair also clips to them.
        base: of the logarithm.
        reduction: of values along ``dim``: ``"elementwise_mean"``, ``"sum"`` or ``"none"``.
        dim: a value for each place of the other dimensions; None: one of all.

    >>> PeakSignalNoiseRatio(data_range=1.0)([0.0, 1.0], [0.1, 0.9])
    tensor(20.)
    """

    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    sum_squared_error: Any
    total: Any

    def __init__(
        self,
        data_range: float | tuple[float, float],
        base: float = 10.0,
        reduction: str | None = "elementwise_mean",
        dim: int | tuple[int, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        choice(type(self).__name__, "reduction", reduction, REDUCTIONS)
        self.data_range, self.base, self.reduction = data_range, base, reduction
        self.dim = tuple(dim) if isinstance(dim, Sequence) else dim
        for name in ("sum_squared_error", "total"):
            self.add_state(
                name, np.zeros(()) if dim is None else [], "sum" if dim is None else "cat"
            )

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch, of one shape."""
        preds, target = as_array(preds).astype(np.float64), as_array(target).astype(np.float64)
        same_shape(type(self).__name__, preds, target)
        preds, target, _ = clipped(preds, target, self.data_range)
        square = (preds - target) ** 2
        error = np.asarray(square.sum(self.dim))
        total = np.full(error.shape, square.size / max(error.size, 1))
        if self.dim is None:
            self.sum_squared_error = self.sum_squared_error + error
            self.total = self.total + total
        else:
            self.sum_squared_error = [*self.sum_squared_error, error.reshape(-1)]
            self.total = [*self.total, total.reshape(-1)]

    def compute(self) -> Any:
        """A number, or (N,) with ``dim`` and no reduction."""
        error, total = self.sum_squared_error, self.total
        if self.dim is not None:
            error, total = (np.concatenate([*v, np.zeros(0)]) for v in (error, total))
        low, high = (
            (0.0, self.data_range) if not isinstance(self.data_range, tuple) else self.data_range
        )
        with np.errstate(divide="ignore"):
            ratio = 2 * np.log(high - low) - np.log(divided(error, total, np.nan))
        return reduced(ratio * 10 / np.log(self.base), self.reduction)


def clipped(preds: Array, target: Array, data_range: Range) -> tuple[Array, Array, float]:
    """Images within a range, and its width; that of the images if none is given."""
    if data_range is None:
        return preds, target, float(max(np.ptp(preds), np.ptp(target)))
    if isinstance(data_range, tuple):
        low, high = data_range
        return preds.clip(low, high), target.clip(low, high), high - low
    return preds, target, data_range


def reduced(values: Array, reduction: str | None) -> Array:
    """The mean, the sum, or the values."""
    if reduction == "elementwise_mean":
        return np.asarray(values.mean()) if values.size else np.asarray(np.nan)
    return np.asarray(values.sum()) if reduction == "sum" else values


# -- structural similarity ------------------------------------------------------------------------


def window(gaussian: bool, size: int, sigma: float) -> Array:
    """The weights of a window along one axis; they sum to 1."""
    if not gaussian:
        return np.full(size, 1 / size)
    half = int(3.5 * sigma + 0.5)
    weights = np.exp(-((np.arange(-half, half + 1) / sigma) ** 2) / 2)
    return weights / weights.sum()


def smoothed(images: Array, windows: list[Array]) -> Array:
    """The weighted mean around each pixel (..., *spatial), mirrored beyond the edges."""
    for axis, weights in enumerate(windows, images.ndim - len(windows)):
        half = len(weights) // 2
        if half >= images.shape[axis]:
            raise ShapeError(
                f"SSIM: images of {images.shape[axis]} pixels are smaller than half a window of "
                f"{len(weights)}."
            )
        widths = [(half, half) if a == axis else (0, 0) for a in range(images.ndim)]
        padded, length = np.pad(images, widths, mode="reflect"), images.shape[axis]
        images = np.zeros(images.shape)
        for shift, weight in enumerate(weights):
            images += weight * padded.take(range(shift, shift + length), axis=axis)
    return images


def similarity(
    preds: Array, target: Array, windows: list[Array], width: float, k1: float, k2: float
) -> tuple[Array, Array]:
    """The similarity at each pixel, and its part that comes from contrast.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural
    similarity", 2004.
    """
    c1, c2 = (k1 * width) ** 2, (k2 * width) ** 2
    stacked = np.stack([preds, target, preds * preds, target * target, preds * target])
    mean_p, mean_t, square_p, square_t, product = smoothed(stacked, windows)
    variance = (square_p - mean_p**2).clip(0) + (square_t - mean_t**2).clip(0)
    contrast = (2 * (product - mean_p * mean_t) + c2) / (variance + c2)
    return (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1) * contrast, contrast


class _Similarity(Metric):
    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    similarity: Any
    total: Any

    def _start(
        self,
        gaussian_kernel: bool,
        sigma: float | Sequence[float],
        kernel_size: int | Sequence[int],
        reduction: str | None,
        data_range: Range,
        k1: float,
        k2: float,
    ) -> None:
        owner = type(self).__name__
        choice(owner, "reduction", reduction, REDUCTIONS)
        sizes = kernel_size if isinstance(kernel_size, Sequence) else [kernel_size]
        if any(s < 1 or s % 2 == 0 for s in sizes):
            raise ArgumentError(f"{owner}: kernel_size is odd, got {kernel_size}.")
        if any(s <= 0 for s in (sigma if isinstance(sigma, Sequence) else [sigma])):
            raise ArgumentError(f"{owner}: sigma is above 0, got {sigma}.")
        self.gaussian_kernel, self.sigma, self.kernel_size = gaussian_kernel, sigma, kernel_size
        self.reduction, self.data_range, self.k1, self.k2 = reduction, data_range, k1, k2
        keeps = reduction in ("none", None)
        self.add_state("similarity", [] if keeps else np.zeros(()), "cat" if keeps else "sum")
        self.add_state("total", np.zeros((), np.int64), "sum")

    def _read(self, preds: Any, target: Any) -> tuple[Array, Array]:
        owner = type(self).__name__
        preds, target = as_array(preds).astype(np.float64), as_array(target).astype(np.float64)
        same_shape(owner, preds, target)
        if preds.ndim not in (4, 5):
            raise ShapeError(f"{owner}: (N, C, H, W) or (N, C, D, H, W), got {preds.shape}.")
        return preds, target

    def _windows(self, axes: int) -> list[Array]:
        sizes, sigmas = (
            list(v) if isinstance(v, Sequence) else [v] * axes
            for v in (self.kernel_size, self.sigma)
        )
        if len(sizes) != axes or len(sigmas) != axes:
            raise ShapeError(f"{type(self).__name__}: {axes} sizes of a window, got {sizes}.")
        pairs = zip(sizes, sigmas, strict=True)
        return [window(self.gaussian_kernel, int(s), sigma) for s, sigma in pairs]

    def _add(self, values: Array) -> None:
        if isinstance(self.similarity, list):
            self.similarity = [*self.similarity, values]
        else:
            self.similarity = self.similarity + values.sum()
        self.total = self.total + len(values)

    def _value(self) -> Array:
        if isinstance(self.similarity, list):
            return np.concatenate([*self.similarity, np.zeros(0)])
        if self.reduction == "sum":
            return np.asarray(self.similarity)
        return divided(self.similarity, self.total, np.nan)


class StructuralSimilarityIndexMeasure(_Similarity):
    """Structural similarity (SSIM), the mean over images.

    Args:
        gaussian_kernel: pixels near the middle of a window weigh more.
        sigma: of a Gaussian window, whose size follows from it.
        kernel_size: of a uniform window.
        reduction: over images: ``"elementwise_mean"``, ``"sum"`` or ``"none"``.
        data_range: the largest minus the smallest value there can be; a pair also clips to them.
            None: that of each batch, so that the value depends on how images are batched.
        k1: keeps the part of brightness away from 0 / 0.
        k2: the same of contrast.
        return_full_image: also give the similarity at each pixel.
        return_contrast_sensitivity: also give the part of contrast, (N,).

    Shapes: (N, C, H, W) or (N, C, D, H, W).

    >>> import fovea
    >>> image = fovea.rand(1, 3, 16, 16)
    >>> StructuralSimilarityIndexMeasure(data_range=1.0)(image, image)
    tensor(1.)
    """

    image_return: list[Array]

    def __init__(
        self,
        gaussian_kernel: bool = True,
        sigma: float | Sequence[float] = 1.5,
        kernel_size: int | Sequence[int] = 11,
        reduction: str | None = "elementwise_mean",
        data_range: Range = None,
        k1: float = 0.01,
        k2: float = 0.03,
        return_full_image: bool = False,
        return_contrast_sensitivity: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "ssim", **kwargs})
        self._start(gaussian_kernel, sigma, kernel_size, reduction, data_range, k1, k2)
        if return_full_image and return_contrast_sensitivity:
            raise ArgumentError("SSIM: return_full_image or return_contrast_sensitivity, not both.")
        self.return_full_image = return_full_image
        self.return_contrast_sensitivity = return_contrast_sensitivity
        if return_full_image or return_contrast_sensitivity:
            self.add_state("image_return", [], "cat")

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch."""
        preds, target, width = clipped(*self._read(preds, target), self.data_range)
        windows = self._windows(preds.ndim - 2)
        full, contrast = similarity(preds, target, windows, width, self.k1, self.k2)
        if self.return_full_image:
            self.image_return = [*self.image_return, full]
        if self.return_contrast_sensitivity:
            inner = within(contrast, windows)
            self.image_return = [*self.image_return, inner]
        self._add(full.reshape(len(full), -1).mean(1))

    def compute(self) -> Any:
        """A number, or (N,), and what else was asked for."""
        if not (self.return_full_image or self.return_contrast_sensitivity):
            return self._value()
        return self._value(), np.concatenate(self.image_return)


def within(values: Array, windows: list[Array]) -> Array:
    """The mean of each image where windows lie within it, (N,)."""
    halves = [len(w) // 2 for w in windows]
    places = [slice(h, n - h) for h, n in zip(halves, values.shape[2:], strict=True)]
    inner = values[(slice(None), slice(None), *places)]
    return inner.reshape(len(inner), -1).mean(1)


class MultiScaleStructuralSimilarityIndexMeasure(_Similarity):
    """Structural similarity at several sizes (MS-SSIM), the mean over images.

    Source: Z. Wang et al., "Multiscale structural similarity for image quality assessment", 2003.

    Args:
        gaussian_kernel: pixels near the middle of a window weigh more.
        kernel_size: of a uniform window.
        sigma: of a Gaussian window, whose size follows from it.
        reduction: over images: ``"elementwise_mean"``, ``"sum"`` or ``"none"``.
        data_range: as of :class:`StructuralSimilarityIndexMeasure`.
        k1: keeps the part of brightness away from 0 / 0.
        k2: the same of contrast.
        betas: how much each size weighs; each is half the one before.
        normalize: ``"relu"``: parts below 0 are 0, ``"simple"``: parts from [-1, 1] to [0, 1].

    Shapes: (N, C, H, W) or (N, C, D, H, W).

    >>> import fovea
    >>> image = fovea.rand(1, 1, 180, 180)
    >>> MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0)(image, image)
    tensor(1.)
    """

    def __init__(
        self,
        gaussian_kernel: bool = True,
        kernel_size: int | Sequence[int] = 11,
        sigma: float | Sequence[float] = 1.5,
        reduction: str | None = "elementwise_mean",
        data_range: Range = None,
        k1: float = 0.01,
        k2: float = 0.03,
        betas: tuple[float, ...] = SCALES,
        normalize: str | None = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "ms_ssim", **kwargs})
        self._start(gaussian_kernel, sigma, kernel_size, reduction, data_range, k1, k2)
        choice(type(self).__name__, "normalize", normalize, ("relu", "simple", None))
        if not betas:
            raise ArgumentError("MS-SSIM: betas are one number or more.")
        self.betas, self.normalize = tuple(betas), normalize

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch.

        Raises:
            ShapeError: images that get smaller than a window.
        """
        preds, target = self._read(preds, target)
        windows = self._windows(preds.ndim - 2)
        parts = []
        for scale in range(len(self.betas)):
            now, then, width = clipped(preds, target, self.data_range)
            full, contrast = similarity(now, then, windows, width, self.k1, self.k2)
            last = scale == len(self.betas) - 1
            whole = full.reshape(len(full), -1).mean(1)
            parts.append(whole if last else within(contrast, windows))
            preds, target = halved(preds), halved(target)
        values = np.stack(parts, 1)
        if self.normalize == "relu":
            values = values.clip(0)
        if self.normalize == "simple":
            values = (values + 1) / 2
        with np.errstate(invalid="ignore"):
            self._add((values ** np.array(self.betas)).prod(1))

    def compute(self) -> Any:
        """A number, or (N,)."""
        return self._value()


def halved(images: Array) -> Array:
    """The means of blocks of two pixels along each spatial axis."""
    for axis in range(2, images.ndim):
        length = images.shape[axis] // 2 * 2
        first, second = (images.take(range(s, length, 2), axis=axis) for s in (0, 1))
        images = (first + second) / 2
    return images
