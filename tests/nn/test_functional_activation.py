"""Activation functions against PyTorch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from tests.nn.oracle import compare, rng, second_derivatives, torch

TF = torch.nn.functional

CASES: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}),
    ("relu6", {}),
    ("hardtanh", {}),
    ("hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {}),
    ("elu", {"alpha": 1.7}),
    ("selu", {}),
    ("celu", {"alpha": 0.7}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("mish", {}),
    ("softplus", {}),
    ("softplus", {"beta": 2.0, "threshold": 3.0}),
    ("logsigmoid", {}),
    ("hardsigmoid", {}),
    ("hardswish", {}),
    ("softsign", {}),
    ("tanhshrink", {}),
    ("hardshrink", {}),
    ("softshrink", {"lambd": 0.7}),
    ("threshold", {"threshold": 0.3, "value": 5.0}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("glu", {}),
    ("glu", {"dim": 0}),
    ("softmax", {"dim": 1}),
    ("softmax", {"dim": -2}),
    ("softmin", {"dim": 1}),
    ("log_softmax", {"dim": 0}),
    ("rrelu", {"lower": 0.2, "upper": 0.4}),
]
SMOOTH = {"elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "logsigmoid", "tanhshrink"}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_values_and_gradients(name: str, options: dict[str, Any]) -> None:
    x = rng().standard_normal((4, 6)) * 3
    ours, theirs = getattr(F, name), getattr(TF, name)
    compare(lambda t: ours(t, **options), lambda t: theirs(t, **options), x, dtypes=exact(name))


def exact(name: str) -> tuple[str, ...]:
    """PyTorch computes a few with float32 constants also in float64."""
    return ("float32",) if name in ("celu", "hardsigmoid") else ("float64", "float32")


KINKS = np.array([-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 30.0, -30.0])


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if c[0] not in ("glu", "rrelu")])
def test_at_kinks_and_far_out(name: str, options: dict[str, Any]) -> None:
    ours, theirs = getattr(F, name), getattr(TF, name)
    x = KINKS.reshape(2, 6)
    compare(lambda t: ours(t, **options), lambda t: theirs(t, **options), x, dtypes=exact(name))


@pytest.mark.parametrize(
    ("name", "options"), [c for c in CASES if "softm" not in c[0] and c[0] not in ("glu", "rrelu")]
)
def test_nan_and_infinity(name: str, options: dict[str, Any]) -> None:
    ours, theirs = getattr(F, name), getattr(TF, name)
    x = np.array([[np.nan, np.inf], [-np.inf, 1.0]])
    limits = {"gelu", "silu", "mish", "hardswish", "softsign"}  # inf - inf is not defined
    if name in limits:
        x = np.array([[np.nan, 1.0]])
    compare(lambda t: ours(t, **options), lambda t: theirs(t, **options), x, grads=False)


@pytest.mark.parametrize("name", ["relu", "elu", "silu", "leaky_relu", "hardtanh", "mish", "celu"])
def test_in_place(name: str) -> None:
    x = rng().standard_normal((3, 4))
    ours, theirs = getattr(F, name), getattr(TF, name)

    def call(f: Any) -> Any:
        def run(t: Any) -> Any:
            y = t * 1
            z = f(y, inplace=True)
            assert z is y
            return z

        return run

    compare(call(ours), call(theirs), x)


@pytest.mark.parametrize("name", ["relu_", "elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_"])
def test_in_place_names(name: str) -> None:
    x = rng().standard_normal((3, 4))
    ours, theirs = getattr(F, name), getattr(TF, name)
    compare(lambda t: ours(t * 1), lambda t: theirs(t * 1), x)


@pytest.mark.parametrize(
    ("name", "options"), [c for c in CASES if c[0] in SMOOTH or "softm" in c[0]]
)
def test_second_derivatives(name: str, options: dict[str, Any]) -> None:
    x = np.array([[-2.1, -0.4, 0.3], [0.9, 1.4, 2.2]])
    second_derivatives(lambda t: getattr(F, name)(t, **options), x)


@pytest.mark.parametrize("slopes", [1, 3])
def test_prelu(slopes: int) -> None:
    x, w = rng().standard_normal((2, 3, 4, 5)), rng(1).uniform(0.1, 0.4, slopes)
    compare(F.prelu, TF.prelu, x, w)


def test_rrelu_in_training_draws_slopes() -> None:
    x = fovea.full((1000,), -1.0)
    y = F.rrelu(x, 0.2, 0.4, training=True)
    assert -0.4 <= y.min().item() < -0.35
    assert -0.25 < y.max().item() <= -0.2


def test_softmax_without_dim_warns() -> None:
    x = fovea.randn(2, 3)
    with pytest.warns(UserWarning, match="softmax: give dim"):
        y = F.softmax(x)
    assert fovea.allclose(y, F.softmax(x, dim=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.softmax(x, dim=1)


def test_softmax_of_a_number_and_of_nothing() -> None:
    assert F.softmax(fovea.tensor(3.0), dim=0).item() == 1.0
    assert F.log_softmax(fovea.zeros(2, 0), dim=1).shape == (2, 0)
    assert F.softmax(fovea.tensor([1, 2]), 0, dtype=fovea.float64).dtype is fovea.float64
