"""``fovea compare``: two runs side by side, and why they differ."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovea.cli.console import Console, add_output_options
from fovea.cli.report import read_options, read_results

__all__ = ["Comparison", "add_parser", "compared"]

_MEASURED = ("test", "validation")
_PLACES = ("data", "root")  # where files are says nothing of what is in them


@dataclass
class Comparison:
    """How two runs differ.

    Attributes:
        answer: in a sentence, why.
        numbers: results, by name, of both runs.
        options: those that differ.
        surroundings: machines and versions that differ.
        parted: the first epoch, from 1, whose numbers differ; None if there is none.
    """

    answer: str = ""
    numbers: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    options: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    surroundings: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    parted: int | None = None


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="two runs side by side, and why they differ",
        description="Say how two runs of fovea train differ, and what the likely cause is.",
    )
    parser.add_argument("runs", nargs=2, metavar="RUN", help="folders that fovea train wrote to")
    add_output_options(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    console = Console(args.json, args.quiet)
    folders = [Path(name) for name in args.runs]
    found = compared(*folders)
    rows = [
        ("", *map(str, folders)),
        *((n, _shown(a), _shown(b)) for n, (a, b) in found.numbers.items()),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, a, b in rows:
        console.show(f"{name:<{widths[0]}}  {a:>{widths[1]}}  {b:>{widths[2]}}")
    console.show(f"\n{found.answer}")
    for name, (a, b) in {**found.options, **found.surroundings}.items():
        console.show(f"  {name}: {_shown(a)} | {_shown(b)}")
    console.document(
        {
            "command": "compare",
            "runs": [str(folder) for folder in folders],
            "answer": found.answer,
            "numbers": found.numbers,
            "options": found.options,
            "surroundings": found.surroundings,
            "parted_at_epoch": found.parted,
        }
    )
    return 0


def compared(a: Path, b: Path) -> Comparison:
    """Compare two folders.

    Raises:
        FileFormatError: one holds no finished run.
    """
    results = [read_results(folder) for folder in (a, b)]
    found = Comparison(numbers=_pairs(*(dict(_numbers(r)) for r in results)))
    found.options = _differing(*(read_options(folder) for folder in (a, b)))
    found.surroundings = _differing(*(dict(_surroundings(r)) for r in results))
    found.parted = _parted(*(r.get("history") or {} for r in results))
    found.answer = _answer(found)
    return found


def _numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a run came to, and what it took."""
    for part in _MEASURED:
        for name, value in (results.get(part) or {}).items():
            if isinstance(value, int | float):
                yield f"{part} {name}", value
    for name in ("best_epoch", "parameters", "seconds"):
        if results.get(name) is not None:
            yield name.replace("_", " "), results[name]


def _surroundings(results: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in ("versions", "machine"):
        for name, value in (results.get(part) or {}).items():
            yield name.replace("_", " "), value


def _pairs(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (a.get(name), b.get(name)) for name in {**a, **b}}


def _differing(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: pair for name, pair in _pairs(a, b).items() if pair[0] != pair[1]}


def _parted(a: Mapping[str, list[float]], b: Mapping[str, list[float]]) -> int | None:
    """The first epoch whose numbers are not the same in both."""
    parted = [
        epoch
        for name in a.keys() & b.keys()
        for epoch, (x, y) in enumerate(zip(a[name], b[name], strict=False), 1)
        if x != y and not (math.isnan(x) and math.isnan(y))
    ]
    return min(parted, default=None)


def _answer(found: Comparison) -> str:
    """The likely cause, in a sentence."""
    telling = [name for name in found.options if name not in _PLACES]
    where = f"The runs part at epoch {found.parted}"
    if found.parted is None:
        if "epochs" in found.options:
            return "The runs agree as far as both go; one has gone further."
        return "The runs came to the same." if telling else "The runs are the same."
    if telling == ["epochs"]:
        return f"{where}: the rate of learning follows the number of epochs."
    if telling == ["seed"]:
        return f"{where}: they have other random numbers."
    if telling:
        return f"{where}: they began with other options."
    if found.options:
        return f"{where}: with the same options on files in another place."
    if found.surroundings:
        return f"{where}: with the same options on another machine or with other versions."
    return f"{where}: with the same options; the files differ, or a step is not deterministic."


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
