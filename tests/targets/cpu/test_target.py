"""The CPU target: what it refuses, what it falls back on, how lightly it starts; memory and
launches.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fovea.ops
from fovea import dtypes, storage
from fovea.errors import LoweringError
from fovea.ops.op import REGISTRY, Op, Spec
from fovea.targets.cpu import launch
from fovea.targets.cpu.fallback import FALLBACK
from fovea.targets.cpu.target import CPU


def test_an_op_without_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.ops.op.REGISTRY", {})
    op = Op("test_only", ("x",), nondifferentiable="a test")
    op.shape(lambda x: Spec(tuple(x.shape), x.dtype))
    op.reference(lambda x: x)
    for rule in (op.shape_rule, op.reference_rule):
        assert rule is not None
        rule.__module__ = "fovea.ops.elementwise"  # a family that has its lowerings
    with pytest.raises(LoweringError, match=r"test_only.*fallback\.py"):
        op(fovea.zeros(3))


def test_listed_fallbacks_exist_and_have_no_kernel() -> None:
    for module in pkgutil.iter_modules(fovea.ops.__path__):
        importlib.import_module(f"fovea.ops.{module.name}")
    CPU.load_lowerings()
    for name in FALLBACK:
        assert name in REGISTRY, f"{name} is no op"
        assert REGISTRY[name] not in CPU.lowerings, f"{name} has a kernel: take it off the list"
        assert REGISTRY[name].reference_rule is not None


def test_import_brings_no_compiler() -> None:
    code = "import sys, fovea; x = fovea.zeros(3); assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_made_tensors_are_like_any_other() -> None:
    make = launch.maker(Spec((2, 3), dtypes.int16, (1, 2)))
    a, b = make(), make()
    assert a.shape == (2, 3) and a.strides == (1, 2) and a.dtype is fovea.int16 and a.is_leaf
    assert a.storage.address % 64 == 0 and a.storage.address != b.storage.address
    a.fill_(7)
    b.fill_(9)
    assert a.tolist() == [[7] * 3] * 2
    assert a.storage.nbytes == 12 and isinstance(a.shape, fovea.Size)


def test_blocks_are_recycled_unless_numpy_looks_at_them() -> None:
    x = fovea.ones(1000)
    address = x.storage.address
    del x
    y = fovea.zeros(1000) + 1  # one of the two takes the block
    again = fovea.ones(1000) * 2
    seen = again.numpy()
    held = again.storage.address
    del again
    others = [fovea.ones(1000) * 3 for _ in range(20)]
    assert all(t.storage.address != held for t in others)
    np.testing.assert_array_equal(seen, np.full(1000, 2.0))
    assert address and y.sum().item() == 1000


def test_memory_is_counted() -> None:
    gc.collect()
    storage.empty_cache()
    before = storage.memory_allocated()
    x = fovea.zeros(1 << 20)
    assert storage.memory_allocated() - before >= 4 << 20
    del x
    gc.collect()
    assert storage.memory_allocated() == before
    assert storage.memory_reserved() - before >= 4 << 20
    storage.empty_cache()
    assert storage.memory_reserved() == before


def test_the_limit_holds() -> None:
    storage.set_cache_limit(1 << 20)
    try:
        tensors = [fovea.zeros(1000) for _ in range(1000)] + [fovea.zeros(1 << 20)]
        del tensors
        gc.collect()
        assert storage.memory_reserved() - storage.memory_allocated() <= 1 << 20
    finally:
        storage.set_cache_limit(4096 << 20)


def test_views_of_a_dead_tensor_live_on() -> None:
    x = fovea.arange(10).float()
    row: Any = x[3:5]
    del x
    fovea.zeros(10)
    assert row.tolist() == [3, 4]


def test_threads_of_python_may_launch_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(seed: int) -> bool:
        a = fovea.from_numpy(np.random.default_rng(seed).normal(size=5000).astype(np.float32))
        total = a
        for _ in range(50):
            total = (total + a).tanh()
            if not np.isfinite(total.sum().item()):
                return False
        want = total.numpy().copy()
        again = a
        for _ in range(50):
            again = (again + a).tanh()
        return bool((again.numpy() == want).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
