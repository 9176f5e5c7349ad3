"""Lowering of ops on layouts and regions: strided copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.ops import memory as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.copy import copied, move, moving
from fovea.targets.cpu.target import CPU


@CPU.lower(ops.lay_out)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    return copied(inputs[0], specs[0])


@CPU.lower(ops.strided_scatter)
def _(op: Op, inputs: tuple[Any, ...], attrs: ops.RegionAttrs, specs: Sequence[Spec]) -> Plan:
    (x, y), (spec,) = inputs, specs
    strides = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
    item = spec.dtype.itemsize
    whole = move(spec.shape, 0, x.strides, 0, strides, 0, item) if numel(spec.shape) else []
    part = move(attrs.shape, 1, y.strides, 0, attrs.strides, attrs.offset, item)
    return moving([*whole, *part], spec)
