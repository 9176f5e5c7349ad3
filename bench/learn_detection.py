"""Train fovea's own detector, measure it as COCO does, and draw what it finds.

    python -m bench.learn_detection shapes
    python -m bench.learn_detection voc FOLDER

``shapes`` learns from drawn pictures of 128×128 pixels, all of them new. ``voc`` learns from the
part ``trainval`` of a folder in Pascal VOC's layout (folders JPEGImages, Annotations and
ImageSets/Main) and is measured on its part ``test``. docs/performance.md says how long both take.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from PIL import Image

import fovea
from fovea.metrics.detection import MeanAveragePrecision
from fovea.vision.datasets import Shapes, VOCDetection, wrap_dataset_for_transforms_v2
from fovea.vision.models.detection import glance_n
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


def shapes(images: int, tests: int) -> tuple[Any, ...]:
    """Data, detector and recipe for drawn pictures: all are new, so they are not varied."""
    model = glance_n(num_classes=1 + len(Shapes.classes), image_size=128, max_objects=8)
    recipe = DetectionRecipe(epochs=1, augment=None)
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
    parser.add_argument("--images", type=int, default=51_200, help="drawn pictures to learn from")
    parser.add_argument("--tests", type=int, default=400, help="drawn pictures to measure on")
    parser.add_argument("--epochs", type=int, default=20, help="passes over photographs")
    parser.add_argument("--threads", type=int, default=1, help="another core makes the samples")
    parser.add_argument("--picture", default="found.png", help="where to draw what was found")
    options = parser.parse_args()
    if options.data == "voc" and options.folder is None:
        parser.error("voc needs a folder")
    fovea.manual_seed(0)
    fovea.set_num_threads(options.threads)
    if options.data == "shapes":
        made = shapes(options.images, options.tests)
    else:
        made = voc(options.folder, options.epochs)
    train, test, classes, model, recipe = made
    wall, spent = time.perf_counter(), time.process_time()
    fit_detector(model, train, recipe)
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    print(f"trained for {wall:.0f} s; {spent:.0f} s of processor time without that of the samples")

    samples = [test[i] for i in range(len(test))]
    images, targets = [as_image(image) for image, _ in samples], [target for _, target in samples]
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
