"""Masks of objects: what a network should predict within boxes, and predictions put on images.

Source: K. He et al., "Mask R-CNN", 2017, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea.errors import ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.joining import cat
from fovea.functions.ranges import arange
from fovea.vision.ops.regions import roi_align

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "expand_boxes",
    "expand_masks",
    "maskrcnn_inference",
    "maskrcnn_loss",
    "paste_mask_in_image",
    "paste_masks_in_image",
    "project_masks_on_boxes",
]

Array = np.ndarray[Any, Any]


def maskrcnn_inference(x: Tensor, labels: list[Tensor]) -> list[Tensor]:
    """The masks of the classes that were found.

    Args:
        x: (K, classes, M, M) logits of all boxes.
        labels: for each image the classes (k,) of its boxes, K in all.

    Returns:
        for each image (k, 1, M, M), from 0 to 1.
    """
    label = cat(labels, 0)
    chosen = x[arange(label.shape[0]), label].sigmoid()
    return list(chosen[:, None].split([each.shape[0] for each in labels], 0))


def project_masks_on_boxes(
    gt_masks: Tensor,
    boxes: Tensor,
    matched_idxs: Tensor,
    M: int,  # noqa: N803
) -> Tensor:
    """What masks hold within boxes, on a grid of M × M.

    Args:
        gt_masks: (N, H, W), of objects.
        boxes: (K, 4).
        matched_idxs: (K,) the number of each box's object.

    Returns:
        (K, M, M), from 0 to 1, of the boxes' type.

    >>> import fovea
    >>> mask = fovea.tensor([[[0, 0, 1, 1]] * 4])
    >>> project_masks_on_boxes(mask, fovea.tensor([[0.0, 0, 4, 4]]), fovea.tensor([0]), 2)
    tensor([[[0.2500, 1.0000],
             [0.2500, 1.0000]]])
    """
    rois = cat((matched_idxs[:, None].to(boxes.dtype), boxes), 1)
    return roi_align(gt_masks[:, None].to(boxes.dtype), rois, (M, M), 1.0)[:, 0]


def maskrcnn_loss(
    mask_logits: Tensor,
    proposals: list[Tensor],
    gt_masks: list[Tensor],
    gt_labels: list[Tensor],
    mask_matched_idxs: list[Tensor],
) -> Tensor:
    """The mean binary cross entropy of the masks of objects' own classes; 0 without a box.

    Args:
        mask_logits: (K, classes, M, M) of all boxes.
        proposals: for each image the boxes (k, 4), K in all.
        gt_masks, gt_labels: for each image (N, H, W) and (N,), of its objects.
        mask_matched_idxs: for each image (k,) the numbers of the boxes' objects.
    """
    label = cat([each[m] for each, m in zip(gt_labels, mask_matched_idxs, strict=True)], 0)
    if label.shape[0] == 0:
        return mask_logits.sum() * 0
    side = mask_logits.shape[-1]
    wanted = [
        project_masks_on_boxes(*each, side)
        for each in zip(gt_masks, proposals, mask_matched_idxs, strict=True)
    ]
    logits = mask_logits[arange(label.shape[0]), label]
    return F.binary_cross_entropy_with_logits(logits, cat(wanted, 0).to(logits.dtype))


def expand_boxes(boxes: Tensor, scale: float) -> Tensor:
    """Boxes (N, 4) ``scale`` times as large around the same centers.

    >>> import fovea
    >>> expand_boxes(fovea.tensor([[2.0, 2, 6, 4]]), 1.5)
    tensor([[1.0000, 1.5000, 7.0000, 4.5000]])
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    center, half = (high + low) * 0.5, (high - low) * 0.5 * scale
    return cat((center - half, center + half), 1)


def expand_masks(mask: Tensor, padding: int) -> tuple[Tensor, float]:
    """Masks (..., M, M) with zeros around, and how many times as large that makes them."""
    side = mask.shape[-1]
    return F.pad(mask, (padding,) * 4), (side + 2 * padding) / side


def paste_mask_in_image(mask: Tensor, box: Tensor, im_h: int, im_w: int) -> Tensor:
    """One mask (M, M) resized to a box (4,) of whole pixels, the last ones within it, on an image
    (im_h, im_w) of zeros.
    """
    return _pasted(mask[None], box[None].numpy(), (im_h, im_w))[0]


def paste_masks_in_image(
    masks: Tensor, boxes: Tensor, img_shape: tuple[int, int], padding: int = 1
) -> Tensor:
    """Masks resized to their boxes, on images of zeros.

    Args:
        masks: (N, 1, M, M).
        boxes: (N, 4).
        img_shape: (height, width).
        padding: pixels of zeros around a mask, between which and its edge it fades.

    Returns:
        (N, 1, height, width).

    Raises:
        ShapeError: masks and boxes that do not go together.

    >>> import fovea
    >>> mask, box = fovea.ones(1, 1, 2, 2), fovea.tensor([[1.0, 1, 3, 3]])
    >>> paste_masks_in_image(mask, box, (5, 5))[0, 0]
    tensor([[0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.4900, 0.7000, 0.4900, 0.0000],
            [0.0000, 0.7000, 1.0000, 0.7000, 0.0000],
            [0.0000, 0.4900, 0.7000, 0.4900, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.0000, 0.0000]])
    """
    if masks.ndim != 4 or masks.shape[1] != 1 or tuple(boxes.shape) != (masks.shape[0], 4):
        raise ShapeError(
            f"paste_masks_in_image: masks must be (N, 1, M, M) and boxes (N, 4), got "
            f"{describe(masks)} and {describe(boxes)}."
        )
    padded, scale = expand_masks(masks, padding)
    corners = expand_boxes(boxes.detach(), scale).long().numpy()
    return _pasted(padded[:, 0], corners, img_shape)[:, None]


def _pasted(masks: Tensor, boxes: Array, size: tuple[int, int]) -> Tensor:
    """(N, height, width) of (N, M, M): linear interpolation is a product with each axis's hats."""
    rows = _hats(boxes[:, 1], boxes[:, 3], size[0], masks.shape[1])
    columns = _hats(boxes[:, 0], boxes[:, 2], size[1], masks.shape[2])
    return (
        from_array(rows, masks.dtype) @ masks @ from_array(columns.transpose(0, 2, 1), masks.dtype)
    )


def _hats(first: Array, last: Array, length: int, count: int) -> Array:
    """(N, length, count): what each of ``count`` numbers, stretched from pixel ``first`` to
    ``last``, counts in each pixel of a line; nothing outside.
    """
    first, pixels = first[:, None], np.maximum(last - first + 1, 1)[:, None]
    place = np.arange(length) - first
    at = np.clip((place + 0.5) * (count / pixels) - 0.5, 0, count - 1)
    inside = (place >= 0) & (place < pixels)
    near = np.maximum(1 - np.abs(at[..., None] - np.arange(count)), 0)
    return near * inside[..., None]
