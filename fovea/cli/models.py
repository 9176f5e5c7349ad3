"""``fovea models``: the networks that there are, and what their published weights score."""

from __future__ import annotations

import argparse
from typing import Any

from fovea.cli.console import Console, add_output_options

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "models",
        help="the networks that there are",
        description="List networks with their parameters, and what their published weights score.",
    )
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help='such as "resnet*"')
    parser.add_argument(
        "--task", choices=("classification", "detection", "segmentation"), help="of this task only"
    )
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code: 1 if no network has such a name."""
    console = Console(args.json, args.quiet)
    found = [_facts(name, task) for task, name in _names(args.task, args.patterns)]
    if not found:
        console.warn(f"there is no model named {' or '.join(args.patterns)}")
        return 1
    width = max(len(entry["name"]) for entry in found)
    heading = f"{'name':<{width}}  {'task':<14}  {'parameters':>11}  {'GFLOP':>7}  score of weights"
    console.show(heading)
    for entry in found:
        parameters = f"{entry['parameters'] / 1e6:.1f} M" if entry["parameters"] else ""
        work = f"{entry['gflop']:.1f}" if entry["gflop"] else ""
        score = ", ".join(f"{name} {value:g}" for name, value in entry["metrics"].items())
        console.show(
            f"{entry['name']:<{width}}  {entry['task']:<14}  {parameters:>11}  {work:>7}  {score}"
        )
    console.document({"command": "models", "models": found})
    return 0


def _names(task: str | None, patterns: list[str]) -> list[tuple[str, str]]:
    from fovea.vision import models
    from fovea.vision.models import detection, segmentation

    places = {"classification": models, "detection": detection, "segmentation": segmentation}
    return [
        (kind, name)
        for kind, module in places.items()
        if task in (None, kind)
        for name in models.list_models(module, include=patterns or None)
    ]


def _facts(name: str, task: str) -> dict[str, Any]:
    """What is published of a network; of those without weights its name alone."""
    from fovea.errors import FoveaError
    from fovea.vision import models

    facts: dict[str, Any] = {
        "name": name, "task": task, "parameters": None, "gflop": None, "weights": [], "metrics": {},
    }  # fmt: skip
    try:
        known = models.get_model_weights(name)
    except (FoveaError, ValueError):
        return facts
    meta = known.DEFAULT.meta
    scores: dict[str, Any] = next(iter(meta["_metrics"].values()), {})
    return facts | {
        "parameters": meta["num_params"],
        "gflop": meta.get("_ops"),
        "weights": [member.name for member in known],
        "metrics": {key: float(value) for key, value in scores.items()},
    }
