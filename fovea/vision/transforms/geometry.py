"""Sizes, crops, flips and padding."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.transforms import draws
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.base import Transform, check_probability, pair
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode

__all__ = [
    "CenterCrop",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
]

Fill = float | Sequence[float]
Box = tuple[int, int, int, int]  # top, left, height, width


class Resize(Transform):
    """Resize an image.

    Args:
        size: (height, width), or the new length of the shorter edge.
        interpolation: how values between pixels are found.
        max_size: with a single ``size``, what the longer edge may be at most.
        antialias: for tensors, whether shrinking averages over all pixels (PIL images always are).

    >>> import fovea
    >>> Resize((4, 5))(fovea.zeros(3, 8, 8)).shape
    fovea.Size([3, 4, 5])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        pair("Resize", "size", size)
        self.size = size
        self.interpolation = as_mode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def forward(self, img: Any) -> Any:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return (
            f"Resize(size={self.size}, interpolation={self.interpolation.value},"
            f" max_size={self.max_size},"
            f" antialias={self.antialias})"
        )


class CenterCrop(Transform):
    """Cut out the middle; an image that is too small is first widened with 0.

    Args:
        size: (height, width), or one number for both.

    >>> import fovea
    >>> CenterCrop(4)(fovea.zeros(3, 8, 8)).shape
    fovea.Size([3, 4, 4])
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair("CenterCrop", "size", size)

    def forward(self, img: Any) -> Any:
        return F.center_crop(img, self.size)


class Pad(Transform):
    """Widen an image at its edges.

    Args:
        padding: one amount, (left and right, top and bottom), or (left, top, right, bottom).
        fill: with ``constant``, one value or one a channel.
        padding_mode: ``constant``, ``edge``, ``reflect`` (without the edge pixel) or ``symmetric``
            (with it).

    >>> import fovea
    >>> Pad(2)(fovea.zeros(3, 4, 4)).shape
    fovea.Size([3, 8, 8])
    """

    def __init__(
        self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant"
    ) -> None:
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ArgumentError(
                "Pad: padding_mode must be constant, edge, reflect or symmetric, got"
                f" {padding_mode!r}."
            )
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ArgumentError(
                f"Pad: padding must be a number or 1, 2 or 4 numbers, got {padding!r}."
            )
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img: Any) -> Any:
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class RandomHorizontalFlip(Transform):
    """Left to right, with probability ``p``.

    >>> import fovea
    >>> RandomHorizontalFlip(p=1.0)(fovea.tensor([[[1, 2]]])).tolist()
    [[[2, 1]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability("RandomHorizontalFlip", p)

    def forward(self, img: Any) -> Any:
        return F.hflip(img) if draws.chance(self.p) else img


class RandomVerticalFlip(Transform):
    """Top to bottom, with probability ``p``.

    >>> import fovea
    >>> RandomVerticalFlip(p=1.0)(fovea.tensor([[[1], [2]]])).tolist()
    [[[2], [1]]]
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability("RandomVerticalFlip", p)

    def forward(self, img: Any) -> Any:
        return F.vflip(img) if draws.chance(self.p) else img


class RandomCrop(Transform):
    """Cut out a box at a random place.

    Args:
        size: (height, width), or one number for both.
        padding: widen the image first, as ``Pad`` does.
        pad_if_needed: widen an image that is smaller than ``size``.
        fill: with ``constant`` padding, one value or one a channel.
        padding_mode: how to pad.

    Raises:
        ArgumentError: an image smaller than ``size``.

    >>> import fovea
    >>> RandomCrop(32, padding=4)(fovea.zeros(3, 32, 32)).shape
    fovea.Size([3, 32, 32])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = pair("RandomCrop", "size", size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> Box:
        """Top, left, height and width of a box at a random place."""
        _, height, width = F.get_dimensions(img)
        tall, wide = output_size
        if height < tall or width < wide:
            raise ArgumentError(
                f"RandomCrop: the crop of {(tall, wide)} is larger than the image of"
                f" {(height, width)}.",
                fix="pad_if_needed=True, or resize first",
            )
        if (height, width) == (tall, wide):
            return 0, 0, height, width
        return draws.integer(0, height - tall + 1), draws.integer(0, width - wide + 1), tall, wide

    def forward(self, img: Any) -> Any:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed:
            _, height, width = F.get_dimensions(img)
            for lack, sides in ((self.size[1] - width, (1, 0)), (self.size[0] - height, (0, 1))):
                if lack > 0:
                    padding = [lack * side for side in sides]
                    img = F.pad(img, padding, self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomResizedCrop(Transform):
    """Cut out a box of random area and shape at a random place and resize it.

    Args:
        size: (height, width) of the result, or one number for both.
        scale: the least and the greatest share of the image's area.
        ratio: the least and the greatest width : height.
        interpolation: how values between pixels are found.
        antialias: for tensors, whether shrinking averages over all pixels (PIL images always are).

    Source: Szegedy et al., "Going Deeper with Convolutions", 2014, section 6.

    >>> import fovea
    >>> RandomResizedCrop(8)(fovea.zeros(3, 20, 30)).shape
    fovea.Size([3, 8, 8])
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = pair("RandomResizedCrop", "size", size)
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if min(*scale, *ratio) <= 0:
            raise ArgumentError("RandomResizedCrop: scale and ratio must be positive.")
        self.scale = scale
        self.ratio = ratio
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> Box:
        """Top, left, height and width of a random box; after ten that did not fit, of one in the
        middle.
        """
        _, height, width = F.get_dimensions(img)
        return RandomResizedCrop.choose(height, width, scale, ratio)

    @staticmethod
    def choose(height: int, width: int, scale: Sequence[float], ratio: Sequence[float]) -> Box:
        """``get_params`` of an image's size."""
        for _ in range(10):
            area = height * width * draws.uniform(scale[0], scale[1])
            shape = math.exp(draws.uniform(math.log(ratio[0]), math.log(ratio[1])))
            w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < w <= width and 0 < h <= height:
                return draws.integer(0, height - h + 1), draws.integer(0, width - w + 1), h, w
        w, h = width, height
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def forward(self, img: Any) -> Any:
        box = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *box, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale = tuple(round(s, 4) for s in self.scale)
        ratio = tuple(round(r, 4) for r in self.ratio)
        return (
            f"RandomResizedCrop(size={self.size}, scale={scale}, ratio={ratio},"
            f" interpolation={self.interpolation.value}, antialias={self.antialias})"
        )
