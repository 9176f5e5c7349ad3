"""Images of one size: resized, or cut out of the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.shaping import permute
from fovea.keras.layers.augmentation.base import Drawn, ImageLayer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "CenterCrop",
    "Resizing",
    "centered",
    "centered_boxes",
    "resized",
    "resized_boxes",
    "with_size",
]

_MODES = ("nearest", "bilinear", "bicubic")


def with_size(shape: Any, height: int, width: int, data_format: str) -> tuple[Any, ...]:
    """The shape of images after they were brought to a size."""
    found = list(shape)
    first = len(found) - 3 + (data_format == "channels_first")
    found[first : first + 2] = [height, width]
    return tuple(found)


def _aspect(h: int, w: int, height: int, width: int, pick: Any) -> tuple[int, int]:
    """A height and a width with the ratio of (height, width), by ``min`` within or ``max`` around
    (h, w).
    """
    return max(pick(h, int(float(w * height) / width)), 1), max(
        pick(w, int(float(h * width) / height)), 1
    )


def resized(
    images: Tensor,
    height: int,
    width: int,
    interpolation: str = "bilinear",
    *,
    crop: bool = False,
    pad: bool = False,
    fill_value: float = 0.0,
    antialias: bool = False,
) -> Tensor:
    """Images (N, H, W, C) of another size; ``crop`` or ``pad`` them first to its ratio of sides."""
    import fovea.nn.functional as F

    h, w = images.shape[1:3]
    x = permute(images, (0, 3, 1, 2))
    if crop:
        ch, cw = _aspect(h, w, height, width, min)
        top, left = (h - ch) // 2, (w - cw) // 2
        x = x[:, :, top : top + ch, left : left + cw]
    elif pad:
        ph, pw = _aspect(h, w, height, width, max)
        top, left = (ph - h) // 2, (pw - w) // 2
        x = F.pad(x, (left, left, top, top), value=fill_value)
    smooth = interpolation in ("bilinear", "bicubic")
    kind = x.dtype
    y = F.interpolate(
        x if kind.itemsize >= 4 else x.float(),
        size=(height, width),
        mode="nearest-exact" if interpolation == "nearest" else interpolation,
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )
    return permute(y.to(kind), (0, 2, 3, 1))


def resized_boxes(
    boxes: Tensor,
    size: Any,
    height: int,
    width: int,
    *,
    crop: bool = False,
    pad: bool = False,
) -> Tensor:
    """Where corners (N, M, 4) in pixels come to lie when `resized` changes images of a size."""
    (h, w), (top, left) = size, (0, 0)
    th, tw = h, w
    if crop or pad:
        th, tw = _aspect(h, w, height, width, min if crop else max)
        top, left = (abs(h - th) // 2, abs(w - tw) // 2)
        top, left = (top, left) if crop else (-top, -left)
    shift = boxes.new_tensor([left, top, left, top])
    return (boxes - shift) * boxes.new_tensor([width / tw, height / th] * 2)


def centered_boxes(boxes: Tensor, size: Any, height: int, width: int) -> Tensor:
    """Where corners (N, M, 4) in pixels come to lie when `centered` cuts images of a size."""
    h, w = size
    if h < height or w < width:
        return resized_boxes(boxes, size, height, width, crop=True)
    top, left = (h - height) // 2, (w - width) // 2
    return boxes - boxes.new_tensor([left, top, left, top])


def centered(images: Tensor, height: int, width: int) -> Tensor:
    """The middle of images (N, H, W, C); of smaller ones what has the ratio of sides, resized."""
    h, w = images.shape[1:3]
    if h < height or w < width:
        return resized(images, height, width, crop=True)
    top, left = (h - height) // 2, (w - width) // 2
    return images[:, top : top + height, left : left + width]


class Resizing(ImageLayer):
    """Images of another size.

    Args:
        height, width: of the result.
        interpolation: ``"bilinear"``, ``"nearest"`` or ``"bicubic"``.
        crop_to_aspect_ratio: cut the images to the result's ratio of sides first.
        pad_to_aspect_ratio: pad them to it with ``fill_value``.
        fill_mode: ``"constant"``.
        antialias: smooth before shrinking.
        data_format: ``"channels_last"`` or ``"channels_first"``.

    >>> import fovea
    >>> Resizing(2, 3)(fovea.rand(4, 8, 8, 1)).shape
    fovea.Size([4, 2, 3, 1])
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if interpolation not in _MODES:
            raise ArgumentError(
                f"Resizing: interpolation is one of {_MODES}, got {interpolation!r}."
            )
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ArgumentError("Resizing: crop to the aspect ratio, or pad to it; not both.")
        if fill_mode != "constant":
            raise ArgumentError(f"Resizing: fill_mode is 'constant', got {fill_mode!r}.")
        self.height, self.width, self.interpolation = height, width, interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode, self.fill_value, self.antialias = fill_mode, fill_value, antialias

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return self._resized(images, self.interpolation)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self._resized(masks, "nearest")

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        crop, pad = self.crop_to_aspect_ratio, self.pad_to_aspect_ratio
        return resized_boxes(boxes, size, self.height, self.width, crop=crop, pad=pad)

    def _resized(self, images: Tensor, interpolation: str) -> Tensor:
        return resized(
            images,
            self.height,
            self.width,
            interpolation,
            crop=self.crop_to_aspect_ratio,
            pad=self.pad_to_aspect_ratio,
            fill_value=self.fill_value,
            antialias=self.antialias,
        )

    def image_shape(self, shape: Any) -> Any:
        return with_size(shape, self.height, self.width, self.data_format)


class CenterCrop(ImageLayer):
    """The middle of images; smaller images are resized (cut to the ratio of sides first).

    Args:
        height, width: of the result.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.height, self.width = height, width

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return centered(images, self.height, self.width)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self.change(masks, drawn)

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        return centered_boxes(boxes, size, self.height, self.width)

    def image_shape(self, shape: Any) -> Any:
        return with_size(shape, self.height, self.width, self.data_format)
