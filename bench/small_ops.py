"""What calling an op costs: small tensors, eager, gradients on. ``python -m bench small_ops``.

Both libraries run in this process, by turns; a time is the shortest of many repetitions, which is
what the call costs when nothing else gets in between. Sixteen numbers take no time to compute.
"""

from __future__ import annotations

import importlib
import timeit
from collections.abc import Callable
from typing import Any

from bench.tables import Report

__all__ = ["CALLS", "time_small_ops"]

NUMBER, REPETITIONS = 200, 400  # short, so that some run undisturbed on a busy machine

# Expressions in lib, F, x and w (4 x 4 with gradients), y (4 x 4 without).
CALLS = {
    "x + w": "x + w",
    "x * w": "x * w",
    "x * 2.0": "x * 2.0",
    "relu": "F.relu(x)",
    "exp": "x.exp()",
    "sum": "x.sum()",
    "mean": "x.mean()",
    "x @ w": "x @ w",
    "linear": "F.linear(x, w)",
    "softmax": "F.softmax(x, -1)",
    "reshape": "x.reshape(16)",
    "transpose": "x.t()",
    "unsqueeze": "x.unsqueeze(0)",
    "squeeze": "x.squeeze()",
    "permute": "x.permute(1, 0)",
    "expand": "x.expand(2, 4, 4)",
    "x[0]": "x[0]",
    "x[1:3]": "x[1:3]",
    "x[:, 1]": "x[:, 1]",
    "y[:, 1], no gradients": "y[:, 1]",
    "unbind": "x.unbind(0)",
    "unbind, no gradients": "y.unbind(0)",
    "split": "x.split(2)",
    "split, no gradients": "y.split(2)",
    "cat": "lib.cat((x, w))",
    "stack": "lib.stack((x, w))",
    "detach": "x.detach()",
    "y + y, no gradients": "y + y",
    "y[0, 0].item()": "y[0, 0].item()",
    "zeros": "lib.zeros(4, 4)",
    "ones": "lib.ones(4, 4)",
    "empty": "lib.empty(4, 4)",
}


def _calls(name: str) -> dict[str, Callable[[], Any]]:
    lib = importlib.import_module(name)
    scope = {
        "lib": lib,
        "F": importlib.import_module(f"{name}.nn.functional"),
        "x": lib.ones(4, 4, requires_grad=True),
        "w": lib.ones(4, 4, requires_grad=True),
        "y": lib.ones(4, 4),
    }
    return {label: eval(f"lambda: {code}", scope) for label, code in CALLS.items()}


def time_small_ops(report: Report) -> None:
    """The table of all calls, fovea beside PyTorch."""
    ours, theirs = _calls("fovea"), _calls("torch")
    head = ("call", "fovea", "PyTorch", "times fovea")
    report.start("small_ops", "Calls of small ops, gradients on (microseconds)", head)
    for label in CALLS:
        best = [float("inf"), float("inf")]
        for _ in range(REPETITIONS):
            for i, call in enumerate((ours[label], theirs[label])):
                best[i] = min(best[i], timeit.timeit(call, number=NUMBER) / NUMBER * 1e6)
        record = {"call": label, "fovea": best[0], "PyTorch": best[1]}
        cells = (f"`{label}`", f"{best[0]:.2f}", f"{best[1]:.2f}", f"{best[1] / best[0]:.2f}")
        report.row("small_ops", record, cells)
