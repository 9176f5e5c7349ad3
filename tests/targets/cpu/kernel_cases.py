"""What tests of kernels share: every vector unit, bounds checks, memory layouts, counts of threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fovea
from fovea import targets
from fovea.targets.cpu import compile as compiler
from fovea.targets.cpu import threads
from fovea.targets.cpu.isa import NAMES

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(3)
HALVES = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # and how far rounding is off, relatively


def drop_plans() -> None:
    """Forget all plans: they do not know which vector unit they were made for."""
    targets.use(targets.active())


@pytest.fixture(params=[*NAMES, "checked"])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each vector unit, and kernels that check their bounds."""
    if request.param == "checked":
        monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    else:
        monkeypatch.setenv("FOVEA_CPU_ISA", request.param)
    drop_plans()
    yield request.param
    drop_plans()


def numpy_type(name: str) -> Any:
    return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)


def normal(*shape: int, dtype: str = "float32") -> Array:
    return RNG.standard_normal(shape).astype(numpy_type(dtype))


def channels_last(array: Array) -> fovea.Tensor:
    """The same values with dimension 1 the innermost in memory."""
    moved = np.ascontiguousarray(np.moveaxis(array, 1, -1))
    return fovea.from_numpy(np.array(moved)).permute(0, array.ndim - 1, *range(1, array.ndim - 1))


def spread_out(array: Array) -> fovea.Tensor:
    """The same values with gaps between all of them, the dimensions in row-major order."""
    roomy = np.full([2 * n + 1 for n in array.shape], 7, array.dtype)
    places = tuple(slice(0, 2 * n, 2) for n in array.shape)
    roomy[places] = array
    return fovea.from_numpy(roomy)[places]


def cut_out(array: Array) -> fovea.Tensor:
    """Channels last, inside a larger image: rows and images are further apart than they are long."""
    pad = [(0, 0), (0, 0), *[(1, 2)] * (array.ndim - 2)]
    inner = tuple(
        slice(1, n - 2) if d > 1 else slice(None) for d, n in enumerate(np.pad(array, pad).shape)
    )
    return channels_last(np.pad(array, pad))[inner]


LAYOUTS = {
    "channels_last": channels_last,
    "contiguous": lambda a: fovea.from_numpy(a.copy()),
    "spread_out": spread_out,
    "cut_out": cut_out,
}


def bits(t: fovea.Tensor) -> bytes:
    """The bytes of a tensor's values."""
    return np.ascontiguousarray(t.detach().numpy()).tobytes()


def compiled() -> int:
    """How many kernels this process has linked."""
    return compiler._linked


def same_bits_for_any_thread_count(run: Any) -> None:
    """`run()` gives a tuple of tensors: the same bits with 1, 2 and 5 threads."""
    before = threads.get_num_threads()
    try:
        found = []
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            found.append([bits(t) for t in run()])
    finally:
        threads.set_num_threads(before)
    assert found[0] == found[1] == found[2]
