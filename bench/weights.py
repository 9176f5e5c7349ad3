"""The weights and the inputs that all contestants share: drawn with NumPy, from fixed seeds."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case
from bench.nets import NETS, Net
from bench.workloads import save_arrays

__all__ = ["inputs", "save", "state"]

Array = np.ndarray[Any, Any]


def state(net: Net, size: int) -> dict[str, Array]:
    """A state for the network, in float32 and with PyTorch's shapes; nothing in it is trivial."""
    from bench.nets.models import build

    return {
        name: _draw(name, tuple(value.shape))
        for name, value in build(net, size, "fovea").state_dict().items()
    }


def _draw(name: str, shape: tuple[int, ...]) -> Array:
    chance = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var"):
        return chance.uniform(0.5, 1.5, shape).astype(np.float32)
    normal = chance.standard_normal(shape, np.float32)
    if len(shape) == 1 and name.endswith("weight"):  # of a normalization
        return 1 + 0.1 * normal
    if len(shape) == 1 or min(shape[1:]) == max(shape[1:]) == 1 == len(shape[2:]):
        return 0.1 * normal
    if name.endswith(("class_token", "pos_embedding")):
        return 0.1 * normal
    transposed = name.startswith("up.")
    fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
    return normal * np.float32((2 / fan_in) ** 0.5)


def inputs(net: Net, case: Case) -> dict[str, Array]:
    """Images (N, C, H, W) and their classes."""
    chance = np.random.default_rng(0)
    images = (case.batch, net.channels, case.size, case.size)
    places = (case.batch, case.size, case.size) if net.dense else (case.batch,)
    return {
        "x": chance.standard_normal(images, np.float32),
        "y": chance.integers(0, net.classes, places),
    }


def save(folder: Path, case: Case) -> tuple[str, str]:
    """Write both to a folder, unless they are there: the paths."""
    net = NETS[case.net]
    weights = folder / f"{net.name}-{case.size}.npz"
    data = folder / f"{net.name}-{case.size}-{case.batch}.npz"
    if not weights.exists():
        save_arrays(weights, state(net, case.size))
    if not data.exists():
        save_arrays(data, inputs(net, case))
    return str(weights), str(data)
