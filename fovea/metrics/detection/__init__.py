"""Metrics of object detection."""

from __future__ import annotations

from fovea.metrics.detection.coco import CocoEvaluation, coco_evaluate
from fovea.metrics.detection.mean_ap import MeanAveragePrecision
from fovea.metrics.detection.tide import ErrorBreakdown, tide_evaluate
from fovea.metrics.detection.voc import voc_average_precision, voc_evaluate

__all__ = [
    "CocoEvaluation",
    "ErrorBreakdown",
    "MeanAveragePrecision",
    "coco_evaluate",
    "tide_evaluate",
    "voc_average_precision",
    "voc_evaluate",
]
