"""MNIST files: real ones where they are, made ones for every way they can be wrong."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FileFormatError, LabelError
from fovea.utils.data import DataLoader
from fovea.vision.datasets import KMNIST, MNIST, DatasetNotFoundError, FashionMNIST
from fovea.vision.datasets.mnist import read_idx
from fovea.vision.transforms import ToTensor
from tests.utils.server import Files, serve

REAL = Path(__file__).parents[4] / "shared" / "data" / "mnist"
NAMES = {True: "train", False: "t10k"}


def idx(array: np.ndarray[Any, Any], code: int = 8) -> bytes:
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder: Path, *, suffix: str = "", count: int = 6) -> dict[bool, tuple[Any, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for train, part in NAMES.items():
        rng = np.random.default_rng(int(train))
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx(array)
            path = folder / f"{part}-{name}-ubyte{suffix}"
            path.write_bytes(gzip.compress(data) if suffix else data)
        written[train] = (images, labels)
    return written


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("train", [True, False])
def test_reading(place: str, suffix: str, train: bool, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    images, labels = write(tmp_path / place, suffix=suffix)[train]
    data = MNIST(tmp_path, train=train)
    assert len(data) == 6 and data.data.dtype is fovea.uint8 and data.targets.dtype is fovea.int64
    np.testing.assert_array_equal(data.data.numpy(), images)
    assert data.targets.tolist() == labels.tolist()
    image, label = data[3]
    assert image.mode == "L" and image.size == (28, 28) and type(label) is int
    np.testing.assert_array_equal(np.asarray(image), images[3])
    assert label == labels[3]


@pytest.mark.parametrize("cls", [MNIST, FashionMNIST, KMNIST])
def test_constants_are_torchvisions(cls: type[MNIST], torchvision: Any) -> None:
    theirs = getattr(torchvision.datasets, cls.__name__)
    assert cls.mirrors == theirs.mirrors
    assert cls.resources == theirs.resources
    assert cls.classes == theirs.classes


def test_transforms_and_repr(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    write(tmp_path)
    data = FashionMNIST(tmp_path, transform=ToTensor(), target_transform=lambda y: y + 100)
    image, label = data[0]
    assert image.shape == (1, 28, 28) and label >= 100
    assert data.class_to_idx["Bag"] == 8
    assert repr(data).splitlines()[:4] == [
        "Dataset FashionMNIST",
        "    Number of datapoints: 6",
        f"    Root location: {tmp_path}",
        "    Split: Train",
    ]
    images, labels = next(iter(DataLoader(data, batch_size=4, num_workers=2)))
    assert images.shape == (4, 1, 28, 28) and labels.shape == (4,)


def test_data_may_be_cut_by_hand(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    write(tmp_path)
    data = MNIST(tmp_path)
    data.data, data.targets = data.data[:2], data.targets[:2]
    assert len(data) == 2
    with pytest.raises(IndexError):
        data[2]


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="train-images-idx3-ubyte") as caught:
        MNIST(tmp_path)
    assert "download=True" in str(caught.value) and str(tmp_path) in str(caught.value)
    for kind in (FileNotFoundError, RuntimeError, FileFormatError):
        assert isinstance(caught.value, kind)
    with pytest.raises(FileFormatError, match="no file"):
        read_idx(tmp_path / "x")


IMAGES = idx(np.zeros((2, 28, 28), np.uint8))
FAULTS = {
    "empty": b"",
    "no idx file": b"\x89PNG" + IMAGES,
    "cut within the magic": IMAGES[:3],
    "cut within the header": IMAGES[:10],
    "cut short": IMAGES[:-1],
    "too long": IMAGES + b"x",
    "an absurd size": bytes([0, 0, 8, 3]) + b"\xff" * 12,
    "another element type": idx(np.zeros((2, 28, 28), np.float32), 0x0D),
    "other dimensions": idx(np.zeros((2, 28), np.uint8)),
    "an unknown element type": bytes([0, 0, 7, 3]) + IMAGES[4:],
    "no dimensions": bytes([0, 0, 8, 0]),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("packed", [False, True])
def test_faults_name_the_file(fault: str, packed: bool, tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.unlink()
    path = tmp_path / (path.name + ".gz") if packed else path
    path.write_bytes(gzip.compress(FAULTS[fault]) if packed else FAULTS[fault])
    with pytest.raises(FileFormatError, match=path.name):
        MNIST(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [b"not gzip", gzip.compress(IMAGES, mtime=0)[:-20], b"\x1f\x8b\x08"],
    ids=["no gzip", "cut short", "header only"],
)
def test_damaged_gzip(damage: bytes, tmp_path: Path) -> None:
    write(tmp_path, suffix=".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage)
    with pytest.raises(FileFormatError, match=path.name):
        MNIST(tmp_path)


def test_labels_must_fit(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(idx(np.array([0, 1, 2], np.uint8)))
    with pytest.raises(FileFormatError, match="3 labels for 6 images"):
        MNIST(tmp_path)
    path.write_bytes(idx(np.array([0, 1, 2, 10, 4, 5], np.uint8)))
    with pytest.raises(LabelError, match="label 10 of sample 3"):
        MNIST(tmp_path)


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "uint8"), (9, "int8"), (11, "int16"), (12, "int32"), (13, "float32"), (14, "float64")],
)
def test_element_types(code: int, dtype: str, tmp_path: Path) -> None:
    array = np.arange(-6, 6).reshape(3, 4).astype(dtype)
    (tmp_path / "x").write_bytes(idx(array, code))
    found = read_idx(tmp_path / "x")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    write(tmp_path / "origin", suffix=".gz")
    with serve() as server:
        resources = []
        for path in sorted((tmp_path / "origin").iterdir()):
            server.content[path.name] = path.read_bytes()
            resources.append((path.name, hashlib.md5(path.read_bytes()).hexdigest()))
        monkeypatch.setattr(MNIST, "mirrors", [server.url("nowhere/"), server.url("")])
        monkeypatch.setattr(MNIST, "resources", resources)
        yield server


def test_download(web: Files, tmp_path: Path) -> None:
    root = tmp_path / "root"
    data = MNIST(root, download=True)
    assert len(data) == 6 and len(list((root / "MNIST" / "raw").iterdir())) == 4
    count = len(web.requests)
    assert len(MNIST(root, train=False, download=True)) == 6
    assert len(web.requests) == count  # nothing was missing any more


def test_download_refuses_other_content(web: Files, tmp_path: Path) -> None:
    web.content["train-labels-idx1-ubyte.gz"] = b"something else"
    with pytest.raises(FileFormatError, match="md5"):
        MNIST(tmp_path / "root", download=True)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real MNIST files are not here")
def test_the_real_files() -> None:
    train, test = MNIST(REAL), MNIST(REAL, train=False)
    assert train.data.shape == (60000, 28, 28) and test.data.shape == (10000, 28, 28)
    assert hashlib.md5(idx(train.data.numpy())).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert np.bincount(train.targets.numpy()).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.targets[:5].tolist() == [7, 2, 1, 0, 4]
