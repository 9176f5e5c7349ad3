"""Samples of detectors: boxes go where pixels go; and what a run of training leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.training.callbacks import Callback
from fovea.utils.data import DataLoader
from fovea.vision.datasets import Shapes
from fovea.vision.models.detection import Glance
from fovea.vision.training import Augment, DetectionRecipe, DetectionSamples, detect, fit_detector
from fovea.vision.training.detection import _Simplify

BOX = (30, 10, 54, 26)


class Marked:
    """Dark images with one bright rectangle each."""

    def __init__(self, kind: str = "float") -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        pixels = np.zeros((3, 40, 80), np.float32)
        pixels[:, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
        boxes = np.array([BOX, (5, 5, 5, 9)], np.float32)  # the second has no width
        target = {"boxes": fovea.tensor(boxes), "labels": fovea.tensor([index + 1, 1])}
        if self.kind == "pil":
            return Image.fromarray((pixels.transpose(1, 2, 0) * 255).astype(np.uint8)), target
        if self.kind == "uint8":
            return fovea.tensor((pixels * 255).astype(np.uint8)), target
        return fovea.tensor(pixels), target


@pytest.mark.parametrize("kind", ["float", "uint8", "pil"])
@pytest.mark.parametrize("cache", [False, True])
def test_without_changes_images_fill_the_upper_left(kind: str, cache: bool) -> None:
    image, objects = DetectionSamples(Marked(kind), (64, 64), 3, cache=cache)[2]
    assert image.shape == (3, 64, 64) and image.dtype is fovea.float32
    expected = [[3, *(v * 0.8 for v in BOX)], [0] * 5, [0] * 5]
    np.testing.assert_allclose(objects, expected, rtol=1e-6)
    assert (image.numpy()[:, 32:] == 0.5).all() and image[0, 14, 34].item() == 1
    assert image[0, 2, 2].item() == 0


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_go_where_pixels_go(mosaic: float) -> None:
    fovea.manual_seed(0)
    augment = Augment(mosaic=mosaic, scale=(0.8, 1.6), upside_down=0.5, color=0.05)
    samples = DetectionSamples(Marked(), (64, 96), 8, augment)
    seen = 0
    for i in range(40):
        image, objects = (t.numpy() for t in samples[i % 4])
        rows = objects[objects[:, 0] > 0]
        bright = image[0] > 0.75
        drawn = np.zeros_like(bright)
        for label, x1, y1, x2, y2 in rows:
            assert label in (1, 2, 3, 4)
            assert 0 <= x1 < x2 <= 96 and 0 <= y1 < y2 <= 64
            drawn[round(y1) : round(y2), round(x1) : round(x2)] = True
            inner = bright[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
            assert inner.all()
        seen += len(rows)
        stray = bright & ~np.pad(drawn, 2, "edge")[2:-2, 2:-2]
        assert stray.sum() < 0.12 * bright.size  # objects of which too little was left
    assert seen > (20 if mosaic == 0 else 60)


def test_the_same_seed_makes_the_same_samples() -> None:
    found = []
    for workers in (0, 0):
        fovea.manual_seed(5)
        samples = DetectionSamples(Marked(), (64, 64), 4, Augment())
        found.append([b for batch in DataLoader(samples, 2, num_workers=workers) for b in batch])
    assert all(fovea.equal(a, b) for a, b in zip(*found, strict=True))
    first, second = found[0][0][0], found[0][0][1]
    assert not fovea.equal(first, second)


def test_a_few_of_too_many_objects_are_kept() -> None:
    samples = DetectionSamples(Shapes(8, image_size=64), (64, 64), 2, Augment(mosaic=1.0))
    assert all((samples[i][1].numpy()[:, 0] > 0).sum() <= 2 for i in range(8))


def test_other_samples_are_refused() -> None:
    class Other(Marked):
        def __getitem__(self, index: int) -> tuple[Any, Any]:
            image, target = super().__getitem__(index)
            return (image[0], target) if self.kind == "flat" else (image, 3)

    with pytest.raises(ArgumentError, match="dictionaries with boxes"):
        DetectionSamples(Other(), (32, 32), 2)[0]
    with pytest.raises(ShapeError, match=r"\(3, H, W\)"):
        DetectionSamples(Other("flat"), (32, 32), 2)[0]


class Watch(Callback):
    """Notes what the weights are between epochs, and at the first step of an epoch."""

    def __init__(self, model: Glance) -> None:
        super().__init__()
        self.watched, self.ends, self.begins = model, [], []

    def _weight(self) -> Any:
        return next(iter(self.watched.network.parameters())).detach().clone()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begins.append(self._weight())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ends.append(self._weight())


def test_a_run_of_training() -> None:
    fovea.manual_seed(0)
    data = Shapes(16, image_size=64)
    model = Glance(7, (8, 8, 16, 16, 16), image_size=64, max_objects=16)
    watch = Watch(model)
    recipe = DetectionRecipe(epochs=3, batch_size=4, lr=3e-3, warmup=2, plain=0.4, workers=0)
    history = fit_detector(model, data, recipe, [watch], verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and len(history["loss"]) == 3
    assert not model.training
    assert fovea.equal(watch._weight(), watch.ends[-1])  # the average
    assert not fovea.equal(watch.ends[0], watch.begins[1])  # training went on from its own
    found = detect(model, data, batch_size=5)
    assert len(found) == 16 and sorted(found[0]) == ["boxes", "labels", "scores"]
    alone = model([data[7][0]])[0]
    np.testing.assert_allclose(alone["boxes"], found[7]["boxes"], rtol=1e-4, atol=1e-3)
    with pytest.raises(ArgumentError, match="make no batch"):
        fit_detector(model, Shapes(2, image_size=64), recipe)


def test_samples_of_four_images_end_before_training_does() -> None:
    seen = []
    samples = DetectionSamples(Marked(), (32, 32), 4, Augment(mosaic=0.7))
    simplify = _Simplify(samples, DetectionRecipe(epochs=10, plain=0.2, augment=samples.augment))
    for epoch in range(10):
        simplify.on_epoch_begin(epoch)
        seen.append(samples.augment.mosaic)
    assert seen == [0.7] * 8 + [0.0] * 2
