"""Reduction kernels: random shapes, layouts, dims and dtypes against NumPy; accuracy; the same bits
for any threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.ops import reduce as ops
from fovea.ops.op import Op
from fovea.targets.cpu import threads
from fovea.targets.cpu.isa import NAMES
from tests.targets.cpu.operands import agree, both, laid_out, values

REDUCTIONS = [ops.sum_, ops.mean, ops.prod, ops.amax, ops.amin, ops.any_, ops.all_]
SEARCHES = [ops.argmax, ops.argmin]
SCANS = [ops.cumsum, ops.cumprod]
INFINITE = {ops.sum_, ops.mean, ops.prod, ops.cumsum, ops.cumprod}


@pytest.fixture(autouse=True, params=[*NAMES, "checked"])
def setting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every vector unit, and bounds checks; plans of one setting are not for the next."""
    if request.param == "checked":
        monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    else:
        monkeypatch.setenv("FOVEA_CPU_ISA", request.param)
    forget_plans()
    yield request.param
    forget_plans()


def forget_plans() -> None:
    from fovea.ops.op import REGISTRY

    for op in REGISTRY.values():
        op.plans.clear()


def attrs_for(op: Op, rng: np.random.Generator, rank: int) -> Any:
    if op in SEARCHES:
        return ops.ArgAttrs.of(int(rng.integers(0, max(rank, 1))), bool(rng.integers(2)))
    if op in SCANS:
        return ops.DimAttrs.of(int(rng.integers(0, rank)))
    chosen = rng.choice(rank, int(rng.integers(0, rank + 1)), replace=False) if rank else []
    return ops.ReduceAttrs.of(tuple(sorted(int(d) for d in chosen)), bool(rng.integers(2)))


@pytest.mark.parametrize("op", [*REDUCTIONS, *SEARCHES, *SCANS], ids=lambda op: op.name)
def test_random_calls(op: Op) -> None:
    rng = np.random.default_rng(len(op.name))
    for turn in range(50):
        dtype = dtypes.ALL[turn % len(dtypes.ALL)]
        if op is ops.mean and not dtype.is_floating_point:
            continue
        rank = int(rng.integers(1 if op in SCANS else 0, 5))
        shape = tuple(int(n) for n in rng.choice([1, 2, 3, 5, 8, 9, 33], size=rank))
        array = values(rng, dtype, shape)
        if op in INFINITE and dtype.is_floating_point:
            array = np.nan_to_num(array.astype(np.float32), posinf=2, neginf=-2).astype(dtype.numpy)
        x = laid_out(rng, array)
        attrs = attrs_for(op, rng, rank)
        got, want = both(op, (x,), attrs)
        size = float(np.max(np.nan_to_num(np.abs(want._array().astype(np.float64))), initial=3))
        assert agree(got, want, size if op in INFINITE else 1.0), (
            f"{dtype} {x.shape} {x.strides} {attrs}: {got} instead of {want}"
        )


@pytest.mark.parametrize("op", [ops.amax, ops.amin, ops.argmax, ops.argmin], ids=lambda op: op.name)
def test_nan_wins(op: Op) -> None:
    rng = np.random.default_rng(0)
    for shape, dim in [((5, 40), 1), ((40, 5), 0), ((3, 40, 9), 1), ((1000,), 0)]:
        array = rng.normal(size=shape).astype(np.float32)
        array[rng.random(shape) < 0.02] = np.nan
        attrs: Any = ops.ReduceAttrs.of((dim,), False)
        if op in SEARCHES:
            attrs = ops.ArgAttrs.of(dim, False)
        got, want = both(op, (fovea.from_numpy(array),), attrs)
        assert agree(got, want)


