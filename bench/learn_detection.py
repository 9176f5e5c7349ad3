"""Train a detector, measure it as COCO does, and draw what it finds.

    python -m bench.learn_detection shapes [--model fasterrcnn]
    python -m bench.learn_detection voc FOLDER

``shapes`` learns from drawn pictures of 128×128 pixels, all of them new. ``voc`` learns from the
part ``trainval`` of a folder in Pascal VOC's layout (folders JPEGImages, Annotations and
ImageSets/Main) and is measured on its part ``test``. docs/performance.md says how long both take.
"""

from __future__ import annotations

import argparse
import time
from collections import OrderedDict
from typing import Any

import numpy as np
from PIL import Image

import fovea
from fovea import nn
from fovea.metrics.detection import MeanAveragePrecision
from fovea.vision.datasets import Shapes, VOCDetection, wrap_dataset_for_transforms_v2
from fovea.vision.models.detection import FasterRCNN, glance_n
from fovea.vision.models.detection.anchor_utils import AnchorGenerator
from fovea.vision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from fovea.vision.models.resnet import BasicBlock
from fovea.vision.ops import Conv2dNormActivation, FeaturePyramidNetwork, MultiScaleRoIAlign
from fovea.vision.training import Augment, DetectionRecipe, as_image, detect, fit_detector
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.utils import draw_bounding_boxes

COLORS = ("red", "lime", "yellow", "cyan", "magenta", "orange", "white")
SIDE = 384  # of a drawn picture


def drawn(image: fovea.Tensor, found: dict[str, Any], classes: list[str]) -> Image.Image:
    """An image with the boxes whose score is above 0.5."""
    scale = SIDE / image.shape[2]
    large = F.resize(image, [round(image.shape[1] * scale), SIDE])
    sure = found["scores"] > 0.5
    if sure.any():
        kinds, scores = found["labels"][sure].tolist(), found["scores"][sure].tolist()
        names = [f"{classes[k - 1]} {s:.2f}" for k, s in zip(kinds, scores, strict=True)]
        colors = [COLORS[k % len(COLORS)] for k in kinds]
        large = draw_bounding_boxes(large, found["boxes"][sure] * scale, names, colors, width=2)
    return F.to_pil_image(large)


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Eight pictures of one size in two rows."""
    rows = [np.concatenate([np.asarray(p) for p in pictures[i : i + 4]], 1) for i in (0, 4)]
    return Image.fromarray(np.concatenate(rows))


class SmallPyramid(nn.Module):
    """A residual network of 13 convolutions, and maps of 64 channels at strides 4, 8 and 16."""

    out_channels = 64

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv2dNormActivation(3, 24, stride=2)
        self.stages = nn.ModuleList(
            [self._stage(24, 32), self._stage(32, 64), self._stage(64, 128)]
        )
        self.pyramid = FeaturePyramidNetwork([32, 64, 128], self.out_channels)

    @staticmethod
    def _stage(inputs: int, outputs: int) -> nn.Module:
        shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs)
        )
        return nn.Sequential(BasicBlock(inputs, outputs, 2, shortcut), BasicBlock(outputs, outputs))

    def forward(self, x: fovea.Tensor) -> Any:
        maps, x = OrderedDict(), self.stem(x)
        for i, stage in enumerate(self.stages):
            maps[str(i)] = x = stage(x)
        return self.pyramid(maps)


def small_faster_rcnn(classes: int) -> FasterRCNN:
    """Faster R-CNN for pictures of 128×128 pixels with a few objects of 12 to 90."""
    return FasterRCNN(
        SmallPyramid(), min_size=128, max_size=128, box_detections_per_img=20,
        rpn_anchor_generator=AnchorGenerator(((14, 20), (28, 40), (56, 80)), ((1.0,),) * 3),
        rpn_pre_nms_top_n_train=200, rpn_post_nms_top_n_train=100, rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=100, rpn_batch_size_per_image=64, box_batch_size_per_image=48,
        box_positive_fraction=0.5, box_roi_pool=MultiScaleRoIAlign(["0", "1", "2"], 7, 2),
        box_head=TwoMLPHead(64 * 49, 256), box_predictor=FastRCNNPredictor(256, classes),
    )  # fmt: skip


def shapes(images: int, tests: int, name: str) -> tuple[Any, ...]:
    """Data, detector and recipe for drawn pictures: all are new, so they are not varied."""
    classes = 1 + len(Shapes.classes)
    recipe = DetectionRecipe(epochs=1, augment=None, image_size=128)
    if name == "fasterrcnn":
        model: Any = small_faster_rcnn(classes)
    else:
        model = glance_n(num_classes=classes, image_size=128, max_objects=8)
    return Shapes(images), Shapes(tests, seed=1), Shapes.classes, model, recipe


def voc(folder: str, epochs: int) -> tuple[Any, ...]:
    """Data, detector and recipe for a few hundred photographs of 640×480 pixels."""
    train, test = VOCDetection(folder, image_set="trainval"), VOCDetection(folder, image_set="test")
    classes = train.classes
    model = glance_n(num_classes=1 + len(classes), image_size=(256, 320), max_objects=48)
    varied = Augment(upside_down=0.5, scale=(0.8, 1.3), color=0.15)
    recipe = DetectionRecipe(epochs=epochs, batch_size=8, augment=varied, cache=True)
    wrapped = (wrap_dataset_for_transforms_v2(each) for each in (train, test))
    return *wrapped, classes, model, recipe


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, measure and draw a detector.")
    parser.add_argument("data", choices=("shapes", "voc"))
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--model", default="glance", choices=("glance", "fasterrcnn"))
    parser.add_argument("--images", type=int, default=51_200, help="drawn pictures to learn from")
    parser.add_argument("--tests", type=int, default=400, help="drawn pictures to measure on")
    parser.add_argument("--epochs", type=int, default=20, help="passes over photographs")
    parser.add_argument("--threads", type=int, default=1, help="another core makes the samples")
    parser.add_argument("--picture", default="found.png", help="where to draw what was found")
    options = parser.parse_args()
    if options.data == "voc" and (options.folder is None or options.model != "glance"):
        parser.error("voc needs a folder, and is for glance")
    fovea.manual_seed(0)
    fovea.set_num_threads(options.threads)
    if options.data == "shapes":
        made = shapes(options.images, options.tests, options.model)
    else:
        made = voc(options.folder, options.epochs)
    train, test, classes, model, recipe = made
    wall, spent = time.perf_counter(), time.process_time()
    fit_detector(model, train, recipe)
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    print(f"trained for {wall:.0f} s; {spent:.0f} s of processor time without that of the samples")

    samples = [test[i] for i in range(len(test))]
    images, targets = [as_image(image) for image, _ in samples], [target for _, target in samples]
    if options.model == "glance":
        model.score_thresh = 0.01
    found = detect(model, samples)
    metric = MeanAveragePrecision()
    metric.update(found, targets)
    measured = metric.compute()
    print(f"average precision {measured['map']:.3f}, at IoU 0.5 {measured['map_50']:.3f}")
    pairs = zip(images[:8], found, strict=False)
    beside([drawn(image, objects, classes) for image, objects in pairs]).save(options.picture)


if __name__ == "__main__":
    main()
