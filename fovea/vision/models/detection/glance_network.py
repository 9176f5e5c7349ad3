"""What `Glance` computes for an image: features of three sizes, exchanged between sizes, and at
each place classes and how far the sides of a box are.

The pieces are those of published networks: stages that are crossed by part of their channels (C.-Y.
Wang et al., "CSPNet", 2019), pools of several widths (K. He et al., "Spatial pyramid pooling",
2014), a path down and up the pyramid (S. Liu et al., "Path aggregation network", 2018), separate
branches for classes and boxes (Z. Ge et al., "YOLOX", 2021) and distances as distributions (X. Li
et al., "Generalized focal loss", 2020).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.vision.models.detection._utils import joined
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.ops.misc import Conv2dNormActivation

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["BINS", "STRIDES", "GlanceNetwork", "decode", "places"]

STRIDES = (8, 16, 32)
BINS = 16  # a distance is 0, 1, ... or 15 strides, or in between
_PRIOR = 0.01  # of every class before training
_conv = partial(Conv2dNormActivation, activation_layer=nn.SiLU)


class _Residual(nn.Module):
    """y = x + conv(conv(x)); without x where ``add`` is false."""

    def __init__(self, channels: int, add: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(channels, channels), _conv(channels, channels))
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.add else self.conv(x)


class _CrossStage(nn.Module):
    """Half of the channels goes through blocks, the other half around them."""

    def __init__(self, inputs: int, outputs: int, depth: int, add: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.around, self.into = _conv(inputs, half, 1), _conv(inputs, half, 1)
        self.blocks = nn.Sequential(*(_Residual(half, add) for _ in range(depth)))
        self.out = _conv(2 * half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(cat((self.blocks(self.into(x)), self.around(x)), 1))


class _PyramidPooling(nn.Module):
    """The map beside its maxima over 5, 9 and 13 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.into, self.out = _conv(channels, channels // 2, 1), _conv(2 * channels, channels, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)  # maxima of maxima: 5, then 9, then 13 pixels

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.into(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        return self.out(cat(maps, 1))


class _Backbone(nn.Module):
    """Maps of an image at strides 8, 16 and 32."""

    def __init__(self, widths: tuple[int, ...], depth: int) -> None:
        super().__init__()
        stem, *others = widths
        self.stem = _conv(3, stem, stride=2)
        self.stages = nn.ModuleList()
        for before, width, blocks in zip(
            widths, others, (depth, 2 * depth, 2 * depth, depth), strict=False
        ):
            stage = [_conv(before, width, stride=2), _CrossStage(width, width, blocks)]
            self.stages.append(nn.Sequential(*stage))
        self.pooling = _PyramidPooling(widths[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [*maps[1:-1], self.pooling(x)]


class _Exchange(nn.Module):
    """A path from the coarsest map to the finest, and one back."""

    def __init__(self, widths: tuple[int, ...], depth: int) -> None:
        super().__init__()
        fine, middle, coarse = widths[-3:]
        self.down = nn.ModuleList(
            [
                _CrossStage(coarse + middle, middle, depth, add=False),
                _CrossStage(middle + fine, fine, depth, add=False),
            ]
        )
        self.shrink = nn.ModuleList([_conv(fine, fine, stride=2), _conv(middle, middle, stride=2)])
        self.up = nn.ModuleList(
            [
                _CrossStage(fine + middle, middle, depth, add=False),
                _CrossStage(middle + coarse, coarse, depth, add=False),
            ]
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = maps
        middle = self.down[0](cat((_twice(coarse), middle), 1))
        fine = self.down[1](cat((_twice(middle), fine), 1))
        middle = self.up[0](cat((self.shrink[0](fine), middle), 1))
        return [fine, middle, self.up[1](cat((self.shrink[1](middle), coarse), 1))]


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class _Head(nn.Module):
    """Logits of classes, and of the distances to a box's sides, at each place of a map."""

    def __init__(self, inputs: int, channels: int, classes: int, stride: int) -> None:
        super().__init__()
        self.classes = nn.Sequential(
            _conv(inputs, channels), _conv(channels, channels), nn.Conv2d(channels, classes, 1)
        )
        self.sides = nn.Sequential(
            _conv(inputs, channels), _conv(channels, channels), nn.Conv2d(channels, 4 * BINS, 1)
        )
        self.stride = stride

    def start(self) -> None:
        """First values: no class is likely, and boxes reach about three strides each way."""
        for branch, bias in (
            (self.classes, np.full(1, math.log(_PRIOR / (1 - _PRIOR)))),
            (self.sides, np.tile(-0.3 * np.arange(BINS), 4)),
        ):
            nn.init.normal_(branch[-1].weight, std=0.01)
            held = branch[-1].bias
            held.data.copy_(from_array(np.broadcast_to(bias, held.shape).astype(np.float32)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes(x), self.sides(x)


class GlanceNetwork(nn.Module):
    """A batch of images to classes and boxes at all places: a plain function of one tensor, which
    is what is exported.

    Args:
        widths: channels of the maps at strides 2, 4, 8, 16 and 32.
        depth: blocks of a stage; stages at strides 8 and 16 have twice as many.
        classes: how many there are, the background not among them.

    Shapes:
        (N, 3, H, W), values from 0 to 1, sides multiples of 32, to scores (N, P, classes) from 0 to
        1 and boxes (N, P, 4), x1, y1, x2, y2 in pixels. P = H · W · (1/64 + 1/256 + 1/1024), the
        finest map first.

    >>> import fovea
    >>> network = GlanceNetwork((8, 16, 16, 16, 16), 1, classes=3).eval()
    >>> scores, boxes = network(fovea.rand(1, 3, 64, 32))
    >>> scores.shape, boxes.shape
    (fovea.Size([1, 42, 3]), fovea.Size([1, 42, 4]))
    """

    def __init__(self, widths: tuple[int, ...], depth: int, classes: int) -> None:
        super().__init__()
        self.num_classes = classes
        self.backbone = _Backbone(widths, depth)
        self.neck = _Exchange(widths, depth)
        self.heads = nn.ModuleList(
            [
                _Head(width, widths[-3], classes, stride)
                for width, stride in zip(widths[-3:], STRIDES, strict=True)
            ]
        )
        self.apply(fan_out_normal)
        for head in self.heads:
            head.start()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, _, boxes = self.predictions(images)
        return logits.sigmoid(), boxes

    def predictions(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is learned from: logits (N, P, classes), logits of distances (N, P, 4 · 16), and
        boxes.
        """
        maps = self.neck(self.backbone(images))
        found = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        logits = joined([classes for classes, _ in found], self.num_classes)
        sides = joined([sides for _, sides in found], 4 * BINS)
        return logits, sides, decode(sides, *places(images.shape[2], images.shape[3]))


def places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The middles (P, 2), x, y, of the pixels of all maps of an image, and their strides (P, 1)."""
    points, strides = [], []
    for stride in STRIDES:
        down, right = (np.arange(stride / 2, side, stride) for side in (height, width))
        grid = np.stack(np.meshgrid(right, down), -1).reshape(-1, 2)
        points.append(grid)
        strides.append(np.full((len(grid), 1), stride))
    return (
        from_array(np.concatenate(points).astype(np.float32)),
        from_array(np.concatenate(strides).astype(np.float32)),
    )


def decode(sides: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """The boxes (N, P, 4) whose sides are at the expected distances from the points.

    distance = stride · Σ k · softmax(sides)[k]

    Args:
        sides: logits (N, P, 4 · 16) of distances of 0 to 15 strides: left, top, right, bottom.
        points, strides: of ``places``.

    >>> import fovea
    >>> points, strides = places(32, 32)
    >>> sides = fovea.full((1, 21, 4, 16), -50.0)
    >>> sides[:, :, :, 1] = 50.0  # one stride each way
    >>> decode(sides.reshape(1, 21, 64), points, strides)[0, 0]
    tensor([-4., -4., 12., 12.])
    """
    n, p = sides.shape[:2]
    chances = sides.reshape(n, p, 4, BINS).softmax(-1)
    steps = from_array(np.arange(BINS, dtype=np.float32)).to(sides.dtype)
    distances = (chances * steps).sum(-1) * strides.to(sides.dtype)
    points = points.to(sides.dtype)
    return cat((points - distances[..., :2], points + distances[..., 2:]), -1)