def test_the_first_of_equals_is_found() -> None:
    for n in (7, 8, 64, 65, 1000):
        x = fovea.zeros(3, n)
        assert x.argmax(1).tolist() == [0, 0, 0] and x.argmin(1).tolist() == [0, 0, 0]
        assert x.t().contiguous().argmax(0).tolist() == [0, 0, 0]
        x[1, n // 2 :] = 1
        assert x.argmax(1).tolist() == [0, n // 2, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int8", "int64", "bool"])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((9216, 3), 1), ((37, 2), 1), ((3, 5, 67, 21), 3), ((2, 50, 4), -1), ((5, 16, 47), 2)],
)
def test_short_rows(shape: tuple[int, ...], dim: int, dtype: str) -> None:
    """As the classes of pixels lie in a segmentation's logits; also as a view of longer rows."""
    rng = np.random.default_rng(2)
    array = rng.integers(0, 3 if dtype != "bool" else 2, shape)
    x = fovea.from_numpy(array).to(dtype)
    wide = fovea.from_numpy(np.concatenate([array, array], -1)).to(dtype)[..., : shape[-1]]
    turned = (
        fovea.from_numpy(np.ascontiguousarray(array[::-1].T))
        .to(dtype)
        .permute(*range(len(shape) - 1, -1, -1))
    )
    for t, a in ((x, array), (wide, array), (turned, array[::-1])):
        assert np.array_equal(t.argmax(dim).numpy(), a.argmax(dim))
        assert np.array_equal(t.argmin(dim, keepdim=True).numpy(), a.argmin(dim, keepdims=True))


def test_of_nothing() -> None:
    x = fovea.zeros(3, 0, 2)
    assert x.sum().item() == 0 and x.prod().item() == 1
    assert x.sum(1).tolist() == [[0, 0]] * 3 and x.prod(1).tolist() == [[1, 1]] * 3
    assert np.isnan(x.mean(1).numpy()).all()
    assert x.sum(0).shape == (0, 2) and x.amax(0).shape == (0, 2)
    assert not (x > 0).any().item() and (x > 0).all().item()
    with pytest.raises(fovea.errors.ShapeError):
        x.amax(1)
    with pytest.raises(fovea.errors.ShapeError):
        x.argmax(1)


LARGE = [
    ((1_000_003,), (0,)), ((100_001, 24), (0,)), ((100_000, 3), (0,)), ((3, 70_001), (1,)), ((6, 50, 40, 33), (0, 2, 3)),
    ((4, 3, 20_000), (0, 2)), ((2, 30_000, 7), (1,)), ((600, 1100), (0,)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "dims"), LARGE, ids=str)
def test_threads_do_not_change_a_bit(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    array = np.random.default_rng(9).normal(size=shape).astype(np.float32) + 0.1
    x = fovea.from_numpy(array)
    results = []
    before = threads.get_num_threads()
    for count in (1, 2):
        threads.set_num_threads(count)
        results.append([f(dims).numpy() for f in (x.sum, x.mean, x.amax)])
    threads.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    total, mean, top = results[0]
    exact = array.astype(np.float64).sum(dims)
    scale = np.abs(array).astype(np.float64).sum(dims)
    assert np.max(np.abs(total - exact) / scale) < 1e-7, "hardly more than one rounding"
    np.testing.assert_allclose(mean, array.astype(np.float64).mean(dims), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(top, array.max(dims))


def test_half_types_are_summed_in_float32() -> None:
    for dtype in (fovea.bfloat16, fovea.float16):
        x = fovea.ones(4097, dtype=dtype)
        assert x.sum().item() == dtype_round(4097, dtype)
        assert x.reshape(17, 241).sum(0).tolist() == [17.0] * 241


def dtype_round(value: float, dtype: Any) -> float:
    return float(np.asarray(value, np.float32).astype(dtype.numpy))


def test_broadcast_inputs() -> None:
    x = fovea.arange(6).float().reshape(1, 6, 1).expand(5, 6, 7)
    assert x.sum().item() == 15 * 35
    assert x.sum((0, 2)).tolist() == [35.0 * i for i in range(6)]
    assert x.argmax(1).tolist() == [[5] * 7] * 5


def test_many_results_of_narrow_columns() -> None:
    """Rows that are folded side by side are folded once."""
    for shape in ((397, 32, 8, 8), (600, 16, 2, 3), (1000, 8, 4, 4)):
        x = fovea.rand(*shape).contiguous(memory_format=fovea.channels_last)
        np.testing.assert_allclose(x.mean((2, 3)).numpy(), x.numpy().mean((2, 3)), rtol=1e-5)
