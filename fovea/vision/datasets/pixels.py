"""Images whose pixels have classes: folders of images and masks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.errors import ShapeError
from fovea.functions.creation import from_numpy
from fovea.vision.datasets.boxes import open_sized
from fovea.vision.datasets.folder import IMG_EXTENSIONS
from fovea.vision.datasets.vision import (
    DatasetNotFoundError,
    PairTransform,
    Transform,
    VisionDataset,
)
from fovea.vision.io import open_image
from fovea.vision.pillow import require_pillow

__all__ = ["Pairs", "SegmentationFolder", "open_classes"]

_CLASSES = ("L", "P", "I;16")  # modes of masks
Colors = Sequence[tuple[int, int, int]]


class Pairs(VisionDataset):
    """An image and its mask; subclasses fill ``images`` and ``targets``, and open masks."""

    images: list[str]
    targets: list[Any]

    def __len__(self) -> int:
        return len(self.images)

    def open_mask(self, index: int) -> Any:
        """A sample's mask alone, as a PIL image of classes."""
        raise NotImplementedError(f"{type(self).__name__} has no masks of classes.")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, mask = self.targets[index], self.open_mask(index)
        image = open_sized(self.images[index], mask.size)
        if image.size != mask.size:
            raise ShapeError(
                f"{path} is {mask.size[0]} x {mask.size[1]}, its image {image.size[0]} x "
                f"{image.size[1]}."
            )
        return self.transformed(image, mask)

    def standard_target(self, target: Any, index: int, keys: Any = None) -> Any:
        """A mask as a tensor, (H, W)."""
        values = np.array(target)
        return from_numpy(values if values.dtype == np.uint8 else values.astype(np.int32))


class SegmentationFolder(Pairs):
    """A folder of images and one of masks, whose files have the same names but for their endings;
    a sample is an RGB PIL image and a PIL image of classes (mode L or P).

    Args:
        root: the folder.
        image_set: a part: images in ``images/train`` and masks in ``masks/train``, or in
            ``train/images`` and ``train/masks``; None: in ``images`` and ``masks``.
        transform: a function of the PIL image.
        target_transform: a function of the mask.
        transforms: a function of both, instead.
        images, masks: the folders' names.
        colors: of masks in color, the color of each class; others become 255.

    Raises:
        DatasetNotFoundError: no images are there, or one has no mask.
        FileFormatError: a file is damaged.
        ShapeError: a mask of another size than its image.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        image_set: str | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
        *,
        images: str = "images",
        masks: str = "masks",
        colors: Colors | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self.image_set, self.colors = image_set, colors
        top = Path(self.root)
        places = [(top / images, top / masks)]
        if image_set is not None:
            places = [
                (top / images / image_set, top / masks / image_set),
                (top / image_set / images, top / image_set / masks),
            ]
        folder, labels = next(((i, m) for i, m in places if i.is_dir()), places[0])
        found = {f.stem: f for f in _pictures(folder)}
        known = {f.stem: f for f in _pictures(labels)}
        if not found:
            raise DatasetNotFoundError(f"SegmentationFolder: no images in {folder}.")
        missing = [name for name in found if name not in known]
        if missing:
            raise DatasetNotFoundError(
                f"SegmentationFolder: {len(missing)} images have no mask in {labels}: "
                f"{', '.join(missing[:3])} ..."
            )
        self.images = [str(f) for f in found.values()]
        self.targets = [str(known[name]) for name in found]

    def open_mask(self, index: int) -> Any:
        """A sample's mask alone, as a PIL image of classes."""
        path = self.targets[index]
        if self.colors is not None:
            return _by_color(open_image(path, "RGB", exif=False), self.colors)
        mask = open_classes(path)
        return mask if mask.mode in _CLASSES else open_image(path, "L", exif=False)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [f for f in sorted(folder.iterdir()) if f.suffix.lower() in IMG_EXTENSIONS]


def open_classes(path: str) -> Any:
    """A mask as a PIL image of classes (mode L, P or I;16), or one of another mode as it is."""
    mask = open_image(path, None, exif=False)
    if mask.mode not in _CLASSES and _is_palette(path):
        return open_image(path, "P", exif=False)
    return mask


def _is_palette(path: str) -> bool:
    with require_pillow("a mask").open(path) as image:
        return bool(image.mode == "P")


def _by_color(image: Any, colors: Colors) -> Any:
    """A mask of classes from one of colors."""
    pixels = np.asarray(image).astype(np.int32)
    packed = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    mask = np.full(packed.shape, 255, np.uint8)
    for number, (red, green, blue) in enumerate(colors):
        mask[packed == (red << 16 | green << 8 | blue)] = number
    return require_pillow("a mask").fromarray(mask)
