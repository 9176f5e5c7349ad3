"""Pooling ops: padding on each side, and attributes that make no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops import pool
from tests.nn.oracle import rng, torch

MAX: dict[str, Any] = {
    "kernel": (2, 2),
    "stride": (2, 2),
    "padding": (0, 0, 0, 0),
    "dilation": (1, 1),
    "ceil_mode": False,
}
AVERAGE: dict[str, Any] = {
    "kernel": (2, 2),
    "stride": (2, 2),
    "padding": (0, 0, 0, 0),
    "ceil_mode": False,
    "count_include_pad": True,
    "divisor": None,
}


@pytest.mark.parametrize("padding", [(0, 1, 1, 0), (1, 0, 0, 0), (0, 0, 2, 1), (2, 1, 0, 2)])
def test_sides_are_padded_alone(padding: tuple[int, int, int, int]) -> None:
    x = rng().standard_normal((2, 3, 7, 6))
    top, bottom, left, right = padding
    t = torch.tensor(x).requires_grad_()
    wide = torch.nn.functional.pad(t, (left, right, top, bottom), value=-np.inf)
    y = torch.nn.functional.max_pool2d(wide, 3, 2)
    ours = fovea.tensor(x).requires_grad_()
    out = pool.max_pool2d(ours, **{**MAX, "kernel": (3, 3), "padding": padding})
    np.testing.assert_allclose(out.detach().numpy(), y.detach().numpy(), rtol=1e-12)
    gy = rng(1).standard_normal(tuple(y.shape))
    y.backward(torch.tensor(gy))
    out.backward(fovea.tensor(gy))
    np.testing.assert_allclose(ours.grad.numpy(), t.grad.numpy(), rtol=1e-10)

    t.grad = None
    zeros = torch.nn.functional.pad(t, (left, right, top, bottom))
    y = torch.nn.functional.avg_pool2d(zeros, 3, 2)
    ours = fovea.tensor(x).requires_grad_()
    out = pool.avg_pool2d(ours, **{**AVERAGE, "kernel": (3, 3), "padding": padding})
    np.testing.assert_allclose(out.detach().numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-12)
    y.backward(torch.tensor(gy))
    out.backward(fovea.tensor(gy))
    np.testing.assert_allclose(ours.grad.numpy(), t.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": (0, 1)},
        {"kernel": (9, 1)},
        {"kernel": (2, 2, 2)},
        {"stride": (0, 1)},
        {"padding": (-1, 0, 0, 0)},
        {"padding": (5, 0, 0, 0)},
        {"padding": (0, 0, 0)},
        {"stride": (2**40, 1)},
    ],
)
def test_attributes_are_checked(options: dict[str, Any]) -> None:
    x = fovea.ones(1, 1, 5, 5)
    with pytest.raises(FoveaError):
        pool.max_pool2d(x, **{**MAX, **options})
    with pytest.raises(FoveaError):
        pool.avg_pool2d(x, **{**AVERAGE, **options})


def test_windows_of_padding_have_no_maximum() -> None:
    with pytest.raises(FoveaError, match="a window would hold only padding"):
        pool.max_pool2d(
            fovea.ones(1, 1, 2, 2),
            **{**MAX, "dilation": (4, 1), "padding": (2, 2, 0, 0), "stride": (1, 1)},
        )


def test_gradients_must_fit() -> None:
    x = fovea.ones(1, 1, 4, 4)
    y = pool.max_pool2d(x, **MAX)
    with pytest.raises(FoveaError, match="pooling x gives shape"):
        pool.max_pool2d_grad(fovea.ones(1, 1, 3, 2), x, y, **MAX)
    with pytest.raises(FoveaError, match="pools to"):
        pool.avg_pool2d_grad(fovea.ones(1, 1, 3, 2), **AVERAGE, input_size=(4, 4))
    with pytest.raises(FoveaError, match="booleans have no maximum"):
        pool.max_pool2d(x > 0, **MAX)
    with pytest.raises(FoveaError, match="without pixels"):
        pool.adaptive_avg_pool2d(fovea.ones(1, 1, 0, 4), output_size=(2, 2))
    with pytest.raises(FoveaError, match="output_size must be two integers"):
        pool.adaptive_max_pool2d(x, output_size=(2, -2))
