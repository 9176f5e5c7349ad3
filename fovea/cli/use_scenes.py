"""``fovea predict`` and ``fovea evaluate`` for detectors and segmenters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from fovea.cli.console import Console, UsageError
from fovea.cli.learned import Learned
from fovea.cli.measuring import measure_scenes
from fovea.cli.pictures import found_in, painted
from fovea.cli.scenes import scenes_of
from fovea.errors import FileFormatError

__all__ = ["evaluate_scenes", "predict_scenes"]


def predict_scenes(args: argparse.Namespace, learned: Learned) -> int:
    """Say what is in images, and with ``--output`` draw it; returns the exit code."""
    from fovea.vision.io import open_image

    console = Console(args.json, args.quiet)
    entries: list[dict[str, Any]] = []
    for path in args.images:
        entry: dict[str, Any] = {"image": path}
        entries.append(entry)
        try:
            image = open_image(path)
        except FileFormatError as error:
            entry["error"] = error.summary
            console.warn(error.summary)
            continue
        found = found_in(learned, image, args.threshold)
        entry |= _described(learned, found)
        console.show(f"{path}  {_in_words(learned, entry)}")
        if args.output is not None:
            target = Path(args.output) / f"{Path(path).stem}-found.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            painted(learned, image, found).save(target)
            entry["picture"] = str(target)
    console.document({"command": "predict", "checkpoint": args.checkpoint, "predictions": entries})
    return 1 if any("error" in entry for entry in entries) else 0


def _described(learned: Learned, found: Any) -> dict[str, Any]:
    if learned.task == "detection":
        return {"objects": found}
    numbers, counts = np.unique(found, return_counts=True)
    return {
        "pixels": {
            learned.classes[int(n)]: float(c / found.size)
            for n, c in zip(numbers, counts, strict=True)
        }
    }


def _in_words(learned: Learned, entry: dict[str, Any]) -> str:
    if learned.task == "segmentation":
        shares = sorted(entry["pixels"].items(), key=lambda item: -item[1])
        return "  ".join(f"{name} {share:.1%}" for name, share in shares)
    if not entry["objects"]:
        return "nothing"
    counts: dict[str, list[float]] = {}
    for found in entry["objects"]:
        counts.setdefault(found["class"], []).append(found["score"])
    return "  ".join(f"{len(s)} {name} (up to {max(s):.0%})" for name, s in counts.items())


def evaluate_scenes(args: argparse.Namespace, learned: Learned) -> int:
    """Measure a checkpoint on the test images; returns the exit code."""
    console = Console(args.json, args.quiet)
    data = args.data or learned.origin.get("path")
    if data is None and learned.origin.get("kind") != "shapes":
        raise UsageError("name the folder to measure on")
    skip_bad = learned.origin.get("skip_bad") is True
    scenes = scenes_of(data, learned.task, learned.image_size, skip_bad=skip_bad)
    if scenes.classes != learned.classes:
        raise FileFormatError(
            f"{data} has the classes {', '.join(scenes.classes)}; the checkpoint knows "
            f"{', '.join(learned.classes)}."
        )
    measured = measure_scenes(learned, scenes.test)
    console.show(f"{learned.name} on {scenes.title}: {measured.summary()}")
    console.show(measured.table())
    console.document(
        {
            "command": "evaluate",
            "checkpoint": args.checkpoint,
            "data": scenes.title,
            "test": measured.document(),
        }
    )
    return 0
