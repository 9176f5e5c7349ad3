"""MTCNN: faces and five landmarks of each, by three small networks one after the other.

Source: K. Zhang, Z. Zhang, Z. Li and Y. Qiao, "Joint Face Detection and Alignment using Multi-task
Cascaded Convolutional Networks", 2016. Names, layers and the rounding of boxes are those of the
widely used facenet-pytorch, whose weights (``pnet.pt``, ``rnet.pt``, ``onet.pt``) fit; so do those
under the names of TropComplique/mtcnn-pytorch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, FileFormatError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.vision.models import hints
from fovea.vision.models.detection.image_list import check_image
from fovea.vision.models.loading import WeightsLike, first_values, load_weights, source_of
from fovea.vision.models.registry import register_model
from fovea.vision.ops.boxes import nms, widened

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MTCNN", "ONet", "PNet", "RNet", "mtcnn"]

Array = np.ndarray[Any, Any]
_CELL, _STRIDE = 12, 2  # pixels that PNet sees at each place, and between places
_SIDES = (24, 48)  # of what RNet and ONet see
_BATCH = 512  # pieces that they see at once: their first maps are 8 and 10 times as large
_PARTS = ("pnet", "rnet", "onet")
_ENDINGS = (".pt", ".pth", ".safetensors")


class PNet(nn.Module):
    """Proposes faces: at each place of an image whether there is one of 12 pixels, and where.

    Shapes:
        in: float (N, 3, H, W), values from -1 to 1.
        out: shifts of the box's sides in parts of its own (N, 4, h, w), and chances (N, 2, h, w),
            of a face the second.

    >>> import fovea
    >>> [tuple(x.shape) for x in PNet()(fovea.zeros(1, 3, 12, 32))]
    [(1, 4, 1, 11), (1, 2, 1, 11)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.softmax4_1 = nn.Softmax(dim=1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.softmax4_1(self.conv4_1(x))


class RNet(nn.Module):
    """Looks at proposals again.

    Shapes:
        in: float (N, 3, 24, 24), values from -1 to 1.
        out: shifts of the box's sides (N, 4), chances (N, 2).

    >>> import fovea
    >>> [tuple(x.shape) for x in RNet()(fovea.zeros(5, 3, 24, 24))]
    [(5, 4), (5, 2)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.softmax5_1 = nn.Softmax(dim=1)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_columns_first(x)))
        return self.dense5_2(x), self.softmax5_1(self.dense5_1(x))


class ONet(nn.Module):
    """Looks at what is left, and finds landmarks.

    Shapes:
        in: float (N, 3, 48, 48), values from -1 to 1.
        out: shifts of the box's sides (N, 4), landmarks in parts of it (N, 10), five x before five
            y, chances (N, 2).

    >>> import fovea
    >>> [tuple(x.shape) for x in ONet()(fovea.zeros(5, 3, 48, 48))]
    [(5, 4), (5, 10), (5, 2)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.softmax6_1 = nn.Softmax(dim=1)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(_columns_first(x)))
        return self.dense6_2(x), self.dense6_3(x), self.softmax6_1(self.dense6_1(x))


def _columns_first(x: Tensor) -> Tensor:
    """Maps (N, C, H, W) as rows (N, W · H · C): the order of Matlab, where weights come from."""
    return x.permute(0, 3, 2, 1).reshape(x.shape[0], -1)


class MTCNN(nn.Module):
    """Finds faces of all sizes: `PNet` on an image at many sizes, then `RNet` and `ONet` on what
    each leaves.

    ``model(images)`` returns for each image (3, H, W), red, green, blue from 0 to 1, of any size,
    ``boxes`` (K, 4), ``scores`` and ``labels`` (K,), all 1, from the best, and ``keypoints`` (K, 5,
    3): eyes, nose, corners of the mouth, those on the image's left first; the last of the three
    numbers is 1. Boxes may reach beyond the image. In training it does the same: the three networks
    are trained one by one, each on pieces of images.

    Args:
        min_face_size: of the smallest faces looked for, in pixels.
        thresholds: what is less likely is not passed on, by each network.
        factor: from one size at which `PNet` looks to the next.

    Raises:
        ArgumentError: sizes, thresholds or a factor that mean nothing; targets; images that are no
            tensors.
        ShapeError: images that are not (3, H, W).
        DTypeError: images of integers.

    >>> import fovea
    >>> found = MTCNN()([fovea.zeros(3, 40, 50)])
    >>> found[0]["boxes"].shape, found[0]["keypoints"].shape
    (fovea.Size([0, 4]), fovea.Size([0, 5, 3]))
    """

    def __init__(
        self,
        min_face_size: float = 20,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
    ) -> None:
        super().__init__()
        if min_face_size <= 0 or not 0 < factor < 1 or len(thresholds) != 3:
            raise ArgumentError(
                "MTCNN: min_face_size must be above 0, factor between 0 and 1, thresholds three, "
                f"got {min_face_size}, {factor} and {thresholds}."
            )
        self.min_face_size, self.factor = min_face_size, factor
        self.thresholds = tuple(thresholds)
        self.pnet, self.rnet, self.onet = PNet(), RNet(), ONet()

    def forward(self, images: Any, targets: Any = None) -> list[dict[str, Any]]:
        if targets is not None:
            raise ArgumentError(
                "MTCNN: it takes no targets, since its networks are trained one by one.",
                fix="train model.pnet, model.rnet and model.onet on pieces of 12, 24, 48 pixels",
            )
        with no_grad():
            return [self._of_image(_checked(image)) for image in images]

    def _of_image(self, image: Tensor) -> dict[str, Any]:
        pixels = image[None] * 255
        boxes = _squares(self._proposed(pixels))
        boxes, shifts, _, _ = self._passed(pixels, boxes, 1)
        kept = _kept(boxes, 0.7)
        boxes = _squares(_shifted(boxes[kept], shifts[kept]))
        boxes, shifts, score, marks = self._passed(pixels, boxes, 2)
        points = np.ones((len(boxes), 5, 3), boxes.dtype)
        points[..., :2] = marks.reshape(-1, 2, 5).transpose(0, 2, 1)
        points[..., :2] *= _sizes(boxes)[:, None]
        points[..., :2] += boxes[:, None, :2] - 1
        boxes = _shifted(boxes, shifts)
        last = _kept_by_the_smaller(boxes, 0.7)
        return {
            "boxes": from_array(boxes[last, :4]),
            "scores": from_array(score[last]),
            "labels": from_array(np.ones(len(last), np.int64)),
            "keypoints": from_array(points[last]),
        }

    def _proposed(self, pixels: Tensor) -> Array:
        """Boxes and scores (P, 5) that `PNet` sees at all sizes."""
        height, width = pixels.shape[2:]
        kind = np.result_type(pixels.dtype.numpy, np.float32)
        scale, parts = _CELL / self.min_face_size, [np.zeros((0, 9), kind)]
        side = min(height, width) * scale
        while side >= _CELL:
            size = int(height * scale + 1), int(width * scale + 1)
            shifts, chances = self.pnet(_seen(pixels, size))
            shifts, chances = _numbers(shifts[0]), _numbers(chances[0, 1])
            boxes = _places(shifts, chances, scale, self.thresholds[0])
            parts.append(boxes[_kept(boxes, 0.5)])
            scale, side = scale * self.factor, side * self.factor
        boxes = np.concatenate(parts)
        boxes = boxes[_kept(boxes, 0.7)]
        sides = boxes[:, 2:4] - boxes[:, :2]
        boxes[:, :4] += boxes[:, 5:] * np.concatenate([sides, sides], 1)
        return boxes[:, :5]

    def _passed(self, pixels: Tensor, boxes: Array, stage: int) -> tuple[Array, ...]:
        """The boxes (P, 5) that `RNet` (stage 1) or `ONet` (2) takes for faces, with its scores;
        their shifts (P, 4), scores (P,) and landmarks (P, 10).
        """
        net, side = (self.rnet, self.onet)[stage - 1], _SIDES[stage - 1]
        left, top, right, bottom = _cut(boxes, *pixels.shape[2:])
        seen = np.flatnonzero((bottom > top) & (right > left))
        pieces = [
            _seen(pixels[:, :, top[i] : bottom[i], left[i] : right[i]], (side, side)) for i in seen
        ]
        if not pieces:
            none = boxes[:0]
            return none, none[:, :4], none[:, 4], np.zeros((0, 10), boxes.dtype)
        parts = [net(cat(pieces[i : i + _BATCH], 0)) for i in range(0, len(pieces), _BATCH)]
        shifts, *marks, chances = (
            np.concatenate([_numbers(x) for x in of_all]) for of_all in zip(*parts, strict=True)
        )
        score = chances[:, 1]
        kept = score > self.thresholds[stage]
        boxes = np.concatenate([boxes[seen[kept], :4], score[kept, None]], 1)
        return boxes, shifts[kept], score[kept], marks[0][kept] if marks else shifts[:0]

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        return hints.of_mtcnn(state)


def _checked(image: Tensor) -> Tensor:
    check_image(image)
    if image.shape[0] != 3:
        raise ShapeError(f"MTCNN: images must be tensors (3, H, W), got {describe(image)}.")
    return image


def _seen(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """A piece of an image at another size, values from 0 to 255 as ones from -1 to 1."""
    return (F.interpolate(pixels, size=size, mode="area") - 127.5) * 0.0078125


def _numbers(x: Tensor) -> Array:
    """In float32 at least: places in images have more digits than half types."""
    return widened(x).numpy()


def _places(shifts: Array, chances: Array, scale: float, threshold: float) -> Array:
    """The pixels (P, 9) that places of `PNet` stand for: x1, y1, x2, y2, score, shifts."""
    y, x = np.nonzero(chances >= threshold)
    corner = (_STRIDE * np.stack([x, y], 1)).astype(chances.dtype)
    low = np.floor((corner + 1) / scale)
    high = np.floor((corner + _CELL) / scale)
    return np.concatenate([low, high, chances[y, x, None], shifts[:, y, x].T], 1)


def _kept(boxes: Array, threshold: float) -> Array:
    """Numbers of the boxes (P, 5) that others of a higher score do not cover, the best first."""
    return nms(from_array(boxes[:, :4]), from_array(boxes[:, 4]), threshold).numpy()


def _kept_by_the_smaller(boxes: Array, threshold: float) -> list[int]:
    """The same, where boxes of which a part of the smaller one is covered go."""
    sizes = _sizes(boxes)
    areas = sizes.prod(1)
    left, kept = np.argsort(-boxes[:, 4], kind="stable"), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:4], boxes[left, 2:4])
        common = np.maximum(high - low + 1, 0).prod(1)
        left = left[common / np.minimum(areas[best], areas[left]) <= threshold]
    return kept


def _sizes(boxes: Array) -> Array:
    """Widths and heights (P, 2), the last pixel counted."""
    return boxes[:, 2:4] - boxes[:, :2] + 1


def _shifted(boxes: Array, shifts: Array) -> Array:
    """Boxes (P, 5) whose sides are moved by parts of their own."""
    sizes = _sizes(boxes)
    corners = boxes[:, :4] + shifts * np.concatenate([sizes, sizes], 1)
    return np.concatenate([corners, boxes[:, 4:]], 1)


def _squares(boxes: Array) -> Array:
    """The squares around the middles of boxes (P, 5) that are as large as their longer side."""
    sizes = boxes[:, 2:4] - boxes[:, :2]
    side = sizes.max(1, keepdims=True) if len(boxes) else sizes[:, :1]
    low = boxes[:, :2] + sizes * 0.5 - side * 0.5
    return np.concatenate([low, low + side, boxes[:, 4:]], 1)


def _cut(boxes: Array, height: int, width: int) -> tuple[Array, ...]:
    """Left, top, right, bottom of the pixels within boxes, counted from 1 as in Matlab, and within
    the image.
    """
    corners = boxes[:, :4].astype(np.int64)
    low = np.maximum(corners[:, :2], 1) - 1
    return *low.T, np.minimum(corners[:, 2], width), np.minimum(corners[:, 3], height)


@register_model()
def mtcnn(*, weights: WeightsLike = None, progress: bool = True, **config: Any) -> MTCNN:
    """MTCNN (0.5 million parameters), for images of any size.

    Args:
        weights: a folder with files ``pnet.pt``, ``rnet.pt`` and ``onet.pt``, or names that end so
            (facenet-pytorch's ``data``), or the path or address of a file that has the weights of
            all three.
        progress: show progress on a terminal if they must be fetched.
        **config: arguments of ``MTCNN``.

    Raises:
        FileFormatError: a folder that lacks one of them.
    """
    with first_values(weights):
        model = MTCNN(**config)
    source = None if weights is None else source_of(weights)
    if source is None or not os.path.isdir(str(source)):
        load_weights(model, weights)
        return model
    folder = Path(str(source))
    for name in _PARTS:
        load_weights(getattr(model, name), replace(source, place=_file(folder, name)))
    return model


def _file(folder: Path, name: str) -> Path:
    """The file of a network's weights in a folder: ``pnet.pt``, or a name that ends so."""
    files = [p for p in folder.iterdir() if p.suffix in _ENDINGS and p.stem.lower().endswith(name)]
    if not files:
        raise FileFormatError(
            f"{folder}: there is no file {name}.pt.",
            fix="a folder with pnet.pt, rnet.pt and onet.pt",
        )
    return min(files, key=lambda path: (len(path.stem), path.name))
