"""The disk cache: hits, corruption, concurrent processes, directories that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fovea.targets.cpu import cache, isa

ROOT = Path(__file__).parents[3]
SCRIPT = """
import struct, sys
import numpy as np
from fovea.targets.cpu import compile, threads
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import i64
built = []
def build():
    built.append(1)
    k = Kernel("answer", (("y", i64),))
    k.store(42, k.buffers[0])
    return k
y = np.zeros(1, np.int64)
threads.run(compile.load_cached("test/answer", build), struct.pack("q", y.ctypes.data), 1)
print(int(y[0]), len(built))
"""


def process(directory: Path | str, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "FOVEA_CACHE_DIR": str(directory), "PYTHONPATH": str(ROOT), **more}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, text=True
    )


def result(p: subprocess.Popen[str]) -> str:
    out, _ = p.communicate(timeout=60)
    assert p.returncode == 0
    return out.strip()


def entries(directory: Path) -> list[Path]:
    return sorted(directory.glob("*/*"))


def test_a_second_process_builds_nothing(tmp_path: Path) -> None:
    assert result(process(tmp_path)) == "42 1"
    assert result(process(tmp_path)) == "42 0"
    assert all(p.suffix == ".o" for p in entries(tmp_path))


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "text"])
def test_a_damaged_entry_is_compiled_again_and_replaced(tmp_path: Path, damage: str) -> None:
    assert result(process(tmp_path)) == "42 1"
    for path in entries(tmp_path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        bad = {"flip": bytes(data), "truncate": bytes(data[:100]), "empty": b"", "text": b"hello"}
        path.write_bytes(bad[damage])
    assert result(process(tmp_path)) == "42 1"
    assert result(process(tmp_path)) == "42 0"


def test_processes_that_start_together_all_succeed(tmp_path: Path) -> None:
    started = [process(tmp_path) for _ in range(4)]
    assert all(result(p).startswith("42 ") for p in started)
    assert not [p for p in entries(tmp_path) if p.name.startswith(".new")]


def test_a_directory_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a directory")
    assert result(process(in_the_way / "kernels")) == "42 1"


def test_keys_tell_vector_units_and_checks_apart() -> None:
    names = {
        cache.digest(key, isa.describe(unit), checked)
        for key in ("a", "b")
        for unit in isa.NAMES
        for checked in (False, True)
    }
    assert len(names) == 12


def test_an_unknown_vector_unit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", "mmx")
    with pytest.raises(ValueError, match="mmx"):
        isa.active()
