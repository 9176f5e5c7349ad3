"""Gradient clipping and parameter vectors against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import GradientError
from fovea.nn import utils
from tests.nn.oracle import close, rng, torch

SHAPES = [(3, 4), (5,), ()]


def parameters(lib: Any) -> list[Any]:
    r = rng()
    out = []
    for shape in SHAPES:
        p = lib.nn.Parameter(lib.tensor(r.standard_normal(shape)))
        p.grad = lib.tensor(r.standard_normal(shape) * 3)
        out.append(p)
    out.append(lib.nn.Parameter(lib.ones(2)))  # without a gradient
    return out


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf"), 3])
@pytest.mark.parametrize("max_norm", [0.5, 1000.0])
def test_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    before = utils.clip_grad_norm_(ours, max_norm, norm_type)
    close(before, torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type), "float64")
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        close(a.grad, b.grad, "float64")
    assert ours[-1].grad is None


def test_clip_grad_norm_of_nothing_and_of_nan() -> None:
    assert utils.clip_grad_norm_([fovea.nn.Parameter(fovea.ones(2))], 1.0).item() == 0.0
    p = fovea.nn.Parameter(fovea.ones(1))
    p.grad = fovea.tensor([float("nan")])
    assert np.isnan(utils.clip_grad_norm_(p, 1.0).item())
    with pytest.raises(GradientError, match="the gradients is nan"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)


def test_clip_grad_value() -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    utils.clip_grad_value_(ours, 0.7)
    torch.nn.utils.clip_grad_value_(theirs, 0.7)
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        close(a.grad, b.grad, "float64")


def test_vectors() -> None:
    ours, theirs = parameters(fovea), parameters(torch)
    ours[-1], theirs[-1] = ours[-1].double(), theirs[-1].double()
    close(utils.parameters_to_vector(ours), torch.nn.utils.parameters_to_vector(theirs), "float64")
    vector = rng(1).standard_normal(20)
    leaves = ours[:-1]
    utils.vector_to_parameters(fovea.tensor(vector[:18]), leaves)
    assert np.concatenate([p.detach().numpy().ravel() for p in leaves]).tolist() == (
        vector[:18].tolist()
    )
    assert all(p.is_leaf and p.requires_grad for p in leaves)
    with pytest.raises(ValueError, match="the parameters have 18 elements"):
        utils.vector_to_parameters(fovea.tensor(vector), leaves)
