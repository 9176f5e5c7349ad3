"""Regions of element-wise ops: the bits of their ops run one by one, in every layout and dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.ops import activation, elementwise
from fovea.ops.fused_pointwise import MEMBERS, Number, PointwiseAttrs, Step, pointwise
from fovea.ops.op import REGISTRY
from fovea.targets.cpu import pointwise as lowering
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.scalars import SCALARS
from fovea.targets.cpu.target import family_of
from fovea.targets.reference import reference_plan
from tests.targets.cpu.operands import laid_out, values

assert lowering
F32, BF16, F16, I32, BOOL = (
    dtypes.float32,
    dtypes.bfloat16,
    dtypes.float16,
    dtypes.int32,
    dtypes.bool_,
)


def one_by_one(inputs: tuple[Any, ...], a: PointwiseAttrs) -> tuple[Any, ...]:
    """The same by the ops themselves."""
    found = [*inputs, *(fovea.tensor(c.value, dtype=c.dtype) for c in a.constants)]
    for step in a.steps:
        found.append(REGISTRY[step.op].bind(tuple(found[v] for v in step.operands), step.attrs))
    return tuple(found[v] for v in a.outputs)


def same(found: Any, expected: Any) -> None:
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is b.dtype and a.shape == b.shape and a.strides == b.strides
        wide = (np.float64,) if a.dtype.is_floating_point else (a.dtype.numpy,)
        np.testing.assert_array_equal(a._array().astype(*wide), b._array().astype(*wide))


def chain(dtype: dtypes.DType) -> PointwiseAttrs:
    """Two outputs; a value that is read twice; a constant; an op with a parameter."""
    slope = activation.SlopeAttrs.of(0.25)
    steps = (
        Step("add", None, (0, 1), dtype),
        Step("mul", None, (4, 3), dtype),
        Step("leaky_relu", slope, (5,), dtype),
        Step("silu", None, (6,), dtype),
        Step("mul", None, (7, 5), dtype),
        Step("sub", None, (8, 2), dtype),
    )
    return PointwiseAttrs.of(3, (Number(0.75, dtype),), steps, (6, 9))


def test_members_are_what_loops_can_emit() -> None:
    families = ("elementwise", "activation")
    assert {op.name for op in SCALARS if family_of(op) in families} == set(MEMBERS)


@pytest.mark.parametrize("isa", NAMES)
@pytest.mark.parametrize("dtype", [F32, dtypes.float64, BF16, F16], ids=str)
def test_bits_of_the_ops(dtype: dtypes.DType, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", isa)
    for op in (pointwise, *(REGISTRY[s.op] for s in chain(dtype).steps)):
        monkeypatch.setattr(op, "plans", {})
    rng = np.random.default_rng(3)
    for shapes in [((67,),) * 3, ((3, 5, 17), (17,), (5, 1)), ((4, 3, 5, 6), (), (1, 3, 1, 1))]:
        inputs = tuple(laid_out(rng, values(rng, dtype, shape)) for shape in shapes)
        same(pointwise.bind(inputs, chain(dtype)), one_by_one(inputs, chain(dtype)))


def test_channels_last_images_stay_so() -> None:
    x, y = (fovea.randn(2, 6, 7, 5).permute(0, 3, 1, 2) for _ in range(2))
    inputs = (x, y, fovea.randn(5, 1, 1))
    found = pointwise.bind(inputs, chain(F32))
    same(found, one_by_one(inputs, chain(F32)))
    assert found[0].strides == x.strides


def test_dtypes_meet() -> None:
    cast = elementwise.CastAttrs
    steps = (
        Step("cast", cast.of(F32), (0,), F32),
        Step("mul", None, (3, 2), F32),
        Step("cast", cast.of(BF16), (4,), BF16),
        Step("ge", None, (5, 1), BOOL),
        Step("cast", cast.of(I32), (4,), I32),
        Step("where", None, (6, 5, 1), BF16),
    )
    a = PointwiseAttrs.of(2, (Number(1.7, F32),), steps, (6, 7, 8))
    a = a.of(a.operands, (Number(float(np.float32(1.7)), F32),), a.steps, a.outputs)
    x = fovea.arange(-60, 60, dtype=dtypes.int8).reshape(8, 15)
    y = fovea.randn(15).to(BF16)
    found = pointwise.bind((x, y), a)
    same(found, one_by_one((x, y), a))
    assert [t.dtype for t in found] == [BOOL, I32, BF16]


def test_reference_rounds_where_the_ops_do() -> None:
    rng = np.random.default_rng(5)
    inputs = tuple(fovea.from_numpy(rng.normal(size=(40,)).astype(np.float32)) for _ in range(3))
    for dtype in (F32, BF16, F16):
        narrow = tuple(t.to(dtype) for t in inputs)
        a = chain(dtype)
        specs = pointwise.specs(narrow, a)
        steps = [*narrow, fovea.tensor(0.75, dtype=dtype)]
        for step in a.steps:
            op = REGISTRY[step.op]
            given = tuple(steps[v] for v in step.operands)
            steps.append(reference_plan(op, step.attrs, op.specs(given, step.attrs))(given))
        expected = tuple(steps[v] for v in a.outputs)
        same(reference_plan(pointwise, a, specs)(narrow), expected)


def test_large_ones_are_shared_out() -> None:
    inputs = (fovea.randn(64, 999), fovea.randn(64, 999), fovea.randn(64, 1))
    same(pointwise.bind(inputs, chain(F32)), one_by_one(inputs, chain(F32)))


def test_nothing_to_compute() -> None:
    inputs = (fovea.zeros(0, 4), fovea.zeros(4), fovea.zeros(0, 1))
    assert [t.shape for t in pointwise.bind(inputs, chain(F32))] == [(0, 4), (0, 4)]


def test_every_member_in_one_region() -> None:
    """Each op on float operands where it takes them, all in one kernel."""
    x, y = fovea.rand(37) + 0.1, fovea.rand(37) * 0.9 + 0.05
    attrs = {
        activation.GeluAttrs: activation.GeluAttrs.of("tanh"),
        activation.SlopeAttrs: activation.SlopeAttrs.of(0.1),
        activation.EluAttrs: activation.EluAttrs.of(1.0, 1.1, 1.0),
        activation.SoftplusAttrs: activation.SoftplusAttrs.of(1.0, 20.0),
        activation.RangeAttrs: activation.RangeAttrs.of(-1.0, 1.0),
        elementwise.CastAttrs: elementwise.CastAttrs.of(dtypes.float64),
    }
    steps: list[Step] = []
    for op in MEMBERS.values():
        a = attrs[op.attrs_class] if op.attrs_class else None
        operands = tuple(range(len(op.inputs)))
        try:
            (spec,) = op.specs([x, y][: len(operands)], a)
        except (DTypeError, TypeError, ValueError):
            continue
        steps.append(Step(op.name, a, operands, spec.dtype))
    assert len(steps) > 60
    region = PointwiseAttrs.of(2, (), tuple(steps), tuple(range(2, 2 + len(steps))))
    same(pointwise.bind((x, y), region), one_by_one((x, y), region))


def test_it_prints_as_a_formula() -> None:
    assert str(chain(F32)) == (
        "t1 = mul(add(x0, x1), 0.75); t2 = leaky_relu(t1); t2, sub(mul(silu(t2), t1), x2)"
    )


def test_constants_are_told_apart() -> None:
    step = (Step("div", None, (0, 1), F32),)
    plus, minus = (PointwiseAttrs.of(1, (Number(v, F32),), step, (2,)) for v in (0.0, -0.0))
    assert plus is not minus
    assert PointwiseAttrs.of(1, (Number(0.0, F32),), step, (2,)) is plus
    x = fovea.ones(3)
    assert pointwise.bind((x,), plus).tolist() == [np.inf] * 3
    assert pointwise.bind((x,), minus).tolist() == [-np.inf] * 3


def test_errors() -> None:
    x = fovea.ones(2, 3)
    good = Step("add", None, (0, 1), F32)

    def run(*steps: Any, outputs: Any = (2,), operands: int = 2, inputs: Any = (x, x)) -> None:
        pointwise.bind(inputs, PointwiseAttrs.of(operands, (), tuple(steps), outputs))

    with pytest.raises(ArgumentError, match="takes 2 operands, got 1"):
        run(good, inputs=(x,))
    with pytest.raises(ArgumentError, match="step 0, .*is no element-wise op"):
        run(good._replace(op="matmul"))
    with pytest.raises(ArgumentError, match="takes what comes after it"):
        run(good._replace(operands=(0, 2)))
    with pytest.raises(ArgumentError, match="has other attributes"):
        run(Step("add", activation.SlopeAttrs.of(0.1), (0, 1), F32))
    with pytest.raises(ArgumentError, match="outputs .* are not results"):
        run(good, outputs=(1,))
    with pytest.raises(ArgumentError, match="outputs .* are not results"):
        run(good, outputs=())
    with pytest.raises(ArgumentError, match=r"add makes fovea.float32, the step fovea.bfloat16"):
        run(good._replace(dtype=BF16))
    with pytest.raises(ShapeError, match="do not broadcast"):
        run(good, inputs=(x, fovea.ones(4)))
    with pytest.raises(ShapeError, match=r"an output has shape \(3,\)"):
        run(good, Step("neg", None, (0,), F32), outputs=(2, 3), inputs=(fovea.ones(3), x))
    with pytest.raises(DTypeError):
        run(good, inputs=(x, x.double()))
