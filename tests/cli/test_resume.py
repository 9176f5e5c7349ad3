"""``fovea train --resume``: killed anywhere, a run ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.interop import load
from tests.cli.conftest import Fovea, command, environment

KILLS = int(os.environ.get("FOVEA_TEST_KILLS", "3"))
EPOCHS = KILLS + 2  # each kill comes after another epoch at the latest
TRAIN = ("train", "--epochs", str(EPOCHS), "--lr", "0.002", "--seed", "7", "--quiet")


def killed(words: Any, folder: Path, state: Path, delay: float) -> None:
    """Start a command and kill it some time after it has written its state."""
    before = state.stat().st_mtime_ns if state.exists() else None
    with subprocess.Popen(
        command(*words), cwd=folder, env=environment(), stdout=subprocess.DEVNULL
    ) as run:
        began = time.monotonic()
        while run.poll() is None and time.monotonic() - began < 100:
            if (state.stat().st_mtime_ns if state.exists() else None) != before:
                break
            time.sleep(0.005)
        time.sleep(delay)
        run.send_signal(signal.SIGKILL)


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_kills_change_nothing(fovea: Fovea, tmp_path: Path) -> None:
    assert fovea(*TRAIN, "--output", "whole").code == 0
    folder, draw = tmp_path / "killed", random.Random(1)
    state = folder / "state.pt"
    killed((*TRAIN, "--output", "killed"), tmp_path, state, 0.2 * draw.random())
    for _ in range(KILLS - 1):
        if (folder / "results.json").exists():
            break
        killed(("train", "--resume", "killed"), tmp_path, state, 0.2 * draw.random())
    if not (folder / "results.json").exists():
        assert load(state)["epoch"] <= EPOCHS  # whole at any time
        ended = fovea("train", "--resume", "killed", "--quiet")
        assert ended.code == 0, ended.err
    whole, found = (load(tmp_path / n / "model.pt") for n in ("whole", "killed"))
    for name, value in whole["state_dict"].items():
        np.testing.assert_array_equal(found["state_dict"][name].numpy(), value.numpy(), name)
    assert whole["training"] == found["training"]
    ran, through = results(folder)["history"], results(tmp_path / "whole")["history"]
    for name in ("loss", "accuracy", "val_loss"):
        assert ran[name] == through[name], name
    assert not [f for f in os.listdir(folder) if f.endswith((".part", "state.pt"))]
    again = fovea("train", "--resume", "killed")
    assert again.code == 2 and "has ended" in again.err


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_segmenter_that_was_killed(fovea: Fovea, tmp_path: Path) -> None:
    """Averages, validation now and then, and the best epochs go on, too."""
    image_module = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(0)
    for i in range(16):
        for kind, shape in (("images", (32, 32, 3)), ("masks", (32, 32))):
            path = tmp_path / "data" / kind / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = draw.integers(0, 2 if kind == "masks" else 256, shape).astype(np.uint8)
            image_module.fromarray(values).save(path)
    words = ("train", "data", "--image-size", "32", "--epochs", "5", "--batch-size", "4",
             "--workers", "0", "--validate-every", "2", "--ema", "0.8", "--keep", "1",
             "--log", "csv", "--quiet")  # fmt: skip
    assert fovea(*words, "--output", "whole").code == 0
    folder = tmp_path / "killed"
    killed((*words, "--output", "killed"), tmp_path, folder / "state.pt", 0.1)
    if not (folder / "results.json").exists():
        ended = fovea("train", "--resume", "killed", "--quiet")
        assert ended.code == 0, ended.err
    whole, found = (load(tmp_path / n / "model.pt") for n in ("whole", "killed"))
    for name, value in whole["state_dict"].items():
        np.testing.assert_array_equal(found["state_dict"][name].numpy(), value.numpy(), name)
    assert whole["training"] == found["training"]
    ran, through = results(folder), results(tmp_path / "whole")
    assert ran["history"] == through["history"] and ran["validated"] == [1, 2, 4, 5]
    kept = [sorted(os.listdir(f / "checkpoints")) for f in (folder, tmp_path / "whole")]
    assert kept[0] == kept[1] == [f"epoch-{ran['best_epoch']:03d}.pt", "last.pt"]
    logs = [(f / "log.csv").read_text() for f in (folder, tmp_path / "whole")]
    assert logs[0] == logs[1]


def test_what_cannot_go_on(fovea: Fovea, tmp_path: Path) -> None:
    none = fovea("train", "--resume", "nothing")
    assert none.code == 1 and "nothing/config.yaml cannot be read" in none.err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("epochs: 1\n")
    both = fovea("train", "--resume", "run", "--output", "other")
    assert both.code == 2 and "no --output" in both.err
    (tmp_path / "run" / "state.pt").write_bytes(b"PK damaged")
    damaged = fovea("train", "--resume", "run")
    assert damaged.code == 1 and "state.pt" in damaged.err and "Traceback" not in damaged.err
    assert (tmp_path / "run" / "state.pt").read_bytes() == b"PK damaged"
