"""A loss, where torchvision's programs import it from."""

from fovea.vision.ops.box_losses import distance_box_iou_loss

__all__ = ["distance_box_iou_loss"]
