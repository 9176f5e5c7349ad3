"""Metrics of classification, under torchmetrics' names."""

from __future__ import annotations

from fovea.metrics.classification import agreement, areas, brier, calibration, matrix, scores
from fovea.metrics.classification.agreement import *  # noqa: F403
from fovea.metrics.classification.areas import *  # noqa: F403
from fovea.metrics.classification.brier import *  # noqa: F403
from fovea.metrics.classification.calibration import *  # noqa: F403
from fovea.metrics.classification.matrix import *  # noqa: F403
from fovea.metrics.classification.scores import *  # noqa: F403

__all__ = [
    *agreement.__all__,
    *areas.__all__,
    *brier.__all__,
    *calibration.__all__,
    *matrix.__all__,
    *scores.__all__,
]
