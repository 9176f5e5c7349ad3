"""What a check of a data set found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Finding", "Report"]

_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or may be.

    Args:
        kind: ``"unreadable"``, ``"leak"``, ``"duplicate"`` ...
        message: a sentence.
        files: the files it is about.
        severe: whether training on it would go wrong or mislead.
    """

    kind: str
    message: str
    files: tuple[str, ...] = ()
    severe: bool = False


@dataclass
class Report:
    """All findings, and what there is.

    Attributes:
        parts: for each part its number of images, of objects, and of each class.
        findings: what is wrong, the severe things first.
    """

    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing severe was found."""
        return not any(f.severe for f in self.findings)

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind."""
        return [f for f in self.findings if f.kind == kind]

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"ok": self.ok, "parts": self.parts, "findings": [asdict(f) for f in self.findings]}

    def __str__(self) -> str:
        rows = []
        for name, facts in self.parts.items():
            objects = f", {facts['objects']:,} objects" if facts["objects"] else ""
            rows.append(f"{name}: {facts['images']:,} images{objects}")
            if facts["classes"]:
                counts = ", ".join(f"{c} {n:,}" for c, n in list(facts["classes"].items())[:12])
                more = len(facts["classes"]) - 12
                rows.append(f"  {counts}{f' and {more} more' if more > 0 else ''}")
        rows.append("")
        for finding in self.findings:
            rows.append(f"{'!' if finding.severe else '-'} {finding.kind}: {finding.message}")
            rows += [f"    {file}" for file in finding.files[:_SHOWN]]
            if len(finding.files) > _SHOWN:
                rows.append(f"    and {len(finding.files) - _SHOWN} more")
        if not self.findings:
            rows.append("nothing is wrong")
        return "\n".join(rows)
