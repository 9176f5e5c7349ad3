"""Writes docs/surface.md: which of PyTorch's and Keras's names fovea has, where they differ, why.

    python scripts/surface.py            writes the page (PyTorch and Keras must be installed)
    python scripts/surface.py --check    says whether the page is what would be written

A section compares one of their modules (or classes) with fovea's. What a section says of names
beyond that they are there stands in `scripts/surface_notes.py`.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "surface.md"
WIDTH = 118
HEAD = """# PyTorch's and Keras's names in fovea

Made by `scripts/surface.py`; a test keeps it true. A name counts as there if fovea has it where
they have it. That it computes the same, too, is tested on PyTorch's own tables of cases
(`tests/functions`), with a short list of exceptions.
"""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        title: its heading.
        peer: what to compare with, ``module`` or ``module:Class``.
        ours: the same of fovea.
        differ: names that are there and differ: how.
        absent: reasons, and the names that are not there for them (``*`` at the start or the end
            stands for anything).
        types: whether classes count, too.
    """

    title: str
    peer: str
    ours: str
    differ: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    types: bool = False


def resolved(path: str) -> Any:
    """The module or class that a path names."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


def public(thing: Any, with_types: bool) -> list[str]:
    """The names of a module's functions (and classes), or of a class's attributes."""
    names = [n for n in dir(thing) if not n.startswith("_")]
    if isinstance(thing, type):
        return sorted(names)
    found = []
    for name in names:
        value = getattr(thing, name, None)
        wanted = isinstance(value, type) if with_types else not isinstance(value, type)
        if callable(value) and not isinstance(value, types.ModuleType) and wanted:
            found.append(name)
    return sorted(found)


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern stands for a name."""
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern


def wrapped(names: list[str]) -> str:
    """Names as code, in lines."""
    lines, line = [], ""
    for item in (f"`{n}`" for n in names):
        if line and len(line) + len(item) + 1 > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {item}" if line else item
    return "\n".join([*lines, line])


def written(section: Section) -> str:
    """One section of the page."""
    peer, ours = resolved(section.peer), resolved(section.ours)
    names = public(peer, section.types)
    there = [n for n in names if hasattr(ours, n)]
    missing = [n for n in names if n not in there]
    parts = [
        f"## {section.title}",
        f"{len(there)} of {len(names)} names.",
        "**There**",
        wrapped(there),
    ]
    differ = {n: how for n, how in section.differ.items() if n in there}
    if differ:
        rows = [f"| `{n}` | {how} |" for n, how in sorted(differ.items())]
        parts.append("\n".join(["| there, but | |", "|---|---|", *rows]))
    left = list(missing)
    for why, patterns in section.absent.items():
        group = [n for n in left if any(fits(n, p) for p in patterns.split())]
        left = [n for n in left if n not in group]
        if group:
            parts += [f"**Not there: {why}**", wrapped(group)]
    if left:
        parts += ["**Not there yet**", wrapped(left)]
    return "\n\n".join(parts)


def page() -> str:
    """The whole page."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        sections = importlib.import_module("surface_notes").SECTIONS
    finally:
        sys.path.pop(0)
    return "\n\n".join([HEAD.strip(), *(written(Section(**s)) for s in sections)]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    if "--check" in arguments:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        print("docs/surface.md is true" if same else "run python scripts/surface.py")
        return 0 if same else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
