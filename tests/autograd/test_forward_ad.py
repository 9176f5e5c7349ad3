"""fovea.autograd.forward_ad against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.autograd import forward_ad
from fovea.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tests.func.compare import both

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))


def test_tangents() -> None:
    def program(ns: Any, a: Any, b: Any) -> Any:
        ad = ns.autograd.forward_ad
        with ad.dual_level():
            x, y = ad.make_dual(a, b), ad.make_dual(b, a * 2)
            found = [ad.unpack_dual(t) for t in (x, (x * y).sin().sum(0), x @ y.t(), y.softmax(1))]
            assert ad.unpack_dual(a).tangent is None
        return [tuple(f) for f in found]

    both(program, A, B)


def test_the_outer_tape_goes_on() -> None:
    def program(ns: Any, a: Any, b: Any) -> Any:
        ad = ns.autograd.forward_ad
        a, w = a.requires_grad_(), (b + 1).requires_grad_()
        with ad.dual_level():
            primal, tangent = ad.unpack_dual((ad.make_dual(a, b) ** 2 * w).sum())
        return primal, tangent, ns.autograd.grad(tangent + primal, (a, w))

    both(program, A, B)


def test_errors() -> None:
    a, b = fovea.tensor(A), fovea.tensor(B)
    with pytest.raises(GradientError, match="no level"):
        forward_ad.make_dual(a, b)
    with pytest.raises(GradientError, match="not entered"):
        forward_ad.exit_dual_level()
    with forward_ad.dual_level() as level:
        assert level == 0
        with pytest.raises(GradientError, match="do not nest"):
            forward_ad.enter_dual_level()
        with pytest.raises(ShapeError, match="tangent's shape"):
            forward_ad.make_dual(a, b[0])
        with pytest.raises(DTypeError, match="of one dtype"):
            forward_ad.make_dual(a, b.float())
        with pytest.raises(ArgumentError, match="a tensor is needed"):
            forward_ad.unpack_dual(3.0)
    assert forward_ad.unpack_dual(a) == (a, None)
