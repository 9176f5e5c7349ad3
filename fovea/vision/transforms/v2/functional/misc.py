"""What samples are made of: sizes, kinds, element types, and boxes and points that make sense."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.v2.functional.formats import to_corners
from fovea.vision.tv_tensors import BoundingBoxes, KeyPoints, Video, as_format

__all__ = [
    "convert_image_dtype",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "get_num_channels",
    "get_num_frames",
    "get_size",
    "is_pure_tensor",
    "pil_to_tensor",
    "sanitize_bounding_boxes",
    "sanitize_keypoints",
    "to_dtype",
    "to_image",
    "to_pil_image",
    "to_tensor",
    "uniform_temporal_subsample",
]


def is_pure_tensor(inpt: Any) -> bool:
    """Whether a value is a tensor that does not say what it is.

    >>> import fovea
    >>> is_pure_tensor(fovea.ones(1)), is_pure_tensor(tv_tensors.Mask([[1]]))
    (True, False)
    """
    return isinstance(inpt, Tensor) and not isinstance(inpt, tv_tensors.TVTensor)


def get_size(inpt: Any) -> list[int]:
    """Height and width of an image, of masks, or of the image that boxes or points lie in.

    >>> get_size(BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(4, 5)))
    [4, 5]
    """
    if isinstance(inpt, BoundingBoxes | KeyPoints):
        return list(inpt.canvas_size)
    return F.get_dimensions(inpt)[1:]


get_dimensions = F.get_dimensions
get_num_channels = F.get_image_num_channels
get_image_num_channels = F.get_image_num_channels
get_image_size = F.get_image_size
to_tensor = F.to_tensor


def get_num_frames(inpt: Any) -> int:
    """How many frames a video (..., frames, channels, height, width) has."""
    if not isinstance(inpt, Tensor) or inpt.ndim < 4:
        raise TypeError(f"get_num_frames: a video tensor is needed, got {type(inpt).__name__}.")
    return int(inpt.shape[-4])


def to_image(inpt: Any) -> tv_tensors.Image:
    """A PIL image, an array (height, width, channels) or a tensor (channels, height, width) as an
    `Image` of the same values.

    >>> import numpy as np
    >>> to_image(np.zeros((4, 5, 3), np.uint8)).shape
    fovea.Size([3, 4, 5])
    """
    if isinstance(inpt, np.ndarray):
        planes = inpt[:, :, None] if inpt.ndim == 2 else inpt
        if planes.ndim != 3:
            raise ShapeError(f"to_image: an array has 2 or 3 dimensions, got {inpt.shape}.")
        return tv_tensors.Image(from_numpy(np.array(planes.transpose(2, 0, 1))))
    if is_pil_image(inpt):
        return tv_tensors.Image(F.pil_to_tensor(inpt))
    if isinstance(inpt, Tensor):
        return tv_tensors.Image(inpt.as_tensor() if isinstance(inpt, tv_tensors.TVTensor) else inpt)
    raise TypeError(
        f"to_image: a PIL image, an array or a tensor is needed, got {type(inpt).__name__}."
    )


def to_pil_image(inpt: Any, mode: str | None = None) -> Any:
    """A tensor (channels, height, width) or an array as a PIL image."""
    return F.to_pil_image(inpt.as_tensor() if isinstance(inpt, tv_tensors.TVTensor) else inpt, mode)


def pil_to_tensor(pic: Any) -> Tensor:
    """A PIL image as a tensor (channels, height, width) of the same values."""
    return F.pil_to_tensor(pic)


def to_dtype(inpt: Any, dtype: Any = dtypes.float32, scale: bool = False) -> Any:
    """Another element type, with values scaled if asked for: images' and videos' alone.

    >>> import fovea
    >>> to_dtype(fovea.tensor([[[255]]], dtype=fovea.uint8), scale=True).item()
    1.0
    """
    pictures = is_pure_tensor(inpt) or isinstance(inpt, tv_tensors.Image | Video)
    if not isinstance(inpt, Tensor):
        raise TypeError(f"to_dtype: a tensor is needed, got {type(inpt).__name__}.")
    plain = inpt.as_tensor() if isinstance(inpt, tv_tensors.TVTensor) else inpt
    made = F.to_dtype(plain, dtype, scale and pictures)
    return tv_tensors.wrap(made, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else made


def convert_image_dtype(image: Any, dtype: Any = dtypes.float32) -> Any:
    """`to_dtype` with values scaled."""
    return to_dtype(image, dtype, scale=True)


def uniform_temporal_subsample(inpt: Any, num_samples: int) -> Any:
    """So many frames of a video, evenly spread, the first and the last among them.

    >>> import fovea
    >>> uniform_temporal_subsample(Video(fovea.zeros(9, 3, 2, 2)), 3).shape
    fovea.Size([3, 3, 2, 2])
    """
    frames = get_num_frames(inpt)
    plain = inpt.as_tensor() if isinstance(inpt, Video) else inpt
    chosen = np.linspace(0, frames - 1, num_samples).astype(np.int64)
    made = plain.index_select(plain.ndim - 4, from_numpy(chosen))
    return tv_tensors.wrap(made, like=inpt) if isinstance(inpt, Video) else made


def sanitize_bounding_boxes(
    bounding_boxes: Any,
    format: Any = None,
    canvas_size: Any = None,
    min_size: float = 1.0,
    min_area: float = 1.0,
) -> tuple[Any, Tensor]:
    """Boxes without those that are too small or reach out of their image.

    Args:
        bounding_boxes: `BoundingBoxes`, or a tensor (N, 4).
        format, canvas_size: of a plain tensor.
        min_size: the least width and height.
        min_area: the least area.

    Returns: the boxes that are left, and which these are, bool (N,).

    >>> boxes = BoundingBoxes([[0, 0, 4, 4], [2, 2, 2, 9]], format="XYXY", canvas_size=(9, 9))
    >>> sanitize_bounding_boxes(boxes)[1].tolist()
    [True, False]
    """
    known = isinstance(bounding_boxes, BoundingBoxes)
    if known != (format is None and canvas_size is None) or (not known and canvas_size is None):
        raise ArgumentError(
            "sanitize_bounding_boxes: a plain tensor needs format and canvas_size, BoundingBoxes "
            "have them."
        )
    kind = bounding_boxes.format if known else as_format(format)
    height, width = bounding_boxes.canvas_size if known else canvas_size
    plain = bounding_boxes.as_tensor() if known else bounding_boxes
    corners = to_corners(plain.detach().numpy().astype(np.float64), kind)
    wide, tall = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    valid = (wide >= min_size) & (tall >= min_size) & (wide * tall >= min_area)
    valid &= (corners[:, :2] >= 0).all(1) & (corners[:, 2] <= width) & (corners[:, 3] <= height)
    kept = plain[from_numpy(valid)]
    if known:
        kept = tv_tensors.wrap(kept, like=bounding_boxes)
    return kept, from_numpy(valid)


def sanitize_keypoints(key_points: Any, canvas_size: Any = None) -> tuple[Any, Tensor]:
    """Points (N, ..., 2) without those outside their image; of several together, all must lie
    within.

    Returns: the points that are left, and which these are, bool (N,).

    >>> points = KeyPoints([[1, 1], [9, 1]], canvas_size=(4, 4))
    >>> sanitize_keypoints(points)[1].tolist()
    [True, False]
    """
    known = isinstance(key_points, KeyPoints)
    if known != (canvas_size is None):
        raise ArgumentError(
            "sanitize_keypoints: a plain tensor needs canvas_size, KeyPoints have it."
        )
    height, width = key_points.canvas_size if known else canvas_size
    plain = key_points.as_tensor() if known else key_points
    if plain.ndim < 2 or plain.shape[-1] != 2:
        raise ShapeError(f"sanitize_keypoints: points are (N, ..., 2), got {describe(plain)}.")
    values = plain.detach().numpy()
    inside = (values >= 0) & (values < np.array([width, height]))
    valid = inside.reshape(len(values), -1).all(1)
    kept = plain[from_numpy(valid)]
    return (tv_tensors.wrap(kept, like=key_points) if known else kept), from_numpy(valid)
