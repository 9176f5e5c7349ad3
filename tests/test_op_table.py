"""A walk over the op table: no op without a shape rule, a gradient (or a reason), a reference, a
lowering, a check.
"""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import fovea.ops
from fovea import dtypes
from fovea.ops.op import REGISTRY, Op
from fovea.testing import check_op
from tests.ops.cases import CASES, cases
from tests.ops.elsewhere import BY_TABLE, ELSEWHERE

for module in pkgutil.iter_modules(fovea.ops.__path__):
    importlib.import_module(f"fovea.ops.{module.name}")

OPS = sorted(REGISTRY.values(), key=lambda op: op.name)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_declaration_is_whole(op: Op) -> None:
    assert op.shape_rule is not None
    assert op.gradient or op.decomposition or op.nondifferentiable, "no gradient and no reason why"
    assert op.reference_rule or op.decomposition, "nothing says what it means"
    assert op.strided_rule is not None or not op.view
    assert op.name in {*CASES, *ELSEWHERE, *BY_TABLE}, "no sample inputs in tests/ops"


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_cpu_runs_it(op: Op) -> None:
    from fovea.targets.cpu.fallback import FALLBACK
    from fovea.targets.cpu.target import CPU

    CPU.load_lowerings()
    lowered = op in CPU.lowerings or op.view or op.decomposition is not None
    assert lowered or op.name in FALLBACK, "no CPU lowering, and not in fallback.py"


@pytest.mark.parametrize(("name", "number"), list(cases()))
def test_values_and_gradients(name: str, number: int) -> None:
    arrays, attrs = CASES[name][number]
    if name == "cast":
        attrs = {"dtype": dtypes.as_dtype(attrs["dtype"])}
    # float32 differences are too coarse to check a float32 result of a cast
    check_op(REGISTRY[name], arrays, attrs, rtol=1e-9, atol=1e-10, gradients=name != "cast")


@pytest.mark.parametrize(("name", "number"), list(cases()))
def test_float32(name: str, number: int) -> None:
    arrays, attrs = CASES[name][number]
    if name == "cast" or not any(a is not None and a.dtype == np.float64 for a in arrays):
        return
    narrow = [
        a.astype(np.float32) if a is not None and a.dtype == np.float64 else a for a in arrays
    ]
    check_op(REGISTRY[name], narrow, attrs, rtol=2e-5, atol=2e-5, gradients=False)


def test_max_pool_gradient() -> None:
    from fovea.ops.pool import max_pool2d

    for arrays, attrs in CASES["max_pool2d"]:
        x = arrays[0]
        assert x is not None
        with_y = [np.ones_like(y := max_pool2d(fovea.from_numpy(x), **attrs).numpy()), x, y]
        check_op(REGISTRY["max_pool2d_grad"], with_y, attrs, gradients=False)
