"""What the commands print, write and draw when they are done."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.cli.report import write_report, write_results
from fovea.errors import MissingExtraError
from fovea.interop.atomic import atomic_write

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.console import Console
    from fovea.cli.fitting import Measured
    from fovea.cli.keeping import KeepBest

__all__ = ["class_table", "draw", "measured_document", "report_training"]

_SHOWN_CONFUSIONS = 3


def report_training(
    console: Console,
    classifier: Classifier,
    title: str,
    history: dict[str, list[Any]],
    keeper: KeepBest,
    part: str,
    result: Measured | None,
    seconds: float,
    dataset: Any = None,
) -> None:
    """The end of ``fovea train``: accuracy, files, and the document for programs.

    Args:
        dataset: what was measured on, for pictures of the worst.
    """
    folder = keeper.path.parent
    heading = f"{classifier.name} on {title}"
    files = draw(console, folder, heading, classifier.classes, part, result, history)
    if result is not None and result.worst and dataset is not None:
        with contextlib.suppress(MissingExtraError):  # which `draw` has told of
            files["worst_images"] = _draw_worst(folder, classifier, result, dataset)
    numbers = {name: [float(v) for v in values] for name, values in history.items()}
    document = {
        "command": "train",
        "data": title,
        "model": classifier.name,
        "classes": classifier.classes,
        "seconds": round(seconds, 3),
        "history": numbers,
        "best_epoch": keeper.best,
        part: None if result is None else measured_document(result, classifier.classes),
        "checkpoint": str(keeper.path),
    }
    write_results(folder, document, sum(p.numel() for p in classifier.model.parameters()))
    files["report"] = write_report(folder)
    if result is not None:
        console.show(
            f"\n{part.capitalize()} accuracy {result.accuracy:.2%}"
            f" ({result.right:,} of {result.total:,} right), after {seconds:.0f} s"
        )
        for text in worst_confusions(result.counts, classifier.classes):
            console.say(f"  {text}")
    console.show(f"\ncheckpoint        {keeper.path}  (epoch {keeper.best})")
    for name, path in files.items():
        console.show(f"{name.replace('_', ' '):<17} {path}")
    console.say(f"\nNext: fovea predict {keeper.path} IMAGE ...")
    console.document(document | {name: str(path) for name, path in files.items()})


def _draw_worst(folder: Path, classifier: Classifier, result: Measured, dataset: Any) -> Path:
    from fovea.cli.gallery import worst_images

    path = folder / "worst.png"
    picture = worst_images(dataset, result.worst, classifier.classes, classifier.preprocess)
    with atomic_write(path) as file:
        picture.save(file, "PNG")
    return path


def draw(
    console: Console,
    folder: Path,
    title: str,
    classes: list[str],
    part: str,
    result: Measured | None,
    history: dict[str, list[Any]] | None = None,
) -> dict[str, Path]:
    """Write the pictures; returns their paths by name. Without Matplotlib there are none."""
    from fovea.vision import plots

    files: dict[str, Path] = {}
    try:
        if history is not None:
            path = folder / "curves.png"
            plots.plot_training_curves(history, path, title)
            files["training_curves"] = path
        if result is not None:
            path = folder / "confusion.png"
            heading = f"{title}\n{part}: {result.accuracy:.2%} of {result.total:,} right"
            plots.plot_confusion_matrix(result.counts, classes, path, heading)
            files["confusion_matrix"] = path
    except MissingExtraError as error:
        console.warn(f"no pictures: {error.summary} Install it with: {error.fix}")
    return files


def worst_confusions(counts: np.ndarray[Any, Any], classes: Sequence[str]) -> list[str]:
    """The commonest mistakes, in words."""
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(errors, axis=None)[::-1][:_SHOWN_CONFUSIONS]
    places = [np.unravel_index(i, errors.shape) for i in order]
    return [
        f"{classes[row]} taken for {classes[column]}: {errors[row, column]}"
        for row, column in places
        if errors[row, column]
    ]


def class_table(counts: np.ndarray[Any, Any], classes: Sequence[str]) -> str:
    """Precision and recall of each class, as text."""
    width = max(5, *(len(name) for name in classes))
    rows = [f"{'class':<{width}}  precision    recall    images"]
    for name, numbers in _per_class(counts, classes).items():
        rows.append(
            f"{name:<{width}}  {numbers['precision']:>9.2%} {numbers['recall']:>9.2%}"
            f" {numbers['images']:>9,}"
        )
    return "\n".join(rows)


def _per_class(
    counts: np.ndarray[Any, Any], classes: Sequence[str]
) -> dict[str, dict[str, float | int]]:
    right = np.diag(counts)
    predicted, true = counts.sum(0), counts.sum(1)
    return {
        name: {
            "precision": float(right[i] / predicted[i]) if predicted[i] else 0.0,
            "recall": float(right[i] / true[i]) if true[i] else 0.0,
            "images": int(true[i]),
        }
        for i, name in enumerate(classes)
    }


def measured_document(result: Measured, classes: Sequence[str]) -> dict[str, Any]:
    """A measurement as plain data."""
    return {
        "accuracy": result.accuracy,
        "loss": result.loss,
        "right": result.right,
        "images": result.total,
        "per_class": _per_class(result.counts, classes),
        "confusion_matrix": result.counts.tolist(),
    }
