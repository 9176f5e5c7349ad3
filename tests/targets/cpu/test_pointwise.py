"""Every element-wise op on the CPU against its NumPy definition: all dtypes, layouts and hostile
integers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dispatch, dtypes
from fovea.errors import DTypeError
from fovea.ops import activation as activations
from fovea.ops import elementwise as ops
from fovea.ops.op import Attrs, Op
from fovea.targets.cpu import pointwise
from fovea.targets.cpu.scalars import SCALARS
from tests.targets.cpu.operands import agree, both, laid_out, values

assert pointwise
OPS = sorted(SCALARS, key=lambda op: op.name)
ATTRS: dict[type[Attrs], Attrs] = {
    ops.CastAttrs: ops.CastAttrs.of(dtypes.float32),
    activations.GeluAttrs: activations.GeluAttrs.of("none"),
    activations.SlopeAttrs: activations.SlopeAttrs.of(0.1),
    activations.EluAttrs: activations.EluAttrs.of(1.0, 1.0, 1.0),
    activations.SoftplusAttrs: activations.SoftplusAttrs.of(1.0, 20.0),
    activations.RangeAttrs: activations.RangeAttrs.of(-1.0, 1.0),
}
# At kinks, and where a gradient meets infinity, the definitions leave the choice open.
KINKS = {"hardtanh_grad", "hardsigmoid_grad", "hardswish_grad", "hardswish"}


def operand_dtypes(op: Op, dtype: dtypes.DType) -> tuple[dtypes.DType, ...]:
    if op is ops.where:
        return (dtypes.bool_, dtype, dtype)
    return (dtype,) * len(op.inputs)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_dtype(op: Op) -> None:
    rng = np.random.default_rng(len(op.name))
    attrs = ATTRS[op.attrs_class] if op.attrs_class else None
    tried = 0
    for dtype in dtypes.ALL:
        for shapes in [((37,),) * 3, ((3, 17), (17,), (3, 1)), ((5, 1, 4), (1, 3, 4), ())]:
            kinds = operand_dtypes(op, dtype)
            inputs = tuple(
                laid_out(rng, values(rng, kind, shape))
                for kind, shape in zip(kinds, shapes, strict=False)
            )
            if op.name in KINKS:
                inputs = tuple(ops.where(x.isfinite(), x, x.new_zeros(())) for x in inputs)
            try:
                op.specs(inputs, attrs)
            except DTypeError:
                continue
            got, want = both(op, inputs, attrs)
            assert agree(got, want), f"{dtype} {shapes}: {got} instead of {want}"
            tried += 1
    assert tried


@pytest.mark.parametrize("target", dtypes.ALL, ids=str)
@pytest.mark.parametrize("source", dtypes.ALL, ids=str)
def test_casts(source: dtypes.DType, target: dtypes.DType) -> None:
    rng = np.random.default_rng(0)
    array = values(rng, source, (41,))
    if source.is_floating_point and not target.is_floating_point:
        array = np.nan_to_num(array.astype(np.float64), nan=0, posinf=5, neginf=0)
        array = (array if target.is_signed else np.abs(array)).astype(source.numpy)
    got, want = both(ops.cast, (fovea.from_numpy(array),), ops.CastAttrs.of(target))
    assert agree(got, want)
    empty = fovea.zeros(0, 3).to(source).to(target)
    assert empty.shape == (0, 3) and empty.dtype is target


def test_floats_out_of_range_become_some_integer() -> None:
    x = fovea.tensor([1e30, -1e30, float("nan"), float("inf"), -float("inf"), 300.7, -1.5] * 3)
    for kind in (fovea.int8, fovea.uint8, fovea.int16, fovea.int32, fovea.int64):
        assert x.to(kind).shape == x.shape
    # What fits int32 wraps around in the narrower types, as in C.
    assert x[5:7].to(fovea.uint8).tolist() == [44, 255]
    assert x[:5].to(fovea.int32).tolist() == [2**31 - 1, -(2**31), 0, 2**31 - 1, -(2**31)]


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8"])
def test_integer_division_never_traps(name: str) -> None:
    info = np.iinfo(name)
    numbers = np.array([info.min, info.min + 1, info.max, 0, 1, 2, 3, 7, 100], name)
    if info.min:
        numbers = np.concatenate([numbers, np.array([-1, -2, -7], name)])
    a, b = (
        fovea.from_numpy(np.ascontiguousarray(m.ravel())) for m in np.meshgrid(numbers, numbers)
    )
    for op in (ops.floor_divide, ops.remainder, ops.fmod):
        got, want = both(op, (a, b), None)
        assert agree(got, want), op.name


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8"])
def test_shifts_of_any_amount(name: str) -> None:
    info = np.iinfo(name)
    numbers = np.array([info.min, info.max, 0, 1, 5, 7, 8, 31, 32, 63, 64], np.int64)
    numbers = numbers.clip(info.min, info.max).astype(name)
    a, b = (
        fovea.from_numpy(np.ascontiguousarray(m.ravel())) for m in np.meshgrid(numbers, numbers)
    )
    for op in (ops.left_shift, ops.right_shift):
        got, want = both(op, (a, b), None)
        assert agree(got, want), op.name


def test_integer_powers() -> None:
    base, power = np.meshgrid(np.arange(-4, 5), np.array([-3, -2, -1, 0, 1, 2, 3, 13, 62]))
    got = fovea.from_numpy(base.ravel()) ** fovea.from_numpy(power.ravel())
    torch = pytest.importorskip("torch")
    want = torch.from_numpy(base.ravel()) ** torch.from_numpy(power.ravel())
    assert got.tolist() == want.tolist()


def test_strided_costly_expressions() -> None:
    rng = np.random.default_rng(2)
    x = fovea.from_numpy(rng.normal(size=(13, 7, 10)).astype(np.float32)).permute(2, 0, 1)[:, ::2]
    y = fovea.from_numpy(rng.normal(size=(10, 7, 7)).astype(np.float32))
    for op, inputs in ((ops.exp, (x,)), (ops.pow_, (x.abs(), y)), (ops.add, (x, y))):
        got, want = both(op, inputs, None)
        assert agree(got, want), op.name


def test_into_views_and_other_dtypes() -> None:
    rng = np.random.default_rng(5)
    for dtype in (fovea.float32, fovea.bfloat16, fovea.float64):
        base = fovea.from_numpy(rng.normal(size=(6, 8))).to(dtype)
        part = base[1:5, ::2]
        addend = fovea.from_numpy(rng.normal(size=(4, 1))).float()
        before = base.clone()
        want = (part.float() + addend).to(dtype)
        dispatch.bind_into(ops.add, part, (part.float(), addend))
        assert part.tolist() == want.tolist()
        part.copy_(before[1:5, ::2])
        assert base.tolist() == before.tolist(), "bytes outside the view changed"


def test_into_rounds_to_the_op_s_own_dtype_first() -> None:
    third = fovea.tensor([1 / 3], dtype=fovea.float16)
    wide = fovea.zeros(1, dtype=fovea.float64)
    dispatch.bind_into(ops.add, wide, (third, third))
    assert wide.item() == float(np.float16(third.item() * 2))


def test_fill_and_scalar_operands() -> None:
    for dtype in dtypes.ALL:
        x = fovea.zeros(5, 7, dtype=dtype)
        x.fill_(1)
        assert (x == 1).all().item()
        x[:, ::2] = 0
        assert (x == 0).sum().item() == 20
    assert (fovea.arange(5) * 2 + 1).tolist() == [1, 3, 5, 7, 9]


def test_overflow_wraps() -> None:
    for name in ("int8", "int16", "int32", "int64"):
        info = np.iinfo(name)
        top = fovea.from_numpy(np.full(19, info.max, name))
        low = fovea.from_numpy(np.full(19, info.min, name))
        one = fovea.ones_like(top)
        assert (top + one == low).all().item() and (low - one == top).all().item()
        assert (low.abs() == low).all().item() and ((-low) == low).all().item()
        assert (top * top == one).all().item()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_hard_activations_end_exactly(dtype: str) -> None:
    x = fovea.linspace(3.0, 40.0, 1003).to(getattr(fovea, dtype))
    assert (fovea.nn.functional.hardsigmoid(x) == 1).all().item()
    assert (fovea.nn.functional.hardswish(x) == x).all().item()


@pytest.mark.parametrize("environment", [{"FOVEA_CPU_ISA": "generic"}, {"FOVEA_CPU_ISA": "avx512"},
                                         {"FOVEA_CPU_CHECK": "1"}], ids=str)  # fmt: skip
def test_elsewhere(environment: dict[str, str]) -> None:
    """The same on other vector units, and with bounds checks: a sample in a process of its own."""
    code = (
        "import sys, pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', __file__, '-k', "
        "'test_every_dtype and (add or exp or relu or where or silu or eq) or division or views or "
        "powers'"
        "]))"
    )
    env: dict[str, Any] = {**os.environ, **environment}
    out = subprocess.run(
        [sys.executable, "-c", code.replace("__file__", repr(__file__))],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout[-3000:]
