"""Boxes, their overlaps and losses, against torchvision's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import ops

torch = pytest.importorskip("torch")


def boxes(n: int, seed: int = 0, dtype: str = "float64") -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 40, (n, 2))], 1).astype(dtype)


def pair(array: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    ours, theirs = fovea.tensor(array), torch.tensor(array)
    if array.dtype.kind == "f":
        return ours.requires_grad_(), theirs.requires_grad_()
    return ours, theirs


def same(ours: Any, theirs: Any, atol: float = 1e-12) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.dtype.name == str(theirs.dtype)[6:]
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=atol)


OVERLAPS = ("box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou")
LOSSES = ("generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss")


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlaps(name: str, torchvision: Any) -> None:
    a, b = pair(boxes(7)), pair(boxes(5, 1))
    ours, theirs = getattr(ops, name)(a[0], b[0]), getattr(torchvision.ops, name)(a[1], b[1])
    same(ours, theirs)
    weights = np.random.default_rng(2).normal(size=(7, 5))
    (ours * fovea.tensor(weights)).sum().backward()
    (theirs * torch.tensor(weights)).sum().backward()
    for ours_leaf, theirs_leaf in (a, b):
        np.testing.assert_allclose(ours_leaf.grad.numpy(), theirs_leaf.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float16"])
def test_overlaps_of_other_types(name: str, dtype: str, torchvision: Any) -> None:
    a, b = boxes(4, 3).astype(dtype), boxes(3, 4).astype(dtype)
    ours = getattr(ops, name)(fovea.tensor(a), fovea.tensor(b))
    theirs = getattr(torchvision.ops, name)(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), atol=2e-3)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses(name: str, reduction: str, torchvision: Any) -> None:
    a, b = pair(boxes(6)), pair(boxes(6, 1))
    ours = getattr(ops, name)(a[0], b[0], reduction)
    theirs = getattr(torchvision.ops, name)(a[1], b[1], reduction)
    same(ours, theirs)
    ours.sum().backward()
    theirs.sum().backward()
    for ours_leaf, theirs_leaf in (a, b):
        np.testing.assert_allclose(ours_leaf.grad.numpy(), theirs_leaf.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_no_boxes(name: str) -> None:
    none = fovea.zeros(0, 4, requires_grad=True)
    loss = getattr(ops, name)(none, fovea.zeros(0, 4), "mean")
    assert float(loss) == 0
    loss.backward()
    with pytest.raises(ArgumentError):
        getattr(ops, name)(none, none, "all")
    with pytest.raises(ShapeError):
        getattr(ops, name)(fovea.zeros(2, 4), fovea.zeros(3, 4))


@pytest.mark.parametrize("alpha", [-1, 0.25, 0.9])
@pytest.mark.parametrize("gamma", [0, 2, 1.5])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_loss(alpha: float, gamma: float, reduction: str, torchvision: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = pair(rng.normal(size=(4, 5)) * 3), rng.integers(0, 2, (4, 5)).astype(np.float64)
    ours = ops.sigmoid_focal_loss(x[0], fovea.tensor(y), alpha, gamma, reduction)
    theirs = torchvision.ops.sigmoid_focal_loss(x[1], torch.tensor(y), alpha, gamma, reduction)
    same(ours, theirs)
    ours.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(x[0].grad.numpy(), x[1].grad.numpy(), atol=1e-12)
    with pytest.raises(ArgumentError):
        ops.sigmoid_focal_loss(x[0], fovea.tensor(y), alpha=1.5)


@pytest.mark.parametrize("there", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("back", ["xyxy", "xywh", "cxcywh"])
def test_formats(there: str, back: str, torchvision: Any) -> None:
    for shape in ((6, 4), (2, 3, 4), (4,)):
        x = pair(np.resize(boxes(6), shape))
        ours = ops.box_convert(x[0], there, back)
        same(ours, torchvision.ops.box_convert(x[1], there, back))
        np.testing.assert_allclose(
            ops.box_convert(ours, back, there).detach().numpy(), x[0].detach().numpy(), atol=1e-12
        )
    with pytest.raises(ArgumentError):
        ops.box_convert(fovea.zeros(1, 4), "xyxy", "yxyx")


def test_areas_clips_and_small_boxes(torchvision: Any) -> None:
    x = pair(boxes(30) - 10)
    same(ops.box_area(x[0]), torchvision.ops.box_area(x[1]))
    same(
        ops.clip_boxes_to_image(x[0], (50, 40)), torchvision.ops.clip_boxes_to_image(x[1], (50, 40))
    )
    same(ops.remove_small_boxes(x[0], 20.0), torchvision.ops.remove_small_boxes(x[1], 20.0))
    assert ops.remove_small_boxes(fovea.zeros(0, 4), 1.0).tolist() == []


def greedy(x: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], threshold: float) -> list[int]:
    """Suppression as its definition says: the best box stays, those that overlap it go."""
    left, kept = sorted(range(len(x)), key=lambda i: -scores[i]), []
    while left:
        best, *left = left
        kept.append(best)
        if left:
            iou = ops.box_iou(fovea.tensor(x[[best]]), fovea.tensor(x[left]))[0].tolist()
            left = [i for i, v in zip(left, iou, strict=True) if v <= threshold]
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("n", [0, 1, 3, 200])
def test_nms(n: int, threshold: float) -> None:
    x = boxes(n, n, "float32")
    scores = np.random.default_rng(n).permutation(n).astype(np.float32)
    ours = ops.nms(fovea.tensor(x.reshape(n, 4)), fovea.tensor(scores), threshold)
    assert ours.dtype is fovea.int64 and ours.tolist() == greedy(x, scores, threshold)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_nms_in_the_order_of_pytorch_s_sort(dtype: str) -> None:
    """Equal scores in the order of their boxes, NaN before all others."""
    rng = np.random.default_rng(3)
    x = np.floor(boxes(90, 5)).astype(dtype)
    scores = rng.integers(0, 4, 90).astype("float32")
    scores[rng.permutation(90)[:20]] = np.repeat([np.nan, np.inf, -np.inf, -0.0], 5)
    found = ops.nms(fovea.tensor(x), fovea.tensor(scores), 0.3)
    order = torch.tensor(scores).sort(descending=True, stable=True)[1].numpy()
    ranks = -np.arange(90.0)
    assert found.tolist() == order[greedy(x[order].astype("f8"), ranks, 0.3)].tolist()
    groups = rng.integers(-2, 2, 90)
    found = ops.batched_nms(fovea.tensor(x), fovea.tensor(scores), fovea.tensor(groups), 0.3)
    each = [order[groups[order] == group] for group in range(-2, 2)]
    kept = {k for part in each for k in part[greedy(x[part].astype("f8"), ranks[: len(part)], 0.3)]}
    assert found.tolist() == [i for i in order if i in kept]


def test_nms_compares_in_double_precision() -> None:
    """3 / 10 in float32 is more than 0.3, as torchvision's kernel has it."""
    x, scores = np.array([[0, 0, 10, 1], [0, 0, 3, 1]]), fovea.tensor([1.0, 0.5])
    for dtype, kept in ((fovea.float32, [0]), (fovea.float64, [0, 1])):
        assert ops.nms(fovea.tensor(x, dtype=dtype), scores, 0.3).tolist() == kept
        assert (
            ops.batched_nms(fovea.tensor(x, dtype=dtype), scores, scores * 0, 0.3).tolist() == kept
        )


