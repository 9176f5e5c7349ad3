"""The two programs people know, with nothing changed but their imports."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["keras_style", "torch_style"])
def test_program_runs(name: str, capsys: Any) -> None:
    found = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    out = capsys.readouterr().out
    line = out.strip().splitlines()[-1]
    assert line.startswith("Training accuracy: ")
    assert 0.0 <= float(line.split()[-1]) <= 1.0
    if name == "keras_style":
        assert set(found["history"].history) == {"accuracy", "loss"}
        assert "10/10" in out and "accuracy:" in out and "loss:" in out
    else:
        assert found["correct"] == found["accuracy"] * 10


@pytest.mark.parametrize("name", ["keras_style", "torch_style"])
def test_only_fovea_is_imported(name: str) -> None:
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text())
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {m.split(".")[0] for m in modules} <= {"fovea", "numpy"}
