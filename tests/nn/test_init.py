"""Initializers against PyTorch: bounds, moments, and exact structures."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.nn import init
from tests.nn.oracle import torch

SHAPE = (120, 80, 3, 3)

RANDOM: list[tuple[str, dict[str, Any]]] = [
    ("uniform_", {}),
    ("uniform_", {"a": -2.0, "b": 5.0}),
    ("normal_", {"mean": 1.0, "std": 2.0}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"mean": 1.0, "std": 0.5, "a": 0.9, "b": 3.0}),
    ("xavier_uniform_", {"gain": 1.5}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": 1.0, "mode": "fan_out"}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {"nonlinearity": "tanh"}),
]


@pytest.mark.parametrize(("name", "options"), RANDOM)
def test_moments_and_bounds(name: str, options: dict[str, Any]) -> None:
    fovea.manual_seed(0)
    torch.manual_seed(0)
    mine = fovea.empty(*SHAPE)
    assert getattr(init, name)(mine, **options) is mine
    a = mine.double().numpy()
    b = getattr(torch.nn.init, name)(torch.empty(*SHAPE), **options).double().numpy()
    assert a.std() == pytest.approx(b.std(), rel=0.02)
    assert abs(a.mean() - b.mean()) < 0.02 * b.std()
    quantiles = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    np.testing.assert_allclose(
        np.quantile(a, quantiles), np.quantile(b, quantiles), atol=0.04 * b.std()
    )
    if "uniform" in name or "trunc" in name:
        assert a.max() <= b.max() + 0.002 * np.ptp(b)
        assert a.min() >= b.min() - 0.002 * np.ptp(b)


def test_far_tails_of_the_normal_distribution() -> None:
    for low, high in ((3.0, 9.0), (-9.0, -3.0), (5.0, 5.5), (-0.05, 0.05)):
        x = init.trunc_normal_(fovea.empty(3000), a=low, b=high).double().numpy()
        assert x.min() >= low - 1e-6
        assert x.max() <= high + 1e-6
        grid = np.linspace(low, high, 20001)
        density = np.exp(-(grid**2) / 2 + min(low**2, high**2) / 2)
        expected = (grid * density).sum() / density.sum()
        assert x.mean() == pytest.approx(expected, abs=0.05 * (min(high, low + 1) - low))


def test_constants() -> None:
    assert init.ones_(fovea.empty(2)).tolist() == [1.0, 1.0]
    assert init.zeros_(fovea.empty(2)).tolist() == [0.0, 0.0]
    assert init.constant_(fovea.empty(2), 0.5).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("shape", [(3, 5), (4, 4)])
def test_eye(shape: Any) -> None:
    mine, theirs = init.eye_(fovea.empty(*shape)), torch.nn.init.eye_(torch.empty(*shape))
    assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 3, 3), 1), ((4, 6, 3, 2), 2), ((2, 3, 1, 3, 3), 1)]
)
def test_dirac(shape: Any, groups: int) -> None:
    mine = init.dirac_(fovea.empty(*shape), groups)
    assert mine.tolist() == torch.nn.init.dirac_(torch.empty(*shape), groups).tolist()


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 2, 4)])
def test_orthogonal(shape: Any) -> None:
    w = init.orthogonal_(fovea.empty(*shape, dtype=fovea.float64), gain=2.0).flatten(1).numpy()
    product = w @ w.T if shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_sparse() -> None:
    w = init.sparse_(fovea.empty(50, 20), 0.3, std=0.5).numpy()
    assert ((w == 0).sum(0) == 15).all()
    assert w[w != 0].std() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    ("name", "param"),
    [(n, None) for n in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu")]
    + [("leaky_relu", 0.3), ("leaky_relu", math.sqrt(5))],
)
def test_gains(name: str, param: Any) -> None:
    assert init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)


def test_parameters_stay_leaves() -> None:
    p = fovea.nn.Parameter(fovea.empty(4, 4))
    for name in ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "orthogonal_", "eye_"):
        getattr(init, name)(p)
        assert p.is_leaf
        assert p.requires_grad


def test_generators_decide() -> None:
    for name in ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "orthogonal_"):
        draws = []
        for _ in range(2):
            g = fovea.Generator().manual_seed(7)
            draws.append(getattr(init, name)(fovea.empty(5, 4), generator=g))
        assert fovea.equal(*draws), name


def test_wrong_arguments() -> None:
    x = fovea.empty(3)
    for f in (init.xavier_uniform_, init.kaiming_normal_):
        with pytest.raises(ValueError, match="at least 2 dimensions"):
            f(x)
    for f in (init.eye_, init.dirac_, init.orthogonal_):
        with pytest.raises(ValueError):
            f(x)
    with pytest.raises(ValueError, match="'rely' is unknown"):
        init.calculate_gain("rely")
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out'"):
        init.kaiming_uniform_(fovea.empty(2, 2), mode="fan")
    with pytest.raises(ValueError, match="must not be empty"):
        init.trunc_normal_(x, a=2.0, b=1.0)
    with pytest.warns(UserWarning, match="no elements"):
        init.kaiming_uniform_(fovea.empty(0, 2))


NAMES = [  # PyTorch's old names, without the underscore, take *args
    n for n in init.__all__ if hasattr(torch.nn.init, n) and f"{n}_" not in init.__all__
]


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name: str) -> None:
    ours = inspect.signature(getattr(init, name)).parameters
    theirs = inspect.signature(getattr(torch.nn.init, name)).parameters
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


@pytest.mark.parametrize(
    "name", [n for n in init.__all__ if hasattr(torch.nn.init, n) and f"{n}_" in init.__all__]
)
def test_old_names(name: str) -> None:
    extra = {"constant": [2.0], "sparse": [0.5]}.get(name, [])
    shape = (3, 4, 5) if name == "dirac" else (3, 4)
    with pytest.warns(FutureWarning, match=f"use nn.init.{name}_"):
        fovea.manual_seed(0)
        old = getattr(init, name)(fovea.empty(*shape), *extra)
    fovea.manual_seed(0)
    assert old.tolist() == getattr(init, f"{name}_")(fovea.empty(*shape), *extra).tolist()
    assert getattr(init, name).__name__ == getattr(torch.nn.init, name).__name__ == name


def test_skipping() -> None:
    t = fovea.full((3, 3), 7.0)
    with init.skipped():
        with init.skipped():
            assert init.uniform_(t) is t
        for name in (
            "normal_",
            "eye_",
            "orthogonal_",
            "kaiming_uniform_",
            "zeros_",
            "trunc_normal_",
        ):
            getattr(init, name)(tensor=t)
        init.sparse_(t, 0.5)
    assert t.tolist() == [[7.0] * 3] * 3
    assert init.zeros_(t).tolist() == [[0.0] * 3] * 3


def test_names_that_pytorch_s_code_imports() -> None:
    for mode in ("fan_in", "fan_out"):
        ours = fovea.nn.init._calculate_correct_fan(fovea.empty(8, 3, 5, 5), mode)
        assert ours == torch.nn.init._calculate_correct_fan(torch.empty(8, 3, 5, 5), mode)
    with pytest.raises(ValueError, match="mode"):
        fovea.nn.init._calculate_correct_fan(fovea.empty(8, 3), "fan")