def test_boxes_that_are_no_numbers_stay() -> None:
    x = fovea.tensor(
        [[0.0, 0, 9, 9], [np.nan, 0, 9, 9], [0, 0, np.inf, 9], [1, 1, 1, 1], [1, 1, 1, 1]]
    )
    scores = fovea.tensor([0.1, 0.2, 0.3, 0.4, 0.4])
    assert ops.nms(x, scores, 0.0).tolist() == [3, 4, 2, 1, 0]
    assert ops.nms(x[:0], scores[:0], 0.5).tolist() == []
    assert ops.batched_nms(x[:0], scores[:0], scores[:0], 0.5).dtype is fovea.int64


def test_nms_by_category() -> None:
    x = boxes(120, 5, "float32")
    scores = np.random.default_rng(1).permutation(120).astype(np.float32)
    groups = np.random.default_rng(2).integers(0, 4, 120)
    ours = ops.batched_nms(fovea.tensor(x), fovea.tensor(scores), fovea.tensor(groups), 0.3)
    assert sorted(ours.tolist(), key=lambda i: -scores[i]) == ours.tolist()
    for group in range(4):
        members = np.flatnonzero(groups == group)
        alone = members[greedy(x[members], scores[members], 0.3)]
        assert set(alone) == {i for i in ours.tolist() if groups[i] == group}


def test_nms_refuses_what_does_not_fit() -> None:
    with pytest.raises(ShapeError):
        ops.nms(fovea.zeros(3, 5), fovea.zeros(3), 0.5)
    with pytest.raises(ShapeError):
        ops.nms(fovea.zeros(3, 4), fovea.zeros(2), 0.5)
    with pytest.raises(ShapeError):
        ops.batched_nms(fovea.zeros(3, 4), fovea.zeros(3), fovea.zeros(2), 0.5)


def test_boxes_of_masks(torchvision: Any) -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 20, 30), bool)
    for mask in masks:
        y, x = rng.integers(0, 15), rng.integers(0, 25)
        mask[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = True
        mask[rng.integers(0, 20), rng.integers(0, 30)] = True
    same(
        ops.masks_to_boxes(fovea.tensor(masks)), torchvision.ops.masks_to_boxes(torch.tensor(masks))
    )
    assert ops.masks_to_boxes(fovea.zeros(2, 3, 3)).tolist() == [[0.0] * 4] * 2
    assert ops.masks_to_boxes(fovea.zeros(0, 3, 3)).shape == (0, 4)
