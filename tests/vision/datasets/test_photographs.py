"""Pets, flowers and dishes: torchvision's samples from the same files, and damage named."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.errors import ArgumentError, FileFormatError
from fovea.vision.datasets import DatasetNotFoundError, Flowers102, Food101, OxfordIIITPet
from tests.vision.datasets.photographs import RNG, photograph, same


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "oxford-iiit-pet"
    rows = ["great_pyrenees_7 2 2 1", "Abyssinian_1 1 1 1", "great_pyrenees_9 2 2 1"]
    for row in rows:
        name = row.split()[0]
        photograph(folder / "images" / f"{name}.jpg")
        mask = folder / "annotations" / "trimaps" / f"{name}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(1, 4, (6, 8), np.uint8)).save(mask)
    for part, chosen in (("trainval", rows), ("test", rows[1:])):
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(chosen) + "\n")
    return tmp_path


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    scipy = pytest.importorskip("scipy.io")
    folder = tmp_path / "flowers-102"
    for n in range(1, 6):
        photograph(folder / "jpg" / f"image_{n:05d}.jpg")
    scipy.savemat(folder / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 5, 5]], np.uint8)})
    parts = {"trnid": [[3, 1]], "valid": [[2, 5]], "tstid": [[4, 5]]}
    scipy.savemat(folder / "setid.mat", {k: np.array(v, np.uint16) for k, v in parts.items()})
    return tmp_path


@pytest.fixture
def food(tmp_path: Path) -> Path:
    folder = tmp_path / "food-101"
    lists = {
        "train": {"pho": ["pho/3", "pho/1"], "baklava": ["baklava/2"]},
        "test": {"pho": ["pho/8"]},
    }
    for part, content in lists.items():
        for names in content.values():
            for name in names:
                photograph(folder / "images" / f"{name}.jpg")
        (folder / "meta").mkdir(exist_ok=True)
        (folder / "meta" / f"{part}.json").write_text(json.dumps(content))
    return tmp_path


def compare(ours: Any, theirs: Any) -> None:
    assert len(ours) == len(theirs) and ours.classes == theirs.classes
    for i in range(len(ours)):
        same(ours[i], theirs[i])
    mine, other = (inspect.signature(type(x).__init__).parameters for x in (ours, theirs))
    assert [*mine] == [*other]
    assert [p.default for p in mine.values()][:3] == [p.default for p in other.values()][:3]


@pytest.mark.parametrize(
    "options",
    [{}, {"split": "test"}, {"target_types": "binary-category"}, {"target_types": "segmentation"},
     {"target_types": ["segmentation", "category"]}, {"target_types": []}],
)  # fmt: skip
def test_pets(pets: Path, options: Any, torchvision: Any) -> None:
    ours, theirs = (
        OxfordIIITPet(pets, **options),
        torchvision.datasets.OxfordIIITPet(pets, **options),
    )
    compare(ours, theirs)
    assert ours.class_to_idx == theirs.class_to_idx and ours.bin_classes == theirs.bin_classes


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_flowers(
    flowers: Path, split: str, torchvision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs_class = torchvision.datasets.Flowers102
    monkeypatch.setattr(theirs_class, "_check_integrity", lambda self: True)
    compare(Flowers102(flowers, split), theirs_class(flowers, split))


@pytest.mark.parametrize("split", ["train", "test"])
def test_food(food: Path, split: str, torchvision: Any) -> None:
    ours, theirs = Food101(food, split), torchvision.datasets.Food101(food, split)
    compare(ours, theirs)
    assert ours.class_to_idx == theirs.class_to_idx and f"split={split}" in repr(ours)


def test_transforms(food: Path, pets: Path) -> None:
    sample = Food101(food, transform=lambda i: i.size, target_transform=lambda t: -t)[0]
    assert sample == ((8, 6), -1)
    both = OxfordIIITPet(pets, transforms=lambda image, target: (image.size, target + 10))
    assert both[1] == ((8, 6), 10)


def test_what_is_not_there(tmp_path: Path) -> None:
    for kind in (OxfordIIITPet, Flowers102, Food101):
        with pytest.raises(DatasetNotFoundError, match=str(tmp_path)) as caught:
            kind(tmp_path)
        assert "download=True" in str(caught.value)
        with pytest.raises(ArgumentError, match="split is one of"):
            kind(tmp_path, "nothing")
    with pytest.raises(ArgumentError, match="target_types"):
        OxfordIIITPet(tmp_path, target_types="breed")


def test_damage(pets: Path, food: Path, flowers: Path) -> None:
    lists = pets / "oxford-iiit-pet" / "annotations" / "test.txt"
    lists.write_text("Abyssinian_1 one 1 1\n")
    with pytest.raises(FileFormatError, match=r"test\.txt"):
        OxfordIIITPet(pets, "test")
    meta = food / "food-101" / "meta" / "train.json"
    for text in ("{", "[]", '{"pho": 5}', '{"pho": ["../../secret"]}'):
        meta.write_text(text)
        with pytest.raises(FileFormatError, match=r"train\.json"):
            Food101(food)
    scipy = pytest.importorskip("scipy.io")
    folder = flowers / "flowers-102"
    scipy.savemat(folder / "setid.mat", {"trnid": [[9]]})
    with pytest.raises(FileFormatError, match=r"setid\.mat"):
        Flowers102(flowers)
    (folder / "imagelabels.mat").write_bytes(b"MATLAB")
    with pytest.raises(FileFormatError, match=r"imagelabels\.mat"):
        Flowers102(flowers)
    (pets / "oxford-iiit-pet" / "images" / "Abyssinian_1.jpg").write_bytes(b"torn")
    with pytest.raises(FileFormatError, match="Abyssinian_1"):
        OxfordIIITPet(pets)[1]
