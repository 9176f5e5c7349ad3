"""COCO's numbers, equal to pycocotools'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.errors import ArgumentError, FileFormatError
from fovea.metrics.detection import coco_evaluate
from tests.metrics.detection.made import K, drawn, theirs

pytest.importorskip("pycocotools")


def agree(truth: Any, found: Any, kind: str, params: Any = None, **options: Any) -> Any:
    expected = theirs(truth, found, kind, **(params or {}))
    ours = coco_evaluate(truth, found, kind, **options)
    for name in ("precision", "recall", "scores"):
        np.testing.assert_allclose(getattr(ours, name), expected.eval[name], atol=1e-12)
    np.testing.assert_allclose(ours.stats, expected.stats, atol=1e-12)
    return ours


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_numbers(seed: int, kind: str) -> None:
    truth, found = drawn(seed, ties=bool(seed % 2), kinds=kind)
    ours = agree(truth, found, kind)
    assert list(ours.numbers)[:3] == ["map", "map_50", "map_75"]
    assert 0 < ours.numbers["map"] < 1
    assert len(ours.stats) == 12
    assert f"{ours.numbers['map']:.3f}" in str(ours)


@pytest.mark.parametrize("seed", range(4))
def test_keypoints(seed: int) -> None:
    truth, found = drawn(seed, kinds="keypoints")
    sigmas = np.linspace(0.03, 0.1, K)
    ours = agree(truth, found, "keypoints", {"kpt_oks_sigmas": sigmas}, sigmas=sigmas)
    assert len(ours.stats) == 10


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_small_cases(seed: int, images: int, categories: int, ties: bool) -> None:
    truth, found = drawn(seed, images, categories, ties)
    agree(truth, found, "bbox")


def test_settings() -> None:
    truth, found = drawn(20)
    agree(truth, found, "bbox", {"useCats": 0}, use_categories=False)
    agree(truth, found, "bbox", {"catIds": [2, 3]}, categories=[3, 2])
    agree(truth, found, "bbox", {"imgIds": [1, 5, 6]}, images=[1, 5, 6])
    few = {
        "iouThrs": np.array([0.5, 0.75]),
        "recThrs": np.array([0.0, 0.5]),
        "maxDets": [1, 2, 100],
    }
    options = {"iou_thresholds": [0.5, 0.75], "recall_thresholds": [0, 0.5]}
    agree(truth, found, "bbox", few, **options, max_detections=[1, 2, 100])


def test_nothing_there_and_nothing_found() -> None:
    truth, found = drawn(21)
    nothing = coco_evaluate(truth, [])
    np.testing.assert_allclose(nothing.stats, theirs(truth, [], "bbox").stats)
    empty = {**truth, "annotations": []}
    agree(empty, found, "bbox")
    assert (coco_evaluate(empty, []).stats == -1).all()


def test_more_than_count() -> None:
    truth, found = drawn(22, images=1, categories=1)
    rng = np.random.default_rng(0)
    many = [{**f, "score": float(rng.random())} for f in found for _ in range(30)]
    agree(truth, many, "bbox")


def test_equal_boxes() -> None:
    box = {"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 10.0, 10.0], "area": 100.0}
    truth = {
        "info": {},
        "images": [{"id": 1, "height": 20, "width": 20}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{**box, "id": i + 1, "iscrowd": int(i == 1)} for i in range(4)],
    }
    found = [{**box, "score": 0.5} for _ in range(6)]
    agree(truth, [{k: f[k] for k in f if k != "area"} for f in found], "bbox")
    thin = [
        {**found[0], "bbox": [0.0, 0.0, 0.0, 10.0]},
        {**found[0], "bbox": [5.0, 0.0, 5.0, 10.0]},
    ]
    agree(truth, thin, "bbox")  # no area, and an overlap of exactly one half


def test_polygons() -> None:
    truth, found = drawn(23, kinds="segm")
    for thing in truth["annotations"]:
        x, y, w, h = thing["bbox"]
        if not thing["iscrowd"]:
            thing["segmentation"] = [[x, y, x + w, y + h / 3, x + w / 2, y + h]]
    agree(truth, found, "segm")


def test_files(tmp_path: Path) -> None:
    truth, found = drawn(24)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(found))
    read = coco_evaluate(tmp_path / "truth.json", str(tmp_path / "found.json"))
    assert read.numbers == coco_evaluate(truth, found).numbers


def test_mistakes(tmp_path: Path) -> None:
    truth, found = drawn(25)
    with pytest.raises(ArgumentError, match="no image 99"):
        coco_evaluate(truth, [{**found[0], "image_id": 99}])
    with pytest.raises(FileFormatError, match="'score'"):
        coco_evaluate(truth, [{k: v for k, v in found[0].items() if k != "score"}])
    with pytest.raises(FileFormatError, match="are a list"):
        coco_evaluate(truth, {})
    with pytest.raises(ArgumentError, match="iou_type is one of"):
        coco_evaluate(truth, found, "boxes")
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(FileFormatError, match="no JSON"):
        coco_evaluate(truth, tmp_path / "no.json")
