"""COCO's evaluation of as many boxes as its validation set has. ``python -m bench coco``.

Images and boxes are drawn; both evaluators get the same lists, and their numbers must be equal.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import time
from typing import Any

import numpy as np

from bench.tables import Report

__all__ = ["drawn", "time_coco"]

IMAGES, OBJECTS, DETECTIONS, CATEGORIES = 5000, 36000, 100, 80


def drawn(images: int, objects: int, detections: int) -> tuple[dict[str, Any], list[Any]]:
    """Annotations and results in COCO's format: a third of the results lie near an object."""
    rng = np.random.default_rng(0)
    things: list[dict[str, Any]] = []
    by_image: list[list[dict[str, Any]]] = [[] for _ in range(images)]
    for number in range(objects):
        image, category = int(rng.integers(images)), int(rng.zipf(1.3) % CATEGORIES) + 1
        size = np.exp(rng.normal(4, 1, 2)).clip(4, 300)
        thing: dict[str, Any] = {"id": number + 1, "image_id": image, "category_id": category}
        thing |= {"bbox": [*(rng.random(2) * 400).tolist(), *size.tolist()]}
        thing |= {"area": float(size.prod() * 0.6), "iscrowd": int(rng.random() < 0.01)}
        things.append(thing)
        by_image[image].append(thing)
    found = []
    for image, there in enumerate(by_image):
        for _ in range(detections):
            near = there and rng.random() < 0.35
            thing = there[rng.integers(len(there))] if near else things[rng.integers(objects)]
            box = np.array(thing["bbox"]) * (1 + rng.normal(0, 0.08, 4))
            hit = {"image_id": image, "category_id": thing["category_id"]}
            found.append({**hit, "bbox": box.tolist(), "score": float(rng.random())})
    truth = {
        "info": {},
        "images": [{"id": i, "height": 480, "width": 640} for i in range(images)],
        "categories": [{"id": c, "name": str(c)} for c in range(1, CATEGORIES + 1)],
        "annotations": things,
    }
    return truth, found


def time_coco(report: Report) -> None:
    """A table with the seconds of each evaluator."""
    from fovea.metrics import coco_evaluate

    truth, found = drawn(IMAGES, OBJECTS, DETECTIONS)
    report.start(
        "coco",
        f"COCO's numbers of {IMAGES} images, {OBJECTS} objects, {len(found)} boxes (seconds)",
        ("evaluator", "seconds", "mAP"),
    )
    start = time.perf_counter()
    ours = coco_evaluate(truth, found)
    row(report, "fovea", time.perf_counter() - start, ours.stats)
    try:
        coco, evaluation = (
            importlib.import_module(f"pycocotools.{name}") for name in ("coco", "cocoeval")
        )
    except ImportError:
        return
    with contextlib.redirect_stdout(io.StringIO()):
        held = coco.COCO()
        held.dataset = truth
        held.createIndex()
        start = time.perf_counter()
        theirs = evaluation.COCOeval(held, held.loadRes(found), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
        seconds = time.perf_counter() - start
    row(report, "pycocotools", seconds, theirs.stats)
    np.testing.assert_allclose(ours.stats, theirs.stats, atol=1e-9)


def row(report: Report, name: str, seconds: float, stats: Any) -> None:
    """A line of the table."""
    record = {"evaluator": name, "seconds": seconds, "map": float(stats[0])}
    report.row("coco", record, (name, f"{seconds:.1f}", f"{stats[0]:.4f}"))
