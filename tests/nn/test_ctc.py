"""The CTC loss against PyTorch's, in all the forms that its arguments take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea.errors import LabelError, ShapeError
from tests.nn.oracle import rng, torch

LABELS = [[1, 2, 2, 3], [3, 1, 1, 1], [2, 1, 3, 2]]


def both(
    x: Any, targets: Any, lengths: Any, counts: Any, **options: Any
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Loss and gradient of logits, fovea's and PyTorch's."""
    ours = fovea.tensor(x, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    a = F.ctc_loss(F.log_softmax(ours, -1), fovea.tensor(targets), lengths, counts, **options)
    b = torch.nn.functional.ctc_loss(
        torch.log_softmax(theirs, -1), torch.tensor(targets), lengths, counts, **options
    )
    a.sum().backward()
    b.sum().backward()
    return (a.detach().numpy(), ours.grad.numpy()), (b.detach().numpy(), theirs.grad.numpy())


CASES: dict[str, tuple[Any, ...]] = {
    "rows": (LABELS, (9, 9, 9), (4, 3, 2), {}),
    "shorter inputs": (LABELS, (9, 7, 8), (4, 3, 2), {"reduction": "none"}),
    "in a row": ([1, 2, 2, 3, 3, 1, 1, 2, 1], (9, 9, 9), (4, 3, 2), {"reduction": "sum"}),
    "another blank": (
        [[0, 1, 1, 2], [2, 0, 0, 0], [1, 0, 2, 1]],
        (9, 9, 9),
        (4, 3, 2),
        {"blank": 3},
    ),
    "no labels": (LABELS, (9, 9, 9), (0, 3, 2), {"reduction": "none"}),
    "too short": (LABELS, (9, 2, 9), (4, 3, 2), {"zero_infinity": True, "reduction": "none"}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_and_gradients(name: str, dtype: str) -> None:
    targets, lengths, counts, options = CASES[name]
    x = rng(1).standard_normal((9, 3, 4)).astype(dtype)
    ours, theirs = both(x, targets, lengths, counts, **options)
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_many_labels_in_a_program() -> None:
    """More states than a vector has lanes; the recursion is one op, however long."""
    x = rng(3).standard_normal((60, 3, 7)).astype("f4")
    labels = rng(4).integers(1, 7, (3, 21))
    lengths, counts = (60, 50, 55), (21, 3, 18)
    ours, theirs = both(x, labels, lengths, counts)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)

    targets = fovea.tensor(labels)

    def gradient(x: fovea.Tensor) -> fovea.Tensor:
        loss = F.ctc_loss(x.log_softmax(-1), targets, lengths, counts)
        return fovea.autograd.grad(loss, x)[0]

    step = fovea.compile(gradient, strict=True)
    leaf = fovea.tensor(x, requires_grad=True)
    np.testing.assert_allclose(step(leaf).numpy(), theirs[1], rtol=2e-5, atol=2e-6)
    names = [node.op.name for node in step.programs[-1].graph.nodes]
    assert (names.count("ctc_rows"), names.count("ctc_rows_grad")) == (1, 1)
    assert len(names) < 2 * 60  # two a step: it was some dozens


def test_second_derivatives() -> None:
    x = fovea.tensor(rng(5).standard_normal((4, 2, 3)), requires_grad=True)

    def loss(x: fovea.Tensor) -> fovea.Tensor:
        return F.ctc_loss(x.log_softmax(-1), fovea.tensor([[1, 2], [1, 1]]), [4, 3], [2, 1])

    assert fovea.autograd.gradgradcheck(loss, (x,))


def test_impossible_is_infinite() -> None:
    x = fovea.zeros(2, 1, 3).log_softmax(-1)
    assert F.ctc_loss(x, fovea.tensor([[1, 1]]), [2], [2], reduction="sum").item() == float("inf")


def test_lengths_may_be_tensors() -> None:
    x = fovea.tensor(rng(2).standard_normal((5, 2, 4))).log_softmax(-1)
    labels = fovea.tensor([[1, 2], [3, 3]])
    listed = F.ctc_loss(x, labels, [5, 4], [2, 1])
    assert F.ctc_loss(x, labels, fovea.tensor([5, 4]), fovea.tensor([2, 1])).item() == listed.item()


def test_errors() -> None:
    x = fovea.zeros(4, 2, 3).log_softmax(-1)
    with pytest.raises(LabelError, match="3 classes"):
        F.ctc_loss(x, fovea.tensor([[1, 3], [1, 1]]), [4, 4], [2, 2])
    with pytest.raises(ShapeError, match="input_lengths"):
        F.ctc_loss(x, fovea.tensor([[1, 2], [1, 1]]), [5, 4], [2, 2])
    with pytest.raises(ShapeError, match="in a row"):
        F.ctc_loss(x, fovea.tensor([1, 2, 1]), [4, 4], [2, 2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_are_computed_in_float32(dtype: str) -> None:
    kind = getattr(fovea, dtype)
    x = fovea.randn(30, 2, 5).log_softmax(2).to(kind)
    targets = fovea.tensor([[1, 2, 2], [3, 4, 0]])
    given = x.requires_grad_(True), x.detach().float().requires_grad_(True)
    ours, wide = (F.ctc_loss(t, targets, [30, 20], [3, 2]) for t in given)
    ours.backward()
    wide.backward()
    assert ours.dtype is kind and abs(float(ours) - float(wide)) < 0.02 * float(wide)
    one, two = (t.grad for t in given)
    assert one is not None and two is not None
    assert fovea.allclose(one.float(), two, atol=5e-3)
