"""Checks of data sets: every fault that is put in is told, with its file, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.errors import ArgumentError
from fovea.utils.data import DataLoader, TensorDataset
from fovea.vision import transforms as T
from fovea.vision.checking import lint, open_parts, profile_loader
from fovea.vision.datasets import DatasetNotFoundError, ImageFolder

RNG = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    """A picture that looks like no other: a few large spots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = RNG.integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes in two parts, with nothing wrong."""
    for part, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            for i in range(count):
                picture(tmp_path / part / name / f"{i}.png")
    return tmp_path


def kinds(path: Path) -> dict[str, int]:
    """Which faults were found, each of how many files."""
    return {f.kind: len(f.files) for f in lint(open_parts(path)).findings}


def test_nothing_is_wrong(photos: Path) -> None:
    report = lint(open_parts(photos))
    assert report.ok and not report.findings and "nothing is wrong" in str(report)
    assert report.parts["train"] == {"images": 12, "objects": 0, "classes": {"cat": 6, "dog": 6}}


def test_files(photos: Path) -> None:
    whole = (photos / "train" / "cat" / "0.png").read_bytes()
    (photos / "train" / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])
    (photos / "val" / "dog" / "text.jpg").write_text("no picture")
    picture(photos / "train" / "dog" / "small.png", (9, 12))
    picture(photos / "train" / "dog" / "long.png", (300, 20))
    report = lint(open_parts(photos))
    assert {f.kind: len(f.files) for f in report.findings} == {
        "unreadable": 2, "small image": 1, "long image": 1,
    }  # fmt: skip
    assert not report.ok and report.findings[0].kind == "unreadable"
    assert any("text.jpg" in f for f in report.of("unreadable")[0].files)


def test_copies(photos: Path) -> None:
    shutil.copy(photos / "train" / "cat" / "1.png", photos / "train" / "cat" / "again.png")
    assert kinds(photos) == {"duplicate": 1}
    shutil.copy(photos / "train" / "cat" / "2.png", photos / "val" / "cat" / "again.png")
    assert kinds(photos) == {"duplicate": 1, "leak": 1}
    shutil.copy(photos / "train" / "cat" / "3.png", photos / "train" / "dog" / "again.png")
    assert kinds(photos) == {"duplicate": 2, "leak": 1, "two labels": 1}
    image = Image.open(photos / "train" / "dog" / "4.png")
    image.save(photos / "val" / "dog" / "near.jpg", quality=95)
    assert kinds(photos)["near leak"] == 1
    report = lint(open_parts(photos))
    assert "again.png" in report.of("leak")[0].files[0] and json.dumps(report.document())


@pytest.mark.parametrize("seed", range(12))
def test_near_copies(tmp_path: Path, seed: int) -> None:
    """Written again with losses, made smaller, made brighter: whatever the picture."""
    spots = np.random.default_rng(100 + seed).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(spots).resize((160, 120), Image.Resampling.BICUBIC)
    for part in ("train", "val"):
        picture(tmp_path / part / "cat" / "other.png")
    image.save(tmp_path / "train" / "cat" / "a.png")
    image.save(tmp_path / "val" / "cat" / "worse.jpg", quality=60)
    image.resize((80, 60)).save(tmp_path / "val" / "cat" / "small.png")
    image.point(lambda v: min(255, int(v * 1.02 + 1))).save(tmp_path / "val" / "cat" / "light.png")
    pairs = lint(open_parts(tmp_path)).of("near leak")[0].files
    assert len(pairs) == 3 and all("train/cat/a.png ~ " in pair for pair in pairs)


def test_classes(photos: Path) -> None:
    for i in range(130):
        picture(photos / "train" / "cat" / f"more-{i}.png", (20, 20))
    shutil.rmtree(photos / "val" / "dog")
    found = lint(open_parts(photos))
    assert {f.kind for f in found.findings} == {"imbalance", "missing class"}
    assert "val has none of: dog" in found.of("missing class")[0].message


BOXES = [
    [10, 10, 20, 20], [5, 5, 5, 9], [30, 20, 60, 25], [1, 1, 2, 9], [10, 10, 20, 20], [0, 0, 40, 30],
]  # fmt: skip
EXPECTED = {"broken box": 1, "box outside": 1, "tiny box": 1, "box twice": 1, "no objects": 1}


def make_voc(root: Path) -> None:
    for name in ("a", "b"):
        picture(root / "JPEGImages" / f"{name}.png")
    objects = "".join(
        f"<object><name>dog</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in BOXES
    )
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    (root / "Annotations" / "b.xml").write_text("<annotation></annotation>")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")


def make_coco(root: Path) -> None:
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "dog"}],
    }
    for i, name in enumerate(("a", "b")):
        picture(root / "images" / f"{name}.png")
        content["images"].append({"id": i, "file_name": f"{name}.png", "width": 40, "height": 30})
    for i, (a, b, c, d) in enumerate(BOXES):
        box = [a, b, c - a, d - b]
        content["annotations"].append({"id": i, "image_id": 0, "category_id": 1, "bbox": box})
    (root / "annotations").mkdir()
    (root / "annotations" / "train.json").write_text(json.dumps(content))


def make_yolo(root: Path) -> None:
    rows = []
    for a, b, c, d in BOXES:
        if c <= 40:  # the reader itself refuses what is far outside
            rows.append(f"0 {(a + c) / 80} {(b + d) / 60} {(c - a) / 40} {(d - b) / 30}")
    for name in ("a", "b"):
        picture(root / "images" / "train" / f"{name}.png")
    (root / "labels" / "train").mkdir(parents=True)
    (root / "labels" / "train" / "a.txt").write_text("\n".join(rows))
    (root / "classes.txt").write_text("dog\n")


@pytest.mark.parametrize("make", [make_voc, make_coco, make_yolo])
def test_boxes(tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    found = lint(open_parts(tmp_path))
    expected = {k: v for k, v in EXPECTED.items() if make is not make_yolo or k != "box outside"}
    assert {f.kind: len(f.files) for f in found.findings} == expected
    assert not found.ok and found.parts["train"]["classes"]["dog"] >= 5
    assert "a.png: dog [5.0, 5.0, 5.0, 9.0]" in found.of("broken box")[0].files[0]


def test_annotations(tmp_path: Path) -> None:
    make_voc(tmp_path)
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation><object>")
    (tmp_path / "Annotations" / "b.xml").write_text(
        "<annotation><size><width>5</width><height>6</height></size></annotation>"
    )
    assert kinds(tmp_path) == {"unreadable annotation": 1, "other size": 1, "no objects": 1}


def mask(path: Path, values: Any, size: tuple[int, int] = (30, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    held = np.zeros(size, np.uint8)
    held[: len(values)] = np.array(values, np.uint8)[:, None]
    Image.fromarray(held).save(path)


def test_masks(tmp_path: Path) -> None:
    rows = {"a": [1, 2, 255], "b": [2], "c": [0], "d": [1, 7], "e": [1], "f": [1]}
    for name, values in rows.items():
        picture(tmp_path / "images" / "train" / f"{name}.png")
        mask(tmp_path / "masks" / "train" / f"{name}.png", values)
    picture(tmp_path / "images" / "val" / "g.png")
    mask(tmp_path / "masks" / "val" / "g.png", [1])
    mask(tmp_path / "masks" / "train" / "e.png", [1], (15, 20))
    torn = tmp_path / "masks" / "train" / "f.png"
    torn.write_bytes(torn.read_bytes()[:50])
    found = kinds(tmp_path)
    assert found == {
        "unreadable mask": 1, "mask of other size": 1, "empty mask": 1, "missing class": 0,
    }  # fmt: skip
    (tmp_path / "classes.txt").write_text("sky\ncat\ndog\n")
    report = lint(open_parts(tmp_path))
    assert {f.kind: f.files for f in report.of("unknown class")} == {
        "unknown class": (f"{tmp_path / 'masks' / 'train' / 'd.png'}: 7",)
    }
    assert report.parts["train"]["classes"] == {"cat": 3, "class 7": 1, "dog": 2, "sky": 5}
    assert report.of("missing class")[0].message == "val has none of: class 7, dog"
    assert not report.ok and report.of("unreadable mask")[0].severe


def test_masks_of_voc(tmp_path: Path) -> None:
    from fovea.vision.datasets import VOCSegmentation

    root = tmp_path / "VOCdevkit" / "VOC2012"
    picture(root / "JPEGImages" / "a.jpg")
    mask(root / "SegmentationClass" / "a.png", [15, 30])
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    report = lint(VOCSegmentation(tmp_path, image_set="train"))
    assert [f.kind for f in report.findings] == ["unknown class"]
    assert report.parts["data"]["classes"] == {"background": 1, "class 30": 1, "person": 1}


def test_objects_that_make_no_sense(tmp_path: Path) -> None:
    make_coco(tmp_path)
    file = tmp_path / "annotations" / "train.json"
    content = json.loads(file.read_text())
    good = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    content["annotations"] = [
        {**good, "id": 0, "bbox": [2, 2, 5, 5], "segmentation": [[1, 1, 9, 1, 9, 9]]},
        {**good, "id": 1, "bbox": [3, 2, 5, 5], "segmentation": [[1, 1, 9, 1]]},
        {**good, "id": 2, "image_id": 0, "segmentation": {"size": [30, 40], "counts": [1200]}},
        {**good, "id": 3, "bbox": [9, 9, 9, 9], "segmentation": {"size": [40, 30], "counts": [9]}},
        {**good, "id": 4, "bbox": [5, 9, 9, 9], "keypoints": [1, 1, 2, 50, 1, 0]},
        {**good, "id": 5, "bbox": [7, 9, 9, 9], "keypoints": [1, 1, 2, 50, 1, 1]},
        {**good, "id": 6, "bbox": [8, 3, 9, 9], "category_id": 8},
    ]
    file.write_text(json.dumps(content))
    report = lint(open_parts(tmp_path))
    told = {f.kind: f.files for f in report.findings}
    assert [t.rpartition(": ")[0].rpartition(" ")[2] for t in told["broken mask"]] == ["1", "3"]
    assert len(told["point outside"]) == 1 and told["point outside"][0].endswith("object 5")
    assert told["unknown class"][0].endswith("category 8 is not in the file")
    assert not report.ok
    make_yolo(tmp_path / "yolo")
    labels = tmp_path / "yolo" / "labels" / "train" / "a.txt"
    labels.write_text("3 0.5 0.5 0.2 0.2\n")
    assert kinds(tmp_path / "yolo")["unknown class"] == 1


def test_layouts(tmp_path: Path, photos: Path) -> None:
    assert {*open_parts(photos)} == {"train", "val"}
    assert [*open_parts(photos / "train")] == ["all"]
    (tmp_path / "t.csv").write_text("image,label\ntrain/cat/0.png,cat\n")
    assert [*open_parts(tmp_path / "t.csv")] == ["t"] and kinds(tmp_path / "t.csv") == {}
    masks = tmp_path / "m"
    picture(masks / "images" / "a.png")
    picture(masks / "masks" / "a.png")
    assert kinds(masks) == {}
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(DatasetNotFoundError):
            open_parts(wrong)
    with pytest.raises(TypeError, match="ImageFolder|DatasetFolder"):
        lint(TensorDataset(fovea.ones(2)))


def test_times(photos: Path) -> None:
    steps = T.Compose([T.Resize(16), T.CenterCrop(16), T.ToTensor()])
    loader = DataLoader(ImageFolder(photos / "train", steps), 4)
    times = profile_loader(loader, batches=3, step=0.001)
    assert [*times.steps] == ["read", "1 Resize", "2 CenterCrop", "3 ToTensor"]
    assert 0 < times.steps["read"] <= times.sample * 5 and times.samples_per_second > 0
    assert times.wait > 0 and "waiting" in str(times) and times.batch_size == 4
    assert profile_loader(DataLoader(TensorDataset(fovea.ones(8, 2)), 2), 2).steps == {}
    with pytest.raises(ArgumentError):
        profile_loader(DataLoader(TensorDataset(fovea.ones(0, 2)), 2))


def test_command_line(photos: Path) -> None:
    def run(*words: Any) -> Any:
        command = [sys.executable, "-m", "fovea", "data", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    ran = run("lint", photos, "--json")
    assert ran.returncode == 0 and json.loads(ran.stdout)["ok"]
    (photos / "train" / "cat" / "0.png").write_text("nothing")
    ran = run("lint", photos)
    assert ran.returncode == 1 and "! unreadable: 1 files" in ran.stdout
    ran = run(
        "profile", photos / "val", "--image-size", 16, "--batches", 2, "--workers", 0, "--json"
    )
    assert ran.returncode == 0 and json.loads(ran.stdout)["samples_per_second"] > 0
    assert run("lint", photos / "nowhere").returncode == 1
