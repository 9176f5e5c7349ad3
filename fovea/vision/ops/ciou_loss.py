"""A loss, where torchvision's programs import it from."""

from fovea.vision.ops.box_losses import complete_box_iou_loss

__all__ = ["complete_box_iou_loss"]
