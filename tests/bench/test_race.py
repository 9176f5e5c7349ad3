"""The race itself: who is timed, who is not, and why; and a small one from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.peak import copy_bandwidth, fma_rate
from bench.peers import PEERS, Peer
from bench.race import Timing, compete, difference, limits
from bench.tables import table
from bench.unsupported import Unsupported
from bench.worker import median_seconds

ROOT = Path(__file__).parent.parent.parent


class Fake(Peer):
    """A contestant without a process."""

    def __init__(self, name: str, logits: Any, times: list[float]) -> None:
        super().__init__(name, "fovea", "torch_style")
        self.logits, self.times, self.asked = logits, times, 0

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        if isinstance(self.logits, Exception):
            raise self.logits
        if do == "prepare":
            np.savez(request["results"], logits=np.array(self.logits))
            return {"megabytes": 10.0}
        self.asked += 1
        return {"seconds": self.times[self.asked - 1], "megabytes": 20.0}


def test_only_those_that_agree_are_timed(tmp_path: Path) -> None:
    peers = [
        Fake("fovea", [1.0, 2.00001], [9.0, 3.0, 1.0, 2.0]),
        Fake("PyTorch", [1.0, 2.0], [9.0, 4.0, 6.0, 5.0]),
        Fake("wrong", [1.0, 2.1], []),
        Fake("nan", [1.0, float("nan")], []),
        Fake("shapeless", [1.0], []),
        Fake("absent", Unsupported("there is none"), []),
        Fake("broken", RuntimeError("it fell over"), []),
    ]
    found = compete(peers, {}, Timing(rounds=3), tmp_path, limits("float32"))
    ours, theirs, wrong, nan, shapeless, absent, broken = found
    assert (ours.seconds, theirs.seconds) == (2.0, 5.0)  # without the first, which warms up
    assert 0 < ours.difference < 1e-5 and theirs.difference == 0 and ours.megabytes == 20
    assert [p.asked for p in peers] == [4, 4, 0, 0, 0, 0, 0]
    assert wrong.note.startswith("wrong: differs from PyTorch in logits by 0.0")
    assert nan.note.startswith("wrong") and "shape (1,) instead of (2,)" in shapeless.note
    assert (absent.note, broken.note) == ("there is none", "it fell over")
    assert all(r.seconds is None for r in found[2:])


def test_difference() -> None:
    expected = {"loss": np.array(2.0), "first": np.array([3.0, 4.0])}
    found = {"loss": np.array(2.02), "first": np.array([3.0, 4.5])}
    assert difference(found, expected) == pytest.approx({"loss": 0.01, "first": 0.1})
    with pytest.raises(ValueError, match="results"):
        difference({"loss": np.array(2.0)}, expected)


def test_a_worker_times_at_least_one_unit() -> None:
    calls: list[int] = []
    assert median_seconds(lambda: calls.append(1), 0.0) >= 0
    assert len(calls) == 1
    median_seconds(lambda: calls.append(1), 0.01, "processor")
    assert len(calls) > 2


def test_tables() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_peaks() -> None:
    one = fma_rate(1, rounds=2)
    assert 1 < one < 1000  # GFLOP/s of a core
    assert 0.1 < copy_bandwidth(1, rounds=1) < 1000


class Silent(Peer):
    """A contestant whose process never answers."""

    def _start(self) -> subprocess.Popen[str]:
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        pipe = subprocess.PIPE
        return subprocess.Popen(sleep, stdin=pipe, stdout=pipe, text=True)


def test_a_contestant_that_takes_too_long_is_given_up() -> None:
    slow = Silent("slow", "fovea", "torch_style", patience=0.05)
    with pytest.raises(RuntimeError, match="slow stopped during time after 0 s"):
        slow.ask("time", budget=0.0)
    assert slow.process is None


def test_contestants_have_names_of_their_own() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)


def run(*words: str, tmp_path: Path) -> Any:
    path = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "bench", *words, "--rounds", "1", "--budget", "0"]
    done = subprocess.run(
        [*command, "--json", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text()), done.stdout


def test_networks_from_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    content, printed = run(
        "steps", "--net", "small_cnn", "--batch", "2", "--peer", "fovea", "fovea.compile", "PyTorch",
        tmp_path=tmp_path,
    )  # fmt: skip
    assert [r["contestant"] for r in content["train"]] == ["fovea", "fovea.compile", "PyTorch"]
    for record in content["train"]:
        assert record["note"] == "" and record["seconds"] > 0
        assert record["difference"] < 1e-3
        assert record["gflops"] > 0 and record["megabytes"] > 20
    assert "| small_cnn 2×28² float32, 1 thread | fovea | " in printed


def test_the_first_step_from_end_to_end(tmp_path: Path) -> None:
    content, _ = run(
        "startup", "--net", "small_cnn", "--batch", "2", "--peer", "fovea", tmp_path=tmp_path
    )
    (record,) = content["startup"]
    assert 0 < record["second"] < record["first"]  # kernels are compiled in the first start


def test_example_programs_from_end_to_end(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    content, printed = run(
        "examples", "--program", "custom_function", "vae",
        "--peer", "fovea", "fovea.compile", "PyTorch", tmp_path=tmp_path,
    )  # fmt: skip
    plain, switched = content["examples"]
    assert set(plain) == {"program", "fovea", "PyTorch"}  # it has no switch for compiling
    assert set(switched) == {"program", "fovea", "fovea.compile", "PyTorch"}
    assert "| vae | " in printed and "custom_function, fovea.compile: it has no" in printed
