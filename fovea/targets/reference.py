"""The reference target: every op as its NumPy definition. Slow and obvious; what other targets are
checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import LoweringError
from fovea.targets.base import Plan, Target, empty

if TYPE_CHECKING:
    from fovea.ops.op import Attrs, Op, Spec
    from fovea.tensor import Tensor

__all__ = ["REFERENCE", "ReferenceTarget", "reference_plan"]

_LOW_PRECISION = (dtypes.float16, dtypes.bfloat16)


def reference_plan(op: Op, attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    """Run ``op.reference`` on arrays. Half types are computed in float32 and rounded once at the
    end.
    """
    rule = op.reference_rule
    if rule is None:
        raise LoweringError(f"{op.name}: it has no NumPy reference.")

    def run(inputs: tuple[Any, ...]) -> Any:
        arrays = [None if t is None else _widened(t) for t in inputs]
        with np.errstate(all="ignore"):
            results = rule(*arrays, attrs) if op.attrs_class else rule(*arrays)
        if len(specs) == 1 and not isinstance(results, tuple):
            results = (results,)
        outs = tuple(_store(r, spec) for r, spec in zip(results, specs, strict=True))
        return outs if len(op.outputs) > 1 or (op.variadic and len(outs) > 1) else outs[0]

    return run


def _widened(t: Tensor) -> np.ndarray[Any, Any]:
    array = t._array()
    return array.astype(np.float32) if t.dtype in _LOW_PRECISION else array


def _store(result: Any, spec: Spec) -> Tensor:
    out = empty(spec)
    with np.errstate(all="ignore"):
        out._array()[...] = np.asarray(result).reshape(spec.shape)
    return out


class ReferenceTarget(Target):
    """NumPy for everything."""

    def missing(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]
    ) -> Plan:
        if op.mutates:
            return _mutating_plan(op, attrs, specs)
        return reference_plan(op, attrs, specs)

    def copy(self, source: Tensor, out: Tensor) -> None:
        with np.errstate(all="ignore"):
            out._array()[...] = (
                _widened(source).copy() if source.storage is out.storage else _widened(source)
            )


def _mutating_plan(op: Op, attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    """An op that writes some inputs in place: its reference gets the live arrays. It may have
    outputs, too.
    """
    rule = op.reference_rule
    assert rule is not None

    def run(inputs: tuple[Any, ...]) -> Any:
        arrays = [None if t is None else t._array() for t in inputs]
        with np.errstate(all="ignore"):
            results = rule(*arrays, attrs) if op.attrs_class else rule(*arrays)
        return _store(results, specs[0]) if specs else None

    return run


REFERENCE = ReferenceTarget("reference")
