"""The two example programs as whole processes: import, build, train one epoch, exit."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.peers import installed

__all__ = ["race_programs"]

EXAMPLES = Path(__file__).parent.parent / "examples"
PEER_IMPORTS = {
    "keras_style": {
        "import fovea as tf": "import tensorflow as tf",
        "from fovea.keras import": "from tensorflow.keras import",
    },
    "torch_style": {
        "import fovea as torch": "import torch",
        "import fovea.nn as nn": "import torch.nn as nn",
        "import fovea.optim as optim": "import torch.optim as optim",
    },
}
PEER_NAMES = {"keras_style": ("tensorflow", "TensorFlow"), "torch_style": ("torch", "PyTorch")}


def _seconds(program: Path, cache: str) -> float:
    environment = {
        **os.environ, "FOVEA_CACHE_DIR": cache, "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(EXAMPLES.parent),
    }  # fmt: skip
    start = time.perf_counter()
    subprocess.run([sys.executable, str(program)], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def race_programs(rounds: int) -> list[tuple[str, str, float]]:
    """(program, contestant, median seconds): fovea with a cold and a warm kernel cache, and the
    peer.
    """
    results = []
    for style, names in PEER_NAMES.items():
        ours = EXAMPLES / f"{style}.py"
        with tempfile.TemporaryDirectory() as folder:
            theirs = Path(folder) / ours.name
            text = ours.read_text(encoding="utf-8")
            for line, replacement in PEER_IMPORTS[style].items():
                text = text.replace(line, replacement)
            theirs.write_text(text, encoding="utf-8")
            module, peer = names
            times: dict[str, list[float]] = {}
            warm = str(Path(folder) / "warm")
            _seconds(ours, warm)
            for i in range(rounds):
                cold = str(Path(folder) / f"cold{i}")
                times.setdefault("fovea, cold cache", []).append(_seconds(ours, cold))
                times.setdefault("fovea, warm cache", []).append(_seconds(ours, warm))
                if installed(module):
                    times.setdefault(peer, []).append(_seconds(theirs, warm))
            results += [(style, name, statistics.median(t)) for name, t in times.items()]
    return results
