"""Mean average precision: torchmetrics' results, streamed, merged and kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.metrics import MeanAveragePrecision
from fovea.vision import rle
from tests.metrics.conftest import plain, same
from tests.metrics.detection.made import K, drawn, theirs

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")


def images(seed: int, kinds: str = "bbox", count: int = 8) -> tuple[list[Any], list[Any]]:
    """Drawn annotations and results as a detector gives them, an image each."""
    truth, found = drawn(seed, count, kinds=kinds)
    preds, target = [], []
    for image in range(1, count + 1):
        own = [f for f in found if f["image_id"] == image]
        there = [t for t in truth["annotations"] if t["image_id"] == image]
        parts = []
        for entries in (own, there):
            part: dict[str, Any] = {"labels": np.array([e["category_id"] for e in entries], int)}
            if "bbox" in (entries[0] if entries else {"bbox": 0}):
                part["boxes"] = corners([e["bbox"] for e in entries])
            if kinds == "segm":
                masks = [rle.decode(e["segmentation"]) for e in entries]
                part["masks"] = np.array(masks, bool).reshape(-1, 120, 160)
            if kinds == "keypoints":
                part["keypoints"] = np.array([e["keypoints"] for e in entries]).reshape(-1, K, 3)
            parts.append(part)
        parts[0]["scores"] = np.array([f["score"] for f in own], np.float32)
        parts[1]["iscrowd"] = np.array([t["iscrowd"] for t in there], int)
        parts[1]["area"] = np.array([t["area"] for t in there], np.float32)
        preds.append(parts[0])
        target.append(parts[1])
    return preds, target


def corners(boxes: list[Any]) -> Any:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], 1)


def tensors(given: list[Any], make: Any) -> list[Any]:
    return [{k: make(v) for k, v in image.items()} for image in given]


def agree(torchmetrics: Any, given: Any, **kwargs: Any) -> Any:
    preds, target = given
    # torchmetrics' own defaults are rounded to float32; these are pycocotools'.
    kwargs = {
        "iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(),
        "rec_thresholds": np.linspace(0, 1, 101).tolist(),
        **kwargs,
    }
    reference = torchmetrics.detection.MeanAveragePrecision(**kwargs)
    ours = MeanAveragePrecision(**kwargs)
    for start in range(0, len(preds), 3):
        batch = slice(start, start + 3)
        reference.update(tensors(preds[batch], torch.tensor), tensors(target[batch], torch.tensor))
        ours.update(tensors(preds[batch], fovea.tensor), tensors(target[batch], fovea.tensor))
    found, expected = ours.compute(), reference.compute()
    for values in (found, expected):
        for place, table in values.pop("ious", {}).items():
            values[str([int(i) for i in place])] = np.atleast_1d(np.squeeze(plain(table)))
    same(found, expected)
    return ours


@pytest.mark.parametrize("seed", range(3))
def test_boxes(torchmetrics: Any, seed: int) -> None:
    agree(torchmetrics, images(seed))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"class_metrics": True},
        {"average": "micro", "class_metrics": True},
        {"iou_thresholds": [0.5, 0.6], "rec_thresholds": [0.0, 0.5, 1.0]},
        {"max_detection_thresholds": [1, 2, 100]},
        {"extended_summary": True},
    ],
    ids=str,
)
def test_arguments(torchmetrics: Any, kwargs: Any) -> None:
    agree(torchmetrics, images(4), **kwargs)


@pytest.mark.parametrize("box_format", ["xywh", "cxcywh"])
def test_formats_of_boxes(torchmetrics: Any, box_format: str) -> None:
    preds, target = images(5)
    for image in (*preds, *target):
        boxes = image["boxes"]
        size = boxes[:, 2:] - boxes[:, :2]
        start = boxes[:, :2] if box_format == "xywh" else boxes[:, :2] + size / 2
        image["boxes"] = np.concatenate([start, size], 1)
    agree(torchmetrics, (preds, target), box_format=box_format)


def test_masks(torchmetrics: Any) -> None:
    preds, target = images(6, "segm")
    # torchmetrics forgets detections of an image without true masks.
    kept = [i for i in range(8) if len(target[i]["labels"])]
    preds, target = [preds[i] for i in kept], [target[i] for i in kept]
    for image in target:
        del image["area"]
    for image in preds:
        image.pop("boxes", None)
    ours = agree(torchmetrics, (preds, target), iou_type="segm")
    coded = MeanAveragePrecision(iou_type="segm")
    coded.update(
        [{**p, "masks": [rle.encode(m) for m in p["masks"]]} for p in preds],
        [{**t, "masks": [rle.encode(m) for m in t["masks"]]} for t in target],
    )
    same(coded.compute(), ours.compute())


def test_boxes_and_masks(torchmetrics: Any) -> None:
    given = images(7, "segm")
    for image in given[0]:
        filled = [rle.to_box(rle.encode(m)) for m in image["masks"]]
        image["boxes"] = corners(filled)
    # An image without masks fails in torchmetrics.
    kept = [i for i in range(8) if len(given[0][i]["labels"]) and len(given[1][i]["labels"])]
    given = ([given[0][i] for i in kept], [given[1][i] for i in kept])
    agree(torchmetrics, given, iou_type=("bbox", "segm"))


def test_keypoints() -> None:
    sigmas = np.linspace(0.03, 0.1, K)
    truth, found = drawn(8, 8, kinds="keypoints")
    metric = MeanAveragePrecision("xyxy", "keypoints", sigmas=sigmas)
    preds, target = images(8, "keypoints")
    for image in target:
        image["boxes"] = image["boxes"].astype(np.float64)
    metric.update(preds, target)
    ours = metric.compute()
    expected = theirs(truth, found, "keypoints", kpt_oks_sigmas=sigmas).stats
    names = (
        "map map_50 map_75 map_medium map_large mar_20 mar_iou_50 mar_iou_75 mar_medium mar_large"
    )
    np.testing.assert_allclose([ours[n].item() for n in names.split()], expected, atol=1e-6)


@pytest.mark.parametrize("side", ["preds", "target", "both", "no images"])
def test_nothing(torchmetrics: Any, side: str) -> None:
    preds, target = images(9, count=2)
    preds[0]["boxes"] = preds[0].get("boxes", np.zeros((0, 4), np.float32))
    for image in (preds if side in ("preds", "both") else []) + (
        target if side in ("target", "both") else []
    ):
        for key in image:
            image[key] = image[key][:0]
    if side == "no images":
        empty = MeanAveragePrecision().compute()
        assert empty["map"].item() == -1
        assert empty["classes"].shape == (0,)
        return
    agree(torchmetrics, (preds, target))


def test_states() -> None:
    preds, target = images(10, "segm")
    for image in preds:
        image.pop("boxes", None)
    whole = MeanAveragePrecision(iou_type="segm")
    whole.update(preds, target)
    first, second = MeanAveragePrecision(iou_type="segm"), MeanAveragePrecision(iou_type="segm")
    first(preds[:3], target[:3])
    second.update(preds[3:], target[3:])
    first.merge_state(second)
    same(first.compute(), whole.compute())
    read = MeanAveragePrecision(iou_type="segm")
    read.load_state_dict(first.state_dict())
    same(read.compute(), whole.compute())


def test_mistakes() -> None:
    metric = MeanAveragePrecision()
    image = {"boxes": [[0.0, 0, 1, 1]], "scores": [0.5], "labels": [1]}
    with pytest.raises(ArgumentError, match="1 images in preds, 0 in target"):
        metric.update([image], [])
    with pytest.raises(ArgumentError, match="lacks 'scores'"):
        metric.update([{"boxes": [], "labels": []}], [image])
    with pytest.raises(ShapeError, match="has {'labels': 2"):
        metric.update([image], [{**image, "labels": [1, 1]}])
    with pytest.raises(ShapeError, match="'iscrowd'"):
        metric.update([image], [{**image, "iscrowd": [0, 1]}])
    with pytest.raises(ArgumentError, match="labels are integers"):
        metric.update([image], [{**image, "labels": [0.5]}])
    with pytest.raises(ArgumentError, match="three numbers"):
        MeanAveragePrecision(max_detection_thresholds=[1])
    assert not metric.update_called
