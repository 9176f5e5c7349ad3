"""Dropout of blocks of pixels: neighbors go together, as they say much the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.random import bernoulli_

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DropBlock2d", "DropBlock3d", "drop_block2d", "drop_block3d"]


def drop_block2d(
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-06,
    training: bool = True,
) -> Tensor:
    """Zero square blocks of each channel of (N, C, H, W); what is left is scaled up.

    Args:
        p: the share of pixels that go, about.
        block_size: of a block's side.
        inplace: change ``input``.
        eps: keeps the division finite.
        training: False leaves everything as it is.

    Source: Ghiasi et al., "DropBlock: a regularization method for convolutional networks", 2018.
    """
    return _drop("drop_block2d", input, p, block_size, inplace, eps, training, 2)


def drop_block3d(
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-06,
    training: bool = True,
) -> Tensor:
    """`drop_block2d` of volumes (N, C, D, H, W)."""
    return _drop("drop_block3d", input, p, block_size, inplace, eps, training, 3)


def _drop(
    name: str,
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool,
    eps: float,
    training: bool,
    dims: int,
) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: p is a probability from 0 to 1, got {p}.")
    if input.ndim != dims + 2:
        raise ShapeError(f"{name}: input must have {dims + 2} dimensions, got {describe(input)}.")
    if not training or p == 0.0:
        return input
    sizes = input.shape[2:]
    side = min(block_size, *sizes)
    room, starts = 1.0, 1.0  # pixels, and places where a block may start
    for n in sizes:
        room *= n
        starts *= n - side + 1
    gamma = p * room / (side**dims * starts)
    noise = input.new_zeros((*input.shape[:2], *(n - side + 1 for n in sizes))).detach()
    bernoulli_(noise, min(gamma, 1.0))
    noise = F.pad(noise, [side // 2] * (2 * dims))
    pool = F.max_pool2d if dims == 2 else F.max_pool3d
    keep = 1 - pool(noise, kernel_size=side, stride=1, padding=side // 2)
    keep = keep[(..., *(slice(n) for n in sizes))]  # a block of even side reaches one too far
    factor = keep * (keep.numel() / (keep.sum() + eps))
    return input.mul_(factor) if inplace else input * factor


class DropBlock2d(nn.Module):
    """`drop_block2d` as a module, only in training."""

    def __init__(
        self, p: float, block_size: int, inplace: bool = False, eps: float = 1e-06
    ) -> None:
        super().__init__()
        self.p, self.block_size, self.inplace, self.eps = p, block_size, inplace, eps

    def forward(self, input: Tensor) -> Tensor:
        return drop_block2d(input, self.p, self.block_size, self.inplace, self.eps, self.training)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, block_size={self.block_size}, "
            f"inplace={self.inplace})"
        )


class DropBlock3d(DropBlock2d):
    """`drop_block3d` as a module, only in training."""

    def forward(self, input: Tensor) -> Tensor:
        return drop_block3d(input, self.p, self.block_size, self.inplace, self.eps, self.training)
