"""Functions made of ops run inside captured programs, on other values than they were captured with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import Tensor

CASES: dict[str, Callable[[Tensor], Any]] = {
    "acosh": lambda x: (x.abs() + 1.5).acosh() + x.asinh() + (x * 0.1).atanh(),
    "gamma": lambda x: (x.abs() + 0.5).lgamma() + (x.abs() + 0.5).digamma(),
    "logaddexp": lambda x: (
        fovea.logaddexp(x, x * 2) + fovea.hypot(x, x + 1) + fovea.xlogy(x, x.abs())
    ),
    "logit": lambda x: x.sigmoid().logit() + x.sinc() + x.erfc(),
    "copysign": lambda x: fovea.copysign(x, -x) + fovea.heaviside(x, x) + x.frac(),
    "std_mean": lambda x: fovea.std_mean(x, 0),
    "quantile": lambda x: fovea.quantile(x, 0.3, 1),
    "nanmean": lambda x: fovea.nanmean(x.log(), 1),
    "nanmedian": lambda x: fovea.nanmedian(x.log(), 1).values,
    "cummax": lambda x: x.cummax(1).values * 2,
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "kthvalue": lambda x: x.kthvalue(2, 1).values,
    "mode": lambda x: x.round().mode(1).values,
    "histc": lambda x: x.histc(5),
    "bucketize": lambda x: fovea.bucketize(x, x[0].sort().values),
    "isin": lambda x: fovea.isin(x.round(), x.round()[0]),
    "scatter_reduce": lambda x: x.scatter_reduce(1, x.argsort(1), x * 2, "amax"),
    "scatter_mean": lambda x: x.scatter_reduce(1, x.argsort(1) // 2, x, "mean", include_self=False),
    "index_add": lambda x: x.index_add(0, fovea.tensor([0, 0]), x[:2]),
    "index_fill": lambda x: x.index_fill(1, fovea.tensor([1]), 3.0),
    "masked_scatter": lambda x: x.masked_scatter(x > 0, x * 10),
    "slice_scatter": lambda x: x.slice_scatter(x[:1] * 2, 0, 1, 2),
    "diagonal_scatter": lambda x: x.diagonal_scatter(x[0, :3] * 2),
    "tensordot": lambda x: fovea.tensordot(x, x, ([1], [1])),
    "kron": lambda x: fovea.kron(x, x[0]),
    "cdist": lambda x: fovea.cdist(x, x + 1),
    "cross": lambda x: fovea.cross(x[:, :3], x[:, 1:], 1),
    "unfold": lambda x: x.unfold(1, 2, 1) * 2,
    "stacks": lambda x: (
        fovea.hstack([x, x]) + fovea.vstack([x, x])[:1, :1] + fovea.block_diag(x, x)[:3]
    ),
    "diff": lambda x: x.diff(dim=1) + fovea.cumulative_trapezoid(x, dim=1),
    "cov": lambda x: x.cov() + x.corrcoef(),
    "rot90": lambda x: x.rot90() * 2,
    "diag_embed": lambda x: x.diag_embed() + 1,
    "tril": lambda x: x.tril() + x.triu(1),
    "in place": lambda x: (x * 1).sinc_().clamp_min_(0.1).cumsum_(0),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_captured_like_eager(name: str) -> None:
    function = CASES[name]
    program = fovea.compile(function, strict=True)
    rng = np.random.default_rng(3)
    for _ in range(2):
        x = fovea.tensor(rng.normal(0, 2, (3, 4)), dtype=fovea.float32)
        ours, theirs = program(x), function(x)
        for a, b in zip(
            *(t if isinstance(t, tuple) else (t,) for t in (ours, theirs)), strict=True
        ):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_gradients_are_captured_too() -> None:
    def loss(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        y = x.quantile(0.4, 1) + x.logcumsumexp(1)[:, 0] + fovea.cdist(x, x * 2).sum(1)
        y.sum().backward()
        assert x.grad is not None
        return x.grad

    program = fovea.compile(loss)
    rng = np.random.default_rng(4)
    for _ in range(2):
        x = fovea.tensor(rng.normal(0, 2, (3, 4)))
        np.testing.assert_allclose(program(x).numpy(), loss(x).numpy(), rtol=1e-6)


def test_rows_of_middle_dimensions_are_picked_in_captured_gradients() -> None:
    def loss(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        y = fovea.zeros(2, 3, 5, 2, 2).index_add(2, fovea.arange(2) * 2, x)
        (y * y).sum().backward()
        assert x.grad is not None
        return x.grad

    program = fovea.compile(loss, strict=True)
    x = fovea.arange(48.0).reshape(2, 3, 2, 2, 2)
    for _ in range(2):
        np.testing.assert_allclose(program(x).numpy(), 2 * x.numpy())
