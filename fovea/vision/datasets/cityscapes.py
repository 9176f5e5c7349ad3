"""Cityscapes: streets of 50 cities, and folders of one's own in the same layout.

Source: M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", 2016; the
table of classes is that of github.com/mcordts/cityscapesScripts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.vision.datasets.pixels import Pairs, open_classes
from fovea.vision.datasets.vision import DatasetNotFoundError, PairTransform, Transform
from fovea.vision.io import open_image
from fovea.vision.pillow import require_pillow

__all__ = ["Cityscapes", "CityscapesSegmentation"]

_IGNORED = 255


class CityscapesClass(NamedTuple):
    """What the set's makers say of a class; ``train_id`` is its number among those that count."""

    name: str
    id: int
    train_id: int
    category: str
    category_id: int
    has_instances: bool
    ignore_in_eval: bool
    color: tuple[int, int, int]


_CATEGORIES = ("void", "flat", "construction", "object", "nature", "sky", "human", "vehicle")
_ROWS: tuple[tuple[str, int, int, tuple[int, int, int]], ...] = (  # name, train_id, category, color
    ("unlabeled", 255, 0, (0, 0, 0)),
    ("ego vehicle", 255, 0, (0, 0, 0)),
    ("rectification border", 255, 0, (0, 0, 0)),
    ("out of roi", 255, 0, (0, 0, 0)),
    ("static", 255, 0, (0, 0, 0)),
    ("dynamic", 255, 0, (111, 74, 0)),
    ("ground", 255, 0, (81, 0, 81)),
    ("road", 0, 1, (128, 64, 128)),
    ("sidewalk", 1, 1, (244, 35, 232)),
    ("parking", 255, 1, (250, 170, 160)),
    ("rail track", 255, 1, (230, 150, 140)),
    ("building", 2, 2, (70, 70, 70)),
    ("wall", 3, 2, (102, 102, 156)),
    ("fence", 4, 2, (190, 153, 153)),
    ("guard rail", 255, 2, (180, 165, 180)),
    ("bridge", 255, 2, (150, 100, 100)),
    ("tunnel", 255, 2, (150, 120, 90)),
    ("pole", 5, 3, (153, 153, 153)),
    ("polegroup", 255, 3, (153, 153, 153)),
    ("traffic light", 6, 3, (250, 170, 30)),
    ("traffic sign", 7, 3, (220, 220, 0)),
    ("vegetation", 8, 4, (107, 142, 35)),
    ("terrain", 9, 4, (152, 251, 152)),
    ("sky", 10, 5, (70, 130, 180)),
    ("person", 11, 6, (220, 20, 60)),
    ("rider", 12, 6, (255, 0, 0)),
    ("car", 13, 7, (0, 0, 142)),
    ("truck", 14, 7, (0, 0, 70)),
    ("bus", 15, 7, (0, 60, 100)),
    ("caravan", 255, 7, (0, 0, 90)),
    ("trailer", 255, 7, (0, 0, 110)),
    ("train", 16, 7, (0, 80, 100)),
    ("motorcycle", 17, 7, (0, 0, 230)),
    ("bicycle", 18, 7, (119, 11, 32)),
    ("license plate", -1, 7, (0, 0, 142)),
)


_Known = CityscapesClass


def _class(number: int) -> CityscapesClass:
    name, train_id, category, color = _ROWS[number]
    plate = name == "license plate"
    return CityscapesClass(
        name,
        -1 if plate else number,
        train_id,
        _CATEGORIES[category],
        category,
        category >= 6 and not plate,  # people and vehicles can be told apart
        train_id in (-1, 255),
        color,
    )


CITYSCAPES_CLASSES = [_class(number) for number in range(len(_ROWS))]


