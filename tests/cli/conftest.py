"""What the command line's tests share: running it, and folders of images."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import fovea as package
from fovea.cli import main

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Fovea = Callable[..., Ran]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "fovea", *map(str, words)]


def environment() -> dict[str, str]:
    # One thread: several tests run at once, and threads that wait for each other's cores are slow.
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "FOVEA_NUM_THREADS": "1"}


def run_in(folder: Path, *words: object) -> Ran:
    """Run a command in this process, as if it had been started in a folder: what it imports and
    compiles has mostly been imported and compiled for a test before.
    """
    out, err = io.StringIO(), io.StringIO()

    def show(message: Any, category: Any, file: str, line: int, *_: Any) -> None:
        err.write(warnings.formatwarning(message, category, file, line))

    threads = package.get_num_threads()
    variables = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    try:
        package.set_num_threads(1)
        with (
            mock.patch.dict(os.environ, variables),
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),  # Python's own filters, and where it shows them
        ):
            warnings.resetwarnings()
            for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            warnings.showwarning = show
            try:
                code = main([str(word) for word in words])
            except SystemExit as end:
                code = int(end.code or 0)
    finally:
        package.set_num_threads(threads)
    return Ran(code, out.getvalue(), err.getvalue())


def start_in(folder: Path, *words: object) -> Ran:
    """Run a command in a process of its own."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a file that a command writes."""
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None
        time.sleep(0.1)
    raise AssertionError(f"{path} never appeared")


@pytest.fixture
def fovea(tmp_path: Path) -> Fovea:
    """Runs the command line with some words in an empty folder, in this process."""
    return lambda *words: run_in(tmp_path, *words)


@pytest.fixture
def started(tmp_path: Path) -> Fovea:
    """Runs ``python -m fovea`` with some words in an empty folder."""
    return lambda *words: start_in(tmp_path, *words)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``fovea train --epochs 2`` has run; the result is in ``result.json``."""
    folder = tmp_path_factory.mktemp("trained")
    ran = start_in(folder, "train", "--epochs", 2, "--json")
    assert ran.code == 0, ran.err
    (folder / "result.json").write_text(ran.out)
    (folder / "messages.txt").write_text(ran.err)
    return folder


@pytest.fixture(scope="session")
def checkpoint(trained: Path) -> Path:
    return trained / "runs" / "digits" / "model.pt"


COLORS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (200, 50, 40)}


def make_photos(folder: Path, count: int, suffix: str = ".png", seed: int = 0) -> None:
    """Noisy pictures of different sizes, told apart by their color, in a folder a class."""
    image_module = pytest.importorskip("PIL.Image")
    chance = np.random.default_rng(seed)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            height, width = chance.integers(30, 60, 2)
            pixels = np.array(color) + chance.normal(0, 25, (height, width, 3))
            image = image_module.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(folder / name / f"{i}{suffix}")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders with 20 pictures each; never changed by a test."""
    folder = tmp_path_factory.mktemp("images") / "photos"
    make_photos(folder, 20)
    return folder
