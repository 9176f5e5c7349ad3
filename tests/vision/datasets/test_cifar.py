"""CIFAR files, pickled by Python 2 and 3 and binary, and pickles that want to run something."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import FileFormatError, LabelError
from fovea.vision.datasets import CIFAR10, CIFAR100, DatasetNotFoundError
from fovea.vision.datasets.safe_pickle import load_plain_pickle
from tests.utils.server import serve

NAMES10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def text2(value: bytes) -> bytes:
    """A Python 2 string, as its pickle module wrote it (protocol 2)."""
    if len(value) < 256:
        return b"U" + bytes([len(value)]) + value
    return b"T" + struct.pack("<i", len(value)) + value


def python2_pickle(pixels: np.ndarray[Any, Any], labels: list[int], key: bytes) -> bytes:
    """A batch as the original archives hold it, opcode by opcode."""
    out = [b"\x80\x02}("]
    out += [text2(b"data"), b"cnumpy.core.multiarray\n_reconstruct\n"]
    out += [b"cnumpy\nndarray\n", b"K\x00\x85", text2(b"b"), b"\x87R"]
    out += [
        b"(K\x01",
        b"J" + struct.pack("<i", len(pixels)),
        b"J" + struct.pack("<i", 3072),
        b"\x86",
    ]
    out += [b"cnumpy\ndtype\n", text2(b"u1"), b"K\x00K\x01\x87R"]
    out += [b"(K\x03", text2(b"|"), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"]
    out += [b"\x89", text2(pixels.tobytes()), b"tb"]
    out += [text2(key), b"](", *(b"K" + bytes([label]) for label in labels), b"e"]
    out += [text2(b"batch_label"), text2(b"training batch 1 of 5"), b"u."]
    return b"".join(out)


def batch(seed: int, count: int = 4, classes: int = 10) -> tuple[np.ndarray[Any, Any], list[int]]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3072), np.uint8)
    return pixels, rng.integers(0, classes, count).tolist()


def pack(pixels: np.ndarray[Any, Any], labels: list[int], key: str, how: str) -> bytes:
    if how == "python 2":
        return python2_pickle(pixels, labels, key.encode())
    return pickle.dumps({"data": pixels, key: labels}, protocol=2)


def write_cifar10(folder: Path, how: str = "python 2") -> dict[str, tuple[Any, list[int]]]:
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels, labels = made[name] = batch(i)
        if how == "binary":
            rows = np.column_stack([np.array(labels, np.uint8), pixels])
            (folder / f"{name}.bin").write_bytes(rows.tobytes())
        else:
            (folder / name).write_bytes(pack(pixels, labels, "labels", how))
    if how == "binary":
        (folder / "batches.meta.txt").write_text("\n".join(NAMES10) + "\n\n")
    else:
        names = b"".join(text2(name.encode()) for name in NAMES10)
        meta = b"\x80\x02}" + text2(b"label_names") + b"](" + names + b"es."
        (folder / "batches.meta").write_bytes(meta)
    return made


@pytest.mark.parametrize("how", ["python 2", "python 3", "binary"])
@pytest.mark.parametrize("direct", [False, True])
def test_cifar10(how: str, direct: bool, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    name = "cifar-10-batches-bin" if how == "binary" else "cifar-10-batches-py"
    made = write_cifar10(tmp_path / name, how)
    root = tmp_path / name if direct else tmp_path
    train, test = CIFAR10(root), CIFAR10(root, train=False)
    assert len(train) == 20 and len(test) == 4 and train.classes == NAMES10
    assert train.class_to_idx["cat"] == 3
    expected = np.concatenate([made[f"data_batch_{i}"][0] for i in range(1, 6)])
    np.testing.assert_array_equal(train.data, expected.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    assert train.targets[4:8] == made["data_batch_2"][1] and test.targets == made["test_batch"][1]
    image, label = train[5]
    assert image.mode == "RGB" and image.size == (32, 32) and label == train.targets[5]
    np.testing.assert_array_equal(np.asarray(image), train.data[5])


def test_like_torchvision(
    torchvision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py")
    theirs = torchvision.datasets.CIFAR10
    monkeypatch.setattr(theirs, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5=None: True)
    reference, ours = theirs(tmp_path), CIFAR10(tmp_path)
    np.testing.assert_array_equal(ours.data, reference.data)
    assert ours.targets == reference.targets and ours.classes == reference.classes
    for name in ("base_folder", "url", "filename", "tgz_md5"):
        assert getattr(CIFAR10, name) == getattr(theirs, name)
        hundred = torchvision.datasets.CIFAR100
        assert getattr(CIFAR100, name) == getattr(hundred, name)


@pytest.mark.parametrize("how", ["python 2", "python 3", "binary"])
def test_cifar100(how: str, tmp_path: Path) -> None:
    folder = tmp_path / ("cifar-100-binary" if how == "binary" else "cifar-100-python")
    folder.mkdir()
    pixels, labels = batch(3, 5, 100)
    if how == "binary":
        coarse = np.full(5, 19, np.uint8)
        rows = np.column_stack([coarse, np.array(labels, np.uint8), pixels])
        (folder / "train.bin").write_bytes(rows.tobytes())
    else:
        (folder / "train").write_bytes(pack(pixels, labels, "fine_labels", how))
    data = CIFAR100(tmp_path)
    assert data.targets == labels and data.data.shape == (5, 32, 32, 3)
    assert data.classes[:3] == ["0", "1", "2"] and len(data.classes) == 100


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_no_code_runs(protocol: int, tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    mark = tmp_path / "it ran"
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": Evil(mark)}, protocol=protocol))
    with pytest.raises(FileFormatError, match="not allowed") as caught:
        CIFAR10(tmp_path)
    assert not mark.exists() and str(path) in str(caught.value)


HOSTILE = {
    "a builtin": b"cbuiltins\neval\n(S'1'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
    "an attribute of an allowed module": b"cnumpy\nload\n(S'x'\ntR.",
    "a persistent id": b"Pwho\n.",
    "an extension code": b"\x82\x01.",
    "an object array": pickle.dumps({"data": np.array([object], object)}, protocol=2),
    "floats": pickle.dumps({"data": np.zeros(3)}, protocol=2),
    "nothing": b"",
    "no pickle": b"hello",
    "a list": pickle.dumps([1, 2]),
    "a cut pickle": python2_pickle(*batch(0), b"labels")[:5000],
    "a deep one": b"\x80\x02" + b"(" * 200000 + b".",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(FileFormatError, match=str(path)):
        load_plain_pickle(path)


def test_arrays_with_the_wrong_size(tmp_path: Path) -> None:
    good = python2_pickle(*batch(0), b"labels")
    path = tmp_path / "data"
    path.write_bytes(
        good.replace(b"J" + struct.pack("<i", 3072), b"J" + struct.pack("<i", 1 << 30))
    )
    with pytest.raises(FileFormatError, match="with 12288 bytes"):
        load_plain_pickle(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": [0]}, "'data' should be"),
        ({"data": np.zeros((1, 100), np.uint8), "labels": [0]}, r"found \(1, 100\)"),
        ({"data": np.zeros((1, 3072), np.uint8)}, "'labels' should be"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["a"]}, "'labels' should be"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "1 labels for 2 images"),
    ],
)
def test_wrong_contents(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(FileFormatError, match=f"data_batch_3(.|\n)*{message}"):
        CIFAR10(tmp_path)


def test_labels_out_of_range(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    pixels, _ = batch(0)
    path = tmp_path / "data_batch_2"
    path.write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1, 10, 2]}, protocol=2))
    with pytest.raises(LabelError, match=r"data_batch_2(.|\n)*label 10 of sample 2"):
        CIFAR10(tmp_path)


@pytest.mark.parametrize("size", [0, 100, 3072, 3074])
def test_cut_binary_files(size: int, tmp_path: Path) -> None:
    write_cifar10(tmp_path, "binary")
    (tmp_path / "data_batch_4.bin").write_bytes(b"\0" * size)
    with pytest.raises(FileFormatError, match=r"data_batch_4\.bin"):
        CIFAR10(tmp_path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="download=True"):
        CIFAR10(tmp_path)
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_5").unlink()
    with pytest.raises(FileFormatError, match="data_batch_5"):
        CIFAR10(tmp_path)


def test_wrong_names(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": ["one"]}))
    with pytest.raises(FileFormatError, match="list of 10 names"):
        CIFAR10(tmp_path)


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path / "origin" / "cifar-10-batches-py")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(tmp_path / "origin" / "cifar-10-batches-py", "cifar-10-batches-py")
    with serve() as web:
        web.content["cifar-10-python.tar.gz"] = packed.getvalue()
        monkeypatch.setattr(CIFAR10, "url", web.url("cifar-10-python.tar.gz"))
        with pytest.raises(FileFormatError, match="md5"):
            CIFAR10(tmp_path / "root", download=True)
        monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(packed.getvalue()).hexdigest())
        assert len(CIFAR10(tmp_path / "root", download=True)) == 20
        count = len(web.requests)
        CIFAR10(tmp_path / "root", download=True)
        assert len(web.requests) == count
