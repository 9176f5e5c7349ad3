"""The frameworks that race: each in a process of its own, told to run one case at a time.

Separate processes keep one framework's thread pool from spinning under another's measurement, and
one process a peer lets cases be interleaved: fovea, PyTorch, fovea, PyTorch ... so that a machine
whose speed drifts slows all of them alike.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import IO, Any

from bench.unsupported import Unsupported

__all__ = ["PEERS", "Peer", "installed"]


@dataclass
class Peer:
    """One contestant.

    Attributes:
        name: how tables call it.
        module: the package that must be installed.
        workload: which file of ``bench/workloads`` runs its cases.
        options: arguments of its ``Workload``.
        environment: variables that its process gets.
        threads: how many it may use; 0 for as many as it likes.
        patience: seconds that an answer may take before its process is ended.
        log: where its process writes what it prints; None throws that away.
    """

    name: str
    module: str
    workload: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    threads: int = 0
    patience: float = 600.0
    log: IO[str] | None = None
    process: subprocess.Popen[str] | None = None

    def on(self, threads: int, **environment: str) -> Peer:
        """The same contestant, limited to that many threads, in a process still to be started."""
        several = {**self.environment, **environment}
        return replace(self, threads=threads, environment=several, process=None)

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """What its process answers.

        Raises:
            Unsupported: the case is not one for it. RuntimeError: it failed, or took too long.
        """
        if self.process is None:
            self.process = self._start()
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"do": do, **request}), file=self.process.stdin, flush=True)
        late = threading.Timer(self.patience, self.process.kill)
        late.start()
        start = time.monotonic()
        line = self.process.stdout.readline()
        late.cancel()
        if not line:
            self.process.wait()
            self.process = None
            why = f"after {time.monotonic() - start:.0f} s"
            raise RuntimeError(f"{self.name} stopped during {do} {why}")
        answer: dict[str, Any] = json.loads(line)
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def _start(self) -> subprocess.Popen[str]:
        options = {**self.options, **({"threads": self.threads} if self.threads else {})}
        return subprocess.Popen(
            [sys.executable, "-m", "bench.worker", self.workload, self.module, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log or subprocess.DEVNULL,
            text=True,
            env={**os.environ, **_thread_variables(self.threads), **self.environment},
        )

    def stop(self) -> None:
        """End its process."""
        if self.process is not None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:  # some frameworks take long to leave
                self.process.kill()
                self.process.wait()
            self.process = None


def _thread_variables(count: int) -> dict[str, str]:
    """What the frameworks' thread pools read."""
    if not count:
        return {}
    names = ("FOVEA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(count))


_TENSORFLOW = {
    "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip

PEERS = (
    Peer("fovea", "fovea", "torch_style"),
    Peer("fovea.compile", "fovea", "torch_style", {"compiled": True}),
    Peer("PyTorch", "torch", "torch_style"),
    Peer("PyTorch channels-last", "torch", "torch_style", {"channels_last": True}),
    Peer("torch.compile", "torch", "torch_style", {"compiled": True, "channels_last": True}),
    Peer("Keras/TensorFlow", "tensorflow", "keras_style", {}, _TENSORFLOW),
    Peer("Keras/TensorFlow XLA", "tensorflow", "keras_style", {"xla": True}, _TENSORFLOW),
    Peer("JAX", "jax", "jax_style"),
    Peer("ONNX Runtime", "onnxruntime", "engine_style"),
    Peer("OpenVINO", "openvino", "engine_style"),
    Peer("fovea.keras", "fovea.keras", "keras_style"),
)


def installed(module: str) -> bool:
    """Whether a package can be imported here."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
