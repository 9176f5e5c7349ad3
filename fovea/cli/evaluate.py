"""``fovea evaluate``: how good a checkpoint is on a set of images."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.console import Console, UsageError, add_output_options, at_least
from fovea.cli.recipes import DATASETS

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier

__all__ = ["add_parser"]

_DESCRIPTION = """\
Measure a checkpoint: accuracy, precision and recall of each class, the commonest mistakes; of a
detector average precision; of a segmenter intersection over union.

Without DATA it takes the test images that belong to those it was trained on.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a checkpoint",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="what fovea train wrote")
    parser.add_argument("data", nargs="?", metavar="DATA", help="a folder with a folder a class")
    parser.add_argument("--dataset", choices=DATASETS, help="a dataset by its name")
    parser.add_argument(
        "--root", default="data", help="where the dataset's files are (default: %(default)s)"
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch the dataset if it is missing"
    )
    parser.add_argument(
        "--views",
        type=_views,
        default=("same",),
        metavar="NAMES",
        help="look at each image in several ways, such as same,hflip, and take the mean",
    )
    parser.add_argument("--workers", type=at_least(0), default=2, metavar="N")
    parser.add_argument(
        "--output", metavar="DIR", help="draw the confusion matrix into this folder"
    )
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def _views(text: str) -> tuple[str, ...]:
    from fovea.training.views import VIEWS

    names = tuple(text.split(","))
    unknown = [name for name in names if name not in VIEWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(VIEWS)}")
    return names


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if args.data is not None and args.dataset is not None:
        raise UsageError("give either a folder or --dataset, not both")
    from fovea.cli.checkpoints import read_checkpoint
    from fovea.cli.learned import Learned

    classifier = read_checkpoint(args.checkpoint)
    if isinstance(classifier, Learned):
        from fovea.cli.use_scenes import evaluate_scenes

        if args.views != ("same",):
            raise UsageError(f"--views is not there for {classifier.task}")
        return evaluate_scenes(args, classifier)
    from fovea.cli.fitting import measure
    from fovea.cli.progress import MeasureBar
    from fovea.cli.results import class_table, draw, measured_document, worst_confusions

    console = Console(args.json, args.quiet)
    dataset, title = _images(args, classifier)
    bar = MeasureBar(console, -(-len(dataset) // 256))
    result = measure(
        classifier.model, dataset, len(classifier.classes), args.workers, [bar], args.views
    )
    console.say(class_table(result.counts, classifier.classes) + "\n")
    console.show(
        f"{classifier.name} on {title}: accuracy {result.accuracy:.2%}"
        f" ({result.right:,} of {result.total:,} right), loss {result.loss:.4f}"
    )
    for text in worst_confusions(result.counts, classifier.classes):
        console.say(f"  {text}")
    files: dict[str, Path] = {}
    if args.output is not None:
        folder = Path(args.output)
        folder.mkdir(parents=True, exist_ok=True)
        heading = f"{classifier.name} on {title}"
        files = draw(console, folder, heading, classifier.classes, "accuracy", result)
        for name, path in files.items():
            console.show(f"{name.replace('_', ' ')}: {path}")
    console.document(
        {
            "command": "evaluate",
            "checkpoint": args.checkpoint,
            "data": title,
            **measured_document(result, classifier.classes),
            **{f"{name}_png": str(path) for name, path in files.items()},
        }
    )
    return 0


def _images(args: argparse.Namespace, classifier: Classifier) -> tuple[Any, str]:
    """The images to measure with, and what to call them."""
    from fovea.cli.folders import folder_test
    from fovea.cli.sources import named_test

    origin = classifier.origin
    name, folder = args.dataset, args.data
    if name is None and folder is None:
        name = origin.get("name") if origin.get("name") in DATASETS else None
        folder = origin.get("path") if isinstance(origin.get("path"), str) else None
    if name is not None:
        dataset, title = named_test(name, args.root, classifier.preprocess, args.download)
        _check_labels(dataset, classifier, title)
        return dataset, title
    if folder is None:
        raise UsageError("the checkpoint does not say what it was trained on: name DATA")
    return folder_test(folder, classifier.classes, classifier.preprocess, _held_out(origin, folder))


def _check_labels(dataset: Any, classifier: Classifier, title: str) -> None:
    from fovea.errors import LabelError

    known = len(classifier.classes)
    if int(dataset.labels.max(initial=0)) >= known:
        raise LabelError(f"{title} has more classes than the {known} that the checkpoint knows.")


def _held_out(origin: dict[str, Any], folder: str) -> list[str] | None:
    """The files that training kept for testing, if ``folder`` is the one it was trained on."""
    files, path = origin.get("held_out"), origin.get("path")
    if not isinstance(files, list) or not isinstance(path, str):
        return None
    same = os.path.isdir(path) and os.path.isdir(folder) and os.path.samefile(path, folder)
    return files if same else None
