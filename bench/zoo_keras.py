"""Networks of keras.applications beside Keras's: the third table of ``python -m bench zoo``.

``predict_on_batch`` of two images, with the same random weights, fovea's beside Keras's on PyTorch,
by turns, on one thread; the shortest of a few by processor time, after outputs were compared. Some
calls of fovea's run before it makes a program, which counts as little as any first call.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.tables import Report

__all__ = ["APPLICATIONS", "time_applications"]

APPLICATIONS = (
    "VGG16", "ResNet50", "ResNet50V2", "InceptionV3", "Xception", "MobileNetV2", "MobileNetV3Large",
    "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny",
)  # fmt: skip
BATCH, ROUNDS = 2, 8


def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return importlib.import_module("keras")


def _drawn(model: Any) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Weights that keep values of moderate size, whatever the network's first ones are."""
    rng = np.random.default_rng(0)
    drawn = []
    for variable in model.weights:
        shape, path = tuple(variable.shape), variable.path
        fan = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 1
        if "depthwise" in path and len(shape) == 4:
            fan = shape[0] * shape[1]
        value = rng.standard_normal(shape) * (np.sqrt(2 / fan) if len(shape) > 1 else 0.05)
        if path.endswith(("gamma", "variance")):
            value = 1 + 0.1 * np.abs(value)
        drawn.append(value.astype(np.float32))
    return drawn


def _race(name: str) -> tuple[float, float]:
    ours = getattr(importlib.import_module("fovea.keras").applications, name)(weights=None)
    theirs = getattr(_keras().applications, name)(weights=None)
    weights = _drawn(theirs)
    for model in (ours, theirs):
        model.set_weights(weights)
    shape = tuple(n or 224 for n in theirs.input_shape[1:])
    x = np.random.default_rng(1).random((BATCH, *shape), np.float32)
    calls = [partial(model.predict_on_batch, x) for model in (ours, theirs)]
    mine, wanted = (np.asarray(call()) for call in calls)
    if not np.isfinite(wanted).all() or np.abs(mine - wanted).max() > 1e-3 * np.abs(wanted).max():
        raise RuntimeError(f"{name}: fovea and Keras disagree.")
    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        for i, call in enumerate(calls):
            start = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - start)
    return best[0], best[1]


def time_applications(report: Report, names: Sequence[str] = APPLICATIONS) -> None:
    """The table of these networks."""
    _keras()
    for lib in ("fovea", "torch"):
        importlib.import_module(lib).set_num_threads(1)
    head = ("network", "fovea.keras", "Keras on PyTorch", "times")
    title = f"keras.applications, {BATCH} images, one thread (milliseconds of processor time)"
    report.start("zoo of Keras", title, head)
    for name in names:
        ours, theirs = _race(name)
        record = {"network": name, "fovea": ours, "Keras": theirs}
        cells = (f"{ours * 1e3:.1f}", f"{theirs * 1e3:.1f}", f"{theirs / ours:.2f}")
        report.row("zoo of Keras", record, (f"`{name}`", *cells))
