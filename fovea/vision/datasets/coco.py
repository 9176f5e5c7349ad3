"""COCO: photographs with objects (boxes, masks, keypoints) or sentences, from one JSON file.

Source: T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014.
"""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, MissingFileError
from fovea.functions.creation import from_numpy
from fovea.vision import rle
from fovea.vision.datasets.boxes import box_target, open_sized
from fovea.vision.datasets.vision import PairTransform, Transform, VisionDataset

__all__ = ["CocoAnnotations", "CocoCaptions", "CocoDetection"]

Entry = dict[str, Any]
_PARTS = {"images": ("id", "file_name"), "annotations": ("id", "image_id"), "categories": ("id",)}


class CocoAnnotations:
    """The contents of an annotation file, with the names that pycocotools has for them.

    Args:
        annotation_file: the JSON file.

    Attributes:
        dataset: all of it.
        imgs, anns, cats: images, annotations and categories by their ids.
        imgToAnns: annotations by the ids of images.

    Raises:
        FileFormatError: missing, no JSON, or an entry lacks what it needs; the message names the
            file.
    """

    def __init__(self, annotation_file: str | os.PathLike[str]) -> None:
        self.path = os.fspath(annotation_file)
        self.dataset = self._read()
        self.imgs = self._by_id("images")
        self.anns = self._by_id("annotations")
        self.cats = self._by_id("categories")
        self.imgToAnns: dict[Any, list[Entry]] = {}
        for entry in self.dataset.get("annotations", []):
            self.imgToAnns.setdefault(entry["image_id"], []).append(entry)

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                content = json.load(file)
        except FileNotFoundError as error:
            raise MissingFileError(f"there is no file {self.path}.") from error
        except (ValueError, RecursionError, OSError) as error:
            raise FileFormatError(f"{self.path} is no JSON that can be read: {error}") from error
        if not isinstance(content, dict) or "images" not in content:
            raise FileFormatError(f"{self.path} is no COCO annotation file: it has no 'images'.")
        for part, needed in _PARTS.items():
            entries = content.get(part, [])
            if not isinstance(entries, list):
                raise FileFormatError(f"{self.path}: {part!r} should be a list.")
            for number, entry in enumerate(entries):
                if not isinstance(entry, dict) or any(name not in entry for name in needed):
                    raise FileFormatError(
                        f"{self.path}: {part}[{number}] should have {', '.join(needed)}."
                    )
                if not all(isinstance(entry[name], int | str) for name in needed):
                    raise FileFormatError(
                        f"{self.path}: {part}[{number}]: {', '.join(needed)} should be numbers or "
                        "texts."
                    )
        return content

    def _by_id(self, part: str) -> dict[Any, Entry]:
        return {entry["id"]: entry for entry in self.dataset.get(part, [])}

    def getImgIds(self) -> list[Any]:  # noqa: N802 - pycocotools' name
        """The ids of all images."""
        return list(self.imgs)

    def getCatIds(self) -> list[Any]:  # noqa: N802
        """The ids of all categories."""
        return list(self.cats)

    def getAnnIds(self, imgIds: Any = (), catIds: Any = ()) -> list[Any]:  # noqa: N802, N803
        """The ids of annotations of these images and categories (none given: all)."""
        images, kinds = _listed(imgIds), {*_listed(catIds)}
        among = (
            [a for i in images for a in self.imgToAnns.get(i, [])]
            if images
            else self.dataset.get("annotations", [])
        )
        return [a["id"] for a in among if not kinds or a.get("category_id") in kinds]

    def loadAnns(self, ids: Any = ()) -> list[Entry]:  # noqa: N802
        """Annotations by their ids."""
        return [self.anns[i] for i in _listed(ids)]

    def loadImgs(self, ids: Any = ()) -> list[Entry]:  # noqa: N802
        """Images' entries by their ids."""
        return [self.imgs[i] for i in _listed(ids)]

    def loadCats(self, ids: Any = ()) -> list[Entry]:  # noqa: N802
        """Categories by their ids."""
        return [self.cats[i] for i in _listed(ids)]

    def annToRLE(self, ann: Entry) -> rle.Mask:  # noqa: N802
        """The mask of an annotation (polygons or runs), coded as runs."""
        image = self.imgs[ann["image_id"]]
        try:
            height, width = int(image["height"]), int(image["width"])
            shape = ann["segmentation"]
            if isinstance(shape, list):
                return rle.from_polygons(shape, height, width)
            if isinstance(shape["counts"], list):
                return rle.from_counts(shape["counts"], *shape["size"])
            rle.area(shape)
            return shape
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(
                f"{self.path}: annotation {ann['id']} has no mask that can be read: {error}"
            ) from error

    def annToMask(self, ann: Entry) -> np.ndarray[Any, Any]:  # noqa: N802
        """The mask of an annotation, uint8 (H, W)."""
        return rle.decode(self.annToRLE(ann))


