"""``fovea predict``: what a checkpoint sees in images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fovea.cli.console import Console, add_output_options, at_least

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier

__all__ = ["add_parser"]

_BATCH = 32


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "predict",
        help="say what is in images",
        description="Say what a checkpoint sees in images: classes, objects, or classes of pixels.",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="what fovea train wrote")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument(
        "--top", type=at_least(1), default=3, metavar="K", help="classes to show (default: 3)"
    )
    parser.add_argument(
        "--invert",
        action="store_true",
        help="exchange light and dark: for dark ink on light paper, where training had it the"
        " other way round",
    )
    parser.add_argument(
        "--threshold", type=float, default=0.4, metavar="X",
        help="of detectors: the least score that is told (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="DIR", help="of detectors and segmenters: draw what was found there"
    )
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code: 1 if an image could not be read."""
    from fovea.cli.checkpoints import read_checkpoint
    from fovea.cli.learned import Learned

    classifier = read_checkpoint(args.checkpoint)
    if isinstance(classifier, Learned):
        from fovea.cli.use_scenes import predict_scenes

        return predict_scenes(args, classifier)
    console = Console(args.json, args.quiet)
    found: list[dict[str, Any]] = []
    width = max(len(image) for image in args.images)
    for start in range(0, len(args.images), _BATCH):
        for entry in _classify(classifier, args.images[start : start + _BATCH], args):
            found.append(entry)
            if "error" in entry:
                console.warn(entry["error"])
                continue
            guesses = "  ".join(f"{t['class']} {t['probability']:.1%}" for t in entry["top"])
            console.show(f"{entry['image']:<{width}}  {guesses}")
    console.document({"command": "predict", "checkpoint": args.checkpoint, "predictions": found})
    return 1 if any("error" in entry for entry in found) else 0


def _classify(
    classifier: Classifier, paths: list[str], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """An entry for each image, in order: its most likely classes, or what is wrong with it."""
    import fovea
    from fovea.errors import FileFormatError

    entries: list[dict[str, Any]] = []
    tensors, readable = [], []
    for path in paths:
        entry: dict[str, Any] = {"image": path}
        entries.append(entry)
        try:
            tensors.append(_read(classifier, path, args.invert))
            readable.append(entry)
        except FileFormatError as error:
            entry["error"] = error.summary
    if not tensors:
        return entries
    with fovea.no_grad():
        logits = classifier.model(fovea.stack(tensors))
        probabilities = fovea.softmax(logits, dim=1)
    values, places = probabilities.topk(min(args.top, len(classifier.classes)), dim=1)
    for entry, row, columns in zip(readable, values.tolist(), places.tolist(), strict=True):
        entry["top"] = [
            {"class": classifier.classes[i], "probability": p}
            for p, i in zip(row, columns, strict=True)
        ]
    return entries


def _read(classifier: Classifier, path: str, invert: bool) -> Any:
    from fovea.vision.io import open_image

    image = open_image(path, classifier.preprocess.mode)
    if invert:
        image = image.point(lambda value: 255 - value)
    return classifier.preprocess.transform()(image)
