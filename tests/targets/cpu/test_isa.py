"""Kernels for vector units and machines that are not here (see `lower_kernels.py`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["families_are_all_there", "x86", "arm"])
def test_lowering(name: str) -> None:
    script = str(HERE / "lower_kernels.py")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", script]
    out = subprocess.run(
        [*command, "-k", name], capture_output=True, text=True, cwd=HERE.parents[2], check=False
    )
    assert out.returncode == 0, out.stdout[-3000:]
