"""docs/internals.md rebuilds fovea in small: its blocks run, in order, and stay short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "internals.md"


def test_internals_page() -> None:
    pytest.importorskip("llvmlite")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 8
    assert sum(block.count("\n") for block in blocks) < 500
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
