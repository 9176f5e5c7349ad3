"""L-BFGS follows PyTorch's, iteration by iteration."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import optim
from fovea.errors import ArgumentError
from fovea.optim.line_search import Point, strong_wolfe

torch = pytest.importorskip("torch")


def rosenbrock(lib: Any, x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def logistic(lib: Any, x: Any) -> Any:
    a = lib.arange(12, dtype=lib.float64).reshape(4, 3) / 7 - 0.5
    return lib.log(1 + lib.exp(-(a @ x[:3]))).sum() + 0.1 * (x * x).sum()


def wavy(lib: Any, x: Any) -> Any:
    return (lib.sin(3 * x) + 0.1 * x * x).sum()


def run(
    lib: Any, problem: Any, options: dict[str, Any], steps: int
) -> tuple[list[float], Any, Any]:
    start = np.array([-1.2, 1.0, 0.5, -0.3])
    x = lib.tensor(start, dtype=lib.float64).requires_grad_()
    optimizer = lib.optim.LBFGS([x], **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = problem(lib, x)
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(steps)]
    return losses, x, optimizer


OPTIONS: list[dict[str, Any]] = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2},
    {"line_search_fn": "strong_wolfe", "lr": 0.1, "max_iter": 7, "max_eval": 6},
    {"lr": 0.01},
    {"lr": 0.05, "max_iter": 3, "history_size": 1},
    {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-2, "tolerance_change": 1e-3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("problem", [rosenbrock, logistic, wavy])
def test_follows_pytorch(problem: Any, options: dict[str, Any]) -> None:
    mine, x, ours = run(fovea, problem, options, 5)
    theirs, y, reference = run(torch, problem, options, 5)
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-5, atol=1e-7)
    a, b = ours.state_dict()["state"][0], reference.state_dict()["state"][0]
    assert (a["n_iter"], a["func_evals"]) == (b["n_iter"], b["func_evals"])
    assert len(a.get("old_dirs", [])) == len(b.get("old_dirs") or [])


def test_minimizes() -> None:
    _, x, _ = run(fovea, rosenbrock, {"line_search_fn": "strong_wolfe", "max_iter": 100}, 2)
    (gradient,) = fovea.autograd.grad(rosenbrock(fovea, x), x)
    assert float(gradient.abs().max()) < 1e-3


def test_goes_on_from_a_saved_state() -> None:
    options = {"line_search_fn": "strong_wolfe", "max_iter": 3}
    _, x, first = run(fovea, rosenbrock, options, 2)
    y = x.detach().clone().requires_grad_()
    second = optim.LBFGS([y], **options)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for p, optimizer in ((x, first), (y, second)):

        def closure(p: Any = p, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = rosenbrock(fovea, p)
            loss.backward()
            return loss

        optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-12)


def test_parameters_without_gradients_stay() -> None:
    x, unused = fovea.ones(2, requires_grad=True), fovea.ones(2, 2, requires_grad=True)
    optimizer = optim.LBFGS([x, unused])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert (unused == 1).all() and float(x.abs().max()) < 1e-3


def test_refusals() -> None:
    x = fovea.ones(2, requires_grad=True)
    with pytest.raises(ArgumentError, match="one group"):
        optim.LBFGS([{"params": [x]}, {"params": [fovea.ones(1, requires_grad=True)]}])
    with pytest.raises(ArgumentError, match="strong_wolfe"):
        optim.LBFGS([x], line_search_fn="armijo")
    with pytest.raises(ArgumentError, match="closure"):
        optim.LBFGS([x]).step()


@pytest.mark.parametrize("seed", range(40))
def test_points_found_meet_the_conditions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.1, 3), rng.uniform(0, 2), rng.uniform(0.5, 6)

    def at(t: float) -> Point:  # falls at 0, rises in the end, with waves between
        loss = a * t * t - 2 * t + b * np.cos(c * t) - b
        slope = 2 * a * t - 2 - b * c * np.sin(c * t)
        return Point(t, float(loss), fovea.tensor([slope]), float(slope))

    start = at(0.0)
    found, count = strong_wolfe(at, start, float(rng.uniform(0.01, 5)), 1.0)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope) and 1 <= count <= 26
