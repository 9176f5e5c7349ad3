"""Batch normalization with activation and residual, and its gradient: against PyTorch's steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops import fused, norm
from fovea.ops.epilogue import NONE, RELU, Activation
from fovea.targets.cpu import threads
from tests.nn.oracle import Array, rng, torch
from tests.ops.test_fused import in_torch
from tests.targets.cpu.kernel_cases import channels_last, isa  # noqa: F401

EPS = 1e-3
RELU6: Activation = ("hardtanh", (0.0, 6.0))
LEAKY: Activation = ("leaky_relu", (0.1,))
SILU: Activation = ("silu", ())
TOLERANCE = {"float64": 1e-10, "float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}


def close(ours: fovea.Tensor, exact: Any, dtype: str, what: str) -> None:
    a, b = ours.double().numpy(), np.asarray(exact)
    assert np.linalg.norm(a - b) <= TOLERANCE[dtype] * max(np.linalg.norm(b), 1e-3), what


class Step:
    """A training step through batch normalization, residual and activation, in PyTorch."""

    def __init__(
        self, shape: tuple[int, ...], activation: Activation, residual: bool, dtype: str = "float32"
    ) -> None:
        self.activation, self.dtype, self.kind = activation, dtype, getattr(fovea, dtype)
        r, channels = rng(), shape[1]
        arrays = [r.standard_normal(shape) * 2 + 0.5, r.standard_normal(channels),
                  r.standard_normal(channels), r.standard_normal(shape), r.standard_normal(shape)]  # fmt: skip
        arrays = [fovea.tensor(a).to(self.kind).double().numpy() for a in arrays]
        self.x, self.weight, self.bias, self.residual, self.gy = arrays
        leaves = [torch.tensor(a, requires_grad=True) for a in arrays[:4]]
        tx, tw, tb, tr = leaves
        pre = torch.nn.functional.batch_norm(tx, None, None, tw, tb, True, eps=EPS)
        self.y = in_torch(pre + tr if residual else pre, activation)
        self.y.backward(torch.tensor(self.gy))
        if not residual:
            self.residual = None
        self.grads = [None if t.grad is None else t.grad.numpy() for t in leaves]

    def tensor(self, array: Array | None) -> Any:
        if array is None:
            return None
        return (channels_last(array) if array.ndim > 2 else fovea.tensor(array)).to(self.kind)

    def forward(self) -> tuple[fovea.Tensor, ...]:
        inputs = map(self.tensor, (self.x, self.weight, self.bias, self.residual))
        return fused.batch_norm_train_fused(*inputs, eps=EPS, activation=self.activation)

    def backward(self, from_result: bool, keep: bool = False) -> tuple[fovea.Tensor, ...]:
        y, mean, rstd, _ = self.forward()
        gy, x, w, b = map(self.tensor, (self.gy, self.x, self.weight, self.bias))
        return fused.batch_norm_grad_fused(
            gy, x, w, b, mean, rstd, y if from_result else None,
            eps=EPS, activation=self.activation, residual=keep,
        )  # fmt: skip

    def check(self, from_result: bool) -> None:
        close(self.forward()[0], self.y.detach(), self.dtype, "y")
        keep = self.residual is not None
        found = self.backward(from_result, keep)
        for name, ours, exact in zip(("gx", "gw", "gb", "gr"), found, self.grads, strict=False):
            close(ours, exact, self.dtype, name)
        assert len(found) == 3 + keep


SHAPES = [(4, 3, 5, 6), (8, 64, 5, 5), (3, 70, 4, 4), (40, 20), (2, 5, 3, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", [NONE, RELU, RELU6, LEAKY], ids=lambda a: a[0])
@pytest.mark.parametrize("residual", [False, True])
def test_slopes_that_follow_from_the_result(
    shape: tuple[int, ...], activation: Activation, residual: bool
) -> None:
    Step(shape, activation, residual, "float64").check(from_result=True)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "activation", [RELU, RELU6, SILU, ("gelu", ("none",)), ("mish", ())], ids=lambda a: a[0]
)
def test_slopes_that_are_computed_again(shape: tuple[int, ...], activation: Activation) -> None:
    Step(shape, activation, False, "float64").check(from_result=False)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_element_type(dtype: str) -> None:
    Step((8, 20, 5, 5), RELU, True, dtype).check(from_result=True)
    Step((8, 20, 5, 5), SILU, False, dtype).check(from_result=False)


def test_every_vector_unit_and_bounds(isa: str) -> None:  # noqa: F811
    Step((5, 19, 4, 4), RELU, True).check(from_result=True)
    Step((5, 19, 4, 4), SILU, False).check(from_result=False)


def test_a_computed_slope_has_the_bits_of_one_from_the_result() -> None:
    """rstd is stored in float32, and both passes must scale with what is stored."""
    step = Step((16, 33, 9, 9), RELU, False)
    for a, b in zip(step.backward(True, True), step.backward(False, True), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("variance", [False, True])
def test_apply(after: bool, variance: bool) -> None:
    r = rng()
    x, residual = r.standard_normal((2, 4, 7, 6, 5))
    mean, weight, bias = r.standard_normal((3, 7))
    var = r.random(7) + 0.1
    spread = var if variance else 1 / np.sqrt(var + EPS)
    inputs = [fovea.tensor(t) for t in (x, mean, spread, weight, bias, residual)]
    y = fused.batch_norm_apply(
        *inputs, eps=EPS, activation=SILU, residual_after=after, variance=variance
    )
    columns = [torch.tensor(t)[:, None, None] for t in (mean, var, weight, bias)]
    center, spread_, scale, shift = columns
    exact = (torch.tensor(x) - center) / torch.sqrt(spread_ + EPS) * scale + shift
    exact = exact if after else exact + torch.tensor(residual)
    exact = torch.nn.functional.silu(exact)
    exact = exact + torch.tensor(residual) if after else exact
    np.testing.assert_allclose(y.numpy(), exact.numpy(), rtol=1e-10, atol=1e-11)


def test_apply_is_what_inference_does() -> None:
    x = channels_last(rng().standard_normal((3, 9, 5, 5)).astype("float32"))
    mean, weight, bias = (fovea.randn(9) for _ in range(3))
    var = fovea.rand(9) + 0.1
    plain = norm.batch_norm_infer(x, mean, var, weight, bias, eps=EPS)
    same = fused.batch_norm_apply(x, mean, var, weight, bias, None, eps=EPS, variance=True)
    np.testing.assert_array_equal(plain.numpy(), same.numpy())
    finished = fused.batch_norm_apply(
        x, mean, var, weight, bias, None, eps=EPS, variance=True, activation=RELU
    )
    np.testing.assert_array_equal(plain.relu().numpy(), finished.numpy())


def test_same_bits_for_any_number_of_threads() -> None:
    step, before, seen = Step((16, 24, 20, 20), RELU, True), threads.get_num_threads(), set()
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results = (*step.forward(), *step.backward(True, True))
            seen.add(tuple(t.contiguous().numpy().tobytes() for t in results))
    finally:
        threads.set_num_threads(before)
    assert len(seen) == 1


def test_refusals() -> None:
    x, c = fovea.ones(2, 3, 4, 4), fovea.ones(3)
    with pytest.raises(FoveaError, match="is no activation"):
        fused.batch_norm_train_fused(x, c, c, None, eps=EPS, activation=("cube", ()))
    with pytest.raises(FoveaError, match="spread has shape"):
        fused.batch_norm_apply(x, c, fovea.ones(4), c, c, None, eps=EPS)
    with pytest.raises(FoveaError, match="must have the result's shape"):
        fused.batch_norm_apply(x, c, c, c, c, x[:1], eps=EPS)
    with pytest.raises(FoveaError, match="the slope of tanh is no op"):
        fused.batch_norm_grad_fused(x, x, c, c, c, c, None, eps=EPS, activation=("tanh", ()))
    with pytest.raises(FoveaError, match="the slope of silu does not follow from y"):
        fused.batch_norm_grad_fused(x, x, c, c, c, c, x, eps=EPS, activation=SILU)
    with pytest.raises(FoveaError, match="must be like x"):
        fused.batch_norm_grad_fused(x, x, c, c, c, c, x[:1], eps=EPS, activation=RELU)
