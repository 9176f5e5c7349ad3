"""Losses of masks and of embeddings, under the names that people know from
``segmentation_models_pytorch.losses`` and ``pytorch_metric_learning.losses``.

Losses of boxes and of their classes are in `fovea.vision.ops`, all others in `fovea.nn`.
"""

from fovea.vision.losses.distributions import DistributionFocalLoss
from fovea.vision.losses.focal import FocalLoss
from fovea.vision.losses.lovasz import LovaszLoss
from fovea.vision.losses.margins import ArcFaceLoss, CosFaceLoss
from fovea.vision.losses.overlap import DiceLoss, JaccardLoss, TverskyLoss
from fovea.vision.losses.pairs import ContrastiveLoss, NTXentLoss, SupConLoss

__all__ = [
    "ArcFaceLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "DiceLoss",
    "DistributionFocalLoss",
    "FocalLoss",
    "JaccardLoss",
    "LovaszLoss",
    "NTXentLoss",
    "SupConLoss",
    "TverskyLoss",
]
