"""Detectors and segmenters that stop anywhere and go on: the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.training import Callback
from fovea.vision.datasets import Shapes
from fovea.vision.models import unet
from fovea.vision.models.detection import FasterRCNN, glance_n
from fovea.vision.models.detection.anchor_utils import AnchorGenerator
from fovea.vision.ops import MultiScaleRoIAlign
from fovea.vision.training import DetectionRecipe, SegmentationRecipe, fit_detector, fit_segmenter


class Stop(Exception):  # noqa: N818 - no error
    pass


class StopAt(Callback):
    """Breaks a run off after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if not self.left:
            raise Stop


def detected(**options: Any) -> Any:
    fovea.manual_seed(3)
    model = glance_n(num_classes=7, image_size=64, widths=(4, 8, 8, 8, 8))
    recipe = DetectionRecipe(epochs=3, batch_size=4, workers=0, warmup=2, optimizer="sgd")
    options["validation"] = Shapes(2, image_size=64, seed=1)
    history = fit_detector(model, Shapes(12, image_size=64), recipe, verbose=0, **options)
    assert len(history.history["val_AP"]) == len(history.history["loss"]) == 3
    return model


def with_regions(**options: Any) -> Any:
    """A detector of two stages, whose steps have no fixed shapes."""
    fovea.manual_seed(3)
    body: Any = nn.Sequential(nn.Conv2d(3, 8, 3, 8, 1), nn.ReLU())
    body.out_channels = 8
    model = FasterRCNN(
        body, 7, 64, 64, rpn_anchor_generator=AnchorGenerator(((16, 32),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 2, 2), rpn_post_nms_top_n_train=20,
    )  # fmt: skip
    recipe = DetectionRecipe(epochs=3, batch_size=4, workers=0, warmup=2, image_size=64)
    history = fit_detector(model, Shapes(12, image_size=64), recipe, verbose=0, **options)
    assert {"loss", "classifier", "box_reg", "objectness", "rpn_box_reg"} <= set(history.history)
    return model


def segmented(**options: Any) -> Any:
    fovea.manual_seed(3)
    model = unet(num_classes=7, base_channels=4, depth=2)
    recipe = SegmentationRecipe(
        image_size=32, epochs=3, batch_size=4, workers=0, warmup=2, average=0.8
    )
    data = Shapes(12, "segmentation", image_size=32)
    options |= {"validation": data, "validate_every": 2}
    history = fit_segmenter(model, data, recipe, classes=7, verbose=0, **options)
    assert len(history.history["val_mean_iou"]) == 3  # after the first and the last, too
    return model


@pytest.mark.parametrize("run", [detected, with_regions, segmented])
def test_as_if_it_had_not_stopped(run: Any, tmp_path: Path) -> None:
    whole = run()
    kept: Any = {"checkpoint": tmp_path / "run", "checkpoint_every": 1}
    for steps in (2, 3, 1):  # within an epoch, after one has ended, and at the start of the last
        with pytest.raises(Stop):
            run(callbacks=[StopAt(steps)], **kept)
    found = run(**kept).state_dict()
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(found[name].numpy(), value.numpy(), name)


def test_a_detector_without_a_size() -> None:
    with pytest.raises(ArgumentError, match="how large"):
        fit_detector(nn.Linear(1, 1), Shapes(4, image_size=32))
