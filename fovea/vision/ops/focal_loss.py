"""A loss, where torchvision's programs import it from."""

from fovea.vision.ops.box_losses import sigmoid_focal_loss

__all__ = ["sigmoid_focal_loss"]
