"""Functions of functions: ``vmap``, gradients of each sample, Jacobians. ``python -m bench
transforms``.

Both libraries run in this process, by turns, on one thread; a time is the shortest of many.
"""

from __future__ import annotations

import importlib
import timeit
from collections.abc import Callable
from typing import Any

from bench.tables import Report

__all__ = ["time_transforms"]

REPETITIONS = 30


def _each_gradient(lib: Any, net: Any, x: Any, labels: Any) -> Callable[[], Any]:
    """The gradients of all samples, each its own."""
    weights = {k: v.detach() for k, v in net.named_parameters()}

    def loss(weights: Any, x: Any, label: Any) -> Any:
        out = lib.func.functional_call(net, weights, (x[None],))
        return lib.nn.functional.cross_entropy(out, label[None])

    each = lib.func.vmap(lib.func.grad(loss), in_dims=(None, 0, 0))
    return lambda: each(weights, x, labels)


def _ensemble(lib: Any, models: list[Any], x: Any) -> Callable[[], Any]:
    """Models of one kind, at once."""
    stacked = {k: v.detach() for k, v in lib.func.stack_module_state(models)[0].items()}
    call = lib.func.vmap(lambda weights: lib.func.functional_call(models[0], weights, (x,)))
    return lambda: call(stacked)


def _calls(name: str) -> dict[str, Callable[[], Any]]:
    lib = importlib.import_module(name)
    lib.set_num_threads(1)
    nn, f = lib.nn, lib.func
    images, rows, x = lib.randn(64, 3, 32, 32), lib.randn(256, 128), lib.randn(64)
    w = lib.randn(64, 64)
    convolutional = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    dense = nn.Sequential(
        nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10)
    )
    pairs = [nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
                           nn.Conv2d(16, 16, 3, padding=1)) for _ in range(5)]  # fmt: skip
    layers = [nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)) for _ in range(10)]

    def curve(x: Any) -> Any:
        return lib.tanh(w @ x)

    def energy(x: Any) -> Any:
        return (curve(x) ** 2).sum()

    return {
        "gradients of 64 images": _each_gradient(
            lib, convolutional, images, lib.randint(0, 10, (64,))
        ),
        "gradients of 256 rows": _each_gradient(lib, dense, rows, lib.randint(0, 10, (256,))),
        "10 dense networks": _ensemble(lib, layers, rows[:64]),
        "5 convolutional networks": _ensemble(lib, pairs, images[:8]),
        "vmap of +": lambda: f.vmap(lambda a, b: a + b)(x, x),
        "jacrev, 64 x 64": lambda: f.jacrev(curve)(x),
        "jacfwd, 64 x 64": lambda: f.jacfwd(curve)(x),
        "hessian, 64 x 64": lambda: f.hessian(energy)(x),
        "jacrev of 32 samples": lambda: f.vmap(f.jacrev(curve))(rows[:32, :64]),
        "jvp of a dense network": lambda: f.jvp(dense, (rows,), (rows,)),
    }


def time_transforms(report: Report) -> None:
    """The table of all calls, fovea beside PyTorch."""
    ours, theirs = _calls("fovea"), _calls("torch")
    head = ("call", "fovea", "PyTorch", "times fovea")
    report.start("transforms", "Functions of functions, one thread (milliseconds)", head)
    for label in ours:
        best = [float("inf"), float("inf")]
        for _ in range(REPETITIONS):
            for i, call in enumerate((ours[label], theirs[label])):
                best[i] = min(best[i], timeit.timeit(call, number=3) / 3 * 1e3)
        record = {"call": label, "fovea": best[0], "PyTorch": best[1]}
        cells = (label, f"{best[0]:.3f}", f"{best[1]:.3f}", f"{best[1] / best[0]:.2f}")
        report.row("transforms", record, cells)
