"""``fovea train``, ``predict`` and ``evaluate`` on folders of objects and of masks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea as fovea_module
from fovea.cli.learned import build_network, load_learned
from fovea.cli.scenes import scenes_of, task_of_folder
from fovea.errors import ArgumentError, FileFormatError
from fovea.vision.datasets import Shapes
from tests.cli.conftest import Fovea, run_in

Image = pytest.importorskip("PIL.Image")


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def pixels(image: Any) -> Any:
    return (image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes in Pascal VOC's layout."""
    root = tmp_path_factory.mktemp("objects") / "voc"
    for part, count, seed in (("train", 8, 0), ("val", 4, 1)):
        names = []
        for i, (image, target) in enumerate(Shapes(count, image_size=64, seed=seed)):
            names.append(f"{part}-{i}")
            save(root / "JPEGImages" / f"{names[-1]}.png", pixels(image))
            found = zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True)
            rows = "".join(
                f"<object><name>{Shapes.classes[label - 1]}</name><bndbox><xmin>{a}</xmin>"
                f"<ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
                for (a, b, c, d), label in found
            )
            path = root / "Annotations" / f"{names[-1]}.xml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"<annotation>{rows}</annotation>")
        lists = root / "ImageSets" / "Main" / f"{part}.txt"
        lists.parent.mkdir(parents=True, exist_ok=True)
        lists.write_text("\n".join(names))
    return root


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pixels") / "parts"
    for i, (image, mask) in enumerate(Shapes(12, "segmentation", image_size=32)):
        save(root / "images" / f"{i}.png", pixels(image))
        save(root / "masks" / f"{i}.png", mask.numpy().astype(np.uint8))
    (root / "classes.txt").write_text("\n".join(["background", *Shapes.classes]))
    return root


