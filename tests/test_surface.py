"""docs/surface.md says what the code has."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
SCRIPTS = Path(__file__).parent.parent / "scripts"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


surface, notes = loaded("surface"), loaded("surface_notes")


def test_the_page_is_true() -> None:
    for library in ("torch", "keras"):
        pytest.importorskip(library)
    assert surface.PAGE.read_text(encoding="utf-8") == surface.page(), (
        "run python scripts/surface.py"
    )


@pytest.mark.parametrize("section", notes.SECTIONS, ids=lambda s: s["title"])
def test_notes_are_about_names_that_exist(section: dict[str, Any]) -> None:
    for library in ("torch", "keras"):
        pytest.importorskip(library)
    names = surface.public(surface.resolved(section["peer"]), section.get("types", False))
    ours = surface.resolved(section["ours"])
    gone = [n for n in section.get("differ", {}) if n not in names or not hasattr(ours, n)]
    assert not gone, "notes about names that are not there"
    patterns = [p for group in section.get("absent", {}).values() for p in group.split()]
    missing = [n for n in names if not hasattr(ours, n)]
    idle = [p for p in patterns if not any(surface.fits(n, p) for n in missing)]
    assert not idle, "reasons for what is there, or for what PyTorch does not have"
