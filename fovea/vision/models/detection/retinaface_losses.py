"""How `RetinaFace` learns: which boxes stand for which faces, and how far off they are.

Sources: J. Deng et al., "RetinaFace", 2019, section 3.1; W. Liu et al., "SSD", 2016, section 2.2
(hard negative mining). Thresholds are those of biubug6/Pytorch_Retinaface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea.errors import ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.joining import stack
from fovea.functions.pointwise import where
from fovea.vision.models.detection._utils import BoxCoder, box_loss
from fovea.vision.ops.boxes import box_iou

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["VARIANCE", "face_losses", "match_faces"]

Array = np.ndarray[Any, Any]
Targets = list[dict[str, Any]]
VARIANCE = 0.1  # of places, in sizes of the boxes that they are predicted from
_OVERLAP = 0.35  # from here on a box is a face's
_LEAST = 0.2  # a face that no box overlaps so much is too hard
_NEGATIVES = 7  # boxes of the background that count, for each of a face
_BOX_WEIGHT = 2.0  # of the loss of boxes beside the others


def match_faces(quality: Array) -> Array:
    """The face that each box stands for, -1 for none.

    A box stands for the face that it overlaps most, from an IoU of 0.35 on; the box that overlaps a
    face most stands for it from 0.2 on. Where that one overlaps another face from 0.35 on it stands
    for the face that it is the best of, however little, as in the source.

    Args:
        quality: IoU of faces and boxes (G, P).

    >>> match_faces(np.array([[0.1, 0.3, 0.0], [0.5, 0.2, 0.1]])).tolist()
    [1, 0, -1]
    """
    if not len(quality):
        return np.full(quality.shape[1], -1)
    nearest, best = quality.argmax(0), quality.max(0)
    own = quality.argmax(1)  # each face's
    found = quality.max(1) >= _LEAST
    if not found.any():
        return np.full(quality.shape[1], -1)
    best[own[found]] = 2
    nearest[own] = np.arange(len(quality))
    return np.where(best >= _OVERLAP, nearest, -1)


def face_losses(
    codes: Tensor,
    logits: Tensor,
    marks: Tensor,
    priors: Tensor,
    targets: Targets,
    box_coder: BoxCoder,
) -> dict[str, Tensor]:
    """What training lessens: losses of boxes (twice), classes and landmarks, each by the number of
    boxes that stand for faces (with landmarks).

    Args:
        codes, logits, marks: predictions for each box: differences (N, P, 4), logits (N, P,
            classes), landmarks (N, P, 2 · K).
        priors: the boxes that they start from (P, 4).
        targets: ``boxes``, ``labels`` and, where they are known, ``keypoints`` (G, K, 3) of each
            image.
        box_coder: reads and writes differences.

    Raises:
        ShapeError: landmarks of another shape.
    """
    matches = [match_faces(box_iou(t["boxes"], priors).numpy()) for t in targets]
    labels = np.zeros(tuple(logits.shape[:2]), np.int64)
    off, apart, marked = [], [], 0
    for i, (target, match) in enumerate(zip(targets, matches, strict=True)):
        own = np.flatnonzero(match >= 0)
        labels[i, own] = target["labels"].numpy()[match[own]]
        place, face = from_array(own), from_array(match[own])
        start, wanted = priors[place], target["boxes"][face].to(codes.dtype)
        off.append(box_loss("smooth_l1", box_coder, start, wanted, codes[i][place]))
        points = _keypoints(target, marks.shape[2] // 2)
        if points is None:
            continue
        seen = (points[..., 2] > 0)[face]
        marked += int(seen.numpy().any(1).sum())
        aims = encode_points(points[face][..., :2].to(marks.dtype), start)
        found = marks[i][place].reshape(aims.shape)
        aims = where(seen[..., None], aims, found.detach())  # what is not known may be anything
        apart.append(F.smooth_l1_loss(found, aims, reduction="sum"))
    wrong = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), from_array(labels.reshape(-1)), reduction="none"
    ).reshape(labels.shape)
    faces = np.stack(matches) >= 0
    counted = from_array(faces | _hardest(wrong.detach().numpy(), faces), wrong.dtype)
    count = max(int(faces.sum()), 1)
    landmarks = stack(apart, 0).sum() if apart else (marks * 0).sum()
    return {
        "bbox_regression": _BOX_WEIGHT * stack(off, 0).sum() / count,
        "classification": (wrong * counted).sum() / count,
        "landmark_regression": landmarks / max(marked, 1),
    }


def encode_points(points: Tensor, priors: Tensor) -> Tensor:
    """Points (B, K, 2) as differences from the middles of boxes (B, 4), in tenths of sizes."""
    middle = (priors[:, None, :2] + priors[:, None, 2:]) / 2
    return (points - middle) / (VARIANCE * (priors[:, None, 2:] - priors[:, None, :2]))


def decode_points(codes: Tensor, priors: Tensor) -> Tensor:
    """The points (B, K, 2) that differ by (B, 2 · K) from boxes (B, 4)."""
    middle = (priors[:, None, :2] + priors[:, None, 2:]) / 2
    size = priors[:, None, 2:] - priors[:, None, :2]
    return middle + codes.reshape(codes.shape[0], codes.shape[1] // 2, 2) * VARIANCE * size


def _keypoints(target: dict[str, Any], count: int) -> Tensor | None:
    points = target.get("keypoints")
    if points is not None and tuple(points.shape) != (target["boxes"].shape[0], count, 3):
        raise ShapeError(
            f"RetinaFace: keypoints must be (N, {count}, 3), x, y, visibility, for N = "
            f"{target['boxes'].shape[0]} boxes, got {describe(points)}."
        )
    return points


def _hardest(wrong: Array, faces: Array) -> Array:
    """The boxes of the background that are most wrong, seven for each of a face."""
    counted = np.zeros_like(faces)
    for row, own, losses in zip(counted, faces, wrong, strict=True):
        order = np.argsort(np.where(own, np.inf, -losses), kind="stable")
        row[order[: _NEGATIVES * int(own.sum())]] = True
    return counted
