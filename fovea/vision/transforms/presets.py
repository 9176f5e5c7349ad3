"""What turns an image into the input of a network with published weights, as it was evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea import dtypes
from fovea.tensorbase import is_tensor
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.base import Transform, own_values
from fovea.vision.transforms.functional.geometry import resized_center
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode

__all__ = ["ImageClassification", "ObjectDetection", "SemanticSegmentation"]

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's channels
_STD = (0.229, 0.224, 0.225)
_TAKES = "Takes PIL images and tensors (C, H, W) or (B, C, H, W)."


class _Preset(Transform):
    """Shows its arguments a line each, as torchvision does."""

    _hidden = ("antialias",)

    def __repr__(self) -> str:
        shown = {k: v for k, v in own_values(self) if k not in self._hidden}
        rows = "".join(f"\n    {k}={v}" for k, v in shown.items())
        return f"{type(self).__name__}({rows}\n)" if shown else f"{type(self).__name__}()"


def _floats(img: Any) -> Any:
    """A tensor of floats; 8-bit values come to lie in [0, 1]."""
    img = img if is_tensor(img) else F.pil_to_tensor(img)
    return F.convert_image_dtype(img, dtypes.float32)


class ObjectDetection(_Preset):
    """An image as a tensor of floats in [0, 1]; detectors resize and normalize by themselves.

    >>> import fovea
    >>> ObjectDetection()(fovea.full((3, 4, 6), 255, dtype=fovea.uint8)).max().item()
    1.0
    """

    def forward(self, img: Any) -> Any:
        return _floats(img)

    def describe(self) -> str:
        """What happens to an image, in words."""
        return f"{_TAKES} Values are scaled to [0, 1]."


class _Normalizing(_Preset):
    resize_size: list[int] | None
    mean: list[float]
    std: list[float]
    interpolation: InterpolationMode
    antialias: bool | None

    def _resized(self, img: Any) -> Any:
        if self.resize_size is None:
            return img
        return F.resize(img, self.resize_size, self.interpolation, antialias=self.antialias)

    def _normalized(self, img: Any) -> Any:
        return F.normalize(_floats(img), self.mean, self.std)

    def _ending(self) -> str:
        return (
            f"Values are scaled to [0, 1], then normalized with mean={self.mean}, std={self.std}."
        )


class ImageClassification(_Normalizing):
    """Resize, crop the middle, scale to [0, 1], normalize.

    Args:
        crop_size: edge of the square that is cut out.
        resize_size: the shorter edge before.
        mean, std: one value a channel.
        interpolation: how the image is resized.
        antialias: as ``Resize`` (PIL images are always resized so).

    >>> import fovea
    >>> prepare = ImageClassification(crop_size=224)
    >>> prepare(fovea.zeros(3, 300, 400, dtype=fovea.uint8)).shape
    fovea.Size([3, 224, 224])
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: Sequence[float] = _MEAN,
        std: Sequence[float] = _STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.crop_size = [crop_size]
        self.resize_size = [resize_size]
        self.mean = list(mean)
        self.std = list(std)
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Any:
        assert self.resize_size is not None
        middle = resized_center(
            img, self.resize_size, self.crop_size, self.interpolation, antialias=self.antialias
        )
        return self._normalized(middle)

    def describe(self) -> str:
        """What happens to an image, in words."""
        return (
            f"{_TAKES} The shorter edge becomes resize_size={self.resize_size} with "
            f"{self.interpolation}, the middle is cut out with crop_size={self.crop_size}. "
            f"{self._ending()}"
        )


class SemanticSegmentation(_Normalizing):
    """Resize, scale to [0, 1], normalize.

    Args:
        resize_size: the shorter edge; None leaves the size as it is.
        mean, std: one value a channel.
        interpolation: how the image is resized.
        antialias: as ``Resize`` (PIL images are always resized so).

    >>> import fovea
    >>> prepare = SemanticSegmentation(resize_size=40)
    >>> prepare(fovea.zeros(2, 3, 60, 90, dtype=fovea.uint8)).shape
    fovea.Size([2, 3, 40, 60])
    """

    def __init__(
        self,
        *,
        resize_size: int | None,
        mean: Sequence[float] = _MEAN,
        std: Sequence[float] = _STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean = list(mean)
        self.std = list(std)
        self.interpolation = as_mode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Any:
        return self._normalized(self._resized(img))

    def describe(self) -> str:
        """What happens to an image, in words."""
        resized = f" The shorter edge becomes {self.resize_size} with {self.interpolation}."
        return f"{_TAKES}{resized if self.resize_size else ''} {self._ending()}"
