"""Imports point one way, and ``import fovea`` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "fovea"

# Rooms from the lowest up. At import time a room may use rooms at its own height or below.
# (Imports inside functions and under TYPE_CHECKING are not import-time dependencies.)
ROOMS: list[tuple[str, ...]] = [
    ("errors", "return_types", "size", "version", "watching"),
    ("dtypes", "devices", "form", "storage"),
    ("targets", "dispatch", "casting"),
    ("ops",),
    ("graph",),
    ("targets.cpu",),  # lowerings name the ops that they run; ``targets`` loads them when needed
    ("tensorbase", "tape", "views", "backward", "printing"),
    ("functions", "random", "gradcheck"),
    ("methods", "autograd"),
    ("tensor", "typed_tensors"),
    ("special", "linalg", "fft", "defaults", "accelerator"),
    ("nn", "optim", "amp", "utils", "interop", "data", "summaries", "profiler", "finite", "hub"),
    ("compiler", "func", "array_api"),
    ("distributed", "distributions", "jit"),
    ("vision", "training"),
    ("metrics",),
    ("keras",),
    (
        "backends",
        "cli",
        "cpu",
        "cuda",
        "mps",
        "multiprocessing",
        "serialization",
        "testing",
        "types",
        "xpu",
    ),
]
HEIGHT = {name: i for i, rooms in enumerate(ROOMS) for name in rooms}


def imported_modules(path: Path) -> set[str]:
    """Modules imported when the file is imported."""
    found: set[str] = set()

    def walk(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                found.update(a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module)
                if node.module == "fovea":
                    found.update(f"fovea.{a.name}" for a in node.names)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
                walk(node.body)
                walk(node.orelse)
            elif isinstance(node, ast.Try):
                walk(node.body)

    walk(ast.parse(path.read_text(encoding="utf-8")).body)
    return found


def room_of(module: str) -> str:
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[:2] == ["targets", "cpu"] else parts[0] if parts else ""


FILES = sorted(
    p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.stem not in ("__init__", "__main__")
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room_of(".".join(("fovea", *path.relative_to(ROOT).with_suffix("").parts)))
    assert here in HEIGHT, f"{here} has no place in the list of rooms"
    for module in imported_modules(path):
        room = room_of(module)
        if module.startswith("fovea.") and room in HEIGHT:
            assert HEIGHT[room] <= HEIGHT[here], (
                f"{path.name} ({here}) imports {module}, a higher room"
            )


def run_python(code: str) -> str:
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return out.stdout.strip()


def test_import_needs_no_peer_and_no_compiler() -> None:
    heavy = ("torch", "tensorflow", "keras", "jax", "llvmlite", "PIL", "matplotlib", "h5py")
    code = f"import fovea, sys; print([m for m in {heavy!r} if m in sys.modules])"
    assert run_python(code) == "[]"


def test_import_is_small() -> None:
    # Not ru_maxrss: a child process starts with its parent's.
    code = "import fovea; print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of resident memory is read from /proc")
    assert int(run_python(code)) < 100 * 1024