class Cityscapes(Pairs):
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

    Attributes:
        classes: what is known of each class: ``name``, ``id`` (which masks have), ``train_id`` ...

    Raises:
        ArgumentError: an unknown split, mode or type.
        DatasetNotFoundError: the folders are not there.
    """

    suffixes: ClassVar[dict[str, str]] = {
        "instance": "instanceIds.png",
        "semantic": "labelIds.png",
        "color": "color.png",
        "polygon": "polygons.json",
    }
    CityscapesClass = CityscapesClass
    classes: ClassVar[list[_Known]] = CITYSCAPES_CLASSES

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
        if not types or any(t not in self.suffixes for t in types):
            raise ArgumentError(
                f"Cityscapes: target_type is of {[*self.suffixes]}, got {target_type!r}."
            )
        self.split, self.mode, self.target_type = split, mode, types
        pairs = _streets("Cityscapes", self.root, split, mode)
        self.images = [image for image, _ in pairs]
        self.targets = [[start + self.suffixes[t] for t in types] for _, start in pairs]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = open_image(self.images[index], "RGB")
        found = [_target(path) for path in self.targets[index]]
        return self.transformed(image, found[0] if len(found) == 1 else tuple(found))

    def extra_repr(self) -> str:
        return f"Split: {self.split}\nMode: {self.mode}\nType: {self.target_type}"


def _streets(owner: str, root: str, split: str, mode: str) -> list[tuple[str, str]]:
    """The pictures of a part, and how the paths of what is known of each begin."""
    splits = ("train", "test", "val") if mode == "fine" else ("train", "train_extra", "val")
    if mode not in ("fine", "coarse") or split not in splits:
        raise ArgumentError(f"{owner}: split is one of {splits}, got {split!r} ({mode}).")
    folder = Path(root) / "leftImg8bit" / split
    ground = "gtFine" if mode == "fine" else "gtCoarse"
    labels = Path(root) / ground / split
    if not folder.is_dir() or not labels.is_dir():
        raise DatasetNotFoundError(f"{owner}: no folders {folder} and {labels}.")
    found = []
    for image in sorted(folder.glob("*/*.png")):
        start = f"{image.name.split('_leftImg8bit')[0]}_{ground}_"
        found.append((str(image), str(labels / image.parent.name / start)))
    return found


def _target(path: str) -> Any:
    if not path.endswith(".json"):
        return open_image(path, None, exif=False)
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (ValueError, RecursionError, OSError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error


class CityscapesSegmentation(Pairs):
    """Streets and the class of each pixel among the 19 that count; a sample is an RGB PIL image and
    a PIL image (mode L) of 0 (road) to 18 (bicycle), and 255 where nothing is to be counted.

    Of ``*_labelTrainIds.png`` and ``*_labelIds.png`` the former is read if it is there; the latter
    has all classes' numbers, which become those of the 19.

    Args:
        root: the folder with ``leftImg8bit`` and ``gtFine`` or ``gtCoarse``.
        split, mode: as of `Cityscapes`.
        transform: a function of the PIL image.
        target_transform: a function of the mask.
        transforms: a function of both, instead.

    Attributes:
        classes: the names of the 19.

    Raises:
        ArgumentError: an unknown split or mode.
        DatasetNotFoundError: the folders are not there, or a picture has no mask.
        FileFormatError: a file is damaged.
        ShapeError: a mask of another size than its image.
    """

    classes: ClassVar[list[str]] = [c.name for c in CITYSCAPES_CLASSES if not c.ignore_in_eval]

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        mode: str = "fine",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self.split, self.mode = split, mode
        pairs = _streets("CityscapesSegmentation", self.root, split, mode)
        if not pairs:
            raise DatasetNotFoundError(
                f"CityscapesSegmentation: no pictures in {self.root}/leftImg8bit/{split}.",
                fix=f"leftImg8bit/{split}/CITY/*_leftImg8bit.png is where they belong",
            )
        self.images = [image for image, _ in pairs]
        self.targets = []
        for image, start in pairs:
            names = [start + "labelTrainIds.png", start + "labelIds.png"]
            mask = next((name for name in names if os.path.isfile(name)), None)
            if mask is None:
                raise DatasetNotFoundError(
                    f"CityscapesSegmentation: {image} has no mask {names[1]}.",
                    fix="gtFine_trainvaltest.zip of the set's site has them",
                )
            self.targets.append(mask)

    def open_mask(self, index: int) -> Any:
        """A sample's mask alone, of the 19 classes and 255."""
        path = self.targets[index]
        mask = open_classes(path)
        if mask.mode not in ("L", "P"):
            raise FileFormatError(f"{path} is no mask of classes: its mode is {mask.mode}.")
        if path.endswith("labelTrainIds.png"):
            return mask
        return require_pillow("a mask").fromarray(_TRAIN_IDS[np.asarray(mask)])

    def extra_repr(self) -> str:
        return f"Split: {self.split}\nMode: {self.mode}"


def _table() -> np.ndarray[Any, Any]:
    """The train_id of each id, for bytes."""
    table = np.full(256, _IGNORED, np.uint8)
    for known in CITYSCAPES_CLASSES:
        if not known.ignore_in_eval:
            table[known.id] = known.train_id
    return table


_TRAIN_IDS = _table()
