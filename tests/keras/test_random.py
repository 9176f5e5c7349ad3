"""``keras.random``: moments, ranges and seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.keras import random as kr

N = (20000,)


@pytest.mark.parametrize(
    ("name", "args", "mean", "variance"),
    [
        ("normal", (2.0, 3.0), 2.0, 9.0),
        ("uniform", (-1.0, 3.0), 1.0, 16 / 12),
        ("truncated_normal", (1.0, 2.0), 1.0, 4 * 0.7737),
        ("beta", (0.2, 0.2), 0.5, 0.25 / 1.4),
        ("beta", (3.0, 3.0), 0.5, 0.25 / 7),
        ("beta", (1.0, 1.0), 0.5, 1 / 12),
        ("beta", (2.0, 5.0), 2 / 7, 10 / (49 * 8)),
        ("gamma", (0.3,), 0.3, 0.3),
        ("gamma", (4.5,), 4.5, 4.5),
        ("binomial", (10, 0.3), 3.0, 2.1),
        ("randint", (0, 10), 4.5, 99 / 12),
    ],
)
def test_moments(name: str, args: tuple[Any, ...], mean: float, variance: float) -> None:
    drawn = getattr(kr, name)(N, *args, seed=1).numpy().astype(np.float64)
    assert drawn.mean() == pytest.approx(mean, abs=5 * (variance / N[0]) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=0.05)
    again = getattr(kr, name)(N, *args, seed=1).numpy()
    assert (again == drawn.astype(again.dtype)).all()


def test_beta_is_inverted_exactly_enough() -> None:
    """Against the distribution function of alpha = beta = 2: 3 x^2 - 2 x^3."""
    fovea.manual_seed(0)
    x = np.sort(kr.beta((4000,), 2.0, 2.0).numpy())
    gap = np.abs(3 * x**2 - 2 * x**3 - (np.arange(4000) + 0.5) / 4000).max()
    assert gap < 0.025
    tiny = kr.beta((1000,), 1e-6, 1e-6).numpy()
    assert np.isfinite(tiny).all() and (np.minimum(tiny, 1 - tiny) < 1e-3).all()


def test_generators_of_seeds() -> None:
    generator = kr.SeedGenerator(5)
    first, second = (kr.normal((3,), seed=generator).tolist() for _ in range(2))
    assert first != second
    again = kr.SeedGenerator.from_config(generator.get_config())
    assert kr.normal((3,), seed=again).tolist() == first
    with pytest.raises(ArgumentError):
        kr.SeedGenerator("x")  # type: ignore[arg-type]


def test_choices() -> None:
    logits = fovea.tensor([[0.0, -1e9], [0.0, 0.0]])
    drawn = kr.categorical(logits, 2000, seed=0)
    assert drawn.shape == (2, 2000) and int(drawn[0].max()) == 0
    assert 0.45 < float(drawn[1].float().mean()) < 0.55
    order = kr.shuffle(fovea.arange(50), seed=1)
    assert sorted(order.tolist()) == list(range(50)) != order.tolist()
    kept = kr.dropout(fovea.ones(1000), 0.3, seed=2)
    assert float(kept.mean()) == pytest.approx(1, abs=0.06)
    with pytest.raises(ArgumentError):
        kr.dropout(fovea.ones(2), 1.0)


def test_next_goes_on() -> None:
    generator, same = kr.SeedGenerator(5), kr.SeedGenerator(5)
    first, second = generator.next(), generator.next(ordered=False)
    assert first.shape == second.shape == generator.state.shape
    assert first.tolist() != second.tolist()
    assert first.tolist() == same.next().tolist()


def test_arrays_and_lists() -> None:
    x = np.arange(12.0).reshape(4, 3)
    assert sorted(kr.shuffle(x).numpy()[:, 0].tolist()) == [0, 3, 6, 9]
    assert sorted(kr.shuffle([[1, 2, 3]], axis=1).numpy()[0].tolist()) == [1, 2, 3]
    dropped = kr.dropout(np.ones((100,)), 0.5, seed=1)
    assert dropped.dtype.name == "float32" and set(dropped.numpy().tolist()) == {0.0, 2.0}
    assert kr.categorical([[0.0, 50.0]], 3).tolist() == [[1, 1, 1]]
