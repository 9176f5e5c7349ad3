"""How good a detector or a segmenter is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError

if TYPE_CHECKING:
    from fovea.cli.learned import Learned

__all__ = ["Measure", "measure_scenes"]


@dataclass(frozen=True)
class Measure:
    """Numbers of a task.

    Args:
        task: which.
        numbers: by name; the first is the one that counts.
        per_class: the same number for each class.
        images: how many were looked at.
    """

    task: str
    numbers: dict[str, float]
    per_class: dict[str, float]
    images: int

    def summary(self) -> str:
        """The numbers in a line."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.numbers.items())
        return f"{shown} on {self.images:,} test images"

    def table(self) -> str:
        """A line for each class."""
        width = max((len(name) for name in self.per_class), default=0)
        rows = [f"  {name:<{width}}  {value:.4f}" for name, value in self.per_class.items()]
        return "\n".join(rows)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {**self.numbers, "per_class": self.per_class, "images": self.images}


def measure_scenes(learned: Learned, samples: Any) -> Measure:
    """Measure on samples (image, target)."""
    if not len(samples):
        raise ArgumentError("there are no images to measure with.")
    return _boxes(learned, samples) if learned.task == "detection" else _pixels(learned, samples)


def _boxes(learned: Learned, samples: Any) -> Measure:
    from fovea.vision.training.validating import average_precision

    result = average_precision(learned.model, samples, class_metrics=True)
    numbers = {"AP": float(result["map"]), "AP50": float(result["map_50"]),
               "AP75": float(result["map_75"])}  # fmt: skip
    classes = np.atleast_1d(np.asarray(result["classes"])).tolist()
    each = np.atleast_1d(np.asarray(result["map_per_class"])).tolist()
    names = {learned.classes[int(c) - 1]: float(v) for c, v in zip(classes, each, strict=True)}
    return Measure("detection", numbers, names, len(samples))


def _pixels(learned: Learned, samples: Any) -> Measure:
    from fovea.vision.training import segment
    from fovea.vision.training.segmentation import MeanIoU, as_pair

    metric = MeanIoU(len(learned.classes))
    for i in range(len(samples)):
        image, mask = as_pair(samples[i])
        metric.add(mask.numpy(), segment(learned.model, image, learned.image_size))
    right = float(metric.counts.trace() / max(metric.counts.sum(), 1))
    each = metric.per_class()
    names = {c: float(v) for c, v in zip(learned.classes, each, strict=True) if np.isfinite(v)}
    numbers = {"mean IoU": float(metric.value()), "pixel accuracy": right}
    return Measure("segmentation", numbers, names, len(samples))
