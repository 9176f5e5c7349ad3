"""Packed weights: what they compute is what the weights themselves do, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops.conv import ConvAttrs
from fovea.ops.epilogue import RELU
from fovea.ops.fused import (
    conv2d_fused,
    conv2d_pack,
    conv2d_packed,
    linear_fused,
    linear_pack,
    linear_packed,
)
from fovea.targets.cpu import threads
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.fused_conv import conv2d_packing
from fovea.targets.cpu.fused_linear import linear_packing, worth_packing
from fovea.targets.cpu.lowering import view_of
from fovea.targets.cpu.matmul import plan_product
from fovea.targets.cpu.views import View
from fovea.testing.check_op import on_reference
from tests.nn.oracle import rng
from tests.ops.test_fused import FORMS, Data
from tests.targets.cpu.kernel_cases import isa  # noqa: F401


class Packed:
    """A form's operands, and both ways to compute with them."""

    def __init__(self, name: str, dtype: str = "float32") -> None:
        d, kind = Data(FORMS[name], dtype), getattr(fovea, dtype)
        self.x, self.w, *self.extras = (fovea.tensor(a).to(kind) for a in (d.x, d.w, *d.extras))
        self.attrs: dict[str, Any] = d.form.attrs
        self.packing = conv2d_packing(self.x, self.w, ConvAttrs.from_keywords(self.attrs))

    def pack(self) -> fovea.Tensor:
        return conv2d_pack.bind((self.w,), self.packing)

    def computed(self, packed: fovea.Tensor) -> fovea.Tensor:
        return conv2d_packed(
            self.x, packed, *self.extras, **self.attrs, activation=RELU,
            weight=tuple(self.w.shape), packing=self.packing.packing,
        )  # fmt: skip

    def plain(self) -> fovea.Tensor:
        return conv2d_fused(self.x, self.w, *self.extras, **self.attrs, activation=RELU)

    def check(self) -> None:
        a, b = self.computed(self.pack()), self.plain()
        assert a.dtype is b.dtype and a.strides == b.strides
        np.testing.assert_array_equal(a.double().numpy(), b.double().numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_and_element_type(name: str, dtype: str) -> None:
    Packed(name, dtype).check()


@pytest.mark.parametrize("name", FORMS)
def test_every_vector_unit_and_bounds(name: str, isa: str) -> None:  # noqa: F811
    Packed(name).check()


def test_the_form_is_chosen_once() -> None:
    names = {name: Packed(name).packing.packing.rstrip("0123456789") for name in FORMS}
    assert names.pop("winograd") == "winograd"
    assert set(names.values()) == {"panels", "planes"}


@pytest.mark.parametrize("name", ["winograd", "grouped"])
def test_weights_in_any_layout(name: str) -> None:
    p = Packed(name)
    plain = p.plain().numpy()
    p.w = p.w.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    np.testing.assert_array_equal(p.computed(p.pack()).numpy(), plain)


def test_the_reference_has_a_packing_of_its_own() -> None:
    p = Packed("direct", "float64")
    with on_reference():
        expected = p.computed(p.pack()).numpy()
    np.testing.assert_allclose(p.plain().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_same_bits_for_any_number_of_threads() -> None:
    before, seen = threads.get_num_threads(), set()
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results = [p.computed(p.pack()) for p in map(Packed, FORMS)]
            seen.add(tuple(y.contiguous().numpy().tobytes() for y in results))
    finally:
        threads.set_num_threads(before)
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(1, 40), (9, 40), (3, 11, 40), (130, 7), (40,), (0, 4)], ids=str)
@pytest.mark.parametrize("outputs", [1, 10, 70])
def test_products(shape: tuple[int, ...], outputs: int, dtype: str) -> None:
    """In float64, whose sums differ in their last digits: other kernels may add in another order."""
    kind = getattr(fovea, dtype)
    x, w, b = (
        fovea.tensor(rng().standard_normal(s)).to(kind)
        for s in (shape, (outputs, shape[-1]), outputs)
    )
    r = fovea.tensor(rng(1).standard_normal((*shape[:-1], outputs))).to(kind)
    packing = linear_packing(x, w)
    for weight in (w, w.t().contiguous().t()):
        packed = linear_pack.bind((weight,), packing)
        y = linear_packed(
            x, packed, b, r, activation=RELU, outputs=outputs, packing=packing.packing
        )
        expected = linear_fused(x.double(), w.double(), b.double(), r.double(), activation=RELU)
        assert y.dtype is kind and y.shape == expected.shape
        tolerance = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 2e-2}[dtype]
        np.testing.assert_allclose(
            y.double().numpy(), expected.numpy(), rtol=tolerance, atol=tolerance
        )


def test_few_rows_are_not_worth_packing_for() -> None:
    w = fovea.ones(1000, 512)
    assert not worth_packing(fovea.ones(1, 512), w)
    assert not worth_packing(fovea.ones(2, 4, 512), w)
    assert worth_packing(fovea.ones(600, 512), w)
    program = plan_product(View.dense((600, 512), "float32"), view_of(w).flipped(), Epilogue())
    assert [c.packs for c in program.calls] == [True, False]


def test_rows_that_do_not_follow_one_another() -> None:
    x, w = fovea.randn(4, 6, 5, 7).permute(2, 0, 1, 3)[:, ::2], fovea.randn(9, 7)
    packing = linear_packing(x, w)
    packed = linear_pack.bind((w,), packing)
    y = linear_packed(x, packed, None, None, outputs=9, packing=packing.packing)
    np.testing.assert_allclose(y.numpy(), (x @ w.t()).numpy(), rtol=1e-5, atol=1e-5)


def test_refusals() -> None:
    p = Packed("direct")
    packed = p.pack()
    with pytest.raises(FoveaError, match="weights as winograd16"):
        conv2d_packed(
            p.x, packed, *p.extras, **p.attrs, weight=tuple(p.w.shape), packing="winograd16"
        )
    with pytest.raises(FoveaError, match="packed must be float32, at least"):
        conv2d_packed(p.x, packed[:5], *p.extras, **p.attrs, weight=tuple(p.w.shape), packing="")
    with pytest.raises(FoveaError, match="weight must be a shape of 4 dimensions"):
        conv2d_packed(p.x, packed, *p.extras, **p.attrs, weight=(-4, 5, 3, 3), packing="")
    with pytest.raises(FoveaError, match="image must be a shape"):
        conv2d_pack(p.w, **p.attrs, image=(1, 5, 9), packing="", count=5000)
    with pytest.raises(FoveaError, match="7 numbers cannot hold weight"):
        conv2d_pack(p.w, **p.attrs, image=tuple(p.x.shape), packing="", count=7)
    with pytest.raises(FoveaError, match="weight must be 2-D"):
        linear_pack(p.w, rows=1, packing="", count=5000)
    with pytest.raises(FoveaError, match="the product reads panels"):
        linear_pack(fovea.ones(3, 4), rows=1, packing="other", count=5000)
    with pytest.raises(FoveaError, match="packed must be float32, at least 12"):
        linear_packed(fovea.ones(2, 4), packed[:5], None, None, outputs=3, packing="")
    with pytest.raises(FoveaError, match="the convolution reads panels"):
        conv2d_pack(p.w, **p.attrs, image=tuple(p.x.shape), packing="other", count=5000)
