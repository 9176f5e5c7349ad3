"""Loss ops: labels are checked at the op level, too, before anything is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError, LabelError
from fovea.ops import loss

NONE: dict[str, Any] = {"ignore_index": -100}


def test_check_labels() -> None:
    assert loss.check_labels("l", np.array([0, 2]), 3, -100)
    assert loss.check_labels("l", np.array([], np.int64), 3, -100)
    assert not loss.check_labels("l", np.array([0, 7]), 3, 7)
    assert not loss.check_labels("l", np.array([[0, 1]]), 3, 1)
    assert loss.check_labels("l", np.array([[0, 2]]), 3, 1)
    for wrong, what in (([0, 3], "label 3 at position 1"), ([-2, 0], "label -2 at position 0")):
        with pytest.raises(LabelError, match=what):
            loss.check_labels("l", np.array(wrong), 3, -100)
    with pytest.raises(LabelError, match=r"label 9 at position \(1, 0\)"):
        loss.check_labels("l", np.array([[0], [9]]), 3, -100)
    with pytest.raises(LabelError, match="label 9223372036854775807"):
        loss.check_labels("l", np.array([2**63 - 1]), 3, -100)


def test_shapes_and_types() -> None:
    x, t = fovea.ones(3, 4), fovea.zeros(3, dtype=fovea.int64)
    for bad_x, bad_t in (
        (x, t[:2]),
        (fovea.ones(3), t),
        (x, t.unsqueeze(1)),
        (x, t.int()),
        (x.long(), t),
    ):
        with pytest.raises(FoveaError):
            loss.cross_entropy(bad_x, bad_t, **NONE)
        with pytest.raises(FoveaError):
            loss.nll_loss(bad_x, bad_t, **NONE)
    with pytest.raises(FoveaError, match="must have target's shape"):
        loss.cross_entropy_grad(fovea.ones(2), x, t, **NONE)
    with pytest.raises(FoveaError):
        loss.nll_loss_grad(fovea.ones(3), t, **NONE, classes=-1)


def test_ignored_rows_are_zero() -> None:
    x = fovea.randn(4, 3, requires_grad=True)
    t = fovea.tensor([0, -100, 2, -100])
    losses = loss.cross_entropy(x, t, **NONE)
    assert losses[1].item() == losses[3].item() == 0.0
    losses.sum().backward()
    assert x.grad[1].abs().sum().item() == x.grad[3].abs().sum().item() == 0.0
    assert x.grad[0].abs().sum().item() > 0.0
