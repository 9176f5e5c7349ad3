"""Kinds of a detector's errors: cases of each, COCO's average precision, and what oracles give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fovea.errors import ArgumentError
from fovea.metrics import MeanAveragePrecision, tide_evaluate

BOX = [10.0, 10.0, 30.0, 30.0]
NEAR = [18.0, 10.0, 38.0, 30.0]  # overlaps BOX by 12 / 28
FAR = [60.0, 60.0, 80.0, 80.0]
KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")


def found(*rows: tuple[list[float], float, int]) -> dict[str, Any]:
    return {
        "boxes": np.reshape([b for b, _, _ in rows], (-1, 4)),
        "scores": np.array([s for _, s, _ in rows]),
        "labels": np.array([c for _, _, c in rows], int),
    }


def there(*rows: tuple[list[float], int], **more: Any) -> dict[str, Any]:
    boxes = np.reshape([b for b, _ in rows], (-1, 4))
    return {"boxes": boxes, "labels": np.array([c for _, c in rows], int), **more}


def counts(result: Any) -> dict[str, int]:
    return {name: n for name, n in result.counts.items() if n}


@pytest.mark.parametrize(("preds", "target", "expected"), [
    ([(BOX, 0.9, 1)], [(BOX, 1)], {}),
    ([(BOX, 0.9, 2)], [(BOX, 1)], {"classification": 1}),
    ([(NEAR, 0.9, 1)], [(BOX, 1)], {"localization": 1}),
    ([(NEAR, 0.9, 2)], [(BOX, 1)], {"both": 1, "missed": 1}),
    ([(BOX, 0.9, 1), (BOX, 0.8, 1)], [(BOX, 1)], {"duplicate": 1}),
    ([(FAR, 0.9, 1), (BOX, 0.8, 1)], [(BOX, 1)], {"background": 1}),
    ([], [(BOX, 1), (FAR, 2)], {"missed": 2}),
    ([(BOX, 0.9, 1)], [], {"background": 1}),
    ([(BOX, 0.3, 2), (BOX, 0.9, 1)], [(BOX, 1)], {"classification": 1}),
    ([(NEAR, 0.9, 1), (BOX, 0.8, 1)], [(BOX, 1)], {"localization": 1}),
    ([(BOX, 0.9, 1)], [(BOX, 1), (NEAR, 2)], {"missed": 1}),
])  # fmt: skip
def test_kinds(preds: Any, target: Any, expected: dict[str, int]) -> None:
    result = tide_evaluate([found(*preds)], [there(*target)])
    assert counts(result) == expected and {*result.costs} == {*KINDS}
    for kind in KINDS:  # what does not occur costs nothing
        assert kind in expected or not target or result.costs[kind] == 0


def test_what_each_costs() -> None:
    """A class with a right detection behind a wrong one, and a class with nothing found."""
    preds = [found((FAR, 0.9, 1), (BOX, 0.8, 1), (FAR, 0.4, 3)), found((NEAR, 0.7, 2))]
    target = [there((BOX, 1)), there((BOX, 2), (FAR, 2))]
    result = tide_evaluate(preds, target)
    # Class 1: precision 1/2 at all recalls. Class 2: nothing.
    assert result.ap == pytest.approx(0.25)
    assert counts(result) == {"background": 2, "localization": 1, "missed": 1}
    assert result.costs["background"] == pytest.approx(0.25)
    # Mended, class 2 has one of two objects, at precision 1: recalls 0 to 0.5, 51 of 101.
    assert result.costs["localization"] == pytest.approx(51 / 101 / 2)
    assert result.costs["missed"] == 0 and result.false_positives == pytest.approx(0.25)
    assert result.false_negatives == pytest.approx(0.0)
    assert "background" in str(result) and "AP 0.2500" in str(result)


def test_missed_objects() -> None:
    result = tide_evaluate([found((BOX, 0.9, 1))], [there((BOX, 1), (FAR, 1))])
    assert result.ap == pytest.approx(51 / 101)
    assert result.costs["missed"] == pytest.approx(50 / 101)
    assert result.false_negatives == pytest.approx(50 / 101) and result.false_positives == 0


def test_of_two_that_are_mended_one_is_right() -> None:
    """The better of two detections of another class becomes right, the other goes."""
    result = tide_evaluate([found((BOX, 0.9, 2), (BOX, 0.8, 3))], [there((BOX, 1))])
    assert counts(result) == {"classification": 2} and result.ap == 0
    assert result.costs["classification"] == 1.0
    # Of an object that is found, nothing is to be mended: the wrong detection goes.
    preds = [found((BOX, 0.9, 2), (BOX, 0.8, 1), (FAR, 0.7, 2))]
    result = tide_evaluate(preds, [there((BOX, 1), (FAR, 2))])
    assert result.ap == pytest.approx((1 + 0.5) / 2)
    assert result.costs["classification"] == pytest.approx(0.25)


def test_crowds_and_the_most() -> None:
    crowd = there((BOX, 1), (FAR, 1), iscrowd=np.array([1, 0]))
    result = tide_evaluate([found((BOX, 0.9, 1), (FAR, 0.8, 1))], [crowd])
    assert result.ap == pytest.approx(1.0) and counts(result) == {}
    preds = [found((FAR, 0.9, 1), (BOX, 0.8, 1))]
    result = tide_evaluate(preds, [there((BOX, 1))], max_detections=1)
    assert counts(result) == {"background": 1, "missed": 1}


def drawn(seed: int, images: int = 12) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    preds, target = [], []
    for _ in range(images):
        count = int(rng.integers(1, 6))
        low = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 30, (count, 2))], 1)
        labels = rng.integers(1, 4, count)
        target.append({"boxes": boxes, "labels": labels})
        again = rng.integers(0, count, 9)
        near = boxes[again] + rng.normal(0, 4, (9, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        kept = rng.random(9) < 0.7
        guessed = np.where(kept, labels[again], rng.integers(1, 4, 9))
        preds.append({"boxes": near, "scores": rng.random(9), "labels": guessed})
    return preds, target


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_cocos(seed: int) -> None:
    preds, target = drawn(seed)
    metric = MeanAveragePrecision()
    metric.update(preds, target)
    result = tide_evaluate(preds, target)
    assert result.ap == pytest.approx(float(metric.compute()["map_50"]), abs=1e-6)
    wrong = sum(result.counts[k] for k in KINDS[:-1])
    assert 0 < wrong < sum(len(p["scores"]) for p in preds)
    assert all(cost >= -1e-12 for cost in result.costs.values())


@pytest.mark.parametrize("seed", range(4))
def test_oracles(seed: int) -> None:
    """What is said to be gained is what mended detections give."""
    preds, target = drawn(seed)
    result = tide_evaluate(preds, target)
    # Without wrong detections: those that meet their object, by trying them one by one.
    right = []
    for p, t in zip(preds, target, strict=True):
        taken: set[int] = set()
        keep = []
        for i in np.argsort(-p["scores"]):
            best, overlap = -1, 0.5
            for j, box in enumerate(t["boxes"]):
                if j in taken or t["labels"][j] != p["labels"][i]:
                    continue
                a = p["boxes"][i]
                w, h = (min(a[k + 2], box[k + 2]) - max(a[k], box[k]) for k in (0, 1))
                common = max(w, 0) * max(h, 0)
                union = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (a, box)) - common
                if common / union >= overlap:
                    best, overlap = j, common / union
            if best >= 0:
                taken.add(best)
                keep.append(i)
        right.append({key: value[keep] for key, value in p.items()})
    metric = MeanAveragePrecision()
    metric.update(right, target)
    without = float(metric.compute()["map_50"])
    assert result.ap + result.false_positives == pytest.approx(without, abs=1e-6)


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="1 images in preds, 0"):
        tide_evaluate([found()], [])
    with pytest.raises(ArgumentError, match="background_threshold"):
        tide_evaluate([], [], 0.5, 0.7)
    assert np.isnan(tide_evaluate([], []).ap)


def test_an_object_is_mended_once() -> None:
    """The best of the detections that aim at an object, whatever is wrong with them."""
    result = tide_evaluate([found((BOX, 0.9, 2), (NEAR, 0.8, 1))], [there((BOX, 1))])
    assert counts(result) == {"classification": 1, "localization": 1}
    assert result.costs["classification"] == 1.0 and result.costs["localization"] == 0.0


def test_is_the_authors_own() -> None:
    """Numbers of tidecv 1.0.1, which agrees on such drawn detections to the last digits."""
    result = tide_evaluate(*drawn(39, 8))
    assert result.counts == dict(zip(KINDS, (8, 20, 6, 18, 4, 1), strict=True))
    expected = (0.1052, 0.2465, 0.0253, 0.0302, 0.0116, 0.0050)
    found_costs = [result.costs[name] for name in KINDS]
    np.testing.assert_allclose(found_costs, expected, atol=6e-5)
