"""ADE20K as the scene parsing challenge has it: photographs and 150 classes of pixels.

Source: B. Zhou et al., "Scene parsing through ADE20K dataset", 2017.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.download import download_and_extract_archive
from fovea.vision.datasets.folder import IMG_EXTENSIONS
from fovea.vision.datasets.pixels import Pairs, open_classes
from fovea.vision.datasets.vision import DatasetNotFoundError, PairTransform, Transform
from fovea.vision.pillow import require_pillow

__all__ = ["SceneParse150"]

_FOLDER = "ADEChallengeData2016"
_CLASSES = 150


class SceneParse150(Pairs):
    """Photographs of scenes and the class of each pixel: 20,210 + 2,000; a sample is an RGB PIL
    image and a PIL image (mode L) of classes 0 to 149, and 255 where none of them is.

    (The files have 1 to 150, and 0 for what is none of these.)

    Args:
        root: the folder with ``ADEChallengeData2016``, or with ``images``, ``annotations`` and
            ``objectInfo150.txt`` themselves.
        split: ``"train"`` or ``"val"`` (or ``"training"``, ``"validation"``, as the folders are
            called).
        download: fetch the archive (920 MB) if the folders are not there.
        transform: a function of the PIL image.
        target_transform: a function of the mask.
        transforms: a function of both, instead.

    Attributes:
        classes: the names of the 150, from ``objectInfo150.txt`` (where that is missing, their
            numbers): the first of the words for each.

    Raises:
        ArgumentError: another split.
        DatasetNotFoundError: the folders are not there, or a photograph has no mask.
        FileFormatError: a file is damaged.
        ShapeError: a mask of another size than its image.
    """

    url: ClassVar[str] = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"
    md5: ClassVar[str] = "7328b3957e407ddae1d3cbf487f149ef"
    splits: ClassVar[dict[str, str]] = {
        "train": "training",
        "val": "validation",
        "training": "training",
        "validation": "validation",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        if split not in self.splits:
            raise ArgumentError(f"SceneParse150: split is one of {[*self.splits]}, got {split!r}.")
        self.split, part = split, self.splits[split]
        home = self._home(part)
        if home is None and download:
            download_and_extract_archive(self.url, self.root, md5=self.md5)
            home = self._home(part)
        if home is None:
            raise DatasetNotFoundError(
                f"SceneParse150: no folders images/{part} and annotations/{part} in {self.root} or "
                f"in {_FOLDER} there.",
                fix="download=True fetches it",
            )
        self.folder = home
        found = sorted(home.joinpath("images", part).iterdir())
        photographs = [f for f in found if f.suffix.lower() in IMG_EXTENSIONS]
        self.images = [str(f) for f in photographs]
        self.targets = [str(home / "annotations" / part / f"{f.stem}.png") for f in photographs]
        missing = [mask for mask in self.targets if not os.path.isfile(mask)]
        if missing or not photographs:
            raise DatasetNotFoundError(
                f"SceneParse150: {len(missing)} of {len(photographs)} photographs in "
                f"{home / 'images' / part} have no mask: {', '.join(missing[:2])} ..."
            )
        self.classes = _names(home / "objectInfo150.txt")

    def _home(self, part: str) -> Path | None:
        for folder in (Path(self.root) / _FOLDER, Path(self.root)):
            if all((folder / kind / part).is_dir() for kind in ("images", "annotations")):
                return folder
        return None

    def open_mask(self, index: int) -> Any:
        """A sample's mask alone, of classes from 0 and 255."""
        path = self.targets[index]
        mask = open_classes(path)
        if mask.mode not in ("L", "P"):
            raise FileFormatError(f"{path} is no mask of classes: its mode is {mask.mode}.")
        values = np.asarray(mask)
        if int(values.max(initial=0)) > _CLASSES:
            raise FileFormatError(f"{path} has the class {values.max()} of {_CLASSES}.")
        # 0, which is no class, becomes 255 as bytes count.
        return require_pillow("a mask").fromarray(values - np.uint8(1))

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def _names(path: Path) -> list[str]:
    """The last column of the table, less the further words for each class."""
    if not path.is_file():
        return [f"class {n}" for n in range(1, _CLASSES + 1)]
    try:
        rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:] if line]
        names = {int(row[0]): row[-1].split(",")[0].strip() for row in rows}
    except (ValueError, IndexError, UnicodeError, OSError) as error:
        raise FileFormatError(f"{path} is no table of classes: {error}") from error
    if {*names} != {*range(1, _CLASSES + 1)}:
        raise FileFormatError(f"{path} lists {len(names)} classes, not 1 to {_CLASSES}.")
    return [names[n] for n in sorted(names)]
