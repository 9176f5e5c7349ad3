"""Run-length masks: those of pycocotools, character by character, and damaged ones."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.vision import rle

Array = np.ndarray[Any, Any]


def pictures(rng: np.random.Generator, count: int) -> Array:
    """Masks of one size, from empty to full."""
    h, w = rng.integers(1, 30, 2)
    masks = rng.random((count, h, w)) < rng.random((count, 1, 1)) * 1.2 - 0.1
    masks[0, h // 3 :, w // 4 : w // 2] = True
    return masks.astype(np.uint8)


def theirs(mask: Array) -> Any:
    return coco.encode(np.asfortranarray(mask))


@pytest.mark.parametrize("seed", range(60))
def test_masks(seed: int) -> None:
    masks = pictures(np.random.default_rng(seed), 4)
    ours, expected = [rle.encode(m) for m in masks], [theirs(m) for m in masks]
    assert [m["counts"].encode() for m in ours] == [m["counts"] for m in expected]
    np.testing.assert_array_equal(rle.decode(ours), masks)
    np.testing.assert_array_equal(rle.decode(expected), masks)  # their counts are bytes
    assert [rle.area(m) for m in ours] == coco.area(expected).tolist()
    np.testing.assert_array_equal([rle.to_box(m) for m in ours], coco.toBbox(expected))
    for intersect in (False, True):
        merged = coco.merge(expected, intersect)
        assert rle.merge(ours, intersect)["counts"].encode() == merged["counts"]
    for crowd in ([0, 0, 0], [1, 0, 1]):
        found = rle.iou(ours, ours[1:], [bool(c) for c in crowd])
        np.testing.assert_allclose(found, coco.iou(expected, expected[1:], crowd), rtol=1e-14)


@pytest.mark.parametrize("seed", range(60))
def test_polygons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w = (int(v) for v in rng.integers(1, 50, 2))
    corners = 2 * rng.integers(3, 9, 2)
    kinds = (
        lambda n: rng.random(n) * 60 - 10,
        lambda n: rng.random(n) * min(h, w),
        lambda n: rng.integers(-3, 45, n).astype(float),
    )
    polygons = [kinds[seed % 3](n).tolist() for n in corners]
    expected = coco.merge(coco.frPyObjects(polygons, h, w))
    assert rle.from_polygons(polygons, h, w)["counts"].encode() == expected["counts"]
    box = rng.random(4) * 30
    expected = coco.frPyObjects(np.array([box]), h, w)[0]
    np.testing.assert_array_equal(rle.decode(rle.from_box(box, h, w)), coco.decode(expected))


def test_counts_that_are_listed() -> None:
    listed = {"size": [4, 5], "counts": [3, 2, 0, 4, 11]}
    expected = coco.frPyObjects(listed, 4, 5)
    np.testing.assert_array_equal(rle.decode(listed), coco.decode(expected))
    assert rle.area(rle.from_counts(listed["counts"], 4, 5)) == 6
    full = rle.from_counts([0, 20], 4, 5)
    assert rle.decode(full).all() and rle.to_box(full).tolist() == [0, 0, 5, 4]


def test_nothing() -> None:
    empty = rle.from_polygons([], 3, 4)
    assert rle.area(empty) == 0 and not rle.decode(empty).any()
    assert rle.to_box(empty).tolist() == [0, 0, 0, 0]
    assert rle.decode([]).shape == (0, 0, 0) and rle.iou([], [empty]).shape == (0, 1)
    none = rle.encode(np.zeros((0, 5)))
    assert rle.decode(none).shape == (0, 5) and rle.area(none) == 0


@pytest.mark.parametrize(
    "coded",
    [
        {},
        {"size": [2], "counts": "4"},
        {"size": [2, 2], "counts": None},
        {"size": [2, 2], "counts": "5"},
        {"size": [2, 2], "counts": "T"},
        {"size": [2, 2], "counts": "\x00"},
        {"size": [2, 2], "counts": "ffff"},
        {"size": [2, 2], "counts": "é"},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": [[4]]},
        {"size": [1 << 20, 1 << 20], "counts": [1 << 40]},
        {"size": [-2, -2], "counts": [4]},
    ],
)
def test_damaged(coded: Any) -> None:
    with pytest.raises(FileFormatError, match="rle"):
        rle.decode(coded)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=120), max_size=12))
def test_any_text(text: str) -> None:
    with contextlib.suppress(FileFormatError):
        assert rle.decode({"size": [6, 7], "counts": text}).shape == (6, 7)


def test_refusals() -> None:
    with pytest.raises(ShapeError):
        rle.encode(np.zeros(3))
    for masks in ([], [rle.encode(np.zeros((2, 2))), rle.encode(np.zeros((2, 3)))]):
        with pytest.raises(ArgumentError):
            rle.merge(masks)
    for polygon in ([1.0], [], [np.nan, 0.0], [1e12, 0.0], [[1.0, 2.0]]):
        with pytest.raises((ArgumentError, FileFormatError)):
            rle.from_polygons([polygon], 4, 4)
