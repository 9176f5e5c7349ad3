"""A loss, where torchvision's programs import it from."""

from fovea.vision.ops.box_losses import generalized_box_iou_loss

__all__ = ["generalized_box_iou_loss"]
