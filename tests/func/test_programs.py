"""Programs that tutorials build from function transforms, in fovea and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.utils.checkpoint import checkpoint
from tests.func.compare import both, torch

RNG = np.random.default_rng(0)


def convolutional(ns: Any, values: np.ndarray) -> tuple[Any, dict[str, Any]]:
    """A small network without weights of its own, and weights for it."""
    nn = ns.nn
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(12, 2)
    ).double()
    weights, start = {}, 0
    for name, p in net.named_parameters():
        part = values[start : start + p.numel()].reshape(tuple(p.shape))
        weights[name] = ns.tensor(part.tolist(), dtype=ns.float64)
        start += p.numel()
    return net, weights


WEIGHTS = RNG.standard_normal(400) * 0.3
ONE, OTHER = RNG.standard_normal((4, 2, 6, 6)), RNG.standard_normal((3, 2, 6, 6))


def tangent_kernel(ns: Any, a: Any, b: Any) -> Any:
    """Of a network, by Jacobians, and by products with vectors."""
    net, weights = convolutional(ns, WEIGHTS)
    func, vmap = ns.func, ns.vmap

    def single(weights: Any, x: Any) -> Any:
        return func.functional_call(net, weights, (x[None],))[0]

    jacobians = [
        [j.flatten(2) for j in vmap(func.jacrev(single), (None, 0))(weights, x).values()]
        for x in (a, b)
    ]
    by_jacobians = sum(ns.einsum("Naf,Mbf->NMab", i, j) for i, j in zip(*jacobians, strict=True))

    def pair(x: Any, y: Any) -> Any:
        out, pull = func.vjp(lambda w: single(w, x), weights)

        def row(v: Any) -> Any:
            return func.jvp(lambda w: single(w, y), (weights,), pull(v))[1]

        return vmap(row)(ns.eye(out.numel(), dtype=out.dtype))

    by_products = vmap(vmap(pair, (None, 0)), (0, None))(a, b)
    assert np.allclose(by_jacobians.numpy(), by_products.numpy())
    return by_jacobians, by_products


def test_tangent_kernel() -> None:
    both(tangent_kernel, ONE, OTHER, tolerance=1e-8)


def learning_to_learn(ns: Any, x1: Any, y1: Any, x2: Any, y2: Any) -> Any:
    """Steps by the gradient of what a step on each task leads to."""
    net = ns.nn.Sequential(ns.nn.Linear(1, 8), ns.nn.Tanh(), ns.nn.Linear(8, 1)).double()
    weights = {
        k: ns.linspace(-1, 1, v.numel(), dtype=ns.float64).reshape(v.shape).requires_grad_()
        for k, v in net.named_parameters()
    }
    optimizer = ns.optim.Adam(weights.values(), lr=0.01)
    mse, call = ns.nn.functional.mse_loss, ns.func.functional_call

    def task(x1: Any, y1: Any, x2: Any, y2: Any) -> Any:
        g = ns.func.grad(lambda w: mse(call(net, w, (x1,)), y1))(weights)
        return mse(call(net, {k: w - 0.1 * g[k] for k, w in weights.items()}, (x2,)), y2)

    losses = []
    for _ in range(3):
        loss = ns.vmap(task)(x1, y1, x2, y2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, [w.detach() for w in weights.values()]


def test_learning_to_learn() -> None:
    both(learning_to_learn, *(RNG.standard_normal((4, 10, 1)) for _ in range(4)), tolerance=1e-7)


def physics(ns: Any, x: Any) -> Any:
    """A network's residual in a differential equation, and its gradient by the weights."""
    net = ns.nn.Sequential(ns.nn.Linear(2, 6), ns.nn.Tanh(), ns.nn.Linear(6, 1)).double()
    weights = {
        k: ns.linspace(-1, 1, v.numel(), dtype=ns.float64).reshape(v.shape)
        for k, v in net.named_parameters()
    }

    def residual(weights: Any, x: Any) -> Any:
        def u(x: Any) -> Any:
            return ns.func.functional_call(net, weights, (x,))[0]

        laplacian = ns.func.hessian(u)(x).diagonal().sum()
        return laplacian + u(x) ** 2

    def loss(weights: Any) -> Any:
        return (ns.vmap(residual, (None, 0))(weights, x) ** 2).mean()

    return ns.func.grad_and_value(loss)(weights)


def test_physics() -> None:
    both(physics, RNG.standard_normal((5, 2)), tolerance=1e-8)


FUNCTIONS = {
    "hessian": lambda x: fovea.func.hessian(lambda x: (x.sin() ** 2).sum())(x[0]),
    "jacobians": lambda x: fovea.vmap(fovea.func.jacrev(lambda x: x.tanh() * x.sum()))(x),
    "tangents": lambda x: fovea.func.jvp(lambda x: x.exp() @ x.t(), (x,), (x,))[1],
}


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_compiled(name: str) -> None:
    f, x = FUNCTIONS[name], fovea.tensor(RNG.standard_normal((3, 5)))
    compiled = fovea.compile(f)
    for _ in range(3):
        np.testing.assert_allclose(compiled(x).numpy(), f(x).numpy(), rtol=1e-12, atol=1e-13)
        x = x + 1
    assert len(compiled.programs) == 1


def test_checkpoints_inside() -> None:
    def plain(x: Any) -> Any:
        return (x.exp().sin() * x).sum()

    def kept_little(x: Any) -> Any:
        return checkpoint(plain, x)

    x = fovea.tensor(RNG.standard_normal((3, 5)))
    for transform in (
        lambda f: fovea.func.grad(f)(x),
        lambda f: fovea.vmap(fovea.func.grad(f))(x),
        lambda f: fovea.func.hessian(f)(x),
        lambda f: fovea.vmap(fovea.func.hessian(f))(x),
    ):
        np.testing.assert_allclose(transform(kept_little).numpy(), transform(plain).numpy(), 1e-12)


assert torch
