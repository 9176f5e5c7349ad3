"""Keras's datasets from a local server: arrays in Keras's shapes, dtypes and order."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import ArgumentError, FileFormatError
from fovea.keras import config, datasets
from fovea.keras.utils.downloads import DownloadError
from fovea.vision.datasets.cifar import CIFAR10, CIFAR100
from tests.utils.server import serve


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    kept = tmp_path / "cache"
    monkeypatch.setenv("KERAS_HOME", str(kept))
    return kept


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def same(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype == np.uint8
            np.testing.assert_array_equal(a, b)


def test_mnist(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    parts = {}
    for part, n in (("train", 6), ("test", 3)):
        parts[f"x_{part}"] = rng.integers(0, 256, (n, 28, 28), np.uint8)
        parts[f"y_{part}"] = rng.integers(0, 10, n, np.uint8)
    np.savez(buffer, **parts)
    content = buffer.getvalue()
    with serve() as server:
        server.content.update({"mnist.npz": content})
        monkeypatch.setattr(datasets.mnist, "ORIGIN", server.url("mnist.npz"))
        with pytest.raises(DownloadError):
            datasets.mnist.load_data()
        assert not list(cache.rglob("*.npz"))
        monkeypatch.setattr(datasets.mnist, "SHA256", sha(content))
        found = datasets.mnist.load_data()
    again = datasets.mnist.load_data()  # from the cache
    expected = (
        (parts["x_train"], parts["y_train"]),
        (parts["x_test"], parts["y_test"]),
    )
    same(found, expected)
    same(again, expected)
    broken = cache / "datasets" / "mnist.npz"
    broken.write_bytes(b"no archive")
    monkeypatch.setattr(datasets.mnist, "SHA256", sha(b"no archive"))
    with pytest.raises(FileFormatError, match="MNIST"):
        datasets.mnist.load_data()


def idx(array: np.ndarray[Any, Any]) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


def test_fashion_mnist(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (5, 28, 28), np.uint8),
        "train-labels-idx1-ubyte.gz": rng.integers(0, 10, 5, np.uint8),
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (2, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte.gz": rng.integers(0, 10, 2, np.uint8),
    }
    files = {name: idx(array) for name, array in arrays.items()}
    sums = [(name, hashlib.md5(files[name]).hexdigest()) for name in arrays]
    monkeypatch.setattr(datasets.fashion_mnist.FashionMNIST, "resources", sums)
    with serve() as server:
        server.content.update(files)
        monkeypatch.setattr(datasets.fashion_mnist, "ORIGIN", server.url(""))
        found = datasets.fashion_mnist.load_data()
    x, y, x_test, y_test = arrays.values()
    same(found, ((x, y), (x_test, y_test)))


def archive(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def batch(seed: int, count: int, **classes: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    labels = {key: rng.integers(0, n, count).tolist() for key, n in classes.items()}
    return {"data": rng.integers(0, 256, (count, 3072), np.uint8), **labels}


def stacked(batches: list[dict[str, Any]], key: str) -> Any:
    images = np.concatenate([b["data"] for b in batches]).reshape(-1, 3, 32, 32)
    labels = np.array([label for b in batches for label in b[key]], np.uint8)
    return images.transpose(0, 2, 3, 1), labels[:, None]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_cifar10(cache: Path, monkeypatch: pytest.MonkeyPatch, data_format: str) -> None:
    batches = [batch(i, 3, labels=10) for i in range(6)]
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    content = archive(
        {
            f"cifar-10-batches-py/{name}": pickle.dumps(b, protocol=2)
            for name, b in zip(names, batches, strict=True)
        }
    )
    monkeypatch.setattr(datasets.cifar10, "SHA256", sha(content))
    before = config.image_data_format()
    with serve() as server:
        server.content.update({"cifar.tar.gz": content})
        monkeypatch.setattr(CIFAR10, "url", server.url("cifar.tar.gz"))
        config.set_image_data_format(data_format)
        try:
            found = datasets.cifar10.load_data()
        finally:
            config.set_image_data_format(before)
    (x, y), (x_test, y_test) = stacked(batches[:5], "labels"), stacked(batches[5:], "labels")
    if data_format == "channels_first":
        x, x_test = x.transpose(0, 3, 1, 2), x_test.transpose(0, 3, 1, 2)
    same(found, ((x, y), (x_test, y_test)))


@pytest.mark.parametrize("label_mode", ["fine", "coarse"])
def test_cifar100(cache: Path, monkeypatch: pytest.MonkeyPatch, label_mode: str) -> None:
    batches = [batch(i, 4, fine_labels=100, coarse_labels=20) for i in range(2)]
    content = archive(
        {
            f"cifar-100-python/{name}": pickle.dumps(b, protocol=2)
            for name, b in zip(("train", "test"), batches, strict=True)
        }
    )
    monkeypatch.setattr(datasets.cifar100, "SHA256", sha(content))
    with serve() as server:
        server.content.update({"cifar.tar.gz": content})
        monkeypatch.setattr(CIFAR100, "url", server.url("cifar.tar.gz"))
        found = datasets.cifar100.load_data(label_mode)
    key = f"{label_mode}_labels"
    same(found, (stacked(batches[:1], key), stacked(batches[1:], key)))
    with pytest.raises(ArgumentError, match="label_mode"):
        datasets.cifar100.load_data("other")
