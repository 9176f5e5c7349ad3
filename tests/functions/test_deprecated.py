"""qr, svd, lu, range and their kin: PyTorch's values, gradients and warnings."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, LinAlgError

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
SHAPES = [(3, 3), (4, 2), (2, 5), (2, 3, 4, 3)]


def said(call: Any) -> tuple[Any, set[str]]:
    """What a call makes, and what it warns of (PyTorch does in backward again)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = call()
    assert all(w.category is UserWarning for w in caught)
    return made, {str(w.message).split(".", 2)[1] for w in caught}


def both(call: Any) -> tuple[Any, Any]:
    """What fovea and PyTorch make; warned of alike."""
    torch.set_warn_always(True)
    try:
        (ours, warned), (theirs, expected) = said(lambda: call(fovea)), said(lambda: call(torch))
    finally:
        torch.set_warn_always(False)
    assert warned == expected
    return ours, theirs


def close(ours: Any, theirs: Any) -> None:
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("some", [True, False])
def test_qr(shape: tuple[int, ...], some: bool) -> None:
    values = RNG.normal(size=shape)
    ours, theirs = both(lambda m: m.qr(m.tensor(values), some))
    assert ours._fields == ("Q", "R")
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)
    ours, theirs = both(lambda m: m.tensor(values).qr(some=some))
    close(ours.R, theirs.R)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [{}, {"some": False}, {"compute_uv": False}])
def test_svd(shape: tuple[int, ...], kind: dict[str, bool]) -> None:
    values = RNG.normal(size=shape)
    ours, theirs = both(lambda m: m.svd(m.tensor(values), **kind))
    close(ours.S, theirs.S)
    u, s, v = (t.numpy() for t in ours)
    assert u.shape == tuple(theirs.U.shape) and v.shape == tuple(theirs.V.shape)
    if "compute_uv" in kind:
        assert not u.any() and not v.any()
    else:
        k = s.shape[-1]
        back = u[..., :k] * s[..., None, :] @ v[..., :k].swapaxes(-1, -2)
        np.testing.assert_allclose(back, values, atol=1e-10)


def test_complex_vectors() -> None:
    values = RNG.normal(size=(3, 2)) + 1j * RNG.normal(size=(3, 2))
    u, s, v = fovea.svd(fovea.tensor(values))
    back = u.numpy() * s.numpy() @ v.numpy().conj().T
    np.testing.assert_allclose(back, values, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("get_infos", [False, True])
def test_lu(shape: tuple[int, ...], get_infos: bool) -> None:
    values = RNG.normal(size=shape)
    for call in (
        lambda m: m.lu(m.tensor(values), get_infos=get_infos),
        lambda m: m.tensor(values).lu(get_infos=get_infos),
    ):
        ours, theirs = both(call)
        assert len(ours) == len(theirs) == 2 + get_infos
        for a, b in zip(ours, theirs, strict=True):
            close(a, b)


def test_lu_of_a_singular_matrix() -> None:
    values = [[1.0, 2.0], [2.0, 4.0]]
    ours, theirs = both(lambda m: m.lu(m.tensor(values), get_infos=True))
    assert ours[2].item() == theirs[2].item() == 2
    with pytest.warns(UserWarning), pytest.raises(LinAlgError):
        fovea.lu(fovea.tensor(values))


@pytest.mark.parametrize("name", ["qr", "lu", "svd"])
def test_gradients(name: str) -> None:
    values = RNG.normal(size=(3, 3))

    def gradient(m: Any) -> Any:
        x = m.tensor(values, requires_grad=True)
        parts = getattr(m, name)(x)
        total = parts[1] if name == "svd" else parts[0]
        (total**2 * m.arange(1.0, 4)).sum().backward()
        return x.grad

    ours, theirs = both(gradient)
    close(ours, theirs)


@pytest.mark.parametrize("name", ["qr", "svd", "lu"])
def test_out(name: str) -> None:
    x = fovea.tensor(RNG.normal(size=(3, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = getattr(fovea, name)(x)
        out = tuple(fovea.empty(t.shape, dtype=t.dtype) for t in found)
        made = getattr(fovea, name)(x, out=out)
        for a, b, c in zip(made, out, found, strict=True):
            assert a is b and bool((b == c).all())
        with pytest.raises(ArgumentError, match="tensors"):
            getattr(fovea, name)(x, out=out[:1])


@pytest.mark.parametrize("words", [
    {"start": 1, "end": 4}, {"start": 0, "end": 1, "step": 0.25}, {"start": 5, "end": 1, "step": -2},
    {"start": 0.5, "end": 4.2}, {"start": 1, "end": 1}, {"start": 0, "end": 7, "step": 3},
    {"start": 1, "end": 4, "dtype": "int64"}, {"start": 1, "end": 4, "dtype": "float64"},
    {"start": 0, "end": 3, "requires_grad": True},
])  # fmt: skip
def test_range(words: dict[str, Any]) -> None:
    def made(m: Any) -> Any:
        kind = getattr(m, words["dtype"]) if "dtype" in words else None
        return m.range(**{**words, "dtype": kind})

    ours, theirs = both(made)
    close(ours, theirs)
    assert ours.requires_grad == theirs.requires_grad


def test_range_that_leads_nowhere() -> None:
    for words in ((1, 4, -1), (4, 1), (0, 1, 0), (0, float("nan"))):
        with pytest.warns(UserWarning, match="arange"), pytest.raises(ArgumentError):
            fovea.range(*words)
    out = fovea.empty(3, dtype=fovea.int64)
    with pytest.warns(UserWarning):
        assert fovea.range(2, 4, out=out) is out and out.tolist() == [2, 3, 4]


SQUARE = RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
RIGHT = RNG.normal(size=(2, 3, 2))


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky(upper: bool) -> None:
    values = SQUARE @ SQUARE.swapaxes(-1, -2)
    close(*both(lambda m: m.cholesky(m.tensor(values), upper)))
    close(*both(lambda m: m.tensor(values).cholesky(upper=upper)))
    root = RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))
    close(*both(lambda m: m.cholesky(m.tensor(root @ root.conj().T), upper)))


def test_lu_solve() -> None:
    def solved(m: Any, method: bool) -> Any:
        b, factors = m.tensor(RIGHT), m.linalg.lu_factor(m.tensor(SQUARE))
        return b.lu_solve(*factors) if method else m.lu_solve(b, *factors)

    for method in (False, True):
        close(*both(lambda m, method=method: solved(m, method)))
    out = fovea.empty(2, 3, 2, dtype=fovea.float64)
    with pytest.warns(UserWarning, match="linalg.lu_solve"):
        factors = fovea.linalg.lu_factor(fovea.tensor(SQUARE))
        assert fovea.lu_solve(fovea.tensor(RIGHT), *factors, out=out) is out
    np.testing.assert_allclose(SQUARE @ out.numpy(), RIGHT, atol=1e-10)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unitriangular", [False, True])
def test_triangular_solve(upper: bool, transpose: bool, unitriangular: bool) -> None:
    words = (upper, transpose, unitriangular)

    def solved(m: Any) -> Any:
        a, b = m.tensor(SQUARE, requires_grad=True), m.tensor(RIGHT)
        found = m.triangular_solve(b, a, *words)
        (found.solution**2).sum().backward()
        again = b.triangular_solve(a, *words).solution
        return found.solution, found.cloned_coefficient, again, a.grad

    ours, theirs = both(solved)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)
