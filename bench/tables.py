"""Markdown tables that grow as results come in, and the same results as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Report", "table"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    return "\n".join([_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


@dataclass
class Report:
    """What is printed, kept.

    Attributes:
        content: by section: records, as they go into the JSON file.
    """

    content: dict[str, Any] = field(default_factory=dict)

    def start(self, section: str, title: str, head: Sequence[str]) -> None:
        """A heading and the head of a table."""
        self.content.setdefault(section, [])
        print(f"\n### {title}\n\n{table(head, ())}", flush=True)

    def row(self, section: str, record: dict[str, Any], cells: Sequence[str]) -> None:
        """A row, and the numbers it shows."""
        self.content[section].append(record)
        print(_line(cells), flush=True)

    def say(self, text: str) -> None:
        """A line below a table."""
        print(f"\n{text}", flush=True)

    def write(self, path: str) -> None:
        """All records as JSON."""
        Path(path).write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
