"""``fovea data``: what is wrong with a data set, and where a loader's time goes."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from fovea.cli.console import Console, add_output_options, at_least

__all__ = ["add_parser"]

_LINT = """\
Look for what would spoil training: files that cannot be read, boxes that make no sense, the same
picture twice or in two parts, classes that are rare or missing. Nothing is changed.

PATH is a folder with a folder for each class, or with parts (train, val, test) of that kind; a
folder in Pascal VOC's, YOLO's, COCO's or Cityscapes' layout, or with images and masks; or a CSV
file.

The exit code is 1 if something severe was found.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "data", help="check a data set, time its loading", description="Check and time data sets."
    )
    parser.set_defaults(run=lambda args: parser.print_help() or 0, parser=parser)
    kinds = parser.add_subparsers(metavar="COMMAND", title="commands")
    lint = kinds.add_parser(
        "lint",
        help="what is wrong with a data set",
        description=_LINT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_place(lint)
    lint.add_argument(
        "--task",
        choices=("detection", "segmentation"),
        help="of Pascal VOC's layout: the boxes (default) or the masks",
    )
    lint.add_argument(
        "--threads", type=at_least(1), default=4, metavar="N", help="that read pictures"
    )
    add_output_options(lint)
    lint.set_defaults(run=run_lint, parser=lint)
    profile = kinds.add_parser(
        "profile",
        help="where the time of loading goes",
        description="Measure what reading, preparing and batching the images takes.",
    )
    _add_place(profile)
    profile.add_argument("--image-size", type=at_least(4), default=224, metavar="N")
    profile.add_argument("--batch-size", type=at_least(1), default=32, metavar="N")
    profile.add_argument("--workers", type=at_least(0), default=2, metavar="N")
    profile.add_argument("--batches", type=at_least(2), default=20, metavar="N")
    add_output_options(profile)
    profile.set_defaults(run=run_profile, parser=profile)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="where the data set lies")
    parser.add_argument("--images", metavar="DIR", help="the images of a COCO or CSV file")


def run_lint(args: argparse.Namespace) -> int:
    """Run ``fovea data lint``; returns the exit code."""
    from fovea.training.progress import Progbar
    from fovea.vision.checking import lint, open_parts

    console = Console(args.json, args.quiet)
    parts = open_parts(args.path, args.images, args.task)
    bar: Progbar | None = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if console.quiet or console.as_json:
            return
        bar = bar or Progbar(total, unit_name="picture")
        bar.update(done)

    report = lint(parts, threads=args.threads, progress=progress)
    console.show(str(report))
    console.document({"command": "data lint", **report.document()})
    return 0 if report.ok else 1


def run_profile(args: argparse.Namespace) -> int:
    """Run ``fovea data profile``; returns the exit code."""
    from fovea.utils.data import DataLoader
    from fovea.vision.checking import open_parts, profile_loader
    from fovea.vision.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop, ToTensor

    console = Console(args.json, args.quiet)
    name, dataset = next(iter(open_parts(args.path, args.images).items()))
    steps = Compose([RandomResizedCrop(args.image_size), RandomHorizontalFlip(), ToTensor()])
    images = _Images(dataset, steps)
    loader: DataLoader[Any] = DataLoader(
        images, args.batch_size, shuffle=True, num_workers=args.workers
    )
    times = profile_loader(loader, args.batches)
    console.say(f"{name}: {len(images):,} images, {args.workers} workers")
    console.show(str(times))
    facts = asdict(times) | {"samples_per_second": times.samples_per_second}
    console.document({"command": "data profile", "part": name, **facts})
    return 0


class _Images:
    """A data set's images alone, prepared for a classifier."""

    def __init__(self, dataset: Any, transform: Any) -> None:
        from fovea.vision.checking.items import items_of
        from fovea.vision.datasets import default_loader

        self.samples = [(item.path, 0) for item in items_of(dataset)]
        self.loader, self.transform = default_loader, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.loader(self.samples[index][0]))
