"""Damaged images, archives and annotations: an error that names the file, and nothing else."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.errors import FoveaError
from fovea.vision.datasets import (
    CityscapesSegmentation,
    CocoDetection,
    CVATDetection,
    ImageFolder,
    ImageTable,
    LabelMeDetection,
    SegmentationFolder,
    VOCDetection,
    WebDataset,
    YOLODetection,
)
from fovea.vision.io import open_image

FORMATS = ("png", "jpg", "bmp", "tiff", "webp", "ppm")
TIMES = 60

XML = """<annotation><folder>a</folder><filename>0.png</filename>
<size><width>16</width><height>12</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""
COCO = {
    "images": [{"id": 1, "file_name": "0.png", "width": 16, "height": 12}],
    "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}],
    "annotations": [
        {
            "id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 7, 5], "area": 35,
            "iscrowd": 0, "segmentation": [[2, 3, 9, 3, 9, 8, 2, 8]],
        }
    ],
}  # fmt: skip


def picture(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Bytes changed, taken out, put in, or cut off."""
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(made) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            del made[at:]
        elif kind == 1:
            del made[at : at + draw.randrange(1, 9)]
        elif kind == 2:
            made[at:at] = draw.randbytes(draw.randrange(1, 9))
        elif kind == 3:
            made[at : at + 4] = draw.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"-1e9"))
        else:
            made[at : at + 1] = draw.randbytes(1)
    return bytes(made)


def read_all(dataset: Any) -> None:
    for sample in (
        dataset
        if isinstance(dataset, WebDataset)
        else map(dataset.__getitem__, range(len(dataset)))
    ):
        assert sample is not None


def an_error_or_nothing(read: Callable[[], Any], name: str) -> bool:
    """Whether reading worked; what it raises is fovea's, and names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about what it can still read
            read()
    except FoveaError as error:
        assert name in str(error), str(error)
        return False
    return True


@pytest.mark.parametrize("kind", FORMATS)
def test_images(kind: str, tmp_path: Path) -> None:
    draw, path = random.Random(1), tmp_path / f"torn.{kind}"
    picture().save(path)
    content, good = path.read_bytes(), 0
    for _ in range(TIMES):
        path.write_bytes(damaged(content, draw))
        good += an_error_or_nothing(lambda: open_image(path, "RGB"), path.name)
    assert good < TIMES


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def test_a_bomb_of_pixels(tmp_path: Path) -> None:
    """A small file that says it has 3.6 billion pixels is refused before they are made."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""))
    with pytest.raises(FoveaError, match="bomb.png"):
        open_image(path)


def voc(root: Path) -> tuple[Path, Callable[[], Any]]:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    picture().save(root / "JPEGImages" / "0.png")
    (root / "Annotations" / "0.xml").write_text(XML)
    (root / "ImageSets" / "Main" / "train.txt").write_text("0\n")
    return root / "Annotations" / "0.xml", lambda: VOCDetection(root, image_set="train")


def coco(root: Path) -> tuple[Path, Callable[[], Any]]:
    root.mkdir()
    picture().save(root / "0.png")
    (root / "boxes.json").write_text(json.dumps(COCO))
    return root / "boxes.json", lambda: CocoDetection(root, root / "boxes.json")


def yolo(root: Path) -> tuple[Path, Callable[[], Any]]:
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    picture().save(root / "images" / "0.png")
    (root / "classes.txt").write_text("cat\ndog\n")
    (root / "labels" / "0.txt").write_text("0 0.5 0.5 0.25 0.25\n1 0.2 0.3 0.1 0.1\n")
    return root / "labels" / "0.txt", lambda: YOLODetection(root)


def masks(root: Path) -> tuple[Path, Callable[[], Any]]:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    picture().save(root / "images" / "0.png")
    picture("L").save(root / "masks" / "0.png")
    return root / "masks" / "0.png", lambda: SegmentationFolder(root)


def table(root: Path) -> tuple[Path, Callable[[], Any]]:
    root.mkdir()
    picture().save(root / "0.png")
    (root / "table.csv").write_text("file,label\n0.png,cat\n0.png,dog\n")
    return root / "table.csv", lambda: ImageTable(root / "table.csv")


def folder(root: Path) -> tuple[Path, Callable[[], Any]]:
    (root / "cat").mkdir(parents=True)
    picture().save(root / "cat" / "0.jpg")
    return root / "cat" / "0.jpg", lambda: ImageFolder(root)


def shard(root: Path) -> tuple[Path, Callable[[], Any]]:
    root.mkdir()
    path, image = root / "a.tar", io.BytesIO()
    picture().save(image, "PNG")
    with tarfile.open(path, "w") as file:
        for name, content in (("0.png", image.getvalue()), ("0.cls", b"3"), ("0.json", b"[1]")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path, lambda: WebDataset(path)


def labelme(root: Path) -> tuple[Path, Callable[[], Any]]:
    root.mkdir()
    picture().save(root / "0.png")
    shapes = [{"label": "cat", "points": [[2, 3], [9, 3], [9, 8]], "shape_type": "polygon"}]
    content = {"shapes": shapes, "imagePath": "0.png", "imageWidth": 16, "imageHeight": 12}
    (root / "0.json").write_text(json.dumps(content))
    return root / "0.json", lambda: LabelMeDetection(root)


def cvat(root: Path) -> tuple[Path, Callable[[], Any]]:
    root.mkdir()
    picture().save(root / "0.png")
    (root / "annotations.xml").write_text(
        "<annotations><meta><task><labels><label><name>cat</name></label></labels></task></meta>"
        '<image id="0" name="0.png" width="16" height="12">'
        '<box label="cat" xtl="2" ytl="3" xbr="9" ybr="8"/>'
        '<mask label="cat" left="1" top="1" width="4" height="3" rle="2,3,4,3"/>'
        "</image></annotations>"
    )
    return root / "annotations.xml", lambda: CVATDetection(root)


def street(root: Path) -> tuple[Path, Callable[[], Any]]:
    for name in ("leftImg8bit", "gtFine"):
        (root / name / "train" / "ulm").mkdir(parents=True)
    picture().save(root / "leftImg8bit" / "train" / "ulm" / "ulm_0_0_leftImg8bit.png")
    mask = root / "gtFine" / "train" / "ulm" / "ulm_0_0_gtFine_labelIds.png"
    picture("L").save(mask)
    return mask, lambda: CityscapesSegmentation(root)


SETS = [voc, coco, yolo, masks, table, folder, shard, labelme, cvat, street]


@pytest.mark.parametrize("make", SETS)
def test_data_sets(make: Callable[[Path], Any], tmp_path: Path) -> None:
    draw, (path, opened) = random.Random(2), make(tmp_path / "data")
    content, good = path.read_bytes(), 0
    read_all(opened())
    for _ in range(TIMES):
        path.write_bytes(damaged(content, draw))
        good += an_error_or_nothing(lambda: read_all(opened()), str(tmp_path))
    assert good < TIMES


def test_descriptions_of_another_kind(tmp_path: Path) -> None:
    """JSON that is whole, with each of its values replaced by one of another kind."""
    path, opened = coco(tmp_path / "data")
    others = (None, -1, 1e300, "x", [], {}, True, [[]], float("nan"))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    whole = json.loads(json.dumps(COCO))
    walk(whole)
    for node, key in places:
        before = node[key]
        for other in others:
            node[key] = other
            path.write_text(json.dumps(whole))
            an_error_or_nothing(lambda: read_all(opened()), str(tmp_path))
        node[key] = before
