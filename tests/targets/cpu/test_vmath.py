"""The elementary functions: within 2 units in the last place, and right at the edges, on every
vector unit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fovea.targets.cpu import threads, vmath
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.loops import Expression, collapse, prepare

Array = np.ndarray[Any, Any]


def logistic(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, z) / (1 + z)


UNARY: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "erf": np.vectorize(math.erf, otypes=[np.float64]), "sigmoid": logistic,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
}  # fmt: skip
EDGES = [
    0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0, 8.0, 0.5, 100.0, 1000.0, 1e-45, -1e-45,
    1e-38, 3e38, -3e38, 0.625, 4.0, -4.0, 88.72, 88.73, -87.3, -103.9, -104.1, 1e6, 1e30, 2.0**-24,
]  # fmt: skip


@pytest.fixture(params=NAMES)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FOVEA_CPU_ISA", request.param)
    return str(request.param)


def samples() -> Array:
    """Any bit pattern, and plenty of ordinary numbers; not a multiple of any vector length."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, 20000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    parts = [
        bits,
        rng.normal(size=20001) * 5,
        rng.uniform(-1, 1, 20000),
        rng.normal(size=5000) * 50,
    ]
    parts += [1 + rng.normal(size=5000) * 1e-3, np.arange(-300, 300) * np.float32(np.pi / 2), EDGES]
    with np.errstate(invalid="ignore"):
        return np.concatenate(parts).astype(np.float32)


def run(name: str, e: Element, *inputs: Array) -> Array:
    function = getattr(vmath, name)
    expression = Expression(
        f"vmath.{name}", (e,) * len(inputs), (e,), lambda k, x, p: [function(k, *x)], cost=8.0
    )
    space = collapse(inputs[0].shape, [(1,)] * (len(inputs) + 1))
    assert space is not None
    ready = prepare(expression, space)
    out = np.empty_like(inputs[0])
    addresses = [x.ctypes.data for x in (*inputs, out)]
    threads.run(ready.address, struct.pack(f"{len(addresses)}q", *addresses) + ready.words)
    return out


def ulps(got: Array, want: Array) -> float:
    """The largest error in units in the last place of float32; infinities and NaN must agree."""
    with np.errstate(all="ignore"):
        nearest = want.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(nearest))
    ordinary = np.isfinite(got) & np.isfinite(nearest)
    near_limit = (np.abs(got) > 3.4e38) & (np.abs(nearest) > 3.4e38)
    assert (ordinary | np.isnan(got) | (got == nearest) | near_limit).all()
    unit = np.spacing(np.maximum(np.abs(nearest[ordinary]), np.float32(2.0**-126)))
    return float(np.max(np.abs(got[ordinary] - want[ordinary]) / unit))


@pytest.mark.parametrize("name", UNARY)
def test_float32(isa: str, name: str) -> None:
    x = samples()
    with np.errstate(all="ignore"):
        want = UNARY[name](x.astype(np.float64))
    # Without fused multiply-add, the quotient of a sigmoid is not corrected.
    limit = 2.3 if (isa, name) == ("generic", "sigmoid") else 2.0
    assert ulps(run(name, f32, x), want) <= limit


@pytest.mark.parametrize("name", UNARY)
def test_float64(name: str) -> None:
    x = np.concatenate([samples(), np.random.default_rng(4).normal(size=3000)]).astype(np.float64)
    with np.errstate(all="ignore"):
        want = UNARY[name](x)
    np.testing.assert_allclose(run(name, f64, x), want, rtol=1e-14, atol=1e-300)


def pairs() -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    special = np.array([0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e30, -1e30,
                        1e-45, 33554434], np.float32)  # fmt: skip
    a, b = np.meshgrid(special, special)
    base, power = np.abs(rng.normal(size=20000) * 10), rng.normal(size=20000) * 5
    any_x, any_y = rng.permutation(samples())[:20000], rng.permutation(samples())[:20000]
    x = np.concatenate([a.ravel(), base, any_x]).astype(np.float32)
    return x, np.concatenate([b.ravel(), power, any_y]).astype(np.float32)


@pytest.mark.parametrize(("name", "meaning"), [("pow", np.power), ("atan2", np.arctan2)])
def test_two_operands(isa: str, name: str, meaning: Any) -> None:
    x, y = pairs()
    with np.errstate(all="ignore"):
        want = meaning(x.astype(np.float64), y.astype(np.float64))
    assert ulps(run(name, f32, x, y), want) <= 2.0
    wide = run(name, f64, x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(wide, want, rtol=1e-14, atol=1e-300)


def test_signs_of_zero() -> None:
    x = np.array([-0.0] * 9, np.float32)
    for name in ("expm1", "tanh", "erf", "asin", "atan", "sqrt"):
        assert np.signbit(run(name, f32, x)).all(), name


def test_exact_results() -> None:
    powers = np.arange(-20, 20).astype(np.float32)
    np.testing.assert_array_equal(run("exp2", f32, powers), np.exp2(powers))
    np.testing.assert_array_equal(run("log2", f32, np.exp2(powers)), powers)
    thousands = np.array([1, 10, 100, 1000, 1e4, 1e5], np.float32)
    np.testing.assert_array_equal(run("log10", f32, thousands), np.arange(6))
