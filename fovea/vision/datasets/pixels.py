"""Images whose pixels have classes: folders of images and masks, and Cityscapes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, ShapeError
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

__all__ = ["Cityscapes", "SegmentationFolder"]

Colors = Sequence[tuple[int, int, int]]


class _Pairs(VisionDataset):
    """An image and its mask; subclasses fill ``images`` and ``targets``."""

    images: list[str]
    targets: list[Any]

    def __len__(self) -> int:
        return len(self.images)

    def standard_target(self, target: Any, index: int, keys: Any = None) -> Any:
        """A mask as a tensor, (H, W)."""
        values = np.array(target)
        return from_numpy(values if values.dtype == np.uint8 else values.astype(np.int32))


class SegmentationFolder(_Pairs):
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
        mask = open_image(path, None, exif=False)
        if mask.mode not in ("L", "P", "I;16"):
            mask = open_image(path, "P" if _is_palette(path) else "L", exif=False)
        return mask

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, mask = self.targets[index], self.open_mask(index)
        image = open_sized(self.images[index], mask.size)
        if image.size != mask.size:
            raise ShapeError(
                f"{path} is {mask.size[0]} x {mask.size[1]}, its image {image.size[0]} x "
                f"{image.size[1]}."
            )
        return self.transformed(image, mask)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [f for f in sorted(folder.iterdir()) if f.suffix.lower() in IMG_EXTENSIONS]


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


class Cityscapes(_Pairs):
    """Streets of 50 cities; a sample is an RGB PIL image and what ``target_type`` says.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine`` or ``gtCoarse`` (to be had from the
            set's site after registration).
        split: ``"train"``, ``"val"`` or ``"test"``; with ``mode="coarse"`` ``"train_extra"``, too.
        mode: ``"fine"`` or ``"coarse"``.
        target_type: ``"instance"``, ``"semantic"`` or ``"color"`` (a PIL image), ``"polygon"``
            (a dictionary); of several a sample has a tuple.
        transform: a function of the PIL image.
        target_transform: a function of the target.
        transforms: a function of both, instead.

    Raises:
        ArgumentError: an unknown split, mode or type.
        DatasetNotFoundError: the folders are not there.

    Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", 2016.
    """

    suffixes: ClassVar[dict[str, str]] = {
        "instance": "instanceIds.png",
        "semantic": "labelIds.png",
        "color": "color.png",
        "polygon": "polygons.json",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        mode: str = "fine",
        target_type: str | Sequence[str] = "instance",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        types = [target_type] if isinstance(target_type, str) else list(target_type)
        splits = ("train", "test", "val") if mode == "fine" else ("train", "train_extra", "val")
        if mode not in ("fine", "coarse") or split not in splits:
            raise ArgumentError(f"Cityscapes: split is one of {splits}, got {split!r} ({mode}).")
        if not types or any(t not in self.suffixes for t in types):
            raise ArgumentError(
                f"Cityscapes: target_type is of {[*self.suffixes]}, got {target_type!r}."
            )
        self.split, self.mode, self.target_type = split, mode, types
        folder = Path(self.root) / "leftImg8bit" / split
        ground = "gtFine" if mode == "fine" else "gtCoarse"
        labels = Path(self.root) / ground / split
        if not folder.is_dir() or not labels.is_dir():
            raise DatasetNotFoundError(f"Cityscapes: no folders {folder} and {labels}.")
        self.images, self.targets = [], []
        for image in sorted(folder.glob("*/*.png")):
            place = image.name.split("_leftImg8bit")[0]
            start = f"{place}_{ground}_"
            city = labels / image.parent.name
            self.images.append(str(image))
            self.targets.append([str(city / (start + self.suffixes[t])) for t in types])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = open_image(self.images[index], "RGB")
        found = [_cityscapes_target(path) for path in self.targets[index]]
        return self.transformed(image, found[0] if len(found) == 1 else tuple(found))

    def extra_repr(self) -> str:
        return f"Split: {self.split}\nMode: {self.mode}\nType: {self.target_type}"


def _cityscapes_target(path: str) -> Any:
    if not path.endswith(".json"):
        return open_image(path, None, exif=False)
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (ValueError, RecursionError, OSError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
