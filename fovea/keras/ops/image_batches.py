"""What the functions of ``keras.ops.image`` have in common: images as one batch, and back."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.errors import ShapeError
from fovea.keras import config
from fovea.keras.ops.elementwise import floating, tensor

__all__ = ["Batch"]


class Batch:
    """Images as (N, H, W, C) floats, and the way back."""

    def __init__(self, images: Any, data_format: str | None) -> None:
        x = tensor(images)
        if x.ndim not in (3, 4):
            raise ShapeError(f"images have 3 or 4 dimensions, got {tuple(x.shape)}.")
        self.single, self.dtype = x.ndim == 3, x.dtype
        self.first = config.standardize_data_format(data_format) == "channels_first"
        x = x.unsqueeze(0) if self.single else x
        x = fovea.permute(x, (0, 2, 3, 1)) if self.first else x
        self.images = floating(x)

    def back(self, images: Any, rounded: bool = True) -> Any:
        """The layout and the dtype that came in; integers are rounded, or cut without."""
        y = images
        if y.dtype is not self.dtype:
            y = y.round() if rounded and not self.dtype.is_floating_point else y
            y = y.to(self.dtype)
        y = fovea.permute(y, (0, 3, 1, 2)) if self.first else y
        return y.squeeze(0) if self.single else y
