"""VOC's average precision, against its development kit written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fovea.errors import ArgumentError
from fovea.metrics import voc_evaluate
from fovea.metrics.detection import voc_average_precision


def drawn(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    preds, target = [], []
    for _ in range(10):
        corner = rng.integers(0, 60, (rng.integers(0, 5), 2))
        boxes = np.concatenate([corner, corner + rng.integers(5, 40, corner.shape)], 1)
        labels = rng.integers(0, 3, len(boxes))
        difficult = rng.random(len(boxes)) < 0.2
        target.append({"boxes": boxes, "labels": labels, "difficult": difficult})
        near = np.repeat(boxes, 2, 0) + rng.integers(-5, 6, (2 * len(boxes), 4))
        preds.append(
            {
                "boxes": near,
                "labels": np.where(rng.random(len(near)) < 0.9, np.repeat(labels, 2), 0),
                "scores": rng.random(len(near)).round(2),
            }
        )
    return preds, target


def kit(preds: list[Any], target: list[Any], label: int, inclusive: int) -> tuple[Any, Any]:
    """Recall and precision of a class, one detection after another."""
    found = [
        (-s, n, i, box)
        for i, p in enumerate(preds)
        for n, (s, k, box) in enumerate(zip(p["scores"], p["labels"], p["boxes"], strict=True))
        if k == label
    ]
    found.sort(key=lambda f: f[0])
    taken: set[tuple[int, int]] = set()
    wanted = sum(int(((t["labels"] == label) & ~t["difficult"]).sum()) for t in target)
    hits, misses, curve = 0, 0, []
    for _, _, image, box in found:
        best, overlap = None, 0.0
        for n, (k, other) in enumerate(
            zip(target[image]["labels"], target[image]["boxes"], strict=True)
        ):
            w = min(box[2], other[2]) - max(box[0], other[0]) + inclusive
            h = min(box[3], other[3]) - max(box[1], other[1]) + inclusive
            if k != label or w <= 0 or h <= 0:
                continue
            areas = [(b[2] - b[0] + inclusive) * (b[3] - b[1] + inclusive) for b in (box, other)]
            if w * h / (sum(areas) - w * h) > overlap:
                best, overlap = n, w * h / (sum(areas) - w * h)
        if best is not None and overlap > 0.5:
            if not target[image]["difficult"][best]:
                hits += (image, best) not in taken
                misses += (image, best) in taken
                taken.add((image, best))
        else:
            misses += 1
        curve.append((hits / wanted, hits / max(hits + misses, 1e-9)))
    return tuple(np.array(curve).reshape(-1, 2).T)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("eleven", [False, True])
def test_average_precision(seed: int, inclusive: bool, eleven: bool) -> None:
    preds, target = drawn(seed)
    ours = voc_evaluate(preds, target, use_07_metric=eleven, inclusive=inclusive)
    expected = []
    for label in (0, 1, 2):
        recall, precision = kit(preds, target, label, int(inclusive))
        if eleven:
            levels = np.arange(0.0, 1.1, 0.1)
            best = [precision[recall >= t].max() if (recall >= t).any() else 0.0 for t in levels]
            expected.append(np.mean(best))
            continue
        total, last = 0.0, 0.0
        for n, r in enumerate(recall):
            total += (r - last) * precision[n:].max()
            last = r
        expected.append(total)
    np.testing.assert_allclose(ours["ap_per_class"], expected, atol=1e-12)
    assert ours["map"] == pytest.approx(np.mean(expected))


def test_nothing_found_and_difficult_alone() -> None:
    box = [[0, 0, 9, 9]]
    nothing: dict[str, Any] = {"boxes": [], "labels": [], "scores": []}
    assert voc_evaluate([nothing], [{"boxes": box, "labels": [1]}])["map"] == 0
    alone = {"boxes": box, "labels": [1], "difficult": [1]}
    assert np.isnan(voc_evaluate([{**nothing}], [alone])["map"])
    assert voc_average_precision([], []) == 0
    with pytest.raises(ArgumentError, match="1 images"):
        voc_evaluate([nothing], [])
