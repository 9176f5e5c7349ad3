"""The parts of `RetinaFace`: a narrow MobileNet, a pyramid, modules that look around, heads, and
the boxes that predictions start from.

Sources: J. Deng, J. Guo, Y. Zhou et al., "RetinaFace: Single-stage Dense Face Localisation in the
Wild", 2019; A. Howard et al., "MobileNets", 2017; M. Najibi et al., "SSH: Single Stage Headless
Face Detector", 2017. Names and layers are those of the widely used biubug6/Pytorch_Retinaface, so
weights trained with it fit (the paper has five maps and deformable convolutions, this has three
and none).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.functions.joining import cat

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["FPN", "SSH", "FaceHead", "MobileNetV1", "prior_boxes"]

_STEPS = (8, 16, 32)  # pixels of the image between places of each map
_SIDES = ((16, 32), (64, 128), (256, 512))  # of the boxes at each place of each map
PRIORS = len(_SIDES[0])  # at each place
_NARROW = 64  # maps of more channels are cut at zero, others let a tenth through


def _conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, leak: float | None = None
) -> nn.Sequential:
    """A convolution, its normalization and, unless ``leak`` is None, an activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if leak is not None:
        layers.append(nn.LeakyReLU(leak, inplace=True) if leak else nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3×3 convolution of each channel, then a 1×1 convolution of all."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


def _leak(channels: int) -> float:
    return 0.1 if channels <= _NARROW else 0.0


class MobileNetV1(nn.Module):
    """MobileNet of a quarter of the width (0.47 million parameters), for images of 224.

    Args:
        num_classes: how many there are.

    Shapes:
        in: float (N, 3, H, W).
        out: float (N, num_classes): logits.

    >>> import fovea
    >>> MobileNetV1(num_classes=3)(fovea.zeros(1, 3, 64, 64)).shape
    fovea.Size([1, 3])
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv(3, 8, stride=2, leak=0.1),
            _separable(8, 16, 1),
            _separable(16, 32, 2),
            _separable(32, 32, 1),
            _separable(32, 64, 2),
            _separable(64, 64, 1),
        )
        same = (_separable(128, 128, 1) for _ in range(5))
        self.stage2 = nn.Sequential(_separable(64, 128, 2), *same)
        self.stage3 = nn.Sequential(_separable(128, 256, 2), _separable(256, 256, 1))
        self.avg = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(256, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.avg(x).flatten(1))


class FPN(nn.Module):
    """A pyramid: each map and what the coarser one says, in as many channels.

    Args:
        in_channels_list: of the three maps, the finest first.
        out_channels: of those that come out.

    Takes a dictionary of three maps and returns a list of three.

    >>> import fovea
    >>> maps = {1: fovea.zeros(1, 4, 9, 7), 2: fovea.zeros(1, 6, 5, 4), 3: fovea.zeros(1, 8, 3, 2)}
    >>> [tuple(m.shape) for m in FPN([4, 6, 8], 16)(maps)]
    [(1, 16, 9, 7), (1, 16, 5, 4), (1, 16, 3, 2)]
    """

    def __init__(self, in_channels_list: Sequence[int], out_channels: int) -> None:
        super().__init__()
        leak = _leak(out_channels)
        first, second, third = in_channels_list
        self.output1 = _conv(first, out_channels, 1, leak=leak)
        self.output2 = _conv(second, out_channels, 1, leak=leak)
        self.output3 = _conv(third, out_channels, 1, leak=leak)
        self.merge1 = _conv(out_channels, out_channels, leak=leak)
        self.merge2 = _conv(out_channels, out_channels, leak=leak)

    def forward(self, x: dict[Any, Tensor]) -> list[Tensor]:
        first, second, third = x.values()
        coarse = self.output3(third)
        middle = self.merge2(_added(self.output2(second), coarse))
        fine = self.merge1(_added(self.output1(first), middle))
        return [fine, middle, coarse]


def _added(x: Tensor, coarser: Tensor) -> Tensor:
    """A map and a coarser one enlarged to its size."""
    return x + F.interpolate(coarser, size=(x.shape[2], x.shape[3]), mode="nearest")


class SSH(nn.Module):
    """What lies around each place: convolutions that see 3, 5 and 7 pixels, side by side.

    Args:
        in_channel, out_channel: channels that come in and that go out, the latter a multiple of 4.

    >>> import fovea
    >>> SSH(8, 16)(fovea.zeros(1, 8, 5, 5)).shape
    fovea.Size([1, 16, 5, 5])
    """

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        leak, quarter = _leak(out_channel), out_channel // 4
        self.conv3X3 = _conv(in_channel, out_channel // 2)
        self.conv5X5_1 = _conv(in_channel, quarter, leak=leak)
        self.conv5X5_2 = _conv(quarter, quarter)
        self.conv7X7_2 = _conv(quarter, quarter, leak=leak)
        self.conv7x7_3 = _conv(quarter, quarter)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv5X5_1(x)
        far = self.conv7x7_3(self.conv7X7_2(near))
        return F.relu(cat((self.conv3X3(x), self.conv5X5_2(near), far), 1))


class FaceHead(nn.Module):
    """A 1×1 convolution: so many numbers for each box at each place of a map.

    Args:
        in_channels: of the map.
        columns: numbers that are predicted of a box.

    Shapes:
        (N, in_channels, H, W) to (N, 2 · columns, H, W).
    """

    def __init__(self, in_channels: int, columns: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(in_channels, PRIORS * columns, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x)


def prior_boxes(height: int, width: int) -> np.ndarray[Any, Any]:
    """The squares that predictions start from in an image of this size: float32 (P, 4), x1, y1, x2,
    y2 in pixels; two around the middle of each place of three maps, the finest map first.

    >>> prior_boxes(16, 8).shape  # 2 · (2 + 1 + 1)
    (8, 4)
    >>> prior_boxes(16, 8)[:2].tolist()
    [[-4.0, -4.0, 12.0, 12.0], [-12.0, -12.0, 20.0, 20.0]]
    """
    parts = []
    for step, sides in zip(_STEPS, _SIDES, strict=True):
        y, x = (np.arange(-(-side // step)) * step + step / 2 for side in (height, width))
        half = np.array(sides, np.float32) / 2
        boxes = np.empty((len(y), len(x), len(sides), 4), np.float32)
        boxes[..., 0], boxes[..., 2] = x[:, None] - half, x[:, None] + half
        boxes[..., 1] = y[:, None, None] - half
        boxes[..., 3] = y[:, None, None] + half
        parts.append(boxes.reshape(-1, 4))
    return np.concatenate(parts)
