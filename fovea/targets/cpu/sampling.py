"""Lowering of reading images at places between their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fovea.ops import sampling as ops
from fovea.ops.op import Op, Spec, numel
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.sampling_kernels import TOGETHER, SampleKernel, sample_kernel
from fovea.targets.cpu.stages import Stages, worth_sharing
from fovea.targets.cpu.target import CPU
from fovea.targets.reference import reference_plan

__all__: list[str] = []

PIECE_BYTES = 65536  # of the result
LONGEST = 1 << 31  # elements of an image: offsets in it are of 32 bits


@CPU.lower(ops.sample2d)
def _(op: Op, inputs: tuple[Any, ...], a: ops.SampleAttrs, specs: Sequence[Spec]) -> Plan:
    (x, _), (spec,) = inputs, specs
    stages = Stages(inputs, specs)
    if not numel(spec.shape):
        return stages.plan()
    n, channels, height, width = x.shape
    operand, strides = stages.read_image(0)
    if strides[1] * height + strides[2] * width >= LONGEST or max(height, width) > ops.FARTHEST:
        return reference_plan(op, a, specs)
    kind = element(x.dtype.name)
    few = channels if channels < active().lanes(kind.compute.bytes) else 0
    places = element(inputs[1].dtype.name)
    v = SampleKernel(kind, places, a.mode, a.outside, a.grid, few)
    pixels = spec.shape[2] * spec.shape[3]
    block = active().lanes(places.bytes) * TOGETHER
    grain = max(block, PIECE_BYTES // (channels * kind.bytes) // block * block)
    splits = -(-pixels // grain)
    wide = np.float64 if kind.compute.bytes == 8 else np.float32
    operands = [
        operand,
        stages.read_dense(1),
        stages.write(0, channels_last_strides(spec.shape)),
        stages.table(np.array([a.fill], wide)),
    ]
    words = (n * splits, splits, grain, pixels, channels, height, width, *strides)
    moved = 2 * numel(spec.shape) * kind.bytes
    stages.call(v.key, partial(sample_kernel, v), operands, words, worth_sharing(moved))
    return stages.plan()
