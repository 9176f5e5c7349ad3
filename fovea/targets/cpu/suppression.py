"""Lowering of non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fovea.ops import suppression as ops
from fovea.ops.op import Op, Spec
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.stages import Stages
from fovea.targets.cpu.suppression_kernels import SuppressKernel, suppress_kernel
from fovea.targets.cpu.target import CPU

__all__: list[str] = []

SHARED = 2000  # boxes in more groups than one, from which all threads compare them

SLACK = 1e-6  # what rounding could add to a share of a union


@CPU.lower(ops.suppress)
def _(op: Op, inputs: tuple[Any, ...], a: ops.SuppressAttrs, specs: Sequence[Spec]) -> Plan:
    boxes, starts = inputs
    count, groups = boxes.shape[1], starts.shape[0] - 1
    stages = Stages(inputs, specs)
    if not count or groups < 1:
        return stages.plan()
    kind = element(boxes.dtype.name)
    wide = np.dtype(kind.compute.name)
    least = a.threshold * (1 - SLACK) if a.threshold >= 0 else np.nan  # NaN: look at all
    limits = np.array([_not_above(a.threshold, wide), least], wide)
    v = SuppressKernel(kind)
    operands = [
        stages.read_dense(0),
        stages.read_dense(1),
        stages.table(limits),
        stages.write(0, (1,)),
    ]
    stages.call(
        v.key, partial(suppress_kernel, v), operands, (groups, count), groups > 1 and count > SHARED
    )
    return stages.plan()


def _not_above(value: float, kind: np.dtype[Any]) -> Any:
    """The largest number of a type that is not above a value: others are above both or neither."""
    near = kind.type(value)
    return np.nextafter(near, kind.type(-np.inf)) if float(near) > value else near
