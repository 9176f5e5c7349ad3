"""Metrics with a state, under torchmetrics' names: an epoch's value comes from all its samples.

``update(preds, target)`` adds a batch, ``compute()`` gives the value over all of them, calling a
metric does both and returns the batch's value. ``fovea.metrics.functional`` has them as functions.

>>> accuracy = Accuracy(task="multiclass", num_classes=3)
>>> for preds, target in [([0, 1, 2], [0, 1, 1]), ([2], [2])]:
...     accuracy.update(preds, target)
>>> accuracy.compute()
tensor(0.7500)
"""

from __future__ import annotations

from fovea.metrics import aggregation as _aggregation
from fovea.metrics import classification as _classification
from fovea.metrics import functional
from fovea.metrics import image as _image
from fovea.metrics import regression as _regression
from fovea.metrics import segmentation as _segmentation
from fovea.metrics.aggregation import *  # noqa: F403
from fovea.metrics.boundaries import BoundaryIoU
from fovea.metrics.classification import *  # noqa: F403
from fovea.metrics.collection import MetricCollection
from fovea.metrics.composition import CompositionalMetric
from fovea.metrics.detection import MeanAveragePrecision, coco_evaluate, tide_evaluate, voc_evaluate
from fovea.metrics.image import *  # noqa: F403
from fovea.metrics.metric import Metric
from fovea.metrics.regression import *  # noqa: F403
from fovea.metrics.segmentation import *  # noqa: F403

__all__ = [
    "BoundaryIoU",
    "CompositionalMetric",
    "MeanAveragePrecision",
    "Metric",
    "MetricCollection",
    "coco_evaluate",
    "functional",
    "tide_evaluate",
    "voc_evaluate",
    *_aggregation.__all__,
    *_classification.__all__,
    *_image.__all__,
    *_regression.__all__,
    *_segmentation.__all__,
]
