"""Images flipped, turned, moved, enlarged and cut at random."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.joining import stack
from fovea.functions.pointwise import cos, sin, where
from fovea.functions.ranges import arange
from fovea.functions.shaping import flip
from fovea.keras.layers.augmentation.base import Drawn, RandomImageLayer, factor_pair
from fovea.keras.layers.augmentation.sizing import centered, centered_boxes, resized, with_size
from fovea.keras.layers.augmentation.warping import (
    check_warp,
    homographies,
    moved_boxes,
    project,
    warp,
)

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "RandomCrop",
    "RandomFlip",
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]

_FLIPS = {"horizontal": (2,), "vertical": (1,), "horizontal_and_vertical": (2, 1)}


class RandomFlip(RandomImageLayer):
    """Flip each image with probability one half; only in training.

    Args:
        mode: ``"horizontal"``, ``"vertical"`` or ``"horizontal_and_vertical"`` (both at once).
        seed: for draws of its own.
        data_format: ``"channels_last"`` or ``"channels_first"``.

    >>> import fovea
    >>> image = fovea.arange(2.0).reshape(1, 2, 1)
    >>> RandomFlip("horizontal")(image, training=False).flatten()
    tensor([0., 1.])
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if mode not in _FLIPS:
            raise ArgumentError(f"RandomFlip: mode is one of {tuple(_FLIPS)}, got {mode!r}.")
        self.mode = mode

    def draw(self, images: Tensor) -> Drawn:
        n = images.shape[0]
        return {"flips": self.uniform((n, 1, 1, 1), 0.0, 1.0, images) <= 0.5}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return where(drawn["flips"], flip(images, _FLIPS[self.mode]), images)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return self.change(masks, drawn)

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        h, w = size
        x1, y1, x2, y2 = boxes.unbind(-1)
        if "horizontal" in self.mode:
            x1, x2 = w - x2, w - x1
        if "vertical" in self.mode:
            y1, y2 = h - y2, h - y1
        return where(drawn["flips"].squeeze(-1), stack([x1, y1, x2, y2], -1), boxes)


class _Warped(RandomImageLayer):
    """Images read through random affine maps; masks at the nearest pixel."""

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        fill_value: float,
        seed: int | None,
        data_format: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        check_warp(type(self).__name__, fill_mode, interpolation)
        self.fill_mode, self.interpolation = fill_mode, interpolation
        self.fill_value = fill_value

    def draw(self, images: Tensor) -> Drawn:
        return {"matrices": stack(self.entries(images), 1)}

    def entries(self, images: Tensor) -> list[Tensor]:
        """The six numbers of each image's map: what `warp` reads."""
        raise NotImplementedError(f"{type(self).__name__} must define entries().")

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return warp(images, drawn["matrices"], self.interpolation, self.fill_mode, self.fill_value)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        return warp(masks, drawn["matrices"], "nearest", self.fill_mode, self.fill_value)

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        return moved_boxes(boxes, drawn["matrices"])


class RandomRotation(_Warped):
    """Turn each image by a random angle; only in training.

    Args:
        factor: the largest angle in turns (0.1: 36 degrees either way), or (least, largest);
            positive is counter-clockwise.
        fill_mode: what comes in at the edges: ``"constant"`` (``fill_value``), ``"nearest"``,
            ``"reflect"`` or ``"wrap"``.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: for draws of its own.

    >>> import fovea
    >>> layer = RandomRotation((0.25, 0.25))
    >>> layer(fovea.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])).squeeze(-1).round()
    tensor([[2., 4.],
            [1., 3.]])
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value, seed, data_format, **kwargs)
        self.factor = factor_pair("RandomRotation: factor", factor)

    def entries(self, images: Tensor) -> list[Tensor]:
        n, h, w, _ = images.shape
        lower, upper = (2 * math.pi * f for f in self.factor)
        angle = self.uniform((n,), lower, upper, images)
        c, s = cos(angle), sin(angle)
        x, y = (w - 1) / 2, (h - 1) / 2
        return [c, -s, x - x * c + y * s, s, c, y - x * s - y * c]


class RandomZoom(_Warped):
    """Enlarge or shrink each image at random; only in training.

    Args:
        height_factor: 0.2 shows from 20 % less to 20 % more of the height; or (least, largest).
        width_factor: that of the width; None: as the height.
        fill_mode, interpolation, seed, fill_value: those of `RandomRotation`.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value, seed, data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._zooms()

    def _zooms(self) -> tuple[tuple[float, float], tuple[float, float] | None]:
        height = factor_pair("RandomZoom: height_factor", self.height_factor)
        if self.width_factor is None:
            return height, None
        return height, factor_pair("RandomZoom: width_factor", self.width_factor)

    def entries(self, images: Tensor) -> list[Tensor]:
        n, h, w, _ = images.shape
        height, width = self._zooms()
        tall = self.uniform((n,), 1 + height[0], 1 + height[1], images)
        wide = tall if width is None else self.uniform((n,), 1 + width[0], 1 + width[1], images)
        none = tall * 0
        return [wide, none, (w - 1) / 2 * (1 - wide), none, tall, (h - 1) / 2 * (1 - tall)]


