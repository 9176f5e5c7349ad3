"""Flips, sizes, crops and padding of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision import tv_tensors
from fovea.vision.transforms import draws, geometry
from fovea.vision.transforms.base import pair
from fovea.vision.transforms.functional.geometry import sides_of
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.transform import (
    Fill,
    RandomlyApplied,
    Transform,
    checked_fill,
    fill_of,
    query_size,
)

__all__ = [
    "CenterCrop",
    "FiveCrop",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResize",
    "RandomResizedCrop",
    "RandomShortestSize",
    "RandomVerticalFlip",
    "Resize",
    "ScaleJitter",
    "TenCrop",
]

BILINEAR = InterpolationMode.BILINEAR


class Moving(Transform):
    """Base of transforms that change where things are."""

    _moves = True


class RandomHorizontalFlip(RandomlyApplied):
    """Left to right, with probability ``p``.

    >>> boxes = tv_tensors.BoundingBoxes([[0, 0, 2, 4]], format="XYXY", canvas_size=(5, 10))
    >>> RandomHorizontalFlip(p=1.0)({"boxes": boxes})["boxes"].tolist()
    [[8, 0, 10, 4]]
    """

    _moves = True

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.horizontal_flip(inpt)


class RandomVerticalFlip(RandomlyApplied):
    """Top to bottom, with probability ``p``."""

    _moves = True

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.vertical_flip(inpt)


class _Resizing(Moving):
    """Base of what resizes: masks by the nearest pixel, images as ``interpolation`` says."""

    def __init__(self, interpolation: Any, antialias: bool | None) -> None:
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.resize(
            inpt, params["size"], self.interpolation, params.get("max_size"), self.antialias
        )


class Resize(_Resizing):
    """Resize a sample.

    Args:
        size: (height, width); the new length of the shorter edge; or None: the longer edge becomes
            ``max_size``.
        interpolation: how values between pixels are found.
        max_size: with a single ``size``, what the longer edge may be at most.
        antialias: for tensors, whether shrinking averages over all pixels (PIL images always are).

    >>> import fovea
    >>> Resize((4, 5))(fovea.zeros(3, 8, 8)).shape
    fovea.Size([3, 4, 5])
    """

    def __init__(
        self,
        size: int | Sequence[int] | None,
        interpolation: Any = BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        if size is not None:
            pair("Resize", "size", size)
        elif max_size is None:
            raise ArgumentError("Resize: size=None needs max_size.")
        self.size = size
        self.max_size = max_size
        super().__init__(interpolation, antialias)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": self.size, "max_size": self.max_size}


class RandomResize(_Resizing):
    """Resize the shorter edge to a random length.

    Args:
        min_size, max_size: the length is from the first to one less than the second.
        interpolation, antialias: as for `Resize`.
    """

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        if not 0 < min_size < max_size:
            raise ArgumentError(
                f"RandomResize: min_size must be below max_size, got {min_size} and {max_size}."
            )
        self.min_size, self.max_size = min_size, max_size
        super().__init__(interpolation, antialias)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"size": [draws.integer(self.min_size, self.max_size)]}


class RandomShortestSize(_Resizing):
    """Resize so that the shorter edge gets one of several lengths.

    Args:
        min_size: the lengths, or one.
        max_size: what the longer edge may be at most.
        interpolation, antialias: as for `Resize`.
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None = None,
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size = max_size
        super().__init__(interpolation, antialias)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        shortest = self.min_size[draws.integer(0, len(self.min_size))]
        ratio = shortest / min(height, width)
        if self.max_size is not None:
            ratio = min(ratio, self.max_size / max(height, width))
        return {"size": (int(height * ratio), int(width * ratio))}


class ScaleJitter(_Resizing):
    """Resize to fit into a size that is scaled at random ("large scale jitter", before a crop of
    ``target_size``).

    Args:
        target_size: (height, width).
        scale_range: the least and the greatest factor.
        interpolation, antialias: as for `Resize`.

    Source: Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance
    segmentation", 2021.
    """

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.1, 2.0),
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.target_size, self.scale_range = target_size, scale_range
        super().__init__(interpolation, antialias)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        fits = min(self.target_size[0] / height, self.target_size[1] / width)
        ratio = fits * draws.uniform(*self.scale_range)
        return {"size": (max(int(height * ratio), 1), max(int(width * ratio), 1))}


