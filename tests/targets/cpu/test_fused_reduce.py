"""Regions that end in a reduction: the bits of region and reduction one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import ArgumentError
from fovea.ops import elementwise
from fovea.ops.fused_pointwise import (
    REDUCTIONS,
    Number,
    PointwiseAttrs,
    PointwiseReduceAttrs,
    Step,
    pointwise,
    pointwise_reduce,
)
from fovea.targets.cpu import fused_reduce, threads
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.reduce_layout import Apart
from fovea.targets.reference import reference_plan
from tests.targets.cpu.operands import agree, laid_out
from tests.targets.cpu.test_fused_pointwise import same

F32, BOOL = dtypes.float32, dtypes.bool_


def region(*outputs: int, dtype: dtypes.DType = F32) -> PointwiseAttrs:
    """0, 1: operands; 2: a number; 3: x * y; 4: x * y - 2; 5: its square; 6: whether 4 > y."""
    steps = (
        Step("mul", None, (0, 1), dtype),
        Step("sub", None, (3, 2), dtype),
        Step("square", None, (4,), dtype),
        Step("gt", None, (4, 1), BOOL),
    )
    return PointwiseAttrs.of(2, (Number(2.0, dtype),), steps, outputs)


def in_turn(inputs: tuple[Any, ...], a: PointwiseReduceAttrs) -> tuple[Any, ...]:
    made = pointwise.bind(inputs, a.expression)
    first, *others = made if isinstance(made, tuple) else (made,)
    return (REDUCTIONS[a.reduction].bind((first,), a.attrs), *others)


def check(inputs: tuple[Any, ...], a: PointwiseReduceAttrs) -> None:
    same(pointwise_reduce.bind(inputs, a), in_turn(inputs, a))


def nhwc(*shape: int) -> Any:
    n, c, h, w = shape
    return fovea.randn(n, h, w, c).permute(0, 3, 1, 2)


ROWS = [((7, 33), (7, 33), (1,)), ((3, 4, 50), (3, 4, 50), (0, 1, 2)), ((5, 9000), (5, 1), (1,)),
        ((2, 300, 301), (2, 300, 301), (1, 2)), ((70000,), (70000,), (0,)), ((6, 40), (), (0, 1)),
        ((4, 5, 6), (4, 1, 6), (0, 2))]  # fmt: skip
IMAGES = [(2, 64, 9, 9), (4, 3, 20, 30), (3, 130, 5, 5), (64, 16, 12, 12), (2, 1, 4, 4)]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean", "prod", "amax", "amin"])
@pytest.mark.parametrize(("x", "y", "dims"), ROWS)
def test_rows(x: Any, y: Any, dims: Any, reduction: str, keepdim: bool) -> None:
    inputs = (fovea.randn(*x), fovea.randn(*y))
    check(inputs, PointwiseReduceAttrs.of(region(5), reduction, dims, keepdim))


@pytest.mark.parametrize("dims", [(0, 2, 3), (2, 3), (0,), (1,), (0, 1, 2, 3)])
@pytest.mark.parametrize("shape", IMAGES)
def test_images(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x, y = nhwc(*shape), nhwc(*shape)
    for other in (y, fovea.randn(shape[1], 1, 1), fovea.randn(shape[0], shape[1], 1, 1)):
        for outputs in ((5,), (5, 4), (6, 3, 5)):
            a = PointwiseReduceAttrs.of(region(*outputs), "sum", dims, False)
            check((x, other), a)


@pytest.mark.parametrize("isa", NAMES)
@pytest.mark.parametrize("dtype", [dtypes.float64, dtypes.bfloat16, dtypes.float16], ids=str)
def test_dtypes(dtype: dtypes.DType, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", isa)
    for op in (pointwise, pointwise_reduce, *REDUCTIONS.values()):
        monkeypatch.setattr(op, "plans", {})
    inputs = (nhwc(3, 40, 7, 7).to(dtype), nhwc(3, 40, 7, 7).to(dtype))
    for dims in ((0, 2, 3), (1,), (0, 1, 2, 3)):
        check(inputs, PointwiseReduceAttrs.of(region(5, 4, dtype=dtype), "mean", dims, False))
        check(inputs, PointwiseReduceAttrs.of(region(6, dtype=dtype), "all", dims, True))
        check(inputs, PointwiseReduceAttrs.of(region(6, 5, dtype=dtype), "any", dims, False))


def test_booleans_are_counted() -> None:
    cast = Step("cast", elementwise.CastAttrs.of(dtypes.int64), (2,), dtypes.int64)
    e = PointwiseAttrs.of(2, (), (Step("eq", None, (0, 1), BOOL), cast), (3,))
    x, y = (fovea.randint(0, 4, (5000,)) for _ in range(2))
    check((x, y), PointwiseReduceAttrs.of(e, "sum", (0,), False))


def test_against_the_reference_in_any_layout() -> None:
    rng = np.random.default_rng(2)
    for shapes, dims in [(((4, 5, 6), (5, 6)), (0, 2)), (((3, 4, 5, 6),) * 2, (1, 3))]:
        for _ in range(6):
            inputs = tuple(laid_out(rng, rng.normal(size=s).astype(np.float32)) for s in shapes)
            a = PointwiseReduceAttrs.of(region(5, 4), "mean", dims, False)
            specs = pointwise_reduce.specs(inputs, a)
            want = reference_plan(pointwise_reduce, a, specs)(inputs)
            got = pointwise_reduce.bind(inputs, a)
            assert all(agree(g, w, 4.0) for g, w in zip(got, want, strict=True))


def test_no_elements() -> None:
    inputs = (fovea.zeros(0, 4), fovea.zeros(4))
    for dims in ((0,), (1,), ()):
        check(inputs, PointwiseReduceAttrs.of(region(5, 4), "sum", dims, False))
    check((fovea.ones(3, 4), fovea.ones(4)), PointwiseReduceAttrs.of(region(5), "sum", (), False))


def test_one_thread_and_many_give_the_same_bits() -> None:
    inputs = (nhwc(32, 24, 30, 30), nhwc(32, 24, 30, 30))
    before = threads.get_num_threads()
    for dims in ((0, 2, 3), (0, 1, 2, 3)):
        a = PointwiseReduceAttrs.of(region(5, 4), "sum", dims, False)
        found = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            found.append(pointwise_reduce.bind(inputs, a))
        threads.set_num_threads(before)
        same(found[1], found[0])
        same(found[2], found[0])


def test_what_lies_alike_is_reduced_at_once() -> None:
    def call(*inputs: Any, dims: Any, outputs: Any = (5, 4)) -> Any:
        a = PointwiseReduceAttrs.of(region(*outputs), "sum", dims, False)
        return fused_reduce._Call(inputs, a, pointwise_reduce.specs(inputs, a)).at_once()

    x, y = nhwc(2, 64, 9, 9), nhwc(2, 64, 9, 9)
    call(x, y, dims=(0, 2, 3))
    call(x, fovea.randn(64, 1, 1), dims=(0, 2, 3))
    call(x, fovea.randn(2, 64, 1, 1), dims=(2, 3))
    call(x, fovea.randn(()), dims=(0, 1, 2, 3))
    call(fovea.randn(70000), fovea.randn(70000), dims=(0,))
    with pytest.raises(Apart):  # the elements are one run, the operand's are not
        call(x, fovea.randn(64, 1, 1), dims=(0, 1, 2, 3))


def test_errors_and_text() -> None:
    x = fovea.ones(2, 3)
    a = PointwiseReduceAttrs.of(region(5), "cumsum", (0,), False)
    with pytest.raises(ArgumentError, match="cumsum is no reduction"):
        pointwise_reduce.bind((x, x), a)
    a = PointwiseReduceAttrs.of(region(5), "mean", (0, 1), True)
    assert str(a) == "mean over (0, 1), keepdim: t1 = sub(mul(x0, x1), 2); square(t1)"