@pytest.fixture(scope="module")
def detector(objects: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("detector")
    words = ("--image-size", 64, "--epochs", 2, "--batch-size", 4, "--json", "--workers", 0)
    ran = run_in(folder, "train", objects, *words)
    assert ran.code == 0, ran.err
    return folder, ran.json


@pytest.fixture(scope="module")
def segmenter(masks: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("segmenter")
    words = ("--image-size", 32, "--epochs", 2, "--batch-size", 4, "--json", "--workers", 0)
    ran = run_in(folder, "train", masks, *words)
    assert ran.code == 0, ran.err
    return folder, ran.json


def test_a_detector_is_trained_and_used(detector: Any, objects: Path) -> None:
    folder, told = detector
    assert told["task"] == "detection" and told["model"] == "glance_n"
    assert (
        len(told["history"]["loss"]) == 2
        and told["history"]["loss"][1] < told["history"]["loss"][0]
    )
    assert 0 <= told["test"]["AP50"] <= 1 and told["test"]["images"] == 4
    assert told["validated"] == [1, 2] and len(told["history"]["val_AP50"]) == 2
    assert told["test"]["AP"] == max(told["history"]["val_AP"])  # val is all there is to test with
    assert (folder / told["predictions"]).stat().st_size > 1000
    checkpoint = folder / told["checkpoint"]
    learned = load_learned(checkpoint)
    assert learned.classes == told["classes"] and learned.training["epoch"] == told["best_epoch"]
    picture = objects / "JPEGImages" / "val-0.png"
    words = (picture, folder / "no.png", "--threshold", 0.0, "--output", "out", "--json")
    ran = run_in(folder, "predict", checkpoint, *words)
    first, second = ran.json["predictions"]
    assert ran.code == 1 and "no.png" in second["error"]
    assert all({*found} == {"class", "score", "box"} for found in first["objects"])
    assert Image.open(folder / first["picture"]).size == (64, 64)
    ran = run_in(folder, "evaluate", checkpoint, "--json")
    assert ran.json["test"] == told["test"]


def test_a_segmenter_is_trained_and_used(segmenter: Any, masks: Path) -> None:
    folder, told = segmenter
    assert told["task"] == "segmentation" and told["classes"] == ["background", *Shapes.classes]
    assert told["test"]["images"] == 2 and 0 <= told["test"]["mean IoU"] <= 1
    scores = told["history"]["val_mean_iou"]
    assert len(scores) == 2 and scores[told["best_epoch"] - 1] == max(scores)
    ran = run_in(folder, "predict", told["checkpoint"], masks / "images" / "0.png", "--output", "o")
    assert ran.code == 0 and "%" in ran.out and (folder / "o" / "0-found.png").exists()
    ran = run_in(folder, "evaluate", told["checkpoint"], masks)
    assert ran.code == 0 and "mean IoU" in ran.out


def test_what_cannot_be_read_is_left_out(objects: Path, fovea: Fovea, tmp_path: Path) -> None:
    shutil.copytree(objects, tmp_path / "data")
    files = sorted((tmp_path / "data" / "JPEGImages").iterdir())
    torn = next(f for f in files if "train" in f.name)
    torn.write_bytes(torn.read_bytes()[:200])
    words = ("train", "data", "--image-size", 64, "--epochs", 1, "--batch-size", 4, "--workers", 0)
    ran = fovea(*words)
    assert ran.code == 1 and torn.name in ran.err and "Traceback" not in ran.err
    ran = fovea(*words, "--skip-bad")
    assert ran.code == 0, ran.err
    assert "1 of" in ran.out and torn.name in ran.out


@pytest.mark.parametrize("name", [
    "fasterrcnn_resnet50_fpn", "fcos_resnet50_fpn", "ssd300_vgg16", "retinaface_mobilenet025",
])  # fmt: skip
def test_other_detectors(name: str) -> None:
    """They are built for the classes and the size."""
    network: Any = build_network("detection", name, 3, 96)
    if not name.startswith("ssd"):
        assert tuple(network.transform.min_size) == (96,) and network.transform.max_size == 96
    with pytest.raises(ArgumentError, match="not trained for detection here"):
        build_network("detection", "maskrcnn_resnet50_fpn", 3, 96)


@pytest.mark.parametrize(
    "model", ["fasterrcnn_mobilenet_v3_large_320_fpn", "retinaface_mobilenet025"]
)
def test_another_detector_learns(objects: Path, fovea: Fovea, model: str) -> None:
    words = ("--image-size", 64, "--epochs", 1, "--batch-size", 4, "--json", "--workers", 0)
    ran = fovea("train", objects, "--model", model, *words)
    assert ran.code == 0, ran.err
    assert ran.json["model"] == model and 0 <= ran.json["test"]["AP50"] <= 1
    again = fovea("evaluate", ran.json["checkpoint"], "--json")
    assert again.json["test"] == ran.json["test"]


def test_what_does_not_fit(fovea: Fovea, objects: Path, masks: Path, segmenter: Any) -> None:
    assert "laid out for detection" in fovea("train", objects, "--task", "segmentation").err
    assert "glance_n" in fovea("train", objects, "--model", "resnet18").err
    assert fovea("train", "--task", "detection").code == 2
    folder, told = segmenter
    assert "laid out" in run_in(folder, "evaluate", told["checkpoint"], objects).err
    assert task_of_folder(str(objects)) == "detection"
    with pytest.raises(ArgumentError, match="laid out"):
        scenes_of(str(masks), "detection", 32)


@pytest.mark.parametrize("change", [
    {"version": 9}, {"task": "poetry"}, {"classes": []}, {"classes": [1]}, {"image_size": 0},
    {"image_size": 1 << 20}, {"model": "resnet18"}, {"model": 5}, {"state_dict": {}},
    {"state_dict": None}, {"format": "x"},
])  # fmt: skip
def test_damaged_checkpoints(segmenter: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    folder, told = segmenter
    content = fovea_module.load(folder / told["checkpoint"]) | change
    fovea_module.save(content, tmp_path / "bad.pt")
    with pytest.raises(FileFormatError, match=r"bad\.pt"):
        load_learned(tmp_path / "bad.pt")


def test_numbers_of_categories(tmp_path: Path) -> None:
    """COCO's ids have gaps; labels have none. Of one file some images are kept to measure with."""
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in range(8)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7 if i % 2 else 3, "bbox": [1, 1, 4, 4]}
            for i in range(8)
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }
    for i in range(8):
        save(tmp_path / "images" / f"{i}.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "all.json").write_text(json.dumps(content))
    scenes = scenes_of(str(tmp_path), "detection", 32)
    assert scenes.classes == ["cat", "dog"] and len(scenes.train) + len(scenes.test) == 8
    labels = {scenes.train[i][1]["labels"].item() for i in range(len(scenes.train))}
    assert labels == {1, 2} and "kept for testing" in scenes.notes[0]


def test_finer_options(objects: Path, masks: Path, fovea: Fovea, tmp_path: Path) -> None:
    words = ("--epochs", 2, "--batch-size", 4, "--json", "--workers", 0, "--precision", "bf16")
    words += ("--accumulate", 2, "--clip", 1, "--warmup", 0.2, "--log", "csv", "--locate-nan")
    for name, data, size in (("objects", objects, 64), ("pixels", masks, 32)):
        ran = fovea("train", data, "--image-size", size, "--output", name, *words)
        assert ran.code == 0, ran.err
        rows = (tmp_path / name / "log.csv").read_text().splitlines()
        assert len(rows) == 3 and rows[0].startswith("epoch,")
        config = (tmp_path / name / "config.yaml").read_text()
        assert 'precision: "bf16"' in config and "accumulate: 2" in config
        again = fovea("train", "--config", f"{name}/config.yaml", "--output", "again", "--json")
        assert again.json["history"]["loss"] == ran.json["history"]["loss"], again.err
