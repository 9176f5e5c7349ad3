"""Whether compiling changes what is learned: losses of training, eager and compiled, run by run.

``python -m bench parity`` trains each network a hundred steps in processes of their own: eagerly
and compiled, with two threads and with one, compiled twice. Runs of one kind must give the same
bits; eager and compiled losses may differ by rounding, as the compiler reassociates sums. What
rounding does to a hundred steps of a network is told by one more run: eager, from images that are
off by a few last bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.nets import NETS
from bench.nets.models import build
from bench.tables import Report

__all__ = ["KINDS", "SIZES", "compare", "trajectory"]

# Height and width of the images: small, but something is left at the end of the networks.
SIZES = {"small_cnn": 28}
OTHERS = 32
BATCH, BATCHES = 4, 5
RATE, MOMENTUM = 1e-3, 0.9

# What is run: compiled or not, and on how many threads.
KINDS = ((False, 2), (False, 1), (True, 2), (True, 2), (True, 1))
OFF = 2.0**-21  # the relative change of images of the run that shows what rounding does
MOST = 10.0  # times what rounding does may lie between eager and compiled, ...
LEAST = 1e-5  # ... or this


def trajectory(name: str, compiled: bool, steps: int, off: float = 0.0) -> dict[str, Any]:
    """The losses of training a network, and a digest of its parameters afterwards.

    Args:
        name: the network.
        compiled: whether the step is a program.
        steps: how many.
        off: by how much, relatively, images differ from what they are.
    """
    import fovea
    from fovea import nn, optim

    net, size = NETS[name], SIZES.get(name, OTHERS)
    fovea.manual_seed(0)
    model = build(net, size, "fovea").train()
    shape = (BATCH, net.channels, size, size)
    data = [(fovea.randn(*shape) * (1 + off), _labels(net, size)) for _ in range(BATCHES)]
    optimizer: Any = optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    if net.adam:
        optimizer = optim.Adam(model.parameters(), lr=RATE)
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = fovea.compile(step, strict=True) if compiled else step
    losses = [float(run(*data[i % BATCHES])) for i in range(steps)]
    digest = hashlib.sha256()
    for p in model.parameters():
        digest.update(p.detach().numpy().tobytes())
    return {"losses": losses, "digest": digest.hexdigest()}


def _labels(net: Any, size: int) -> Any:
    import fovea

    shape = (BATCH, size, size) if net.dense else (BATCH,)
    return fovea.randint(0, net.classes, shape)


def compare(report: Report, names: Sequence[str], steps: int) -> bool:
    """Train each network in each way; whether all is as it should be."""
    head = (
        "network",
        "loss, first → last",
        "eager to compiled",
        "eager to eager with images off by 5e-7",
        "run to run",
        "2 threads to 1",
    )
    report.start("parity", f"{steps} training steps: the same losses, the same bits", head)
    good = True
    for name in names:
        runs = [_in_process(name, compiled, threads, steps) for compiled, threads in KINDS]
        two, one, first, again, single = runs
        shaken = _in_process(name, False, 2, steps, OFF)
        apart, noise = (_apart(two["losses"], run["losses"]) for run in (first, shaken))
        same = first == again
        threads = first == single and two == one
        good = good and same and threads and apart <= max(LEAST, MOST * noise)
        losses = first["losses"]
        record = {
            "net": name,
            "losses": [r["losses"] for r in runs],
            "difference": apart,
            "noise": noise,
        }
        cells = (
            name,
            f"{losses[0]:.4f} → {losses[-1]:.4f}",
            f"{apart:.1e}",
            f"{noise:.1e}",
            "same bits" if same else "DIFFER",
            "same bits" if threads else "DIFFER",
        )
        report.row("parity", record, cells)
    return good


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest difference between two runs' losses, relative to the first loss."""
    return max(abs(p - q) for p, q in zip(a, b, strict=True)) / abs(a[0])


def _in_process(
    name: str, compiled: bool, threads: int, steps: int, off: float = 0.0
) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.parity", name, str(int(compiled)), str(steps), str(off)],
        env={**os.environ, "FOVEA_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    _, which, compiled, steps, off = sys.argv
    print(json.dumps(trajectory(which, compiled == "1", int(steps), float(off))))
