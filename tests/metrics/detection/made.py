"""Annotations and results that are drawn, and what pycocotools says of them."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np

from fovea.vision import rle

H, W, K = 120, 160, 5


def drawn(
    seed: int, images: int = 12, categories: int = 4, ties: bool = True, kinds: str = "bbox"
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations with crowds, sizes of all ranges and empty images; results near and far."""
    rng = np.random.default_rng(seed)
    things: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 7)):
            thing = one(rng, image, int(rng.integers(1, categories + 1)), kinds)
            thing |= {"id": len(things) + 1, "iscrowd": int(rng.random() < 0.15)}
            things.append(thing)
            for _ in range(rng.integers(0, 4)):
                found.append(near(rng, thing, categories, ties, kinds))
        for _ in range(rng.integers(0, 4)):
            far = one(rng, image, int(rng.integers(1, categories + 1)), kinds)
            found.append(near(rng, far, categories, ties, kinds))
    truth = {
        "info": {},
        "images": [{"id": i, "height": H, "width": W} for i in range(1, images + 1)],
        "categories": [{"id": c, "name": str(c)} for c in range(1, categories + 2)],
        "annotations": things,
    }
    order = rng.permutation(len(found))
    return truth, [found[i] for i in order]


def one(rng: Any, image: int, category: int, kinds: str) -> dict[str, Any]:
    size = rng.choice([8, 20, 32, 50, 96, 110], 2) * rng.choice([1.0, 0.9], 2)
    corner = rng.uniform(0, 1, 2) * np.maximum([W, H] - size, 0)
    corner = np.round(corner)
    box = [float(v) for v in (*corner, *size)]
    thing: dict[str, Any] = {"image_id": image, "category_id": category, "bbox": box}
    thing["area"] = box[2] * box[3] * float(rng.choice([1.0, 0.6]))
    if kinds == "segm":
        thing["segmentation"] = ellipse(box)
        thing["area"] = float(rle.area(thing["segmentation"]))
    if kinds == "keypoints":
        points = np.array(box[:2]) + rng.random((K, 2)) * box[2:]
        seen = rng.integers(0, 3, K) * (rng.random() < 0.8)
        thing["keypoints"] = np.column_stack([points, seen]).reshape(-1).tolist()
        thing["num_keypoints"] = int((seen > 0).sum())
    return thing


def ellipse(box: list[float]) -> dict[str, Any]:
    y, x = np.mgrid[:H, :W]
    inside = ((x - box[0]) / box[2] * 2 - 1) ** 2 + ((y - box[1]) / box[3] * 2 - 1) ** 2 <= 1
    return rle.encode(inside)


def near(rng: Any, thing: dict[str, Any], categories: int, ties: bool, kinds: str) -> Any:
    box = np.array(thing["bbox"]) + rng.integers(-6, 7, 4) * (rng.random() < 0.8)
    box = np.maximum(box, [0, 0, 2, 2]).tolist()
    score = rng.random()
    made = {"image_id": thing["image_id"], "score": round(score, 1) if ties else score}
    made["category_id"] = thing["category_id"]
    if rng.random() < 0.1:
        made["category_id"] = int(rng.integers(1, categories + 1))
    if kinds == "bbox":
        made["bbox"] = box
    if kinds == "segm":
        made["segmentation"] = ellipse(box)
    if kinds == "keypoints":
        points = np.array(thing["keypoints"]) + rng.normal(0, 3, 3 * K)
        made["keypoints"] = points.tolist()
    return made


def theirs(truth: dict[str, Any], found: list[Any], kind: str, **params: Any) -> Any:
    """What pycocotools finds: its numbers and tables."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        held = COCO()
        held.dataset = copy.deepcopy(truth)
        held.createIndex()
        results = held.loadRes(copy.deepcopy(found)) if found else COCO()
        if not found:
            results.dataset = {**copy.deepcopy(truth), "annotations": []}
            results.createIndex()
        evaluation = COCOeval(held, results, kind)
        for name, value in params.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
