"""Fused loops: iteration spaces, every kind of stride, every vector unit, any number of threads."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fovea.errors import KernelBoundsError
from fovea.targets.cpu import checks, threads
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import bf16, element, f32
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.loops import Expression, Space, broadcast_strides, collapse, prepare
from fovea.targets.cpu.values import Value

Array = np.ndarray[Any, Any]


@pytest.fixture(params=NAMES)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FOVEA_CPU_ISA", request.param)
    return str(request.param)


def weighted(k: Kernel, x: Sequence[Value], p: Sequence[Value]) -> list[Value]:
    """a + p * b."""
    return [x[0] + x[1] * k.cast(p[0], x[1].element)]


CHEAP = Expression("weighted", (f32, f32), (f32,), weighted, parameters=1)
COSTLY = Expression("weighted.masked", (f32, f32), (f32,), weighted, parameters=1, cost=9.0)


def element_strides(a: Array) -> tuple[int, ...]:
    return tuple(s // a.itemsize for s in a.strides)


def run(e: Expression, inputs: Sequence[Array], out: Array, *parameters: float) -> Space | None:
    steps = [broadcast_strides(out.shape, a.shape, element_strides(a)) for a in inputs]
    space = collapse(out.shape, [*steps, element_strides(out)])
    if space is not None:
        ready = prepare(e, space, parameters)
        addresses = [a.ctypes.data for a in (*inputs, out)]
        params = struct.pack(f"{len(addresses)}q", *addresses) + ready.words
        threads.run(ready.address, params, 0 if ready.parallel else 1)
    return space


def test_contiguous_operands_have_one_dimension() -> None:
    a = np.zeros((4, 5, 6), np.float32)
    space = run(CHEAP, [a, a], np.empty_like(a), 1.0)
    assert space == Space((120,), ((1,), (1,), (1,)))
    assert space.pattern == "ccc"


def test_broadcasts_and_gaps_keep_theirs() -> None:
    shape = (2, 3, 4)
    bias = collapse(shape, [(12, 4, 1), (0, 0, 1), (12, 4, 1)])
    assert bias == Space((6, 4), ((4, 1), (0, 1), (4, 1)))
    scale = collapse(shape, [(12, 4, 1), (0, 1, 0), (12, 4, 1)])
    assert scale is not None and scale.pattern == "cbc" and len(scale.sizes) == 3
    gaps = collapse(shape, [(24, 8, 2), (12, 4, 1), (12, 4, 1)])
    assert gaps is not None and gaps.pattern == "sss"
    assert collapse((2, 0, 4), [(4, 4, 1)]) is None
    assert collapse((), [(), ()]) == Space((1,), ((1,), (1,)))


def random_operand(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Of this shape, or one that broadcasts to it; with any strides."""
    own = [n if rng.random() < 0.7 else 1 for n in shape]
    a = rng.normal(size=own).astype(np.float32)
    if rng.random() < 0.4 and a.ndim > 1:
        order = rng.permutation(a.ndim)
        a = np.array(a.transpose(order), order="C").transpose(np.argsort(order))
    if rng.random() < 0.3 and a.ndim:
        wide = np.zeros([*own[:-1], 2 * own[-1]], np.float32)
        wide[..., ::2] = a
        a = wide[..., ::2]
    if rng.random() < 0.2 and a.ndim:
        a = a[::-1]
    return a.reshape(a.shape[1:]) if a.ndim and a.shape[0] == 1 and rng.random() < 0.3 else a


@pytest.mark.parametrize("e", [CHEAP, COSTLY], ids=["cheap", "costly"])
def test_any_strides(isa: str, e: Expression) -> None:
    rng = np.random.default_rng(11)
    for _ in range(60):
        shape = tuple(int(n) for n in rng.choice([1, 2, 3, 7, 8, 9, 33], size=rng.integers(0, 5)))
        a, b = random_operand(rng, shape), random_operand(rng, shape)
        out = np.full(shape, 99.0, np.float32)
        if rng.random() < 0.3 and len(shape) > 1:
            out = np.full(shape[::-1], 99.0, np.float32).T
        run(e, [a, b], out, 2.0)
        want = np.broadcast_to(a + 2 * b, shape)
        np.testing.assert_allclose(out, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(300_000,), (3, 100_001), (70_000, 5), (50, 40, 101)])
def test_large_ones_are_the_same_on_two_threads(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=shape).astype(np.float32)
    b = rng.normal(size=shape[-1:]).astype(np.float32)
    results = []
    before = threads.get_num_threads()
    for count in (1, 2):
        threads.set_num_threads(count)
        results.append(np.empty_like(a))
        run(COSTLY, [a, b], results[-1], 0.5)
    threads.set_num_threads(before)
    np.testing.assert_array_equal(results[0].view(np.int32), results[1].view(np.int32))
    np.testing.assert_allclose(results[0], a + np.float32(0.5) * b, rtol=1e-5, atol=1e-6)


def test_in_place() -> None:
    a = np.arange(1000, dtype=np.float32)
    run(CHEAP, [a, a], a, 1.0)
    np.testing.assert_array_equal(a, np.arange(1000) * 2)


@pytest.mark.parametrize("source", ["float32", "bfloat16", "int8", "bool", "float64"])
def test_narrow_remainders(isa: str, source: str) -> None:
    """The masked remainder of elements that masks are slow for goes by way of scratch memory."""
    import ml_dtypes

    kind = np.dtype(ml_dtypes.bfloat16 if source == "bfloat16" else source)
    e = element(source)

    def twice(k: Kernel, x: Sequence[Value], p: Sequence[Value]) -> list[Value]:
        wide = k.cast(x[0], f32)
        return [wide + wide]

    expression = Expression(f"twice.{source}", (e,), (bf16,), twice, cost=9.0)
    for n in range(1, 40):
        x = (np.arange(n) % 5).astype(kind)
        guarded = np.full(n + 8, 7.0, ml_dtypes.bfloat16)
        run(expression, [x], guarded[:n])
        np.testing.assert_array_equal(guarded[:n].astype(np.float32), x.astype(np.float32) * 2)
        assert (guarded[n:] == 7.0).all(), "wrote past the end"


def test_bounds_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    a, out = np.zeros(100, np.float32), np.zeros(100, np.float32)
    space = collapse((100,), [(1,)] * 3)
    assert space is not None
    ready = prepare(CHEAP, space, (1.0,))
    params = struct.pack("3q", a.ctypes.data, a.ctypes.data, out.ctypes.data) + ready.words
    whole = [(x.ctypes.data, x.ctypes.data + x.nbytes) for x in (a, a, out)]
    checks.run_checked(ready.address, params, whole)
    short = [*whole[:2], (whole[2][0], whole[2][1] - 4)]
    with pytest.raises(KernelBoundsError, match="y0"):
        checks.run_checked(ready.address, params, short)
