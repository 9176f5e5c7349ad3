"""LU factors: PyTorch's values and gradients, blocks, singular matrices, refusals, programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import Tensor, linalg
from fovea.autograd import gradcheck, gradgradcheck
from fovea.errors import DTypeError, LinAlgError, ShapeError
from tests.nn.oracle import torch

RNG = np.random.default_rng(5)
SHAPES = (
    (1, 1),
    (3, 3),
    (2, 4),
    (5, 3),
    (2, 3, 3),
    (70, 70),
    (2, 40, 90),
    (90, 33),
    (0, 3),
    (3, 0),
)
TYPES = ("float32", "float64", "complex64", "complex128")


def array(*shape: int, dtype: str = "float64") -> np.ndarray[Any, Any]:
    x = RNG.normal(size=shape)
    return np.asarray(x + 1j * RNG.normal(size=shape) if "complex" in dtype else x, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_factors_and_their_gradients_are_pytorchs(shape: tuple[int, ...], dtype: str) -> None:
    x = array(*shape, dtype=dtype)
    a, b = fovea.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ours, theirs = linalg.lu_factor(a), torch.linalg.lu_factor(b)
    near = {"rtol": 2e-3, "atol": 2e-3} if dtype in ("float32", "complex64") else {"atol": 1e-9}
    np.testing.assert_array_equal(ours.pivots, theirs.pivots)
    np.testing.assert_allclose(ours.LU.detach(), theirs.LU.detach(), **near)
    assert str(ours.LU.dtype) == f"fovea.{dtype}"
    assert ours.pivots.dtype is fovea.int32
    for part, other in zip(linalg.lu(a), torch.linalg.lu(b), strict=True):
        assert tuple(part.shape) == tuple(other.shape)
        np.testing.assert_allclose(part.detach(), other.detach(), **near)
    weight = array(*shape, dtype=dtype) * 0.1
    (ours.LU * fovea.tensor(weight)).abs().sum().backward()
    (theirs.LU * torch.tensor(weight)).abs().sum().backward()
    scale = max(1.0, float(np.abs(b.grad.numpy()).max(initial=0)))
    if dtype in ("float64", "complex128"):
        np.testing.assert_allclose(a.grad.numpy() / scale, b.grad.numpy() / scale, atol=1e-8)


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_systems_are_solved_as_pytorchs(left: bool, adjoint: bool, dtype: str) -> None:
    x, y = array(2, 4, 4, dtype=dtype), array(*((4, 3) if left else (3, 4)), dtype=dtype)
    a, b = (fovea.tensor(v, requires_grad=True) for v in (x, y))
    p, q = (torch.tensor(v, requires_grad=True) for v in (x, y))
    ours = linalg.lu_solve(*linalg.lu_factor(a), b, left=left, adjoint=adjoint)
    theirs = torch.linalg.lu_solve(*torch.linalg.lu_factor(p), q, left=left, adjoint=adjoint)
    np.testing.assert_allclose(ours.detach(), theirs.detach().resolve_conj().numpy(), atol=1e-9)
    ours.abs().sum().backward()
    theirs.abs().sum().backward()
    np.testing.assert_allclose(a.grad, p.grad.resolve_conj().numpy(), atol=1e-8)
    np.testing.assert_allclose(b.grad, q.grad.resolve_conj().numpy(), atol=1e-8)


GRADIENTS: dict[str, tuple[Callable[[Tensor], Any], tuple[int, ...]]] = {
    "square": (lambda a: linalg.lu(a)[1:], (3, 3)),
    "wide": (lambda a: linalg.lu_factor(a).LU, (2, 4)),
    "tall": (lambda a: linalg.lu_factor(a).LU, (4, 2)),
    "batch": (lambda a: linalg.lu_factor_ex(a).LU, (2, 3, 3)),
    "no pivots": (lambda a: linalg.lu_factor(a + 9 * fovea.eye(3), pivot=False).LU, (3, 3)),
    "solve": (lambda a: linalg.lu_solve(*linalg.lu_factor(a), a + 1), (3, 3)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_those_of_differences(name: str) -> None:
    function, shape = GRADIENTS[name]
    a = fovea.tensor(array(*shape), requires_grad=True)
    assert gradcheck(function, (a,))
    assert gradgradcheck(function, (a,))


def test_singular_matrices() -> None:
    x = np.zeros((2, 3, 3))
    x[0] = np.eye(3)
    x[1, 0, 1] = x[1, 2, 2] = 1
    ours = linalg.lu_factor_ex(fovea.tensor(x))
    theirs = torch.linalg.lu_factor_ex(torch.tensor(x))
    for part, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(part, other)
    p, lower, upper = linalg.lu(fovea.tensor(x))
    np.testing.assert_array_equal(p @ lower @ upper, x)
    with pytest.raises(LinAlgError, match=r"U\[0, 0\] of matrix 1 is zero"):
        linalg.lu_factor(fovea.tensor(x))
    with pytest.raises(LinAlgError):
        linalg.lu_factor_ex(fovea.tensor(x), check_errors=True)


def test_without_pivots_rows_stay() -> None:
    x = array(4, 4) + 9 * np.eye(4)
    p, lower, upper = linalg.lu(fovea.tensor(x), pivot=False)
    assert p.numel() == 0
    np.testing.assert_allclose(lower @ upper, x, atol=1e-12)
    assert linalg.lu_factor(fovea.tensor(x), pivot=False).pivots.tolist() == [1, 2, 3, 4]


def test_unpacking_leaves_out_what_is_not_asked_for() -> None:
    factors = linalg.lu_factor(fovea.tensor(array(3, 2)))
    p, lower, upper = fovea.lu_unpack(*factors, unpack_data=False)
    assert [tuple(t.shape) for t in (p, lower, upper)] == [(3, 3), (0,), (0,)]
    p, lower, upper = fovea.lu_unpack(*factors, unpack_pivots=False)
    assert [tuple(t.shape) for t in (p, lower, upper)] == [(0,), (3, 2), (2, 2)]


def test_mistakes_are_named() -> None:
    with pytest.raises(DTypeError, match="lu_factor: a must be float32"):
        linalg.lu_factor(fovea.ones(2, 2, dtype=fovea.bfloat16))
    with pytest.raises(ShapeError, match="rows, columns"):
        linalg.lu(fovea.ones(3))
    factors = linalg.lu_factor(fovea.eye(3))
    with pytest.raises(ShapeError, match="no system of equations"):
        linalg.lu_solve(*factors, fovea.ones(2, 3))
    with pytest.raises(ShapeError, match="from 1 to 3"):
        fovea.lu_unpack(factors.LU, factors.pivots + 7)


def test_elements_that_are_not_finite_are_no_error() -> None:
    x = fovea.tensor([[float("nan"), 1.0], [2.0, 3.0]])
    assert linalg.lu_factor_ex(x).LU.isnan().any()


def test_a_program_solves_by_factors() -> None:
    solved = fovea.compile(
        lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b) + linalg.lu(a).U, strict=True
    )
    for n in (3, 5):
        a, b = (fovea.tensor(array(n, n)) for _ in range(2))
        wanted = linalg.lu_solve(*linalg.lu_factor(a), b) + linalg.lu(a).U
        np.testing.assert_allclose(solved(a, b), wanted, atol=1e-12)
