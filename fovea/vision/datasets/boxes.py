"""What data sets of objects in images share: pictures as they were annotated, and targets as
detectors take them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.utils.data.dataset import Dataset
from fovea.vision.datasets.vision import VisionDataset
from fovea.vision.io import open_image
from fovea.vision.tv_tensors import BoundingBoxes, KeyPoints, Mask

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["box_target", "open_sized", "wrap_dataset_for_transforms_v2"]


def open_sized(path: str | os.PathLike[str] | bytes, size: tuple[int, int] | None) -> Image:
    """An RGB picture whose objects were found at ``size`` (width, height): turned as its camera's
    mark says, unless the mark was not heeded when it was annotated.
    """
    image = open_image(path, "RGB")
    if size is not None and image.size != size and image.size == size[::-1]:
        image = open_image(path, "RGB", exif=False)
    return image


def box_target(
    boxes: Sequence[Sequence[float]], labels: Sequence[int], image_id: int, **more: Any
) -> dict[str, Any]:
    """A detector's target: boxes (x1, y1, x2, y2), their classes, and what else is known."""
    target: dict[str, Any] = {
        "image_id": image_id,
        "boxes": from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4)),
        "labels": from_numpy(np.asarray(labels, np.int64).reshape(-1)),
    }
    for name, value in more.items():
        is_flags = isinstance(value, list) and all(isinstance(v, bool) for v in value)
        target[name] = from_numpy(np.asarray(value, bool)) if is_flags else value
    return target


class _Wrapped(Dataset[Any]):
    """Another data set's samples, with targets as detectors take them."""

    def __init__(self, dataset: Any, keys: set[str] | None) -> None:
        self.dataset, self.keys = dataset, keys
        self.transforms = dataset.transforms
        dataset.transforms = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, raw = self.dataset[index]
        target = self.dataset.standard_target(raw, index, self.keys)
        if isinstance(target, dict):
            kept = self.keys or target.keys()
            target = {n: _placed(n, v, image.size) for n, v in target.items() if n in kept}
        elif isinstance(target, Tensor):
            target = Mask(target)
        return (image, target) if self.transforms is None else self.transforms(image, target)


def _placed(name: str, value: Any, size: tuple[int, int]) -> Any:
    """An entry of a target as the kind of tensor that moves with an image (width, height)."""
    canvas = size[1], size[0]
    if name == "boxes":
        return BoundingBoxes(value, format="XYXY", canvas_size=canvas)
    if name == "masks":
        return Mask(value)
    return KeyPoints(value, canvas_size=canvas) if name == "keypoints" else value


def wrap_dataset_for_transforms_v2(
    dataset: VisionDataset, target_keys: Sequence[str] | str | None = None
) -> Any:
    """A data set of objects or masks whose samples' targets say what they are, so that transforms
    of whole samples (`fovea.vision.transforms.v2`) move them: dictionaries with ``boxes``
    (`BoundingBoxes`), ``masks`` (`Mask`), ``keypoints`` (`KeyPoints`); of segmentation a `Mask`.
    (The set itself loses its transforms.)

    Args:
        dataset: one with a ``standard_target``: `VOCDetection`, `VOCSegmentation`, `CocoDetection`,
            `YOLODetection`, `LabelMeDetection`, `CVATDetection`, `SegmentationFolder`,
            `CityscapesSegmentation`, `SceneParse150`.
        target_keys: the entries of dictionaries that are kept; default: ``image_id``, ``boxes``,
            ``labels``; ``"all"``: every one there is.

    Raises:
        ArgumentError: another kind of data set.
    """
    if not hasattr(dataset, "standard_target"):
        raise ArgumentError(
            f"wrap_dataset_for_transforms_v2: {type(dataset).__name__} has no objects."
        )
    if isinstance(target_keys, str) and target_keys != "all":
        target_keys = [target_keys]
    keys = {"image_id", "boxes", "labels"} if target_keys is None else {*target_keys}
    return _Wrapped(dataset, None if target_keys == "all" else keys)
