"""The frameworks that race: each in a process of its own, told to run one case at a time.

Separate processes keep one framework's thread pool from spinning under another's measurement, and
one
process a peer lets cases be interleaved: fovea, PyTorch, fovea, PyTorch ... so that a machine whose
    speed
drifts slows all of them alike.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PEERS", "Peer", "installed"]


@dataclass
class Peer:
    """One contestant.

    Attributes:
        name: how tables call it.
        module: the package that must be installed.
        workload: which file of ``bench/workloads`` runs its cases.
        environment: variables its process gets.
    """

    name: str
    module: str
    workload: str
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def run(self, case: dict[str, Any]) -> float:
        """Seconds for one unit of ``case`` (its process repeats and takes the median)."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.worker", self.workload, self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, **self.environment},
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(case), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} stopped while running {case}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return float(answer["seconds"])

    def stop(self) -> None:
        """End its process."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(timeout=30)
            self.process = None


PEERS = (
    Peer("fovea", "fovea", "torch_style"),
    Peer("PyTorch", "torch", "torch_style"),
    Peer("fovea.keras", "fovea.keras", "keras_style"),
    Peer(
        "Keras/TensorFlow", "tensorflow", "keras_style",
        {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    ),
)  # fmt: skip


def installed(module: str) -> bool:
    """Whether a package can be imported here."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
