"""Example programs: the two classic ones as whole processes (import, build, train one epoch, exit),
and those of ``examples/programs`` in processes that have run them before.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.peers import Peer, installed
from bench.race import Timing, compete
from bench.tables import Report

__all__ = ["EXAMPLE_PEERS", "in_pytorch", "race_examples", "race_programs"]

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


# -- the programs of examples/programs ------------------------------------------------------------

_TENSORFLOW = {
    "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip
EXAMPLE_PEERS = (
    Peer("fovea", "fovea", "programs"),
    Peer("fovea.compile", "fovea", "programs", {"compiled": True}),
    Peer("PyTorch", "torch", "programs", {}, {"KERAS_BACKEND": "torch"}),
    Peer("Keras/TensorFlow", "keras", "programs", {}, _TENSORFLOW),
)


def in_pytorch(text: str) -> str:
    """A program with the import lines of PyTorch, torchvision and Keras."""
    text = text.replace("import fovea as torch", "import torch")
    text = text.replace("import fovea.vision as torchvision", "import torchvision")
    text = re.sub(r"\bfovea\.vision\b", "torchvision", text)
    text = text.replace("from fovea import keras", "import keras")
    text = text.replace("from fovea.keras", "from keras")
    return re.sub(r"^(import|from) fovea\b", r"\1 torch", text, flags=re.MULTILINE)


def race_examples(report: Report, peers: list[Peer], timing: Timing, only: list[str]) -> None:
    """Time all programs, or ``only`` these, and print a row for each."""
    names = [peer.name for peer in peers]
    report.start(
        "examples", "Programs of `examples/programs` (seconds)", ("program", *names, "times fovea")
    )
    notes = []
    for path in sorted((EXAMPLES / "programs").glob("*.py")):
        if only and path.stem not in only:
            continue
        known = [p for p in peers if p.module != "keras" or path.stem.startswith("keras")]
        found = compete(known, {"kind": "program", "program": path.stem}, timing)
        seconds = {r.contestant: r.seconds for r in found if r.seconds is not None}
        ours = [s for name, s in seconds.items() if name.startswith("fovea")]
        others = [s for name, s in seconds.items() if not name.startswith("fovea")]
        ratio = f"{min(others) / min(ours):.2f}" if ours and others else ""
        cells = [f"{seconds[name]:.2f}" if name in seconds else "" for name in names]
        notes += [f"{path.stem}, {r.contestant}: {r.note}" for r in found if r.note]
        report.row("examples", {"program": path.stem, **seconds}, (path.stem, *cells, ratio))
    for note in notes:
        report.say(note)
    for peer in peers:
        peer.stop()
