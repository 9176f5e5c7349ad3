"""No input to an op may crash the process, make a kernel leave its buffers, or get an error that
speaks of fovea's insides.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("seed", "environment"),
    [
        (1, {}),
        (2, {"FOVEA_CPU_ISA": "avx512"}),
        (3, {"FOVEA_CPU_ISA": "generic"}),
        (4, {"FOVEA_CPU_CHECK": "1"}),
        (5, {"FOVEA_CPU_CHECK": "1", "FOVEA_CPU_ISA": "generic"}),
    ],
    ids=["usual", "avx512", "generic", "checked", "checked-generic"],
)
def test_hostile_inputs(seed: int, environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "call"
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fuzz_ops", str(seed), "1000", str(log)],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    assert out.returncode == 0, f"{out.returncode} in: {log.read_text()} {out.stderr[-2000:]}"
    returned = int(out.stdout.split()[0])
    assert returned > 100, "hardly any call was legal: the fuzzer tests only the checks"
