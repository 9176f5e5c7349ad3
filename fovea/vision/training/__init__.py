"""How networks are trained: recipes on top of ``fovea.Trainer``.

`fit_detector` trains a `Glance` on any data set of images with boxes, `fit_segmenter` a network of
pixels' classes on any of images and masks.
"""

from fovea.vision.training.boxes import Augment, DetectionSamples, as_image
from fovea.vision.training.detection import DetectionRecipe, detect, find_detector_lr, fit_detector
from fovea.vision.training.segmentation import (
    SegmentationRecipe,
    SegmentationSamples,
    find_segmenter_lr,
    fit_segmenter,
    segment,
)

__all__ = [
    "Augment",
    "DetectionRecipe",
    "DetectionSamples",
    "SegmentationRecipe",
    "SegmentationSamples",
    "as_image",
    "detect",
    "find_detector_lr",
    "find_segmenter_lr",
    "fit_detector",
    "fit_segmenter",
    "segment",
]
