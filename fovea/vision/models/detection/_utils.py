"""How boxes are matched with objects, drawn for training and written as differences from others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import from_array, zeros
from fovea.functions.joining import cat, stack
from fovea.functions.pointwise import clamp, exp, log
from fovea.functions.random import randperm
from fovea.vision.ops.box_losses import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
)
from fovea.vision.ops.misc import FrozenBatchNorm2d

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BalancedPositiveNegativeSampler",
    "BoxCoder",
    "BoxLinearCoder",
    "Matcher",
    "SSDMatcher",
    "encode_boxes",
    "overwrite_eps",
    "retrieve_out_channels",
]

Array = np.ndarray[Any, Any]


class BalancedPositiveNegativeSampler:
    """Draws boxes for a step of training, some of objects and the rest of background.

    Args:
        batch_size_per_image: how many are drawn of each image, if there are so many.
        positive_fraction: the most of them that are objects'.

    ``sampler(matched_idxs)`` takes a label for each box of each image, 1 or more for objects, 0 for
    background, less for neither; it returns two lists of masks (uint8): objects', background's.

    >>> import fovea
    >>> sampler = BalancedPositiveNegativeSampler(2, 0.5)
    >>> objects, background = sampler([fovea.tensor([1, 0, -1])])
    >>> objects[0].tolist(), background[0].tolist()
    ([1, 0, 0], [0, 1, 0])
    """

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objects, background = [], []
        for each in matched_idxs:
            labels = each.detach().numpy()
            positive, negative = np.flatnonzero(labels >= 1), np.flatnonzero(labels == 0)
            most = int(self.batch_size_per_image * self.positive_fraction)
            count = min(len(positive), most)
            rest = min(len(negative), self.batch_size_per_image - count)
            objects.append(_drawn(positive, count, len(labels)))
            background.append(_drawn(negative, rest, len(labels)))
        return objects, background


def _drawn(members: Array, count: int, length: int) -> Tensor:
    """A mask of ``count`` of the members."""
    mask = np.zeros(length, np.uint8)
    mask[members[randperm(len(members)).numpy()[:count]]] = 1
    return from_array(mask)


def _centers(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centers and sizes (..., 2) of boxes (..., 4)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    size = high - low
    return low + 0.5 * size, size


def encode_boxes(reference_boxes: Tensor, proposals: Tensor, weights: Tensor) -> Tensor:
    """What `BoxCoder` writes for one set of boxes (N, 4), weighed by a tensor of 4."""
    center, size = _centers(proposals)
    wanted_center, wanted_size = _centers(reference_boxes)
    shift, growth = (wanted_center - center) / size, log(wanted_size / size)
    return cat((shift, growth), -1) * weights


class BoxCoder:
    """Boxes as differences from others: centers moved, in sizes of those; logarithms of sizes over
    theirs.

    Args:
        weights: factors of x, y, width and height.
        bbox_xform_clip: the most that a logarithm may be when boxes are read.

    Source: R. Girshick et al., "Rich feature hierarchies", 2014, appendix C.

    >>> import fovea
    >>> coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    >>> box, moved = fovea.tensor([[0.0, 0, 4, 4]]), fovea.tensor([[2.0, 0, 6, 4]])
    >>> coder.encode_single(moved, box)
    tensor([[0.5000, 0.0000, 0.0000, 0.0000]])
    """

    def __init__(
        self,
        weights: tuple[float, float, float, float],
        bbox_xform_clip: float = math.log(1000.0 / 16),
    ) -> None:
        self.weights, self.bbox_xform_clip = weights, bbox_xform_clip

    def encode(self, reference_boxes: list[Tensor], proposals: list[Tensor]) -> list[Tensor]:
        """``encode_single`` of each image's boxes."""
        counts = [len(boxes) for boxes in reference_boxes]
        targets = self.encode_single(cat(reference_boxes, 0), cat(proposals, 0))
        return list(targets.split(counts, 0))

    def encode_single(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """Boxes (N, 4) as differences from ``proposals`` (N, 4)."""
        weights = reference_boxes.new_tensor(self.weights)
        return encode_boxes(reference_boxes, proposals, weights)

    def decode(self, rel_codes: Tensor, boxes: list[Tensor]) -> Tensor:
        """The boxes (N, C, 4) that differ by (N, 4 · C) from those of each image, N in all."""
        whole = cat(boxes, 0)
        found = self.decode_single(rel_codes, whole)
        return found.reshape(whole.shape[0], found.shape[-1] // 4, 4)

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """The boxes (N, 4 · C) that differ by ``rel_codes`` (N, 4 · C) from ``boxes`` (N, 4)."""
        boxes = boxes.to(rel_codes.dtype)
        codes = rel_codes.reshape(rel_codes.shape[0], rel_codes.shape[-1] // 4, 4)
        center, size = (each[:, None, :] for each in _centers(boxes))
        codes = codes / codes.new_tensor(self.weights)
        center = codes[..., :2] * size + center
        half = 0.5 * exp(clamp(codes[..., 2:], max=self.bbox_xform_clip)) * size
        return cat((center - half, center + half), -1).reshape(rel_codes.shape)


class BoxLinearCoder:
    """Boxes as distances of their sides from the centers of others: left, top, right, bottom.

    Args:
        normalize_by_size: distances in sizes of those others.

    Source: Z. Tian et al., "FCOS", 2019, equation 1.

    >>> import fovea
    >>> coder = BoxLinearCoder(normalize_by_size=False)
    >>> coder.encode(fovea.tensor([[2.0, 2, 6, 6]]), fovea.tensor([[1.0, 2, 7, 8]]))
    tensor([[3., 2., 3., 4.]])
    """

    def __init__(self, normalize_by_size: bool = True) -> None:
        self.normalize_by_size = normalize_by_size

    def encode(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """``proposals`` (..., 4) as distances from the centers of ``reference_boxes`` (..., 4)."""
        center, size = _centers(reference_boxes.to(proposals.dtype))
        distances = cat((center - proposals[..., :2], proposals[..., 2:] - center), -1)
        return distances / cat((size, size), -1) if self.normalize_by_size else distances

    def decode(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """The boxes whose sides are ``rel_codes`` (..., 4) away from the centers of ``boxes``."""
        center, size = _centers(boxes.to(rel_codes.dtype))
        if self.normalize_by_size:
            rel_codes = rel_codes * cat((size, size), -1)
        return cat((center - rel_codes[..., :2], center + rel_codes[..., 2:]), -1)


class Matcher:
    """Gives each box the object that it overlaps most, if it overlaps it enough.

    Args:
        high_threshold: from here on a box is an object's.
        low_threshold: below, it is background's; in between, nobody's.
        allow_low_quality_matches: the boxes that overlap an object most (all, if several do
            equally) are objects' even if they overlap it too little.

    ``matcher(quality)`` takes (objects, boxes) and returns int64 (boxes,): the number of the
    object, ``BELOW_LOW_THRESHOLD`` (-1) or ``BETWEEN_THRESHOLDS`` (-2).

    Raises:
        ArgumentError: thresholds in the wrong order, no objects or no boxes.

    >>> import fovea
    >>> Matcher(0.7, 0.3)(fovea.tensor([[0.8, 0.1, 0.2], [0.1, 0.5, 0.1]]))
    tensor([ 0, -2, -1])
    """

    BELOW_LOW_THRESHOLD = -1
    BETWEEN_THRESHOLDS = -2

    def __init__(
        self,
        high_threshold: float,
        low_threshold: float,
        allow_low_quality_matches: bool = False,
    ) -> None:
        if low_threshold > high_threshold:
            raise ArgumentError(
                f"Matcher: low_threshold must not be above high_threshold, got {low_threshold} and "
                f"{high_threshold}."
            )
        self.high_threshold, self.low_threshold = high_threshold, low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        return from_array(self._matches(match_quality_matrix.detach().numpy()))

    def _matches(self, quality: Array) -> Array:
        if quality.size == 0:
            raise ArgumentError(
                f"{type(self).__name__}: there is nothing to match: {quality.shape[0]} objects, "
                f"{quality.shape[1]} boxes."
            )
        nearest, best = quality.argmax(0), quality.max(0)
        matches = nearest.astype(np.int64)
        matches[best < self.low_threshold] = self.BELOW_LOW_THRESHOLD
        between = (best >= self.low_threshold) & (best < self.high_threshold)
        matches[between] = self.BETWEEN_THRESHOLDS
        if self.allow_low_quality_matches:
            kept = (quality == quality.max(1, keepdims=True)).any(0)
            matches[kept] = nearest[kept]
        return matches


class SSDMatcher(Matcher):
    """A `Matcher` in which each object also gets the box that overlaps it most.

    Args:
        threshold: from here on a box is an object's; below, background's.

    Source: W. Liu et al., "SSD", 2016, section 2.2.

    >>> import fovea
    >>> SSDMatcher(0.5)(fovea.tensor([[0.8, 0.1], [0.1, 0.2]]))
    tensor([0, 1])
    """

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold, threshold, allow_low_quality_matches=False)

    def _matches(self, quality: Array) -> Array:
        matches = super()._matches(quality)
        matches[quality.argmax(1)] = np.arange(len(quality))
        return matches


def overwrite_eps(model: nn.Module, eps: float) -> None:
    """Set what every frozen batch normalization adds to the variance."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps


def retrieve_out_channels(model: nn.Module, size: tuple[int, int]) -> list[int]:
    """Channels of the maps that a network returns for an image of ``size`` (width, height)."""
    training = model.training
    model.eval()
    with no_grad():
        parameter = next(iter(model.parameters()))
        maps = model(zeros(1, 3, size[1], size[0], dtype=parameter.dtype))
    model.train(training)
    return [m.shape[1] for m in (maps.values() if isinstance(maps, dict) else [maps])]


def box_loss(
    kind: str,
    box_coder: BoxCoder,
    anchors: Tensor,
    wanted: Tensor,
    codes: Tensor,
    settings: dict[str, float] | None = None,
) -> Tensor:
    """The sum over boxes of how far predictions are off.

    Args:
        kind: ``"l1"`` or ``"smooth_l1"`` of differences; ``"giou"``, ``"diou"`` or ``"ciou"`` of
            boxes.
        box_coder: writes and reads differences.
        anchors, wanted: boxes (N, 4): those predicted from, those of the objects.
        codes: differences (N, 4) that the network predicts.
        settings: ``beta`` of ``"smooth_l1"`` (default 1), ``eps`` of those of boxes (1e-7).
    """
    settings = settings or {}
    if kind in ("l1", "smooth_l1"):
        targets = box_coder.encode_single(wanted, anchors)
        if kind == "l1":
            return F.l1_loss(codes, targets, reduction="sum")
        beta = settings.get("beta", 1.0)
        return F.smooth_l1_loss(codes, targets, reduction="sum", beta=beta)
    losses = {
        "giou": generalized_box_iou_loss,
        "diou": distance_box_iou_loss,
        "ciou": complete_box_iou_loss,
    }
    if kind not in losses:
        raise ArgumentError(f"a loss of boxes is l1, smooth_l1, {', '.join(losses)}, got {kind!r}.")
    boxes = box_coder.decode_single(codes, anchors)
    return losses[kind](boxes, wanted, reduction="sum", eps=settings.get("eps", 1e-7))


def joined(predictions: Sequence[Tensor], columns: int) -> Tensor:
    """Maps (N, A · columns, H, W) as rows (N, places of all maps · A, columns)."""
    rows = []
    for x in predictions:
        n, channels, height, width = x.shape
        x = x.reshape(n, channels // columns, columns, height, width).permute(0, 3, 4, 1, 2)
        rows.append(x.reshape(n, height * width * (channels // columns), columns))
    return cat(rows, 1) if len(rows) > 1 else rows[0]


def mean_of(losses: list[Tensor]) -> Tensor:
    """The mean of losses (scalars) of several images."""
    return stack(losses, 0).sum() / max(len(losses), 1)
