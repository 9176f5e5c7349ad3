"""Fused matrix products: against NumPy's product and PyTorch's activations, in every kernel."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops.epilogue import NONE, RELU, Activation
from fovea.ops.fused import linear_fused, matmul_fused
from fovea.targets.cpu import threads
from tests.nn.oracle import Array, rng, torch
from tests.ops.test_fused import ALL, in_torch
from tests.targets.cpu.kernel_cases import isa  # noqa: F401

# rows, run, columns: along the contracted index, one row, register tiles (right operand packed, in
# place, in place with a ragged end), one column
SIZES = [(9, 64, 21), (1, 12, 300), (70, 40, 40), (9, 20, 32), (7, 20, 33), (40, 30, 1)]
TOLERANCE = {"float64": 1e-12, "float32": 3e-6, "bfloat16": 6e-3, "float16": 1e-3}


class Product:
    """Operands in float64 as a type holds them, and what separate steps make of them."""

    def __init__(
        self, left: tuple[int, ...], right: tuple[int, ...], dtype: str = "float32"
    ) -> None:
        self.kind, self.dtype, r = getattr(fovea, dtype), dtype, rng()
        shape = np.matmul(np.zeros(left), np.zeros(right)).shape
        shapes = left, right, shape[-1:], shape
        arrays = [r.standard_normal(s) / s[-1] ** 0.5 * 2 for s in shapes]
        self.a, self.b, self.bias, self.residual = (
            fovea.tensor(t).to(self.kind).double().numpy() for t in arrays
        )

    def tensors(self, given: str) -> list[fovea.Tensor | None]:
        pairs = (("bias", self.bias), ("residual", self.residual))
        return [fovea.tensor(t).to(self.kind) if n in given else None for n, t in pairs]

    def exact(self, a: Activation, given: str, after: bool) -> Array:
        y = torch.tensor(self.a @ self.b + (self.bias if "bias" in given else 0))
        residual = torch.tensor(self.residual) if "residual" in given else 0
        return (in_torch(y, a) + residual if after else in_torch(y + residual, a)).numpy()

    def check(
        self, a: Activation = RELU, given: str = "bias residual", after: bool = False
    ) -> None:
        left, right = (fovea.tensor(t).to(self.kind) for t in (self.a, self.b))
        options = {"activation": a, "residual_after": after}
        exact = self.exact(a, given, after)
        found = [matmul_fused(left, right, *self.tensors(given), **options)]
        if right.dim() == 2:  # the weight in both orientations
            for weight in (right.t(), right.t().contiguous()):
                found.append(linear_fused(left, weight, *self.tensors(given), **options))
        for y in found:
            assert y.dtype is self.kind and y.is_contiguous()
            error = np.linalg.norm(y.double().numpy() - exact)
            assert error <= TOLERANCE[self.dtype] * max(float(np.linalg.norm(exact)), 1e-3)


def product(size: tuple[int, int, int], dtype: str = "float32") -> Product:
    m, k, n = size
    return Product((m, k), (k, n), dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("given", ["", "bias", "residual", "bias residual"])
@pytest.mark.parametrize("after", [False, True])
def test_every_kernel(size: tuple[int, int, int], given: str, after: bool) -> None:
    product(size).check(RELU, given, after)
    product(size).check(("silu", ()), given, after)


@pytest.mark.parametrize("a", ALL, ids=lambda a: a[0])
def test_every_activation(a: Activation) -> None:
    for size in SIZES[:3]:
        product(size).check(a)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_element_type(size: tuple[int, int, int], dtype: str) -> None:
    product(size, dtype).check()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_vector_unit_and_bounds(size: tuple[int, int, int], isa: str) -> None:  # noqa: F811
    product(size).check(("gelu", ("none",)))


BATCHES = [
    ((3, 5, 20), (20, 7)),
    ((2, 3, 5, 20), (20, 33)),
    ((3, 5, 20), (3, 20, 7)),
    ((2, 1, 5, 20), (3, 20, 33)),
    ((2, 1, 2, 1, 2, 3, 4), (1, 2, 1, 2, 1, 4, 5)),  # batch dimensions that do not merge
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
]


@pytest.mark.parametrize(("left", "right"), BATCHES, ids=str)
def test_batches(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    Product(left, right).check()


def test_a_single_vector() -> None:
    x, w, b, r = fovea.randn(8), fovea.randn(5, 8), fovea.randn(5), fovea.randn(5)
    y = linear_fused(x, w, b, r, activation=RELU)
    np.testing.assert_allclose(y.numpy(), ((w @ x) + b + r).relu().numpy(), rtol=1e-5, atol=1e-6)


def test_same_bits_for_any_number_of_threads() -> None:
    before, seen = threads.get_num_threads(), set()
    p = [product(s) for s in ((200, 300, 130), (10, 2000, 64), (1, 600, 1200))]
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results = [
                matmul_fused(*(fovea.tensor(t).float() for t in (q.a, q.b)), *q.tensors("bias residual"),
                             activation=("tanh", ()))
                for q in p
            ]  # fmt: skip
            seen.add(tuple(y.numpy().tobytes() for y in results))
    finally:
        threads.set_num_threads(before)
    assert len(seen) == 1


def test_refusals() -> None:
    x, w, b, r = fovea.ones(3, 4), fovea.ones(5, 4), fovea.ones(5), fovea.ones(3, 5)
    with pytest.raises(FoveaError, match="bias has shape"):
        linear_fused(x, w, b[1:], r)
    with pytest.raises(FoveaError, match="must have the result's shape"):
        linear_fused(x, w, b, r[:2])
    with pytest.raises(FoveaError, match="is no activation"):
        matmul_fused(x, w.t(), b, r, activation=("cube", ()))
    with pytest.raises(FoveaError, match="must be floating point"):
        matmul_fused(x.int(), w.t().int(), None, None, activation=NONE)
    with pytest.raises(FoveaError, match="features, weight expects"):
        linear_fused(x, w[:, :3], b, r)
