"""``fovea train`` and ``fovea data lint`` on pixels in the layouts of Pascal VOC and Cityscapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.cli.scenes import scenes_of, task_of_folder
from fovea.errors import ArgumentError, LabelError
from fovea.vision.checking import open_parts
from fovea.vision.datasets import CityscapesSegmentation, Shapes, VOCSegmentation
from fovea.vision.training.segmentation import MeanIoU
from tests.cli.conftest import Fovea

Image = pytest.importorskip("PIL.Image")
SIZE = 32
WORDS = ("--image-size", SIZE, "--epochs", 1, "--batch-size", 4, "--json", "--workers", 0)


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def drawn(count: int, seed: int) -> list[tuple[Any, Any]]:
    """Pictures and masks; the border of each mask is 255."""
    found = []
    for image, mask in Shapes(count, "segmentation", image_size=SIZE, seed=seed):
        classes = mask.numpy().astype(np.uint8)
        classes[[0, -1]] = classes[:, [0, -1]] = 255
        found.append(((image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8), classes))
    return found


def make_voc(root: Path) -> Path:
    for part, count, seed in (("train", 8, 0), ("val", 4, 1)):
        for i, (image, mask) in enumerate(drawn(count, seed)):
            save(root / "JPEGImages" / f"{part}-{i}.png", image)
            palette = Image.fromarray(mask, "P")
            palette.putpalette(list(range(256)) * 3)
            path = root / "SegmentationClass" / f"{part}-{i}.png"
            path.parent.mkdir(exist_ok=True)
            palette.save(path)
        lists = root / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{part}.txt").write_text("".join(f"{part}-{i}\n" for i in range(count)))
    return root


# What Shapes' classes are called in Cityscapes' masks of all classes, and what becomes of them.
IDS = np.array([7, 8, 11, 12, 13, 17, 19, 21], np.uint8)
TRAIN_IDS = np.array([0, 1, 2, 3, 4, 5, 6, 8], np.uint8)


def make_streets(root: Path, kind: str = "labelIds") -> Path:
    numbers = IDS if kind == "labelIds" else TRAIN_IDS
    for part, city, count, seed in (("train", "ulm", 8, 0), ("val", "bonn", 4, 1)):
        for i, (image, mask) in enumerate(drawn(count, seed)):
            place = f"{city}_{i:06}_000019"
            save(root / "leftImg8bit" / part / city / f"{place}_leftImg8bit.png", image)
            void = np.uint8(4 if kind == "labelIds" else 255)  # "static", which does not count
            found = np.where(mask == 255, void, numbers[mask % 8])
            save(root / "gtFine" / part / city / f"{place}_gtFine_{kind}.png", found)
    save(root / "leftImg8bit" / "test" / "rom" / "rom_0_0_leftImg8bit.png", image)
    save(root / "gtFine" / "test" / "rom" / f"rom_0_0_gtFine_{kind}.png", mask * 0)
    return root


def test_pixels_of_voc(tmp_path: Path, fovea: Fovea) -> None:
    root = make_voc(tmp_path / "VOCdevkit" / "VOC2012").parent.parent
    assert task_of_folder(str(root)) == "segmentation"
    ran = fovea("train", root, *WORDS)
    assert ran.code == 0, ran.err
    told = ran.json
    assert told["task"] == "segmentation" and told["test"]["images"] == 4
    assert told["classes"] == VOCSegmentation.classes and np.isfinite(told["history"]["loss"]).all()
    again = fovea("evaluate", told["checkpoint"], root / "VOCdevkit" / "VOC2012", "--json")
    assert again.json["test"] == told["test"], again.err
    lint = fovea("data", "lint", root, "--json")
    assert lint.code == 0 and lint.json["parts"]["train"]["images"] == 8


def test_boxes_and_pixels_of_voc(tmp_path: Path, fovea: Fovea) -> None:
    """Where both are there, boxes come first, and ``--task`` asks for the other."""
    root = make_voc(tmp_path / "own")
    (root / "Annotations").mkdir()
    (root / "ImageSets" / "Main").mkdir()
    (root / "ImageSets" / "Main" / "train.txt").write_text("train-0\n")
    (root / "Annotations" / "train-0.xml").write_text("<annotation></annotation>")
    assert task_of_folder(str(root)) == "detection"
    ran = fovea("train", root, "--task", "segmentation", *WORDS)
    assert ran.code == 0, ran.err
    # A folder of one's own has its own classes: by number, or by name.
    assert ran.json["classes"][:2] == ["background", "class 1"]
    ran = fovea("evaluate", ran.json["checkpoint"], root, "--json")
    assert ran.code == 0, ran.err
    (root / "classes.txt").write_text("\n".join(["nothing", *Shapes.classes]))
    assert scenes_of(str(root), "segmentation", SIZE).classes == ["nothing", *Shapes.classes]
    assert fovea("data", "lint", root, "--json").json["parts"]["train"]["images"] == 1
    lint = fovea("data", "lint", root, "--task", "segmentation", "--json").json
    assert {*lint["parts"]["train"]["classes"]} <= {"nothing", *Shapes.classes}
    assert lint["parts"]["train"]["images"] == 8 and lint["parts"]["val"]["images"] == 4


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_pixels_of_cityscapes(tmp_path: Path, kind: str, fovea: Fovea) -> None:
    root = make_streets(tmp_path / "streets", kind)
    parts = open_parts(root)
    assert [*parts] == ["train", "val"]  # not the test part, whose masks say nothing
    for i, (_, mask) in enumerate(drawn(8, 0)):
        found = np.asarray(parts["train"][i][1])
        np.testing.assert_array_equal(found, np.where(mask == 255, 255, TRAIN_IDS[mask % 8]))
    lint = fovea("data", "lint", root, "--json")
    assert lint.code == 0, lint.out
    assert {"road", "sidewalk"} <= {*lint.json["parts"]["train"]["classes"]}
    if kind == "labelIds":
        ran = fovea("train", root, *WORDS)
        assert ran.code == 0, ran.err
        assert ran.json["classes"] == CityscapesSegmentation.classes
        assert ran.json["test"]["images"] == 4 and len(ran.json["classes"]) == 19
        assert {*ran.json["test"]["per_class"]} <= {*CityscapesSegmentation.classes}


def test_what_is_wrong_is_said(tmp_path: Path, fovea: Fovea) -> None:
    root = make_streets(tmp_path / "streets")
    mask = root / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_labelIds.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[:60])
    lint = fovea("data", "lint", root)
    assert lint.code == 1 and mask.name in lint.out
    mask.unlink()
    for words in (("train", root), ("data", "lint", root)):
        ran = fovea(*words)
        assert ran.code == 1 and mask.name in ran.err and "Traceback" not in ran.err
    with pytest.raises(ArgumentError, match="laid out"):
        scenes_of(str(make_voc(tmp_path / "voc")), "detection", SIZE)
    with pytest.raises(LabelError, match="class 9"):
        MeanIoU(4).add(np.array([1, 255, 9]), np.array([1, 1, 1]))
