"""fovea.autograd.functional against PyTorch's, and the rest of what `grad` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.autograd import Function
from fovea.autograd.function import once_differentiable
from fovea.errors import ArgumentError, GradientError, ShapeError

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
A, B, V = RNG.standard_normal((2, 3)), RNG.standard_normal(3), RNG.standard_normal(2)


def tensors(ns: Any, *arrays: np.ndarray) -> tuple[Any, ...]:
    return tuple(ns.tensor(a.tolist(), dtype=ns.float64) for a in arrays)


def flat(value: Any) -> list[np.ndarray]:
    if isinstance(value, tuple | list):
        return [a for v in value for a in flat(v)]
    return [value.detach().numpy()]


def same(ours: Any, theirs: Any) -> None:
    a, b = flat(ours), flat(theirs)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def several(a: Any, b: Any) -> Any:
    return (a @ b).sin(), (a * a).sum() * b, b.exp()


def one(a: Any) -> Any:
    return (a * a.sum(0)).tanh()


def scalar(a: Any, b: Any) -> Any:
    return ((a @ b) ** 3).sum() + b.prod()


def constant(a: Any, b: Any) -> Any:
    return a.detach() * 2, b * 1


PRODUCTS = [
    ("vjp", several, (A, B), (V, B, B * 2)),
    ("vjp", one, A, A * 2),
    ("vjp", scalar, (A, B), None),
    ("vjp", constant, (A, B), (A, B)),
    ("jvp", several, (A, B), (A * 2, B - 1)),
    ("jvp", one, A, A + 1),
    ("jvp", constant, (A, B), (A, B)),
    ("vhp", scalar, (A, B), (A, B)),
    ("hvp", scalar, (A, B), (A - 1, B)),
    ("hvp", lambda a: a.sum(), A, A),
]


def given(ns: Any, value: Any) -> Any:
    if value is None:
        return None
    return tensors(ns, *value) if isinstance(value, tuple) else tensors(ns, value)[0]


@pytest.mark.parametrize(("name", "func", "inputs", "v"), PRODUCTS)
def test_products(name: str, func: Any, inputs: Any, v: Any) -> None:
    results = []
    for ns in (fovea, torch):
        product = getattr(ns.autograd.functional, name)
        results.append(product(func, given(ns, inputs), given(ns, v)))
        assert not any(t.requires_grad for t in results[-1][0:1] if not isinstance(t, tuple))
    same(*results)


@pytest.mark.parametrize("func", [several, scalar, constant])
@pytest.mark.parametrize("how", [{}, {"vectorize": True},
                                 {"vectorize": True, "strategy": "forward-mode"}])  # fmt: skip
def test_jacobian(func: Any, how: dict[str, Any]) -> None:
    theirs = torch.autograd.functional.jacobian(func, tensors(torch, A, B))
    same(fovea.autograd.functional.jacobian(func, tensors(fovea, A, B), **how), theirs)


def test_jacobian_of_one_input() -> None:
    for func in (one, lambda a: a.sum()):
        results = [ns.autograd.functional.jacobian(func, *tensors(ns, A)) for ns in (fovea, torch)]
        same(*results)
    for how in ({}, {"vectorize": True}):
        none = fovea.autograd.functional.jacobian(lambda a: a[:0], *tensors(fovea, A), **how)
        assert none.shape == (0, 3, 2, 3)


@pytest.mark.parametrize("how", [{}, {"vectorize": True}])
def test_hessian(how: dict[str, Any]) -> None:
    results = [
        ns.autograd.functional.hessian(scalar, tensors(ns, A, B), **how) for ns in (fovea, torch)
    ]
    same(*results)
    results = [
        ns.autograd.functional.hessian(lambda a: (a**3).sum(), *tensors(ns, A), **how)
        for ns in (fovea, torch)
    ]
    same(*results)


@pytest.mark.parametrize("name", ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"])
def test_results_can_be_differentiated(name: str) -> None:
    found = []
    for ns in (fovea, torch):
        a, b = (t.requires_grad_() for t in tensors(ns, A, B))
        more = () if name in ("jacobian", "hessian", "vjp") else ((a * 2, b + 1),)
        out = getattr(ns.autograd.functional, name)(scalar, (a, b), *more, create_graph=True)
        last = out if name in ("jacobian", "hessian") else out[1]
        parts = [t for row in last for t in (row if isinstance(row, tuple) else (row,))] if (
            isinstance(last, tuple)) else [last]  # fmt: skip
        total = sum((t**2).sum() for t in parts)
        found.append(ns.autograd.grad(total, (a, b)))
    same(*found)


def test_strict() -> None:
    functional = fovea.autograd.functional
    a, b = tensors(fovea, A, B)
    with pytest.raises(GradientError, match=r"output 0 is independent"):
        functional.vjp(lambda a, b: (a.detach(), b * 1), (a, b), (a, b), strict=True)
    with pytest.raises(GradientError, match=r"independent of input 1"):
        functional.jacobian(lambda a, b: a * 2, (a, b), strict=True)
    with pytest.raises(GradientError, match=r"cannot be differentiated"):
        functional.jacobian(lambda a: a * 2, a, create_graph=True, strict=True)


def test_errors_of_functional() -> None:
    functional = fovea.autograd.functional
    a, b = tensors(fovea, A, B)
    with pytest.raises(ArgumentError, match=r"inputs must be a tensor"):
        functional.vjp(scalar, (a, 3.0))
    with pytest.raises(ArgumentError, match=r"outputs must be a tensor"):
        functional.vjp(lambda a: 3.0, a)
    with pytest.raises(ArgumentError, match=r"v may be left out"):
        functional.vjp(one, a)
    with pytest.raises(ShapeError, match=r"v does not look like"):
        functional.jvp(one, a, b)
    with pytest.raises(ShapeError, match=r"one tensor with one element"):
        functional.hessian(one, a)
    with pytest.raises(ArgumentError, match=r"unknown strategy"):
        functional.jacobian(one, a, strategy="sideways")


# -- what grad takes ------------------------------------------------------------------------------


def test_inputs_in_a_dictionary() -> None:
    found = []
    for ns in (fovea, torch):
        a, b = (t.requires_grad_() for t in tensors(ns, A, B))
        found.append(ns.autograd.grad(scalar(a, b), {"a": a, "b": b}))
    assert list(found[0]) == list(found[1]) == ["a", "b"]
    same(list(found[0].values()), list(found[1].values()))


@pytest.mark.parametrize("create_graph", [False, True])
def test_batched_gradients(create_graph: bool) -> None:
    found = []
    for ns in (fovea, torch):
        a, b, rows = (t.requires_grad_() for t in tensors(ns, A, B, RNG_ROWS))
        unused = ns.zeros(3, requires_grad=True)
        grads = ns.autograd.grad(
            [a @ b, (a * a).sum(1)], [a, b, unused], [rows, rows * 2], is_grads_batched=True,
            create_graph=create_graph, allow_unused=True,
        )  # fmt: skip
        assert grads[2] is None
        if create_graph:
            grads = (*grads[:2], *ns.autograd.grad((grads[0] ** 2).sum(), [a, b, rows]))
        else:
            grads = grads[:2]
        found.append(grads)
    same(*found)


RNG_ROWS = RNG.standard_normal((4, 2))


def test_errors_of_grad() -> None:
    (x,) = (t.requires_grad_() for t in tensors(fovea, B))
    with pytest.raises(GradientError, match="inputs are empty"):
        fovea.autograd.grad(x.sum(), [])
    with pytest.raises(ValueError, match="exclude"):
        fovea.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)
    with pytest.warns(FutureWarning, match="only_inputs"):
        fovea.autograd.grad(x.sum(), x, only_inputs=False)
    with pytest.raises(ShapeError, match="is_grads_batched"):
        fovea.autograd.grad(x.sum(), x, is_grads_batched=True)


# -- functions that are differentiable once -------------------------------------------------------


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Any) -> Any:
        (x,) = ctx.saved_tensors
        assert not fovea.is_grad_enabled()
        return 3 * x**2 * gy


def test_once_differentiable() -> None:
    (x,) = (t.requires_grad_() for t in tensors(fovea, B))
    (g,) = fovea.autograd.grad(Cube.apply(x).sum(), x)
    np.testing.assert_allclose(g.numpy(), 3 * B**2)
    # As in PyTorch, only a gradient that arrives with a tape of its own leaves the refusal behind.
    (g,) = fovea.autograd.grad((Cube.apply(x) ** 2).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 6 * B**5)
    with pytest.raises(GradientError, match="twice"):
        g.sum().backward()
