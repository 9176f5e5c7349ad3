"""Linear algebra beyond PyTorch's table of cases: identities, gradients by differences, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import Tensor, linalg
from fovea.autograd import gradcheck
from fovea.errors import DTypeError, ShapeError
from tests.nn.oracle import torch

RNG = np.random.default_rng(11)


def matrix(*shape: int) -> Tensor:
    return fovea.tensor(RNG.normal(size=shape), dtype=fovea.float64, requires_grad=True)


def spd(*shape: int) -> Tensor:
    x = RNG.normal(size=shape)
    return fovea.tensor(x @ x.swapaxes(-1, -2) + 3 * np.eye(shape[-1]), requires_grad=True)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("upper", [False, True])
def test_triangles_of_several_blocks(upper: bool, left: bool, unit: bool) -> None:
    """Rows are solved in blocks of 64."""
    for n in (64, 65, 200):
        x = RNG.normal(size=(2, n, n)) / n + 2 * np.eye(n)
        y = RNG.normal(size=(n, 3) if left else (3, n))
        a, b = (fovea.tensor(v, requires_grad=True) for v in (x, y))
        p, q = (torch.tensor(v, requires_grad=True) for v in (x, y))
        options = {"upper": upper, "left": left, "unitriangular": unit}
        found = linalg.solve_triangular(a, b, **options)
        wanted = torch.linalg.solve_triangular(p, q, **options)
        np.testing.assert_allclose(found.detach(), wanted.detach(), atol=1e-10)
        found.square().sum().backward()
        wanted.square().sum().backward()
        np.testing.assert_allclose(a.grad, p.grad, atol=1e-8)
        np.testing.assert_allclose(b.grad, q.grad, atol=1e-8)


def test_decompositions_give_the_matrix_back() -> None:
    for shape in ((4, 3), (3, 4), (2, 3, 3), (0, 3), (1, 1)):
        a = matrix(*shape).detach()
        for full in (False, True):
            u, s, vh = linalg.svd(a, full)
            k = s.shape[-1]
            np.testing.assert_allclose(
                (u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a.numpy(), atol=1e-12
            )
        q, r = linalg.qr(a)
        np.testing.assert_allclose(q @ r, a.numpy(), atol=1e-12)
        q, r = linalg.qr(a, "complete")
        assert q.shape[-1] == q.shape[-2]
        np.testing.assert_allclose(q @ r, a.numpy(), atol=1e-12)
    b = spd(2, 4, 4).detach()
    w, v = linalg.eigh(b)
    np.testing.assert_allclose((v * w.unsqueeze(-2)) @ v.mT, b.numpy(), atol=1e-12)
    for upper in (False, True):
        factor = linalg.cholesky(b, upper=upper)
        np.testing.assert_allclose(
            factor.mT @ factor if upper else factor @ factor.mT, b.numpy(), atol=1e-12
        )


GRADIENTS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "tall qr": (lambda a: linalg.qr(a).Q.square().sum(0) + linalg.qr(a).R.abs().sum(0), (4, 3)),
    "wide qr": (lambda a: linalg.qr(a).R.square(), (2, 4)),
    "square complete qr": (lambda a: linalg.qr(a, "complete").Q.abs(), (3, 3)),
    "tall svd": (
        lambda a: linalg.svd(a, False).U.abs().sum(1) + linalg.svd(a, False).S.sum(),
        (4, 3),
    ),
    "wide svd": (lambda a: linalg.svd(a, False).Vh.abs() * 2, (2, 4)),
    "batched svd": (lambda a: linalg.svd(a).U.abs() + linalg.svd(a).Vh.square(), (2, 3, 3)),
    "nuclear": (lambda a: linalg.matrix_norm(a, "nuc"), (3, 4)),
    "symmetric": (lambda a: linalg.eigh(a + a.mT).eigenvectors.abs(), (3, 3)),
    "cholesky": (
        lambda a: linalg.cholesky(a @ a.mT + 2 * fovea.eye(3, dtype=fovea.float64)),
        (3, 3),
    ),
    "det": (linalg.det, (3, 3)),
    "slogdet": (lambda a: linalg.slogdet(a).logabsdet, (2, 3, 3)),
    "inv": (linalg.inv, (3, 3)),
    "wide pinv": (linalg.pinv, (2, 4)),
    "lstsq": (lambda a: linalg.lstsq(a, a[:, :1] + 1).solution, (4, 2)),
    "triangular": (lambda a: linalg.solve_triangular(a + 3, a * 2, upper=True), (3, 3)),
    "triangular right": (
        lambda a: linalg.solve_triangular(
            a + 3, a * 2, upper=False, left=False, unitriangular=True
        ),
        (3, 3),
    ),
    "power": (lambda a: linalg.matrix_power(a, 5) + linalg.matrix_power(a, -2), (3, 3)),
    "exp": (lambda a: linalg.matrix_exp(a * 2), (3, 3)),
    "tensorsolve": (lambda a: linalg.tensorsolve(a.reshape(2, 2, 4), a[:2, :2]), (4, 4)),
}


@pytest.mark.parametrize("name", sorted(GRADIENTS))
def test_gradients_by_differences(name: str) -> None:
    function, shape = GRADIENTS[name]
    assert gradcheck(function, (matrix(*shape),))


def test_second_derivatives() -> None:
    from fovea.autograd import gradgradcheck

    assert gradgradcheck(linalg.inv, (matrix(2, 2),))
    assert gradgradcheck(linalg.det, (matrix(3, 3),))
    assert gradgradcheck(lambda a: linalg.solve(a, a[:, :1]), (matrix(3, 3),))


def test_the_determinant_of_a_singular_matrix_has_a_gradient() -> None:
    a = fovea.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]], requires_grad=True)
    fovea.det(a).backward()
    assert a.grad is not None
    cofactors = [[4.0, 4.0, -4.0], [-2.0, -2.0, 2.0], [0.0, 0.0, 0.0]]  # PyTorch gives zeros
    np.testing.assert_allclose(a.grad.numpy(), cofactors, atol=1e-5)


def test_equal_singular_values_do_no_harm_without_vectors() -> None:
    a = fovea.eye(3, requires_grad=True)
    linalg.matrix_norm(a, "nuc").backward()
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), np.eye(3), atol=1e-6)


def test_what_is_not_finite_gives_nan() -> None:
    a = fovea.eye(2).repeat(2, 1, 1)
    a[1, 0, 0] = float("inf")
    values = linalg.svdvals(a)
    assert values[0].tolist() == [1.0, 1.0]
    assert values[1].isnan().all()
    assert linalg.matrix_exp(a)[1].isnan().all()


def test_captured() -> None:
    program = fovea.compile(
        lambda a: linalg.solve(a @ a.mT + fovea.eye(3), a) + linalg.det(a), strict=True
    )
    for _ in range(2):
        a = fovea.tensor(RNG.normal(size=(3, 3)), dtype=fovea.float32)
        wanted = linalg.solve(a @ a.mT + fovea.eye(3), a) + linalg.det(a)
        np.testing.assert_allclose(program(a).numpy(), wanted.numpy(), rtol=1e-4)


def test_refusals() -> None:
    with pytest.raises(linalg.LinAlgError):
        linalg.inv(fovea.zeros(2, 2))
    with pytest.raises(linalg.LinAlgError):
        linalg.cholesky(-fovea.eye(2))
    with pytest.raises(ShapeError, match="square"):
        linalg.det(fovea.ones(2, 3))
    with pytest.raises(ShapeError):
        linalg.solve(fovea.eye(2), fovea.ones(3, 1))
    with pytest.raises(DTypeError, match="float32, float64 or complex"):
        linalg.svd(fovea.ones(2, 2, dtype=fovea.int64))
    with pytest.raises(DTypeError, match="complex"):
        linalg.eigvals(fovea.eye(2).half())


_Z = np.random.default_rng(3).standard_normal((2, 4, 3, 2)) @ np.array([1, 1j])

# Functions of a complex (2, 4, 3) z that do not depend on phases of vectors.
COMPLEX: dict[str, Any] = {
    "inverse of a product": lambda m, z: m.linalg.inv(z.mH @ z),
    "cholesky_inverse": lambda m, z: m.cholesky_inverse(m.linalg.cholesky(z.mH @ z)),
    "cholesky_inverse upper": lambda m, z: m.cholesky_inverse(
        m.linalg.cholesky(z.mH @ z, upper=True), upper=True
    ),
    "cholesky_solve": lambda m, z: m.cholesky_solve(z.mH, m.linalg.cholesky(z.mH @ z)),
    "pinv hermitian": lambda m, z: m.linalg.pinv(z @ z.mH + 0, hermitian=True, rtol=1e-6),
    "svd": lambda m, z: [
        m.linalg.svd(z, False).S, m.linalg.svd(z, False).U.abs(), m.linalg.svd(z, False).Vh.abs()
    ],
    "eigh": lambda m, z: m.linalg.eigh(z.mH @ z).eigenvectors.abs(),
    "logdet": lambda m, z: m.logdet(z[:, :3]),
    "sign": lambda m, z: m.linalg.slogdet(z[:, 1:]).sign,
    "lstsq": lambda m, z: m.linalg.lstsq(z, z[:, :, :1] * 2 + 1).solution,
    "matrix_exp": lambda m, z: m.linalg.matrix_exp(z[:, :3]),
    "cond": lambda m, z: m.linalg.cond(z[:, :3]),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_values_and_gradients(name: str) -> None:
    def run(m: Any) -> list[Any]:
        z = m.tensor(_Z, requires_grad=True)
        found = COMPLEX[name](m, z)
        found = found if isinstance(found, list) else [found]
        total = sum(((1 + 2j) * y).real.sum() + (y * y.conj()).real.sum() for y in found)
        total.backward()
        return [t.detach().numpy() for t in (*found, z.grad)]

    for a, b in zip(run(fovea), run(torch), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("complex_input", [False, True])
def test_general_eigenvectors(complex_input: bool) -> None:
    """A v = v w; eigenvalues and gradients are PyTorch's."""
    given = (_Z if complex_input else _Z.real)[:, :3]

    def run(m: Any) -> list[Any]:
        a = m.tensor(given, requires_grad=True)
        w, v = m.linalg.eig(a)
        (w.abs().sum() + (v.abs() ** 3).sum() + m.linalg.eigvals(a).real.square().sum()).backward()
        return [np.sort_complex(w.detach().numpy().round(12)), a.grad.numpy()]

    for a, b in zip(run(fovea), run(torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)
    w, v = linalg.eig(fovea.tensor(given))
    left = given.astype(complex) @ v.numpy()
    np.testing.assert_allclose(left, v.numpy() * w.numpy()[:, None], atol=1e-12)
    assert linalg.eig(fovea.ones(2, 0, 0)).eigenvalues.shape == (2, 0)


def test_second_derivatives_of_complex_determinants() -> None:
    def run(m: Any) -> Any:
        z = m.tensor(_Z[0, :2, :2], requires_grad=True)
        (g,) = m.autograd.grad(m.linalg.det(z).abs() ** 2, z, create_graph=True)
        (g.abs() ** 2).sum().backward()
        return z.grad.numpy()

    np.testing.assert_allclose(run(fovea), run(torch), rtol=1e-8)
