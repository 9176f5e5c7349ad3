"""Mosaic and SimpleCopyPaste: what is told of objects stays true of the pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import tv_tensors
from fovea.vision.transforms import v2


def sample(height: int, width: int, color: int, count: int = 2, kind: str = "XYXY") -> Any:
    """Boxes of one color a sample on black, apart from one another, with masks and points."""
    image = np.zeros((3, height, width), np.float32)
    masks, boxes = np.zeros((count, height, width), bool), []
    for k in range(count):
        x = 1 + k * (width // count)
        box = (x, 2 + k, x + width // count - 3, height - 3)
        masks[k, box[1] : box[3], box[0] : box[2]] = True
        image[:, box[1] : box[3], box[0] : box[2]] = color
        boxes.append([float(v) for v in box])  # whole numbers would be cut off at each step
    corners = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
    return tv_tensors.Image(fovea.from_numpy(image)), {
        "boxes": v2.functional.convert_bounding_box_format(corners, new_format=kind),
        "masks": tv_tensors.Mask(fovea.from_numpy(masks)),
        "labels": fovea.full((count,), color),
        "pixels": tv_tensors.Mask(fovea.from_numpy((image[0] > 0).astype(np.uint8) * color)),
        "image_id": color,
    }


def batch(*sizes: tuple[int, int], **options: Any) -> tuple[list[Any], list[Any]]:
    made = [sample(h, w, color, **options) for color, (h, w) in enumerate(sizes, 1)]
    return [m[0] for m in made], [m[1] for m in made]


@pytest.mark.parametrize("kind", ["XYXY", "CXCYWH"])
@pytest.mark.parametrize("size", [None, (100, 120)])
def test_mosaics(size: Any, kind: str) -> None:
    fovea.manual_seed(0)
    images, targets = batch((80, 96), (60, 128), (128, 60), (81, 81), kind=kind)
    seen = 0
    for _ in range(6):
        made, told = v2.Mosaic(size, scale=(0.6, 1.0))(images, targets)
        assert len(made) == len(told) == 4
        for before, image, target in zip(images, made, told, strict=True):
            height, width = size or before.shape[-2:]
            assert isinstance(image, tv_tensors.Image) and tuple(image.shape[1:]) == (height, width)
            count = len(target["boxes"])
            assert len(target["labels"]) == len(target["masks"]) == count
            corners = v2.functional.convert_bounding_box_format(target["boxes"], new_format="XYXY")
            assert target["boxes"].canvas_size == (height, width)
            for box, mask, label in zip(
                corners.tolist(), target["masks"].numpy(), target["labels"].tolist(), strict=True
            ):
                ys, xs = np.nonzero(mask)
                if not len(ys):
                    continue
                own = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
                np.testing.assert_allclose(box, own, atol=2.1)
                inner = mask.copy()  # without its edge, where colors are mixed
                for axis, shift in itertools.product((0, 1), (-2, 2)):
                    inner &= np.roll(mask, shift, axis)
                if inner.sum() > 10:
                    assert np.median(image.numpy()[0][inner]) == pytest.approx(label, abs=0.05)
                    assert np.median(target["pixels"].numpy()[inner]) == label
                    seen += 1
    assert seen > 20


def test_mosaics_by_chance_and_by_seed() -> None:
    images, targets = batch((40, 48), (30, 64), (64, 20))
    same, told = v2.Mosaic(p=0)(images, targets)
    assert all(a is b for a, b in zip(same, images, strict=True))
    assert told[1] is targets[1]
    fovea.manual_seed(4)
    first = v2.Mosaic()(images, targets)
    fovea.manual_seed(4)
    again = v2.Mosaic()(images, targets)
    for a, b in zip(first[0], again[0], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    filled, _ = v2.Mosaic(scale=(0.1, 0.1), fill=7)(images, targets)
    assert (filled[0].numpy() == 7).mean() > 0.5


def test_a_mosaic_without_objects() -> None:
    images, targets = batch((20, 20), (20, 20))
    for target in targets:
        target["boxes"] = tv_tensors.BoundingBoxes(
            fovea.zeros(0, 4), format="XYXY", canvas_size=(20, 20)
        )
        target["labels"] = target["labels"][:0]
        target["masks"] = tv_tensors.Mask(target["masks"].as_tensor()[:0])
    _, told = v2.Mosaic()(images, targets)
    assert told[0]["boxes"].shape == (0, 4) and len(told[0]["masks"]) == 0


def test_copies_are_pasted() -> None:
    """Without blending: by hand."""
    images, targets = batch((24, 30), (24, 30))
    fovea.manual_seed(1)
    made, told = v2.SimpleCopyPaste(blending=False)(images, targets)
    for i, (image, target) in enumerate(zip(made, told, strict=True)):
        source = targets[i - 1]
        labels = target["labels"].numpy()
        pasted = target["masks"].numpy()[labels == source["labels"][0].item()]
        covered = pasted.any(0)
        expected = np.where(covered, images[i - 1].numpy(), images[i].numpy())
        np.testing.assert_array_equal(image.numpy(), expected)
        for mask in pasted:
            assert any((mask == m).all() for m in source["masks"].numpy())
        for label, mask, box in zip(
            labels, target["masks"].numpy(), target["boxes"].numpy(), strict=True
        ):
            ys, xs = np.nonzero(mask)
            np.testing.assert_array_equal(
                box, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), str(label)
            )
        rest = target["masks"].numpy()[labels != source["labels"][0].item()]
        assert not (rest & covered).any()
        assert target["image_id"] == targets[i]["image_id"]


def test_pasting_what_has_another_size_and_type() -> None:
    images, targets = batch((24, 30), (50, 20), kind="XYWH")
    images = [tv_tensors.Image((i.as_tensor() * 50).to(fovea.uint8)) for i in images]
    made, told = v2.SimpleCopyPaste()(images, targets)
    for image, before, target in zip(made, images, told, strict=True):
        assert image.dtype == fovea.uint8 and image.shape == before.shape
        assert target["boxes"].format.value == "XYWH"
        assert tuple(target["masks"].shape[1:]) == tuple(image.shape[1:])


def test_batches_that_are_none() -> None:
    images, targets = batch((24, 30), (24, 30))
    with pytest.raises(ArgumentError, match="as many"):
        v2.Mosaic()(images, targets[:1])
    with pytest.raises(ArgumentError, match="dictionaries"):
        v2.Mosaic()(images, [1, 2])
    with pytest.raises(ArgumentError, match="ToImage"):
        v2.SimpleCopyPaste()([1, 2], targets)
    with pytest.raises(ArgumentError, match="lacks masks"):
        v2.SimpleCopyPaste()(
            images, [{k: v for k, v in t.items() if k != "masks"} for t in targets]
        )
    with pytest.raises(ShapeError, match="no masks"):
        v2.SimpleCopyPaste()(images[:1], [{**targets[0], "masks": targets[0]["pixels"]}])
    with pytest.raises(ArgumentError, match="differ"):
        v2.Mosaic()(images, [targets[0], {"labels": targets[0]["labels"]}])
    with pytest.raises(ArgumentError, match="center"):
        v2.Mosaic(center=(0.7, 0.3))
    with pytest.raises(ArgumentError):
        v2.Mosaic(p=2)
