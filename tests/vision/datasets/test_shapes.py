"""Shapes: targets agree with each other and with the picture; the same samples whoever reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, OutOfRangeError
from fovea.utils.data import DataLoader
from fovea.vision.datasets import Shapes
from fovea.vision.datasets.shapes import _OUTSIDE
from fovea.vision.ops import masks_to_boxes


def pairs(batch: list[Any]) -> list[Any]:
    return batch


def arrays(sample: Any) -> list[Any]:
    image, target = sample
    return [image.numpy(), *(np.asarray(v) for v in target.values())]


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    data = Shapes(6, "instances", 48, seed=3)
    backwards = [arrays(data[i]) for i in reversed(range(6))][::-1]
    loader = DataLoader(Shapes(6, "instances", 48, seed=3), 2, num_workers=2, collate_fn=pairs)
    for one, other in zip(backwards, [s for batch in loader for s in batch], strict=True):
        for a, b in zip(one, arrays(other), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not fovea.equal(Shapes(6, image_size=48, seed=4)[0][0], data[0][0])
    assert not fovea.equal(data[1][0], data[0][0])


def test_all_tasks_tell_of_the_same_picture() -> None:
    parts = {task: Shapes(20, task, 64) for task in Shapes.tasks if task != "classification"}
    seen, covered, counts = set(), 0, set()
    for i in range(20):
        samples = {task: data[i] for task, data in parts.items()}
        image, target = samples["instances"]
        assert image.dtype is fovea.float32 and image.shape == (3, 64, 64)
        assert image.min().item() >= 0 and image.max().item() <= 1
        masks, labels = target["masks"].numpy(), target["labels"].numpy()
        assert target["image_id"] == i and labels.min() >= 1 and labels.max() <= 6
        assert (masks.sum(0) <= 1).all() and masks.any((1, 2)).all()
        corners = masks_to_boxes(target["masks"]).numpy() + np.array([0, 0, 1, 1])
        np.testing.assert_array_equal(target["boxes"].numpy(), corners)
        pixels = (masks * labels[:, None, None]).sum(0)
        np.testing.assert_array_equal(samples["segmentation"][1].numpy(), pixels)
        np.testing.assert_array_equal(samples["detection"][1]["boxes"], target["boxes"])
        assert all(fovea.equal(sample[0], image) for sample in samples.values())
        points = samples["keypoints"][1]["keypoints"].numpy()
        assert points.shape == (len(labels), 5, 3) and set(points[..., 2].ravel()) <= {1, 2}
        for box, (middle, left, top, right, bottom) in zip(corners, points, strict=True):
            whole = left[0] - 0.5, top[1] - 0.5, right[0] + 0.5, bottom[1] + 0.5
            assert (np.array(whole[:2]) <= box[:2]).all() and (np.array(whole[2:]) >= box[2:]).all()
            outer = np.array([left, top, right, bottom])
            if (outer[:, 2] == 2).all():
                np.testing.assert_array_equal(whole, box)
            assert whole[0] < middle[0] < whole[2] and whole[1] < middle[1] < whole[3]
        seen |= set(labels)
        covered += int((points[..., 2] == 1).sum())
        counts.add(len(labels))
    assert seen == {1, 2, 3, 4, 5, 6} and covered > 5 and counts >= {1, 2, 3, 4}


def test_classification_has_one_large_shape() -> None:
    data = Shapes(40, "classification", 32)
    kinds = [data[i][1] for i in range(40)]
    assert {type(kind) for kind in kinds} == {int} and set(kinds) == set(range(6))
    found = Shapes(40, "instances", 32, max_objects=1, object_size=(0.4, 0.8))
    assert [found[i][1]["labels"].tolist() for i in range(40)] == [[kind + 1] for kind in kinds]


def test_sizes_keep_to_what_is_asked() -> None:
    data = Shapes(30, image_size=100, max_objects=1, object_size=(0.3, 0.4))
    sides = np.concatenate(
        [np.diff(data[i][1]["boxes"].numpy().reshape(2, 2).T) for i in range(30)]
    )
    assert sides.max() <= 41 and sides.min() >= 0.3 * 100 * 0.65  # a triangle's lesser side
    whole = Shapes(3, image_size=32, max_objects=1, object_size=(1, 1))
    assert all(whole[i][1]["boxes"].max().item() <= 32 for i in range(3))


@pytest.mark.parametrize("kind", list(_OUTSIDE))
def test_a_shape_fills_its_radius_and_no_more(kind: str) -> None:
    at = np.linspace(-12, 12, 481)
    inside = _OUTSIDE[kind](at, at[:, None], 10.0) <= 0
    far = np.hypot(at, at[:, None])[inside]
    assert 9.8 <= far.max() <= 10.01


def test_transforms_and_errors() -> None:
    image, target = Shapes(2, image_size=16, transform=lambda x: x * 0)[1]
    assert image.abs().max().item() == 0 and len(target["boxes"]) >= 1
    assert Shapes(2, transforms=lambda image, target: (1, 2))[0] == (1, 2)
    assert "Task: detection" in repr(Shapes(5)) and len(Shapes(5)) == 5
    with pytest.raises(OutOfRangeError):
        Shapes(2)[2]
    for config in ({"task": "pose"}, {"image_size": 8}, {"object_size": (0.5, 0.2)}, {"size": -1}):
        with pytest.raises(ArgumentError):
            Shapes(**config)