class CenterCrop(Moving):
    """Cut out the middle; what is too small is first widened with 0.

    Args:
        size: (height, width), or one number for both.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair("CenterCrop", "size", size)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.center_crop(inpt, self.size)


class RandomResizedCrop(Moving):
    """Cut out a box of random area and shape at a random place and resize it.

    Args:
        size: (height, width) of the result, or one number for both.
        scale: the least and the greatest share of the image's area.
        ratio: the least and the greatest width : height.
        interpolation, antialias: as for `Resize`.

    Source: Szegedy et al., "Going deeper with convolutions", 2014, section 6.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        plain = geometry.RandomResizedCrop(size, scale, ratio, interpolation, antialias)
        self.size, self.scale, self.ratio = plain.size, plain.scale, plain.ratio
        self.interpolation, self.antialias = plain.interpolation, antialias

    get_params = staticmethod(geometry.RandomResizedCrop.get_params)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        box = geometry.RandomResizedCrop.choose(*query_size(flat_inputs), self.scale, self.ratio)
        return dict(zip(("top", "left", "height", "width"), box, strict=True))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.resized_crop(
            inpt,
            **params,
            size=self.size,
            interpolation=self.interpolation,
            antialias=self.antialias,
        )


class RandomCrop(Moving):
    """Cut out a box at a random place.

    Args:
        size: (height, width), or one number for both.
        padding: widen the sample first, as `Pad` does.
        pad_if_needed: widen a sample that is smaller than ``size``.
        fill: with ``constant`` padding, one value or one a channel, or a dictionary of these by
            types and ``"others"``.
        padding_mode: how to pad.

    Raises:
        ArgumentError: a sample smaller than ``size``.
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
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill = checked_fill("RandomCrop", fill)
        self.padding_mode = padding_mode

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        tall, wide = self.size
        left, top, right, bottom = sides_of(self.padding or 0)
        if self.pad_if_needed:
            lack = max(tall - height - top - bottom, 0), max(wide - width - left - right, 0)
            top, bottom = top + lack[0], bottom + lack[0]
            left, right = left + lack[1], right + lack[1]
        height, width = height + top + bottom, width + left + right
        if tall > height or wide > width:
            raise ArgumentError(
                f"RandomCrop: the crop of {(tall, wide)} is larger than the sample of"
                f" {(height, width)}.",
                fix="pad_if_needed=True, or resize first",
            )
        return {
            "padding": [left, top, right, bottom],
            "box": (
                draws.integer(0, height - tall + 1) if height > tall else 0,
                draws.integer(0, width - wide + 1) if width > wide else 0,
                tall,
                wide,
            ),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if any(params["padding"]):
            inpt = F.pad(inpt, params["padding"], fill_of(self.fill, inpt), self.padding_mode)
        return F.crop(inpt, *params["box"])


class Pad(Moving):
    """Widen a sample at its edges.

    Args:
        padding: one amount, (left and right, top and bottom), or (left, top, right, bottom).
        fill: with ``constant``, one value or one a channel, or a dictionary of these by types and
            ``"others"``.
        padding_mode: ``constant``, ``edge``, ``reflect`` (without the edge pixel) or ``symmetric``
            (with it).
    """

    def __init__(
        self, padding: int | Sequence[int], fill: Fill = 0, padding_mode: str = "constant"
    ) -> None:
        geometry.Pad(padding, 0, padding_mode)  # checks them
        self.padding, self.padding_mode = padding, padding_mode
        self.fill = checked_fill("Pad", fill)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pad(inpt, self.padding, fill_of(self.fill, inpt), self.padding_mode)


class FiveCrop(Moving):
    """The four corners of an image and its middle, as a tuple in the image's place.

    Args:
        size: (height, width), or one number for both.

    Raises:
        TypeError: a sample with masks, boxes or points.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair(type(self).__name__, "size", size)

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        placed = (tv_tensors.BoundingBoxes, tv_tensors.Mask, tv_tensors.KeyPoints)
        if any(isinstance(part, placed) for part in flat_inputs):
            raise TypeError(
                f"{type(self).__name__} makes several images of one: masks, boxes and points "
                "cannot follow."
            )

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.five_crop(inpt, self.size)


class TenCrop(FiveCrop):
    """`FiveCrop` of an image and of its mirror image.

    Args:
        size: (height, width), or one number for both.
        vertical_flip: mirror top to bottom instead.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        super().__init__(size)
        self.vertical_flip = vertical_flip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.ten_crop(inpt, self.size, self.vertical_flip)
