"""How networks of fovea's own are trained: recipes on top of ``fovea.Trainer``.

`fit_detector` trains a `Glance` on any data set of images with boxes.
"""

from fovea.vision.training.boxes import Augment, DetectionSamples, as_image
from fovea.vision.training.detection import DetectionRecipe, detect, fit_detector

__all__ = ["Augment", "DetectionRecipe", "DetectionSamples", "as_image", "detect", "fit_detector"]
