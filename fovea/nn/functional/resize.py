"""Changing the size of images."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.functional.arguments import numbers
from fovea.nn.functional.pooling import adaptive_avg_pool2d
from fovea.nn.functional.resample import filtered, picked, trilinear
from fovea.nn.functional.volume_pooling import adaptive_avg_pool3d
from fovea.ops.resize import ResizeAttrs, resize2d

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "channel_shuffle",
    "interpolate",
    "native_channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

_ANY = {"nearest", "nearest-exact", "area"}
_MODES = {3: _ANY | {"linear"}, 4: _ANY | {"bilinear", "bicubic"}, 5: _ANY | {"trilinear"}}
_SMOOTH = {"linear", "bilinear", "bicubic", "trilinear"}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize images, sequences or volumes.

    Args:
        input: (N, C, H, W), (N, C, L) or (N, C, D, H, W).
        size: of the result; or ``scale_factor``: how many times the input's. One number, or one
            a dimension.
        mode: ``"nearest"``, ``"nearest-exact"``, ``"bilinear"`` (``"linear"`` for sequences,
            ``"trilinear"`` for volumes), ``"bicubic"`` or ``"area"`` (the average over bins).
        align_corners: whether corner pixels keep their places (smooth modes only).
        recompute_scale_factor: take the scale from the sizes, not from ``scale_factor``.
        antialias: filter over all that a pixel of the result covers (bilinear and bicubic images).

    Raises:
        ArgumentError: not exactly one of size and scale_factor, or an unknown mode.

    >>> import fovea
    >>> interpolate(fovea.tensor([[[[1.0, 2.0]]]]), scale_factor=2)
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    _check(input, mode, align_corners, antialias)
    spatial = tuple(input.shape[2:])
    out, factors = _output_size(spatial, size, scale_factor)
    if mode == "area" and len(spatial) == 2:
        return adaptive_avg_pool2d(input, out)
    if recompute_scale_factor or factors is None:
        factors = (0.0,) * len(spatial)
    scale = tuple(1.0 / f if f else 0.0 for f in factors)
    if len(spatial) == 3:
        return _volume(input, out, mode, bool(align_corners), scale)
    if antialias:
        return filtered(input, out, mode, bool(align_corners), scale)
    if len(spatial) == 1:
        row = input.unsqueeze(2)
        if mode == "area":
            return adaptive_avg_pool2d(row, (1, out[0])).squeeze(2)
        kind = "bilinear" if mode == "linear" else mode
        attrs = ResizeAttrs.of((1, out[0]), kind, bool(align_corners), (0.0, scale[0]))
        return resize2d.bind((row,), attrs).squeeze(2)
    attrs = ResizeAttrs.of(out, mode, bool(align_corners), scale)
    return resize2d.bind((input,), attrs)


def _volume(
    input: Tensor, out: tuple[int, ...], mode: str, align: bool, scale: tuple[float, ...]
) -> Tensor:
    if mode == "area":
        return adaptive_avg_pool3d(input, out)
    if mode == "trilinear":
        return trilinear(input, out, align, scale)
    return picked(input, out, mode == "nearest-exact", scale)


def _check(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if input.ndim not in _MODES:
        raise ShapeError(
            "interpolate: input must be (N, C, H, W), (N, C, L) or (N, C, D, H, W), got "
            f"{describe(input)}.",
            fix="x.unsqueeze(0) adds a batch dimension" if input.ndim == 2 else None,
        )
    fits = _MODES[input.ndim]
    if mode not in fits:
        raise ArgumentError(
            f"interpolate: mode for {input.ndim} dimensions must be one of "
            f"{', '.join(sorted(fits))}, got {mode!r}.",
            {"input": describe(input)},
            "x.unsqueeze(0) adds a batch" if mode in _MODES.get(input.ndim + 1, ()) else None,
        )
    if align_corners is not None and mode not in _SMOOTH:
        raise ArgumentError(f"interpolate: align_corners has no meaning for mode {mode!r}.")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError("interpolate: antialias goes with bilinear and bicubic images only.")


def _output_size(
    spatial: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    """The result's size, and the scale factors if they were given."""
    n = len(spatial)
    if (size is None) == (scale_factor is None):
        raise ArgumentError("interpolate: give either size or scale_factor.")
    given = size if size is not None else scale_factor
    values = tuple(given) if isinstance(given, tuple | list) else (given,) * n
    if len(values) != n:
        raise ArgumentError(
            f"interpolate: {n} dimensions to resize, but {len(values)} numbers: {given!r}."
        )
    if size is not None:
        return numbers("interpolate", "size", values, n), None
    if not all(isinstance(v, int | float) and v > 0 for v in values):
        raise ArgumentError(f"interpolate: scale_factor must be positive, got {given!r}.")
    factors = tuple(float(v) for v in values)
    return tuple(math.floor(s * f) for s, f in zip(spatial, factors, strict=True)), factors


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of ``interpolate``."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` by the nearest pixel, under its old name."""
    _warn_of_old_name("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Bilinear ``interpolate`` with corners aligned, under its old name."""
    _warn_of_old_name("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)


def _warn_of_old_name(name: str) -> None:
    warnings.warn(f"F.{name} is deprecated: use F.interpolate.", stacklevel=3)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r r, H, W) as (..., C, H r, W r): channels become pixels.

    Raises:
        ShapeError: ``upscale_factor ** 2`` does not divide the channels.

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", 2016.
    """
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the channels of (..., C, H, W) must be a multiple of {r * r}.",
            {"input": describe(input)},
        )
    *lead, c, h, w = input.shape
    k = len(lead)
    x = input.reshape((*lead, c // (r * r), r, r, h, w))
    x = x.permute((*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return x.reshape((*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H r, W r) as (..., C r r, H, W): the reverse of ``pixel_shuffle``."""
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-1] % r or input.shape[-2] % r:
        raise ShapeError(
            f"pixel_unshuffle: height and width of (..., C, H, W) must be multiples of {r}, "
            f"got {describe(input)}."
        )
    *lead, c, h, w = input.shape
    k = len(lead)
    x = input.reshape((*lead, c, h // r, r, w // r, r))
    x = x.permute((*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return x.reshape((*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave ``groups`` blocks of channels of (N, C, ...).

    Source: Zhang et al., "ShuffleNet", 2017.
    """
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise ShapeError(
            f"channel_shuffle: groups={groups} must divide the channels of (N, C, ...), "
            f"got {describe(input)}."
        )
    n, c, *rest = input.shape
    x = input.reshape((n, groups, c // groups, *rest)).transpose(1, 2)
    return x.reshape(input.shape)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """``channel_shuffle``."""
    return channel_shuffle(input, groups)
