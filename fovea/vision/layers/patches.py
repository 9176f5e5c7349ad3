"""Images as sequences of patches, and positions for other numbers of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea import dtypes, nn
from fovea.errors import ShapeError
from fovea.functions.joining import cat
from fovea.vision.layers.helpers import to_2tuple

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["PatchEmbed", "resample_abs_pos_embed"]


class PatchEmbed(nn.Module):
    """y = norm(proj(x)), a vector for each patch of an image, row by row

    Args:
        img_size: pixels of the images, a number or (H, W); None for any.
        patch_size: pixels of a patch.
        in_chans: channels.
        embed_dim: numbers in a vector.
        norm_layer: makes a normalization from ``embed_dim``; None for none.
        flatten: (N, patches, embed_dim); otherwise (N, embed_dim, rows, columns).
        bias: whether the projection has one.
        strict_img_size: images of other sizes are an error, even such as have whole patches.
        dynamic_img_pad: zeros are added on the right and below until patches are whole.

    Shapes:
        (N, in_chans, H, W) to (N, num_patches, embed_dim).

    Parameters:
        proj.weight: (embed_dim, in_chans, *patch_size); proj.bias: (embed_dim,).

    Raises:
        ShapeError: an image of another size.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.

    >>> import fovea
    >>> embed = PatchEmbed(img_size=32, patch_size=8, embed_dim=5)
    >>> embed.grid_size, embed(fovea.ones(1, 3, 32, 32)).shape
    ((4, 4), fovea.Size([1, 16, 5]))
    """

    img_size: tuple[int, ...] | None
    grid_size: tuple[int, ...] | None
    num_patches: int | None

    def __init__(
        self,
        img_size: int | tuple[int, int] | None = 224,
        patch_size: int | tuple[int, int] = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        norm_layer: Callable[..., nn.Module] | None = None,
        flatten: bool = True,
        bias: bool = True,
        strict_img_size: bool = True,
        dynamic_img_pad: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = to_2tuple(patch_size)
        self.img_size = self.grid_size = self.num_patches = None
        if img_size is not None:
            self.img_size = to_2tuple(img_size)
            self.grid_size = tuple(
                s // p for s, p in zip(self.img_size, self.patch_size, strict=True)
            )
            self.num_patches = math.prod(self.grid_size)
        self.flatten, self.strict_img_size = flatten, strict_img_size
        self.dynamic_img_pad = dynamic_img_pad
        self.proj = nn.Conv2d(in_chans, embed_dim, self.patch_size, self.patch_size, bias=bias)
        self.norm = nn.Identity() if norm_layer is None else norm_layer(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        self._check(height, width)
        if self.dynamic_img_pad:
            down, right = (-s % p for s, p in zip((height, width), self.patch_size, strict=True))
            x = F.pad(x, (0, right, 0, down))
        x = self.proj(x)
        if self.flatten:
            x = x.flatten(2).transpose(1, 2)
        y: Tensor = self.norm(x)
        return y

    def _check(self, height: int, width: int) -> None:
        if self.img_size is None:
            return
        if self.strict_img_size and (height, width) != self.img_size:
            raise ShapeError(
                f"PatchEmbed: images are {height} x {width}, made for "
                f"{self.img_size[0]} x {self.img_size[1]}.",
                fix="resize them, or PatchEmbed(..., strict_img_size=False)",
            )
        if not self.dynamic_img_pad and (height % self.patch_size[0] or width % self.patch_size[1]):
            raise ShapeError(
                f"PatchEmbed: images of {height} x {width} are no whole patches of "
                f"{self.patch_size[0]} x {self.patch_size[1]}.",
                fix="PatchEmbed(..., dynamic_img_pad=True)",
            )


def resample_abs_pos_embed(
    posemb: Tensor,
    new_size: Sequence[int],
    old_size: Sequence[int] | None = None,
    num_prefix_tokens: int = 1,
    interpolation: str = "bicubic",
    antialias: bool = True,
) -> Tensor:
    """Learned positions of a grid of patches, resized as an image for another grid.

    Args:
        posemb: (1, prefix + old rows * old columns, D).
        new_size: rows and columns.
        old_size: rows and columns of ``posemb``; None for a square.
        num_prefix_tokens: how many at the front, such as a class token's, stay as they are.
        interpolation: as of ``F.interpolate``.
        antialias: low frequencies alone where the grid gets smaller.

    Returns:
        (1, prefix + new rows * new columns, D), in the dtype of ``posemb``.

    Raises:
        ShapeError: as many positions as ``old_size`` says are not there.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, section 3.2.

    >>> import fovea
    >>> resample_abs_pos_embed(fovea.ones(1, 1 + 4 * 4, 8), (6, 3)).shape
    fovea.Size([1, 19, 8])
    """
    count = posemb.shape[1] - num_prefix_tokens
    side = math.isqrt(max(count, 0))
    old: tuple[Any, ...] = (side, side) if old_size is None else tuple(old_size)
    if math.prod(old) != count:
        raise ShapeError(
            f"resample_abs_pos_embed: {count} positions are no grid of {old[0]} x {old[1]}.",
            fix="say old_size=(rows, columns) and num_prefix_tokens",
        )
    new = tuple(new_size)
    if old == new:
        return posemb
    prefix, grid = posemb[:, :num_prefix_tokens], posemb[:, num_prefix_tokens:]
    image = grid.to(dtypes.float32).reshape(1, *old, -1).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=new, mode=interpolation, antialias=antialias)
    grid = image.permute(0, 2, 3, 1).reshape(1, math.prod(new), -1).to(posemb.dtype)
    return cat([prefix, grid], 1) if num_prefix_tokens else grid
