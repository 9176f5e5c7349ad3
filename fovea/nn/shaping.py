"""Layers that rearrange or resize."""

from __future__ import annotations

from typing import Any

from fovea.nn import functional as F
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "ChannelShuffle",
    "CosineSimilarity",
    "Flatten",
    "PairwiseDistance",
    "PixelShuffle",
    "PixelUnshuffle",
    "Unflatten",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
]


class Flatten(Module):
    """Merges a range of dimensions into one.

    Args:
        start_dim: the first of them.
        end_dim: the last of them.

    Shapes:
        (N, C, H, W) to (N, C H W) by default.

    >>> import fovea
    >>> Flatten()(fovea.ones(2, 3, 4, 5)).shape
    fovea.Size([2, 60])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits a dimension into several.

    Args:
        dim: the dimension.
        unflattened_size: their sizes; one may be -1.

    Shapes:
        (..., n, ...) to (..., *unflattened_size, ...).

    >>> import fovea
    >>> Unflatten(1, (3, 4))(fovea.ones(2, 12)).shape
    fovea.Size([2, 3, 4])
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an integer, got {type(dim).__name__}.")
        if not isinstance(unflattened_size, tuple | list):
            raise TypeError(
                "Unflatten: unflattened_size must be a tuple of integers, "
                f"got {type(unflattened_size).__name__}."
            )
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, tuple(self.unflattened_size))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Upsample(Module):
    """Resizes images or sequences.

    Args:
        size: of the result.
        scale_factor: how many times the input's size; either this or ``size``.
        mode: ``"nearest"``, ``"linear"`` (sequences), ``"bilinear"`` or ``"bicubic"``.
        align_corners: whether corner pixels keep their places (smooth modes only).
        recompute_scale_factor: take the scale from the sizes, not from ``scale_factor``.

    Shapes:
        (N, C, H, W) to (N, C, H', W'), (N, C, L) to (N, C, L').

    >>> import fovea
    >>> Upsample(scale_factor=2)(fovea.ones(1, 1, 2, 2)).shape
    fovea.Size([1, 1, 4, 4])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(f) for f in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` with mode ``"nearest"``.

    Args:
        size: of the result.
        scale_factor: how many times the input's size.

    Shapes:
        (N, C, H, W) to (N, C, H', W').

    >>> import fovea
    >>> UpsamplingNearest2d(scale_factor=2)(fovea.ones(1, 1, 1, 1)).shape
    fovea.Size([1, 1, 2, 2])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` with mode ``"bilinear"`` and aligned corners.

    Args:
        size: of the result.
        scale_factor: how many times the input's size.

    Shapes:
        (N, C, H, W) to (N, C, H', W').

    >>> import fovea
    >>> UpsamplingBilinear2d(size=(1, 3))(fovea.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1.0000, 1.5000, 2.0000]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Turns blocks of channels into pixels.

    Args:
        upscale_factor: r, how many times the image grows.

    Shapes:
        (..., C r r, H, W) to (..., C, H r, W r).

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", 2016.

    >>> import fovea
    >>> PixelShuffle(2)(fovea.ones(1, 8, 3, 3)).shape
    fovea.Size([1, 2, 6, 6])
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Turns blocks of pixels into channels: the reverse of ``PixelShuffle``.

    Args:
        downscale_factor: r, how many times the image shrinks.

    Shapes:
        (..., C, H r, W r) to (..., C r r, H, W).

    >>> import fovea
    >>> PixelUnshuffle(2)(fovea.ones(1, 2, 6, 6)).shape
    fovea.Size([1, 8, 3, 3])
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Interleaves blocks of channels.

    Args:
        groups: how many blocks.

    Shapes:
        (N, C, ...) to the same.

    Source: Zhang et al., "ShuffleNet", 2017.

    >>> import fovea
    >>> ChannelShuffle(2)(fovea.arange(4.0).reshape(1, 4, 1)).flatten()
    tensor([0., 2., 1., 3.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class CosineSimilarity(Module):
    """x1 . x2 / (|x1| |x2|)

    Args:
        dim: the dimension of the vectors.
        eps: the least a norm is taken to be.

    Shapes:
        two of (..., n, ...) to (..., ...).

    >>> import fovea
    >>> CosineSimilarity()(fovea.tensor([[1.0, 0.0]]), fovea.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last dimension.

    Args:
        p: which norm.
        eps: added to the differences.
        keepdim: whether the dimension stays, with size 1.

    Shapes:
        two of (..., n) to (...).

    >>> import fovea
    >>> PairwiseDistance(eps=0.0)(fovea.tensor([[3.0, 4.0]]), fovea.zeros(1, 2))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
