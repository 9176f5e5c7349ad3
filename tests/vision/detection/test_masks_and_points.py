"""Masks and points on boxes and on images, against torchvision's and their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ShapeError
from fovea.vision.models.detection import roi_heads
from tests.vision.zoo import agree as close

torch = pytest.importorskip("torch")

SIZE = (37, 52)


def agree(found: Any, expected: Any, what: str, tolerance: float = 1e-8) -> None:
    if expected.numel():
        close(found, expected, what, tolerance)
    assert tuple(found.shape) == tuple(expected.shape)


def boxes(count: int, seed: int = 0) -> Any:
    """Some across the edges of an image of SIZE, some less than a pixel wide."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-6, 30, (count, 2))
    size = rng.uniform(0.1, 30, (count, 2))
    return np.concatenate([corner, np.maximum(corner + size, 2)], 1)


def both(name: str, detection: Any, *args: Any) -> tuple[Any, Any]:
    """What ours and torchvision's function make of arrays."""

    def given(lib: Any, value: Any) -> Any:
        if isinstance(value, list):
            return [given(lib, each) for each in value]
        return lib.tensor(value) if isinstance(value, np.ndarray) else value

    ours = getattr(roi_heads, name)(*given(fovea, list(args)))
    return ours, getattr(detection.roi_heads, name)(*given(torch, list(args)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", [1, 0, 2])
def test_masks_are_pasted_on_images(padding: int, dtype: str, detection: Any) -> None:
    masks = np.random.default_rng(1).random((9, 1, 7, 7)).astype(dtype)
    ours, theirs = both(
        "paste_masks_in_image", detection, masks, boxes(9).astype(dtype), SIZE, padding
    )
    assert str(ours.dtype).endswith(dtype)
    agree(ours, theirs, "pasted", 2e-6 if dtype == "float32" else 1e-6)


def test_one_mask_is_pasted(detection: Any) -> None:
    mask = np.random.default_rng(1).random((5, 5))
    for box in ([3, 4, 20, 9], [-4, 20, 8, 60], [7, 7, 7, 7]):
        agree(*both("paste_mask_in_image", detection, mask, np.array(box), *SIZE), str(box), 1e-6)


def test_masks_beside_the_image_leave_it_empty() -> None:
    box = fovea.tensor([[60.0, 2, 70, 9], [1e18, 0, 1e18, 5], [-30, -30, -20, -20]])
    assert roi_heads.paste_masks_in_image(fovea.ones(3, 1, 4, 4), box, SIZE).sum() == 0
    assert roi_heads.paste_masks_in_image(
        fovea.ones(0, 1, 4, 4), fovea.zeros(0, 4), SIZE
    ).shape == (0, 1, *SIZE)
    with pytest.raises(ShapeError, match=r"masks must be \(N, 1, M, M\)"):
        roi_heads.paste_masks_in_image(fovea.ones(3, 4, 4), box, SIZE)


def test_gradients_reach_what_is_pasted() -> None:
    box = fovea.tensor([[1.0, 2, 6, 7]])
    x = fovea.rand(1, 1, 3, 3, dtype=fovea.float64).requires_grad_()
    paste = lambda t: roi_heads.paste_masks_in_image(t, box, (8, 9))  # noqa: E731
    assert fovea.autograd.gradcheck(paste, (x,))


def test_larger_boxes_and_masks(detection: Any) -> None:
    agree(*both("expand_boxes", detection, boxes(5), 1.3), "boxes")
    ours, theirs = both("expand_masks", detection, np.ones((2, 1, 4, 4)), 3)
    agree(ours[0], theirs[0], "masks")
    assert ours[1] == theirs[1] == 2.5


def test_masks_within_boxes(detection: Any) -> None:
    masks = np.random.default_rng(2).integers(0, 2, (3, *SIZE)).astype(np.uint8)
    matched = np.array([0, 2, 2, 1, 0])
    agree(
        *both("project_masks_on_boxes", detection, masks, boxes(5), matched, 8),
        "within boxes",
        1e-6,
    )


def test_the_loss_of_masks(detection: Any) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(6, 4, 8, 8))
    masks = [rng.integers(0, 2, (n, *SIZE)).astype(np.uint8) for n in (3, 1, 0)]
    labels = [rng.integers(1, 4, n) for n in (3, 1, 0)]
    matched = [np.array([0, 2, 1, 1]), np.array([0, 0]), np.zeros(0, np.int64)]
    proposals = [boxes(4), boxes(2, 1), boxes(0)]
    args = (proposals, masks, labels, matched)
    agree(*both("maskrcnn_loss", detection, logits, *args), "loss", 1e-6)
    none = ([boxes(0)], [masks[0]], [labels[0]], [matched[2]])
    assert float(both("maskrcnn_loss", detection, logits[:0], *none)[0]) == 0


def test_masks_of_the_classes_found(detection: Any) -> None:
    logits = np.random.default_rng(3).normal(size=(5, 4, 6, 6))
    labels = [np.array([1, 3]), np.zeros(0, np.int64), np.array([2, 2, 1])]
    for a, b in zip(*both("maskrcnn_inference", detection, logits, labels), strict=True):
        agree(a, b, "masks")


def points(rois: Any, count: int = 6) -> Any:
    """Points in and around boxes, some on their corners, some that nobody sees."""
    rng = np.random.default_rng(4)
    low, high = rois[:, None, :2], rois[:, None, 2:]
    place = low + rng.uniform(-0.2, 1.2, (len(rois), count, 2)) * (high - low)
    place[:, 0], place[:, 1] = low[:, 0], high[:, 0]
    return np.concatenate([place, rng.integers(0, 3, (len(rois), count, 1))], 2)


def test_points_on_maps(detection: Any) -> None:
    rois = boxes(7)
    found, expected = both("keypoints_to_heatmap", detection, points(rois), rois, 14)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is fovea.int64 and a.tolist() == b.tolist()
    assert found[1].sum() > 5 and (found[1] == 0).sum() > 5


def test_maps_read_as_points(detection: Any) -> None:
    maps = np.random.default_rng(5).normal(size=(7, 4, 9, 9)).astype(np.float32)
    rois = boxes(7).astype(np.float32)
    found, expected = both("heatmaps_to_keypoints", detection, maps, rois)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is fovea.float32
        agree(a, b, "points", 1e-5)
    lists = [[rois[:3], rois[3:3], rois[3:]]]
    for a, b in zip(*both("keypointrcnn_inference", detection, maps, *lists), strict=True):
        assert len(a) == 3
        for one, other in zip(a, b, strict=True):
            agree(one, other, "points", 1e-5)


def test_points_come_back_from_maps() -> None:
    """To within a pixel of the image."""
    rois = fovea.tensor([[10.0, 20, 66, 76], [0, 0, 28, 14]])
    place = fovea.tensor([[[12.5, 30.5, 1], [60, 75.0, 1]], [[3.2, 3.2, 1], [20, 13, 1]]])
    pixels, valid = roi_heads.keypoints_to_heatmap(place, rois, 56)
    assert valid.all()
    maps = fovea.nn.functional.one_hot(pixels, 56 * 56).reshape(2, 2, 56, 56).float()
    found, scores = roi_heads.heatmaps_to_keypoints(maps, rois)
    off = (found - place).abs().amax(1)
    assert (off[0] <= 0.51).all() and scores.shape == (2, 2)
    assert (off[1, :2] <= 0.75).all()  # pixels of the image, of which the map makes two


def test_the_loss_of_points(detection: Any) -> None:
    logits = np.random.default_rng(6).normal(size=(5, 6, 14, 14))
    rois = [boxes(3), boxes(2, 1), boxes(0)]
    matched = [np.array([0, 1, 1]), np.array([0, 0]), np.zeros(0, np.int64)]
    objects = [points(boxes(3)), points(boxes(2, 1)), points(boxes(0))]
    agree(*both("keypointrcnn_loss", detection, logits, rois, objects, matched), "loss")
    unseen = [each * [1, 1, 0] for each in objects]
    assert float(both("keypointrcnn_loss", detection, logits, rois, unseen, matched)[0]) == 0
    with pytest.raises(ShapeError, match=r"logits must be \(N, K, M, M\)"):
        roi_heads.keypointrcnn_loss(fovea.zeros(1, 2, 3, 4), [], [], [])
