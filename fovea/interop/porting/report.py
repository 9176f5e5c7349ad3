"""What ``fovea.port`` has done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Mapped", "PortReport"]

TOLERANCE = 1e-4  # of outputs, relative to the largest


class Mapped(NamedTuple):
    """One weight that was copied.

    Attributes:
        source, target: its names.
        shape: in the target.
        how: ``"name"`` or ``"order"``: how its layer was found.
        change: ``""``, ``"transposed"`` or ``"reshaped"``.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    how: str
    change: str


@dataclass
class PortReport:
    """What was copied, and what was not.

    Attributes:
        mapped: the weights that were copied.
        missing: weights of the target that are as they were.
        unexpected: weights of the source that were not used.
        difference: the largest difference of outputs, relative to the largest output; None if they
            were not compared, or have other shapes.
    """

    mapped: list[Mapped] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    difference: float | None = None

    @property
    def complete(self) -> bool:
        """Whether the target has all its weights from the source."""
        return not self.missing

    @property
    def agrees(self) -> bool | None:
        """Whether the outputs agree to four digits; None if they were not compared."""
        return None if self.difference is None else self.difference <= TOLERANCE

    @property
    def reshaped(self) -> list[Mapped]:
        """The weights whose layout was changed."""
        return [m for m in self.mapped if m.change]

    def compare(self, wanted: list[Any], found: list[Any]) -> None:
        """Note how far outputs are apart; those of other shapes (another head) are not compared."""
        if [a.shape for a in wanted] != [a.shape for a in found]:
            return
        worst = 0.0
        for a, b in zip(wanted, found, strict=True):
            if a.size:
                scale = max(float(np.abs(a).max()), 1e-12)
                gap = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
                worst = max(worst, gap / scale)
        self.difference = worst if np.isfinite(worst) else float("inf")

    def better_than(self, other: PortReport) -> bool:
        """Whether it is the better of two attempts: complete, then nearer."""
        mine = (len(self.missing), self.difference or 0.0)
        return mine < (len(other.missing), other.difference or 0.0)

    def __str__(self) -> str:
        by_name = sum(m.how == "name" for m in self.mapped)
        counts = f"{by_name} by name, {len(self.mapped) - by_name} by order"
        turned = f", {len(self.reshaped)} laid out anew" if self.reshaped else ""
        lines = [f"{len(self.mapped)} weights mapped ({counts}{turned})"]
        lines += [
            f"  {m.target} {list(m.shape)} <- {m.source}" + (f"  ({m.change})" if m.change else "")
            for m in self.mapped
        ]
        for title, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                lines += [f"{len(names)} {title}:", *(f"  {name}" for name in names)]
        if self.difference is not None:
            verdict = "agree" if self.agrees else "DIFFER"
            lines.append(f"outputs {verdict}: relative difference {self.difference:.2e}")
        return "\n".join(lines)
