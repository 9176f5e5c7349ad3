"""Pictures for people, under torchvision.utils' names: images side by side, and with what was
found in them.
"""

from fovea.vision.utils.drawing import draw_bounding_boxes, draw_keypoints, draw_segmentation_masks
from fovea.vision.utils.flow import flow_to_image
from fovea.vision.utils.grids import make_grid, save_image

__all__ = [
    "draw_bounding_boxes",
    "draw_keypoints",
    "draw_segmentation_masks",
    "flow_to_image",
    "make_grid",
    "save_image",
]
