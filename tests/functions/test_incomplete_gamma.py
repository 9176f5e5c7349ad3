"""The incomplete gamma functions beside PyTorch's and SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea

torch = pytest.importorskip("torch")
reference = pytest.importorskip("scipy.special")
INF, NAN = float("inf"), float("nan")
EDGES = np.array(
    [
        (0, 0), (0, 1), (0, INF), (1, 0), (1, INF), (INF, 1), (INF, INF), (-1, 1), (1, -1),
        (NAN, 1), (1, NAN), (2, 2), (0.5, 0.5), (INF, 0), (1e-20, 1e-30),
    ]
)  # fmt: skip
RNG = np.random.default_rng(0)
SIZES = 10 ** RNG.uniform(1.8, 5, 2000)
RANGES = {
    "small": (10 ** RNG.uniform(-20, 0, 2000), 10 ** RNG.uniform(-20, 1, 2000)),
    "middle": (RNG.uniform(0.01, 60, 2000), RNG.uniform(0.001, 120, 2000)),
    "large, close": (SIZES, SIZES * (1 + RNG.uniform(-4, 4, 2000) / np.sqrt(SIZES))),
    "large, apart": (SIZES, SIZES * 10 ** RNG.uniform(-0.5, 0.5, 2000)),
    "far apart": (10 ** RNG.uniform(-3, 6, 2000), 10 ** RNG.uniform(-3, 6, 2000)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_ends_of_the_domain(name: str, dtype: str) -> None:
    found = []
    for lib in (fovea, torch):
        a, x = (lib.tensor(v.tolist(), dtype=getattr(lib, dtype)) for v in EDGES.T)
        found.append(getattr(lib, name)(a, x).double().numpy())
    np.testing.assert_allclose(*found, rtol=1e-12 if dtype == "float64" else 2e-6, atol=1e-20)


@pytest.mark.parametrize("case", RANGES)
@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_values(name: str, case: str) -> None:
    a, x = RANGES[case]
    expected = getattr(reference, name)(a, x)
    got = getattr(fovea.special, name)(fovea.tensor(a), fovea.tensor(x)).numpy()
    seen = expected > 1e-280
    np.testing.assert_allclose(got[seen], expected[seen], rtol=3e-10)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_large_sizes_by_the_normal_distribution() -> None:
    """Where SciPy is off by a factor of 3: P falls to Phi(z) as a grows."""
    a, z = 1e12, -4.5
    size, at = fovea.tensor([[a], [a + z * a**0.5]], dtype=fovea.float64).unbind(0)
    got = fovea.igamma(size, at)
    assert got.item() == pytest.approx(reference.ndtr(z), rel=1e-4)


def test_gradients() -> None:
    a, x = np.array([0.5, 2.0, 7.0, 100.0, 3.0]), np.array([0.1, 2.0, 9.0, 80.0, 5000.0])
    for name in ("igamma", "igammac"):
        found: list[Any] = []
        for lib in (fovea, torch):
            at = lib.tensor(x.tolist(), dtype=lib.float64, requires_grad=True)
            value = getattr(lib, name)(lib.tensor(a.tolist(), dtype=lib.float64), at)
            (first,) = lib.autograd.grad(value.sum(), at, create_graph=True)
            (second,) = lib.autograd.grad(first.sum(), at)
            found.append((first.detach().numpy(), second.numpy()))
        np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-300)
    size = fovea.tensor(a, requires_grad=True)
    fovea.igamma(size, fovea.tensor(x)).sum().backward()
    step = 1e-5
    slope = (reference.gammainc(a + step, x) - reference.gammainc(a - step, x)) / (2 * step)
    np.testing.assert_allclose(size.grad.numpy(), slope, rtol=1e-7, atol=1e-10)


def test_methods_and_dtypes() -> None:
    a, x = fovea.tensor([1.0]), fovea.tensor([2.0])
    expected = 1 - np.exp(-2.0)
    assert a.igamma(x).item() == pytest.approx(expected, rel=1e-6)
    assert a.igammac(x).item() == pytest.approx(1 - expected, rel=1e-6)
    assert a.clone().igamma_(x).item() == pytest.approx(expected, rel=1e-6)
    assert a.clone().igammac_(x).item() == pytest.approx(1 - expected, rel=1e-6)
    with pytest.raises(TypeError):
        fovea.igamma(fovea.tensor([1]), fovea.tensor([2]))
