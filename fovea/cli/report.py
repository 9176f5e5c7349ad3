"""``fovea report``: a run as one page, which needs nothing else to be looked at."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fovea.cli.console import Console, add_output_options
from fovea.cli.html import bars, cards, curves, escaped, heat, page, picture, section, table
from fovea.errors import FileFormatError
from fovea.interop.atomic import atomic_write

__all__ = ["RESULTS", "add_parser", "read_options", "read_results", "write_report", "write_results"]

RESULTS = "results.json"
_LARGEST = 64 << 20  # bytes of what a run holds
_MOST_CELLS = 40  # classes up to which the confusion matrix is a table
_PICTURES = {
    "predictions.png": "what is found in some test images",
    "worst.png": "the test images with the largest loss",
    "confusion.png": "how often each class was taken for each",
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="a run as one page to look at and to send",
        description="Write a run as one HTML file: numbers, curves, mistakes, pictures, options.",
    )
    parser.add_argument("folder", metavar="RUN", help="the folder that fovea train wrote to")
    parser.add_argument(
        "--output", metavar="FILE", help="the file to write (default: RUN/report.html)"
    )
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    console = Console(args.json, args.quiet)
    path = write_report(Path(args.folder), args.output)
    console.show(f"report: {path}")
    console.document({"command": "report", "report": str(path)})
    return 0


def write_results(folder: Path, document: Mapping[str, Any], parameters: int) -> None:
    """Keep what a run came to, for reports."""
    from fovea.cli.info import machine, versions

    content = {
        **document,
        "parameters": parameters,
        "ended": time.strftime("%Y-%m-%d %H:%M:%S"),
        "versions": versions(),
        "machine": machine(),
    }
    with atomic_write(folder / RESULTS) as file:
        file.write(json.dumps(content, indent=1).encode())


def write_report(folder: Path, output: str | os.PathLike[str] | None = None) -> Path:
    """Write the page of a run; the file appears when it is complete.

    Args:
        folder: what ``fovea train`` wrote to.
        output: the file; None: ``report.html`` in the folder.

    Raises:
        FileFormatError: no run is there, or its files are damaged.
    """
    results = read_results(folder)
    path = Path(output) if output is not None else folder / "report.html"
    try:
        text = page(_title(results), list(_parts(folder, results)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FileFormatError(f"{folder / RESULTS} is no result of a run: {error!r}.") from error
    with atomic_write(path) as file:
        file.write(text.encode())
    return path


def read_results(folder: Path) -> dict[str, Any]:
    path = folder / RESULTS
    try:
        if path.stat().st_size > _LARGEST:
            raise FileFormatError(f"{path} has more than {_LARGEST >> 20} MB: no result of a run.")
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileFormatError(
            f"{folder} holds no finished run: {RESULTS} is not there.",
            fix="name the folder that fovea train wrote to, such as runs/digits",
        ) from None
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: {error}.") from None
    if not isinstance(content, dict):
        raise FileFormatError(f"{path} is no result of a run.")
    return content


def _title(results: Mapping[str, Any]) -> str:
    return f"{results['model']} on {results['data']}"


def _parts(folder: Path, results: dict[str, Any]) -> Any:
    """The page, piece by piece."""
    part = next((p for p in ("test", "validation") if results.get(p)), None)
    measured: dict[str, Any] = results[part] if part else {}
    task = results.get("task", "classification")
    classes = results["classes"]
    yield (
        f"<h1>{escaped(_title(results))}</h1>"
        f'<p class="soft">{escaped(task)}, {len(classes)} classes; ended '
        f"{escaped(results.get('ended', '?'))}, fovea {escaped(_version(results))}</p>"
    )
    yield cards(_numbers(results, measured, part))
    yield section("Training", _training(results["history"], results.get("validated")))
    yield section("Classes", _classes(measured, task, classes))
    counts = measured.get("confusion_matrix")
    if counts is not None and len(classes) <= _MOST_CELLS:
        yield section("What was taken for what", heat(counts, classes), _mistakes(counts, classes))
    skipped = {"confusion.png"} if counts is not None and len(classes) <= _MOST_CELLS else set()
    found = [(n, c) for n, c in _PICTURES.items() if n not in skipped and (folder / n).is_file()]
    for name, caption in found:
        yield section(caption.capitalize(), picture(_read(folder / name), "png", ""))
    yield section("Options", _options(folder))
    yield section("Machine", _environment(results))


def _version(results: Mapping[str, Any]) -> str:
    return str(dict(results.get("versions", {})).get("fovea", "?"))


def _numbers(
    results: Mapping[str, Any], measured: Mapping[str, Any], part: str | None
) -> dict[str, str]:
    """What is seen first."""
    shown: dict[str, str] = {}
    if "accuracy" in measured:
        shown[f"{part} accuracy"] = f"{measured['accuracy']:.2%}"
        shown["right"] = f"{measured['right']:,} of {measured['images']:,}"
        shown[f"{part} loss"] = f"{measured['loss']:.4f}"
    else:
        for name, value in measured.items():
            if isinstance(value, float):
                shown[name] = f"{value:.4f}"
        if "images" in measured:
            shown[f"{part} images"] = f"{measured['images']:,}"
    epochs = max((len(v) for v in results["history"].values()), default=0)
    best = results.get("best_epoch")
    shown["epochs" + (f", best {best}" if best else "")] = str(epochs)
    shown["parameters"] = f"{results.get('parameters', 0):,}"
    seconds = float(results.get("seconds", 0))
    shown["time"] = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
    return shown


def _training(history: Mapping[str, list[float]], validated: list[int] | None = None) -> str:
    """A picture for each number that training told, with validation's in it; of validation alone
    where training has none.

    Args:
        history: values of each epoch.
        validated: the epochs (from 1) that were; None: all.
    """
    drawn = []
    alone = [n.removeprefix("val_") for n in history if n.startswith("val_")]
    names = {n: None for n in (*history, *alone) if not n.startswith("val_")}
    order = {"loss": 0, "learning_rate": 2}
    for name in sorted(names, key=lambda n: order.get(n, 1)):
        checked = _placed(history.get(f"val_{name}", []), validated)
        lines = {"training": history.get(name, []), "validation": checked}
        shares = name in ("accuracy", "mean_iou") or name.endswith("accuracy")
        drawn.append(curves(name.replace("_", " "), lines, shares))
    return f'<div class="row">{"".join(drawn)}</div>' if any(drawn) else ""


def _placed(values: list[float], epochs: list[int] | None) -> list[float]:
    """Values at the places of their epochs, NaN in between."""
    if not values or epochs is None:
        return values
    found = [math.nan] * max(epochs)
    for epoch, value in zip(epochs, values, strict=True):
        found[epoch - 1] = value
    return found


def _classes(measured: Mapping[str, Any], task: str, classes: list[str]) -> str:
    each = measured.get("per_class") or {}
    if not each:
        return ""
    if task == "classification":
        rows = {
            name: (_f1(n["precision"], n["recall"]), n["precision"], n["recall"], n["images"])
            for name, n in each.items()
        }
        return bars(rows, ("F1", "precision", "recall"), "images")
    named = {"detection": "AP", "segmentation": "IoU"}.get(task, "value")
    return bars({name: (float(value),) for name, value in each.items()}, (named,))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _mistakes(counts: list[list[int]], classes: list[str]) -> str:
    """The commonest ones in words."""
    wrong = sorted(
        ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n),
        reverse=True,
    )[:5]
    said = "; ".join(f"{classes[i]} taken for {classes[j]} {n}×" for n, i, j in wrong)
    return f'<p class="soft">{escaped(said) or "No mistakes."}</p>'


def read_options(folder: Path) -> dict[str, str]:
    """The lines of ``config.yaml``, as they stand there; none without the file."""
    path = folder / "config.yaml"
    if not path.is_file():
        return {}
    lines = _read(path)[:20_000].decode("utf-8", "replace").splitlines()
    return dict(line.partition(": ")[::2] for line in lines if line and not line.startswith("#"))


def _options(folder: Path) -> str:
    options = read_options(folder)
    if not options:
        return ""
    again = f"Again: fovea train --config {folder / 'config.yaml'}"
    return table((), list(options.items()), "plain") + f'<p class="soft">{escaped(again)}</p>'


def _environment(results: Mapping[str, Any]) -> str:
    rows = [
        (name.replace("_", " "), value)
        for part in ("machine", "versions")
        for name, value in dict(results.get(part, {})).items()
    ]
    return table((), rows, "plain") if rows else ""


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)
