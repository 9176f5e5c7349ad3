"""Digits: what ships is what scikit-learn has, and the split is what the documentation says."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

import fovea
from fovea.utils.data import DataLoader, random_split
from fovea.vision.datasets import Digits


def test_the_same_scans_as_scikit_learns() -> None:
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    train, test = Digits(), Digits(train=False)
    chosen = np.zeros(1797, bool)
    for digit in range(10):
        chosen[np.flatnonzero(theirs.target == digit)[4::5]] = True
    for part, mask in ((train, ~chosen), (test, chosen)):
        np.testing.assert_array_equal(part.data.numpy(), theirs.images[mask])
        np.testing.assert_array_equal(part.targets.numpy(), theirs.target[mask])


def test_the_split_is_stratified() -> None:
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1442, 355)
    counts = np.bincount(test.targets.numpy())
    assert counts.tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    share = counts / (counts + np.bincount(train.targets.numpy()))
    assert (abs(share - 0.2) < 0.006).all()


def test_samples() -> None:
    data = Digits()
    image, label = data[7]
    assert image.dtype is fovea.float32 and image.shape == (1, 8, 8) and type(label) is int
    np.testing.assert_array_equal(image.numpy()[0], data.data.numpy()[7] / np.float32(16))
    assert image.min().item() >= 0 and image.max().item() == 1
    assert data.images().shape == (1442, 1, 8, 8) and data.class_to_idx["3"] == 3
    assert repr(data) == "Dataset Digits\n    Number of datapoints: 1442\n    Split: Train"


def test_batches_with_and_without_the_fast_path() -> None:
    plain = DataLoader(Digits(), 64)
    slow = DataLoader(Digits(transform=lambda x: x), 64)
    for (a, i), (b, j) in zip(plain, slow, strict=True):
        assert fovea.equal(a, b) and fovea.equal(i, j)
    part, _ = random_split(Digits(), [0.5, 0.5])
    images, labels = next(iter(DataLoader(part, 5)))
    assert images.shape == (5, 1, 8, 8) and labels.tolist() == [part[i][1] for i in range(5)]


def test_transforms() -> None:
    data = Digits(train=False, transform=lambda x: x * 2, target_transform=str)
    image, label = data[0]
    assert image.max().item() == 2 and label == "5"


def test_it_ships_small_and_with_its_license() -> None:
    folder = files("fovea.vision.datasets.digits")
    assert len((folder / "digits.npz").read_bytes()) < 60_000
    text = (folder / "LICENSE").read_text()
    assert "CC BY 4.0" in text and "Alpaydin" in text and "10.24432/C50P49" in text


def test_it_needs_no_other_library() -> None:
    code = (
        "import sys; sys.modules['PIL'] = sys.modules['sklearn'] = None\n"
        "from fovea.vision.datasets import Digits\n"
        "print(Digits()[0][1], len(Digits(train=False)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "355"]
