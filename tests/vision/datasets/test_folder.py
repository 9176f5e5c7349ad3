"""Folders of images, and data made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import ArgumentError, FileFormatError, OutOfRangeError
from fovea.utils.data import DataLoader
from fovea.vision.datasets import (
    IMG_EXTENSIONS,
    DatasetFolder,
    DatasetNotFoundError,
    FakeData,
    ImageFolder,
)
from fovea.vision.datasets.folder import find_classes, make_dataset
from fovea.vision.transforms import Compose, Resize, ToTensor

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(["dog/b.png", "dog/deep/a.JPG", "cat/2.png", "cat/10.png"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6 + i, 5), (i, 0, 0)).save(path)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "readme.txt").write_text("no class")
    return tmp_path


def test_like_torchvision(torchvision: Any, root: Path) -> None:
    ours, theirs = ImageFolder(root), torchvision.datasets.ImageFolder(root)
    assert ours.samples == ours.imgs == theirs.samples
    assert ours.classes == theirs.classes and ours.class_to_idx == theirs.class_to_idx
    assert ours.targets == theirs.targets
    assert IMG_EXTENSIONS == torchvision.datasets.folder.IMG_EXTENSIONS
    for (a, i), (b, j) in zip(ours, theirs, strict=False):
        assert i == j and a.mode == b.mode
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_samples(root: Path) -> None:
    data = ImageFolder(root, target_transform=lambda y: -y)
    assert data.classes == ["cat", "dog"] and len(data) == 4
    assert [Path(p).name for p, _ in data.samples] == ["10.png", "2.png", "b.png", "a.JPG"]
    image, label = data[2]
    assert image.mode == "RGB" and image.size == (6, 5) and label == -1


def test_loading(root: Path) -> None:
    data = ImageFolder(root, Compose([Resize((4, 4)), ToTensor()]))
    images, labels = next(iter(DataLoader(data, 4, num_workers=2)))
    assert images.shape == (4, 3, 4, 4) and labels.tolist() == [0, 0, 1, 1]
    assert "Resize" in repr(data)


def test_other_files(root: Path) -> None:
    texts = DatasetFolder(root, lambda path: Path(path).read_text(), (".txt",), allow_empty=True)
    assert len(texts) == 1 and texts[0] == ("no image", 0)
    picked = ImageFolder(root, is_valid_file=lambda path: Path(path).name[0] in "2b")
    assert [Path(p).name for p, _ in picked.samples] == ["2.png", "b.png"]


def test_empty_classes(root: Path) -> None:
    (root / "bird").mkdir()
    with pytest.raises(DatasetNotFoundError, match="bird") as caught:
        ImageFolder(root)
    assert ".jpg" in str(caught.value) and isinstance(caught.value, FileNotFoundError)
    data = ImageFolder(root, allow_empty=True)
    assert data.classes == ["bird", "cat", "dog"] and len(data) == 4


def test_missing_folders(root: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no folder"):
        ImageFolder(root / "nowhere")
    with pytest.raises(DatasetNotFoundError, match="holds no folders"):
        ImageFolder(root / "cat")


def test_arguments(root: Path) -> None:
    with pytest.raises(ArgumentError):
        make_dataset(root)
    with pytest.raises(ArgumentError):
        make_dataset(root, extensions=".png", is_valid_file=lambda p: True)
    with pytest.raises(ArgumentError):
        make_dataset(root, {}, ".png")
    assert find_classes(root) == (["cat", "dog"], {"cat": 0, "dog": 1})
    assert len(make_dataset(root, extensions=".png")) == 3


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_a_spoiled_file_is_named(content: bytes, root: Path) -> None:
    path = root / "dog" / "b.png"
    path.write_bytes(content)
    data = ImageFolder(root)
    with pytest.raises(FileFormatError, match=r"b\.png"):
        data[2]
    with pytest.raises(FileFormatError, match=r"b\.png"):
        list(DataLoader(data, collate_fn=lambda batch: batch, num_workers=1))


def test_a_file_that_vanished(root: Path) -> None:
    data = ImageFolder(root)
    (root / "dog" / "b.png").unlink()
    with pytest.raises(FileFormatError, match=r"no file .*b\.png"):
        data[2]


def test_fake_data() -> None:
    data = FakeData(size=5, image_size=(3, 8, 6), num_classes=4, transform=ToTensor())
    assert len(data) == 5
    (a, i), (b, j) = data[2], data[2]
    assert a.shape == (3, 8, 6) and i == j and (a == b).all() and 0 <= i < 4
    assert not (data[3][0] == a).all()
    shifted = FakeData(size=5, image_size=(3, 8, 6), random_offset=1, transform=ToTensor())
    assert (shifted[1][0] == a).all()
    assert FakeData(image_size=(1, 4, 4))[0][0].mode == "L"
    with pytest.raises(OutOfRangeError):
        data[5]
