"""Factors, inverses and solutions that report failures, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import linalg
from fovea.errors import LinAlgError
from tests.nn.oracle import torch

GOOD = np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 1.0], [0.0, 1.0, 2.0]])
SECOND = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 1.0]])  # its second pivot is 0
LAST = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]])
ZEROS = np.zeros((3, 3))
MATRICES = {
    "good": GOOD,
    "singular": SECOND,
    "zeros": ZEROS,
    "batch": np.stack([GOOD, SECOND, ZEROS, GOOD + 1]),
    "batches": np.stack([GOOD, ZEROS, SECOND, GOOD])[:, None].repeat(2, 1),
    "none": np.zeros((0, 3, 3)),
}


def both(array: Any, dtype: str) -> list[Any]:
    return [lib.tensor(array.tolist(), dtype=getattr(lib, dtype)).reshape(array.shape)
            for lib in (fovea, torch)]  # fmt: skip


def same(ours: Any, theirs: Any) -> None:
    """Info as it is; results where there are some, else NaN."""
    assert ours.info.dtype is fovea.int32 and ours.info.tolist() == theirs.info.tolist()
    fine = theirs.info.numpy() == 0
    assert tuple(ours[0].shape) == tuple(theirs[0].shape)
    np.testing.assert_allclose(ours[0].numpy()[fine], theirs[0].numpy()[fine], rtol=1e-5, atol=1e-6)
    assert np.isnan(ours[0].numpy()[~fine]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("case", MATRICES)
def test_inverses(case: str, dtype: str) -> None:
    ours, theirs = both(MATRICES[case], dtype)
    same(linalg.inv_ex(ours), torch.linalg.inv_ex(theirs))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("case", [c for c in MATRICES if c != "none"])
def test_solutions(case: str, left: bool) -> None:
    (ours, theirs), (b, other) = both(MATRICES[case], "float64"), both(GOOD + 2, "float64")
    same(linalg.solve_ex(ours, b, left=left), torch.linalg.solve_ex(theirs, other, left=left))
    if left:
        same(linalg.solve_ex(ours, b[0]), torch.linalg.solve_ex(theirs, other[0]))


def test_a_matrix_that_rounding_makes_singular_has_a_zero_pivot_somewhere() -> None:
    found = linalg.inv_ex(fovea.tensor(LAST.tolist()) / 3)
    assert (found.info.item() > 0) == bool(found.inverse.isnan().all())


def test_errors_when_asked_for() -> None:
    a = fovea.tensor(SECOND.tolist())
    for call in (
        lambda: linalg.inv_ex(a, check_errors=True),
        lambda: linalg.solve_ex(a, a, check_errors=True),
        lambda: linalg.cholesky_ex(-a.T @ a, check_errors=True),
    ):
        with pytest.raises(LinAlgError, match="_ex"):
            call()


def test_gradients_of_those_that_did_not_fail() -> None:
    ours, theirs = both(MATRICES["batch"], "float64")
    ours.requires_grad_()
    theirs.requires_grad_()
    linalg.inv_ex(ours).inverse[0].square().sum().backward()
    torch.linalg.inv_ex(theirs).inverse[0].square().sum().backward()
    np.testing.assert_allclose(ours.grad[0].numpy(), theirs.grad[0].numpy(), rtol=1e-9)
    assert not ours.grad[1:].any()


def test_names_of_results() -> None:
    one = fovea.eye(2)
    assert linalg.cholesky_ex(one).L.tolist() == linalg.inv_ex(one).inverse.tolist()
    assert repr(linalg.solve_ex(one, one)).startswith("fovea.return_types.linalg_solve_ex(")
    for lib in (fovea, torch):
        assert lib.linalg.solve_ex(lib.eye(2), lib.ones(2)).result.tolist() == [1.0, 1.0]
