"""Metrics as functions of all predictions and targets at once, under torchmetrics' names.

>>> accuracy([0, 1, 1], [0, 1, 0], task="binary")
tensor(0.6667)
"""

from __future__ import annotations

from fovea.metrics.functional import classification as _classification
from fovea.metrics.functional import others as _others
from fovea.metrics.functional.classification import *  # noqa: F403
from fovea.metrics.functional.others import *  # noqa: F403

__all__ = [*_classification.__all__, *_others.__all__]
