"""Detection in two stages: proposals, then what they hold."""

from __future__ import annotations

from typing import Any

from fovea import nn
from fovea.vision.models.detection.detector import Detector, Found

__all__ = ["GeneralizedRCNN"]


class GeneralizedRCNN(Detector):
    """Makes a batch, features of it, proposals from these, and finds objects in them.

    Args:
        backbone: makes a map, or a dictionary of maps.
        rpn: makes proposals and their losses.
        roi_heads: finds objects in proposals and makes their losses.
        transform: makes the batch, and puts what is found back on the images.
    """

    def __init__(
        self, backbone: nn.Module, rpn: nn.Module, roi_heads: nn.Module, transform: nn.Module
    ) -> None:
        super().__init__()
        self.transform = transform
        self.backbone = backbone
        self.rpn = rpn
        self.roi_heads = roi_heads

    def forward(self, images: Any, targets: Found | None = None) -> Any:
        batch, targets, sizes = self.prepared(images, targets)
        features = self.backbone(batch.tensors)
        if not isinstance(features, dict):
            features = {"0": features}
        proposals, losses = self.rpn(batch, features, targets)
        found, own = self.roi_heads(features, proposals, batch.image_sizes, targets)
        if self.training:
            return {**own, **losses}
        return self.transform.postprocess(found, batch.image_sizes, sizes)