def _listed(ids: Any) -> list[Any]:
    return list(ids) if isinstance(ids, Iterable) and not isinstance(ids, str) else [ids]


class CocoDetection(VisionDataset):
    """Photographs and the objects in them; a sample is an RGB PIL image and the list of its
    annotations, as they are in the file.

    ``standard_target`` makes boxes and labels of these, as detectors take them.

    Args:
        root: the folder with the images.
        annFile: the JSON file with the annotations.
        transform: a function of the PIL image.
        target_transform: a function of the annotations.
        transforms: a function of both, instead.

    Attributes:
        coco: the annotations, a `CocoAnnotations`.
        ids: the ids of the images, sorted.

    Raises:
        FileFormatError: a file is missing or damaged; the message names it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        annFile: str | os.PathLike[str],  # noqa: N803 - torchvision's name
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: PairTransform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self.coco = CocoAnnotations(annFile)
        self.ids = sorted(self.coco.imgs)

    @property
    def classes(self) -> dict[int, str]:
        """The categories' names by their ids, which are the labels."""
        return {i: str(entry.get("name", i)) for i, entry in sorted(self.coco.cats.items())}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        entry = self.coco.imgs[self.ids[index]]
        size = entry.get("width"), entry.get("height")
        path = Path(self.root) / str(entry["file_name"])
        image = open_sized(path, size if None not in size else None)  # type: ignore[arg-type]
        return self.transformed(image, self._load_target(self.ids[index]))

    def _load_target(self, image_id: Any) -> list[Any]:
        return list(self.coco.imgToAnns.get(image_id, []))

    def standard_target(
        self, target: list[Entry], index: int, keys: Container[str] | None = None
    ) -> dict[str, Any]:
        """Annotations as a detector's target; of masks and keypoints what ``keys`` names (None:
        both).

        Returns: ``image_id``; ``boxes`` float32 (N, 4) as (x1, y1, x2, y2) in pixels; ``labels``
        int64 (N,), the ids of categories; ``area`` float32 (N,); ``iscrowd`` bool (N,); where the
        annotations have them ``masks`` uint8 (N, H, W), and ``keypoints`` float32 (N, K, 2) with
        ``visibility`` int64 (N, K): 0 not known, 1 hidden, 2 seen.
        """
        image_id = self.ids[index]
        boxes, labels, area, crowd = [], [], [], []
        for entry in target:
            try:
                x, y, width, height = (float(v) for v in entry["bbox"])
                labels.append(int(entry["category_id"]))
                area.append(float(entry.get("area", width * height)))
                crowd.append(bool(entry.get("iscrowd", 0)))
            except (KeyError, TypeError, ValueError) as error:
                raise FileFormatError(
                    f"{self.coco.path}: annotation {entry['id']} has no box [x, y, width, height] "
                    f"or no category: {error}"
                ) from error
            boxes.append((x, y, x + width, y + height))
        found = box_target(boxes, labels, image_id, iscrowd=crowd)
        found["area"] = from_numpy(np.asarray(area, np.float32))
        if _all_have("segmentation", target) and (keys is None or "masks" in keys):
            found["masks"] = from_numpy(np.stack([self.coco.annToMask(e) for e in target]))
        if _all_have("keypoints", target) and (keys is None or "keypoints" in keys):
            points = [np.asarray(e["keypoints"], np.float32).reshape(-1, 3) for e in target]
            found["keypoints"] = from_numpy(np.stack(points)[..., :2].copy())
            found["visibility"] = from_numpy(np.stack(points)[..., 2].astype(np.int64))
        return found


def _all_have(name: str, entries: list[Entry]) -> bool:
    return bool(entries) and all(name in entry for entry in entries)


class CocoCaptions(CocoDetection):
    """Photographs and sentences about them; a sample is an RGB PIL image and a list of sentences.
    Arguments as for `CocoDetection`.
    """

    def _load_target(self, image_id: Any) -> list[Any]:
        entries = super()._load_target(image_id)
        missing = [e["id"] for e in entries if not isinstance(e.get("caption"), str)]
        if missing:
            raise FileFormatError(
                f"{self.coco.path}: annotation {missing[0]} has no caption.",
                fix="CocoDetection reads files of boxes",
            )
        return [e["caption"] for e in entries]

    def standard_target(self, target: Any, index: int, keys: Any = None) -> Any:
        """Sentences are what they are."""
        raise ArgumentError("CocoCaptions has no boxes.")