class RandomTranslation(_Warped):
    """Move each image at random; only in training.

    Args:
        height_factor: the largest way down or up, as a share of the height; or (least, largest),
            positive being down.
        width_factor: that to the right or left.
        fill_mode, interpolation, seed, fill_value: those of `RandomRotation`.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value, seed, data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._shares()

    def _shares(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (
            factor_pair("RandomTranslation: height_factor", self.height_factor),
            factor_pair("RandomTranslation: width_factor", self.width_factor),
        )

    def entries(self, images: Tensor) -> list[Tensor]:
        n, h, w, _ = images.shape
        height, width = self._shares()
        down = self.uniform((n,), *height, images) * h
        right = self.uniform((n,), *width, images) * w
        none, one = down * 0, down * 0 + 1
        return [one, none, -right, none, one, -down]


class RandomShear(_Warped):
    """Slant each image at random, either way; only in training.

    Args:
        x_factor: how far a row moves for each row further down: from 0 to 1, or (least, largest).
        y_factor: that of columns.
        interpolation, fill_mode, fill_value, seed: those of `RandomRotation`.
    """

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, fill_value, seed, data_format, **kwargs)
        self.x_factor, self.y_factor = (
            self._share(key, value)
            for key, value in (("x_factor", x_factor), ("y_factor", y_factor))
        )

    @staticmethod
    def _share(key: str, factor: Any) -> tuple[float, float]:
        if isinstance(factor, list | tuple) and list(factor) == [-abs(factor[1]), abs(factor[1])]:
            factor = factor[1]  # a number, as configurations keep it
        low, high = factor_pair(f"RandomShear: {key}", factor, 0.0, 1.0)
        return (low, high) if isinstance(factor, list | tuple) else (-high, high)

    def entries(self, images: Tensor) -> list[Tensor]:
        n = images.shape[0]
        way = where(self.uniform((n,), 0.0, 1.0, images) > 0.5, -1.0, 1.0)
        down = self.uniform((n,), *self.y_factor, images) * way
        across = self.uniform((n,), *self.x_factor, images) * way
        none, one = down * 0, down * 0 + 1
        return [one, across, none, down, one, none]


class RandomCrop(RandomImageLayer):
    """Cut a window of one size out of the images of a batch: at random in training, else from the
    middle; images that are too small are resized.

    Args:
        height, width: of the window.
        seed: for draws of its own.

    >>> import fovea
    >>> RandomCrop(2, 3)(fovea.rand(4, 8, 8, 1), training=True).shape
    fovea.Size([4, 2, 3, 1])
    """

    always = True

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, name=name, **kwargs)
        self.height, self.width = height, width

    def call(self, data: Any, training: bool = True) -> Any:
        self.__dict__["_at_random"] = training
        return super().call(data, training)

    def draw(self, images: Tensor) -> Drawn:
        h, w = images.shape[1:3]
        if not self._at_random or h <= self.height or w <= self.width:
            return {}
        shares = self.uniform((2,), 0.0, 1.0, images)
        return {"shares": shares}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        h, w = images.shape[1:3]
        if "shares" not in drawn:
            return centered(images, self.height, self.width)
        top, left = self._start(drawn, h, w).long()
        rows, columns = top + arange(self.height), left + arange(self.width)
        return images.index_select(1, rows).index_select(2, columns)

    def _start(self, drawn: Drawn, h: int, w: int) -> Tensor:
        """The window's first row and column."""
        shares: Tensor = drawn["shares"]
        return (shares * shares.new_tensor([h - self.height + 1, w - self.width + 1])).floor()

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        if "shares" in drawn:
            return self.change(masks, drawn)
        return resized(masks, self.height, self.width, "nearest", crop=True)

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        if "shares" not in drawn:
            return centered_boxes(boxes, size, self.height, self.width)
        top, left = self._start(drawn, *size).to(boxes.dtype)
        return boxes - stack([left, top, left, top])

    def image_shape(self, shape: Any) -> Any:
        return with_size(shape, self.height, self.width, self.data_format)


class RandomPerspective(RandomImageLayer):
    """Show images as seen from the side, at random; only in training.

    Args:
        factor: how likely an image is changed, drawn from at most that, or (least, most).
        scale: how far the corners move, from 0 to 1, where half the image is the farthest.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_value: what comes in at the edges.
        seed: for draws of its own.

    >>> import fovea
    >>> RandomPerspective(seed=1)(fovea.rand(2, 8, 8, 3)).shape
    fovea.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        check_warp("RandomPerspective", "constant", interpolation)
        if not 0 <= scale <= 1:
            raise ArgumentError(f"RandomPerspective: scale must lie in [0, 1], got {scale}.")
        self.factor = factor_pair("RandomPerspective: factor", factor, 0.0, 1.0)
        self.scale, self.interpolation, self.fill_value = scale, interpolation, fill_value

    def draw(self, images: Tensor) -> Drawn:
        n, h, w, _ = images.shape
        hit = self.chosen(n, self.factor, images)
        moves = self.uniform((n, 4, 2), -0.5 * self.scale, 0.5 * self.scale, images)
        x, y = float(w - 1), float(h - 1)
        corners = moves.new_tensor([[[0.0, 0.0], [x, 0.0], [0.0, y], [x, y]]])
        return {"hit": hit, "maps": homographies(corners.expand(n, 4, 2), corners * (1 + moves))}

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        changed = project(images, drawn["maps"], self.interpolation, self.fill_value)
        return where(drawn["hit"], changed, images)

    def change_masks(self, masks: Tensor, drawn: Drawn) -> Tensor:
        changed = project(masks, drawn["maps"], "nearest", self.fill_value)
        return where(drawn["hit"], changed, masks)

    def change_boxes(self, boxes: Tensor, drawn: Drawn, size: Any) -> Tensor:
        return where(drawn["hit"].squeeze(-1), moved_boxes(boxes, drawn["maps"]), boxes)
