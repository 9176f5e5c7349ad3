"""As many bounding boxes for each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.joining import cat
from fovea.keras.layers.augmentation.base import Drawn, ImageLayer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MaxNumBoundingBoxes"]


class MaxNumBoundingBoxes(ImageLayer):
    """Let each image have the same number of bounding boxes: drop the last, or fill up.

    Args:
        max_number: how many.
        fill_value: what fills up boxes and labels.

    >>> import fovea
    >>> boxes = {"boxes": [[[0.0, 0, 2, 2]], []], "labels": [[3], []]}
    >>> layer = MaxNumBoundingBoxes(2, bounding_box_format="xyxy")
    >>> found = layer({"images": fovea.zeros(2, 4, 4, 3), "bounding_boxes": boxes})
    >>> found["bounding_boxes"]["labels"].tolist()
    [[3, -1], [-1, -1]]
    """

    def __init__(self, max_number: int, fill_value: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if max_number < 1:
            raise ArgumentError(
                f"MaxNumBoundingBoxes: max_number must be positive, got {max_number}."
            )
        self.max_number, self.fill_value = int(max_number), int(fill_value)

    def change(self, images: Tensor, drawn: Drawn) -> Tensor:
        return images

    def change_bounding_boxes(self, found: Drawn, drawn: Drawn, before: Any, after: Any) -> Drawn:
        return {**found, **{key: self._counted(found[key]) for key in ("boxes", "labels")}}

    def _counted(self, rows: Tensor) -> Tensor:
        kept = rows[:, : self.max_number]
        missing = self.max_number - kept.shape[1]
        if not missing:
            return kept
        more = kept.new_full((kept.shape[0], missing, *kept.shape[2:]), self.fill_value)
        return cat([kept, more], 1)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        if not isinstance(input_shape, dict) or "bounding_boxes" not in input_shape:
            return input_shape
        boxes = {
            key: (shape[0], self.max_number, *shape[2:])
            for key, shape in input_shape["bounding_boxes"].items()
        }
        return {**input_shape, "bounding_boxes": boxes}
