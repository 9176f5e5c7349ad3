"""The example that looks at what a network has learned."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "examples" / "pictures" / "understand.py"


def test_every_picture_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    main = runpy.run_path(str(EXAMPLE))["main"]
    accuracy = main(tmp_path / "seen", samples=64, epochs=1, tests=50)
    assert 0 <= accuracy <= 1 and "most often taken for" in capsys.readouterr().out
    names = ("confusion", "precision_recall", "calibration", "worst", "why", "features")
    for name in names:
        assert min(Image.open(tmp_path / "seen" / f"{name}.png").size) > 100
    assert (tmp_path / "seen" / "model.svg").read_text().startswith("<svg")
