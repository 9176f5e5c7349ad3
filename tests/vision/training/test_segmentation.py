"""The recipe for classes of pixels: loss and mean IoU against PyTorch and NumPy, samples, a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.cli.learned import Learned, build_network, load_learned, save_learned
from fovea.errors import ArgumentError, ShapeError
from fovea.training import Callback
from fovea.vision.datasets import Shapes
from fovea.vision.models import unet
from fovea.vision.training import SegmentationRecipe, fit_segmenter, segment
from fovea.vision.training.segmentation import MeanIoU, SegmentationSamples, segmentation_loss
from tests.nn.oracle import compare, rng, torch

PLAIN = SegmentationRecipe(
    image_size=32, epochs=100, batch_size=4, lr=5e-3, warmup=5, scale=None, flip=False, color=0.0,
    workers=0,
)  # fmt: skip


@pytest.mark.parametrize("dice", [0.0, 0.5])
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(("weights", "smoothing"), [(None, 0.0), ((0.5, 2.0, 1.0), 0.1)])
def test_the_loss(dice: float, ignored: bool, weights: Any, smoothing: float) -> None:
    logits, target = rng().normal(size=(2, 3, 5, 4)), rng(1).integers(0, 3, (2, 5, 4))
    if ignored:
        target[0, :2] = 255

    def expected(x: Any, t: Any) -> Any:
        w = None if weights is None else torch.tensor(weights, dtype=x.dtype)
        total = torch.nn.functional.cross_entropy(
            x, t, w, ignore_index=255, label_smoothing=smoothing
        )
        kept = (t != 255)[:, None]
        p, one_hot = x.softmax(1) * kept, torch.stack([t == k for k in range(3)], 1).to(x.dtype)
        overlap = [
            (2 * (p[:, k] * one_hot[:, k]).sum() + 1) / (p[:, k].sum() + one_hot[:, k].sum() + 1)
            for k in range(3)
        ]
        return total + dice * (1 - sum(overlap) / 3)

    loss = segmentation_loss(dice, weights, smoothing)
    compare(lambda x, t: loss(x, t), expected, logits, target)
    compare(lambda x, t: loss({"out": x}, t), expected, logits, target)


def test_mean_iou_is_of_all_pixels_together() -> None:
    metric, truth, found = MeanIoU(4), rng().integers(0, 3, (3, 40)), rng(1).integers(0, 3, (3, 40))
    truth[0, :5] = 255
    for t, f in zip(truth, found, strict=True):
        metric.add(t, f)
    kept = truth != 255
    each = [
        ((truth == k) & (found == k) & kept).sum() / (((truth == k) | (found == k)) & kept).sum()
        for k in range(3)
    ]
    assert metric.value() == pytest.approx(np.mean(each))
    np.testing.assert_allclose(metric.per_class(), [*each, np.nan])


def test_samples_that_are_not_varied() -> None:
    data = Shapes(3, "segmentation", image_size=32)
    samples = SegmentationSamples(data, 32, PLAIN)
    image, mask = samples[1]
    again, _ = samples[1]
    np.testing.assert_array_equal(image.numpy(), again.numpy())
    np.testing.assert_array_equal(mask.numpy(), data[1][1].numpy())
    mean, std = (np.array(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    np.testing.assert_allclose(image.numpy(), (data[1][0].numpy() - mean) / std, 1e-4, 1e-5)
    varied = SegmentationSamples(data, 32, SegmentationRecipe(image_size=32))
    assert not np.array_equal(varied[1][0].numpy(), varied[1][0].numpy())
    with pytest.raises(ArgumentError, match=r"\(image, mask\)"):
        SegmentationSamples([5], 32)[0]
    with pytest.raises(ShapeError, match="for an image of"):
        SegmentationSamples([(fovea.ones(3, 4, 4), fovea.ones(5, 4))], 32)[0]


def test_a_few_images_are_learned() -> None:
    fovea.manual_seed(0)
    data = Shapes(4, "segmentation", 32, max_objects=2, object_size=(0.3, 0.6), seed=1)
    model = unet(num_classes=7, base_channels=8, depth=3)
    recipe = replace(PLAIN, epochs=200)
    history = fit_segmenter(model, data, recipe, data, classes=7, verbose=0).history
    assert history["val_mean_iou"][-1] > 0.95 > 0.5 > history["mean_iou"][0]
    image, mask = data[0]
    assert (segment(model, image) == mask.numpy()).mean() > 0.97
    assert segment(model, image, 16).shape == (32, 32)
    with pytest.raises(ArgumentError, match="no batch of 4"):
        fit_segmenter(model, Shapes(2, "segmentation", image_size=32), PLAIN, classes=7)


def test_the_mean_of_the_last_epochs_is_kept() -> None:
    """Of their weights; and validation counts neither smoothing nor weights of classes."""
    fovea.manual_seed(0)
    model = unet(num_classes=7, base_channels=4, depth=2)
    weights: list[Any] = []

    class Watch(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            weights.append(model.state_dict()["head.weight"].numpy().copy())

    recipe = replace(PLAIN, epochs=3, swa=2, class_weights=(0.0,) * 6 + (1.0,), label_smoothing=0.5)
    data = Shapes(4, "segmentation", 32)
    history = fit_segmenter(model, data, recipe, data, classes=7, callbacks=[Watch()], verbose=0)
    found = model.state_dict()["head.weight"].numpy()
    np.testing.assert_allclose(found, (weights[1] + weights[2]) / 2, 1e-4, 1e-6)
    samples = [SegmentationSamples(data, 32, PLAIN)[i] for i in range(4)]
    images, masks = (fovea.stack([s[i] for s in samples]) for i in (0, 1))
    with fovea.no_grad():
        expected = segmentation_loss(recipe.dice)(model(images), masks).item()
    assert history.history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)


def test_u_nets_of_other_sizes_are_read(tmp_path: Any) -> None:
    model = build_network("segmentation", "unet", 3, 32, {"base_channels": 6, "depth": 2})
    save_learned(tmp_path / "a.pt", Learned("segmentation", model, "unet", ["a", "b", "c"], 32))
    x = fovea.rand(1, 3, 32, 32)
    found = load_learned(tmp_path / "a.pt").model(x)
    np.testing.assert_array_equal(found.detach().numpy(), model.eval()(x).detach().numpy())
