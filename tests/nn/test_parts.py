"""Parts of tensors whose gradients are joined again: the same as ``chunk`` and ``unbind``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.autograd import gradcheck, gradgradcheck
from fovea.nn.parts import chunks, steps


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 6), (2, 4, 0)])
def test_values(shape: tuple[int, ...], dim: int) -> None:
    x = fovea.randn(*shape)
    for found, expected in (
        (steps(x, dim), x.unbind(dim)),
        (chunks(x, 2, dim), x.chunk(2, dim)),
        (chunks(x.transpose(0, -1), 3, dim), x.transpose(0, -1).chunk(3, dim)),
    ):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def mixed(parts: Any) -> Any:
    """Parts used in different ways, one of them not at all."""
    return (parts[0] * parts[1].sin()).sum() + (parts[1] ** 3).sum()


@pytest.mark.parametrize("split", [lambda x: steps(x, 1), lambda x: chunks(x, 3, -1)])
def test_gradients(split: Any) -> None:
    x = fovea.randn(2, 3, dtype=fovea.float64).requires_grad_()
    assert gradcheck(lambda t: mixed(split(t)), (x,))
    assert gradgradcheck(lambda t: mixed(split(t)), (x,))


def test_programs_join_gradients() -> None:
    """No sum of whole tensors: the backward pass of L steps holds one ``cat``."""

    def loss(x: Any) -> Any:
        total = 0.0
        for n, step in enumerate(steps(x, 0)):
            total = total + (step * (n + 1)).sum()
        return fovea.autograd.grad(total, x)[0]

    x = fovea.randn(8, 3).requires_grad_()
    np.testing.assert_allclose(loss(x).numpy(), np.arange(1, 9)[:, None] * np.ones((8, 3)))
    program = fovea.compile(loss)
    np.testing.assert_allclose(program(x).numpy(), loss(x).numpy())
    names = [n.op.name for n in program.programs[-1].graph.nodes]
    assert "slice_scatter" not in names and names.count("cat") == 1


def test_recurrent_networks_have_second_derivatives() -> None:
    layer = fovea.nn.LSTM(2, 2).double()
    x = fovea.randn(3, 1, 2, dtype=fovea.float64).requires_grad_()
    assert gradgradcheck(lambda t: layer(t)[0].sum(), (x,))
