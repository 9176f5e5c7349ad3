"""Normalization ops: other axes, statistics, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops import norm
from tests.nn.oracle import rng


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_any_axis(axis: int) -> None:
    x = rng().standard_normal((3, 4, 5, 6)) * 2 + 1
    w, b = rng(1).standard_normal((2, x.shape[axis]))
    y, mean, rstd, var = norm.batch_norm_train(
        fovea.tensor(x), fovea.tensor(w), fovea.tensor(b), eps=1e-3, axis=axis
    )
    others = tuple(d for d in range(4) if d != axis)
    np.testing.assert_allclose(mean.numpy(), x.mean(others), rtol=1e-10)
    np.testing.assert_allclose(var.numpy(), x.var(others), rtol=1e-10)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(x.var(others) + 1e-3), rtol=1e-10)
    shape = [1] * 4
    shape[axis] = -1
    normalized = (x - x.mean(others, keepdims=True)) / np.sqrt(x.var(others, keepdims=True) + 1e-3)
    expected = normalized * w.reshape(shape) + b.reshape(shape)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-9, atol=1e-10)
    stats = (fovea.tensor(x.mean(others)), fovea.tensor(x.var(others)))
    again = norm.batch_norm_infer(
        fovea.tensor(x), *stats, fovea.tensor(w), fovea.tensor(b), eps=1e-3, axis=axis
    )
    np.testing.assert_allclose(again.numpy(), expected, rtol=1e-9, atol=1e-10)


def test_large_means_keep_their_variance() -> None:
    """Variance as the mean of squares minus the square of the mean would lose it all."""
    x = fovea.tensor((rng().standard_normal((64, 2, 8, 8)) + 1e4).astype("float32"))
    _, _, _, var = norm.batch_norm_train(x, None, None, eps=1e-5, axis=1)
    expected = x.numpy().astype("float64").var((0, 2, 3))
    np.testing.assert_allclose(var.numpy(), expected, rtol=2e-3)


def test_statistics_of_half_precision_are_float32() -> None:
    x = fovea.randn(4, 3, 2, 2).bfloat16()
    y, mean, rstd, var = norm.batch_norm_train(x, None, None, eps=1e-5, axis=1)
    assert y.dtype is fovea.bfloat16
    assert mean.dtype is rstd.dtype is var.dtype is fovea.float32


def test_refusals() -> None:
    x = fovea.ones(2, 3, 4)
    with pytest.raises(FoveaError, match="axis must be counted from the front"):
        norm.batch_norm_train(x, None, None, eps=1e-5, axis=-1)
    with pytest.raises(FoveaError, match="out of range"):
        norm.batch_norm_train(x, None, None, eps=1e-5, axis=5)
    with pytest.raises(FoveaError, match="at least 2 dimensions"):
        norm.batch_norm_train(fovea.ones(3), None, None, eps=1e-5, axis=0)
    with pytest.raises(FoveaError, match="weight is float64 but x is float32"):
        norm.batch_norm_train(x, fovea.ones(3).double(), None, eps=1e-5, axis=1)
    with pytest.raises(FoveaError, match="4 dimensions cannot be normalized"):
        norm.layer_norm(x, None, None, ndim=4, eps=1e-5)
    with pytest.raises(FoveaError, match="running_var"):
        norm.batch_norm_update(
            fovea.ones(3),
            fovea.ones(4),
            fovea.ones(3),
            fovea.ones(3),
            momentum=0.1,
            correction=1.0,
        )
