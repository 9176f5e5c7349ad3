"""Lowering of the losses on class labels, and of the cross entropy of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fovea.ops import loss as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import loss_kernels as kernels
from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.launch import launch
from fovea.targets.cpu.pointwise import ready
from fovea.targets.cpu.scalars import scalar
from fovea.targets.cpu.softmax import EXP_COST, row_words
from fovea.targets.cpu.softmax_tiles import MOST_FEW
from fovea.targets.cpu.stages import Operand, Stages, worth_sharing
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Value

_LOGARITHMS = 20.0  # nanoseconds a vector


def _rows(stages: Stages, i: int) -> tuple[Operand, int]:
    """An (N, classes) input whose rows are runs of memory, and their distance."""
    t = stages.inputs[i]
    if t.strides[1] == 1 or t.shape[1] == 1:
        return stages.read(i), t.strides[0]
    return stages.read_dense(i), t.shape[1]


@CPU.lower(ops.cross_entropy)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LabelAttrs, specs: Sequence[Spec]) -> Plan:
    logits, target = inputs
    stages, kind = Stages(inputs, specs), element(logits.dtype.name)
    x, x_row = _rows(stages, 0)
    operands = [x, stages.read(1), Operand("output", 0)]
    words = [
        *row_words(logits.shape[0], logits.shape[1], kind),
        x_row,
        target.strides[0],
        a.ignore_index,
    ]
    shared = worth_sharing(numel(logits.shape) * kind.bytes * EXP_COST)
    few = logits.shape[1] <= MOST_FEW
    build = partial(kernels.few_cross_entropy_kernel if few else kernels.cross_entropy_kernel, kind)
    stages.call(f"loss/cross_entropy/{kind}/{few}", build, operands, words, shared)
    return stages.plan()


@CPU.lower(ops.cross_entropy_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LabelAttrs, specs: Sequence[Spec]) -> Plan:
    gy, logits, target = inputs
    stages, kind = Stages(inputs, specs), element(logits.dtype.name)
    x, x_row = _rows(stages, 1)
    gx = stages.write(0, contiguous_strides(specs[0].shape))
    operands = [stages.read(0), x, stages.read(2), gx]
    words = [
        *row_words(logits.shape[0], logits.shape[1], kind),
        x_row,
        target.strides[0],
        a.ignore_index,
    ]
    words.append(gy.strides[0])
    shared = worth_sharing(numel(logits.shape) * kind.bytes * EXP_COST)
    few = logits.shape[1] <= MOST_FEW
    build = partial(
        kernels.few_cross_entropy_grad_kernel if few else kernels.cross_entropy_grad_kernel, kind
    )
    stages.call(f"loss/cross_entropy_grad/{kind}/{few}", build, operands, words, shared)
    return stages.plan()


@CPU.lower(ops.nll_loss)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LabelAttrs, specs: Sequence[Spec]) -> Plan:
    x, target = inputs
    stages, kind = Stages(inputs, specs), element(x.dtype.name)
    operands = [stages.read(0), stages.read(1), Operand("output", 0)]
    words = [*x.shape, *x.strides, target.strides[0], a.ignore_index]
    build = partial(kernels.nll_kernel, kind)
    stages.call(f"loss/nll/{kind}", build, operands, words, parallel=False)
    return stages.plan()


@CPU.lower(ops.nll_loss_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LabelGradAttrs, specs: Sequence[Spec]) -> Plan:
    gy, target = inputs
    stages, kind = Stages(inputs, specs), element(gy.dtype.name)
    operands = [stages.read(0), stages.read(1), Operand("output", 0)]
    words = row_words(target.shape[0], a.classes, kind)
    words += [gy.strides[0], target.strides[0], a.ignore_index]
    shared = worth_sharing(numel(specs[0].shape) * kind.bytes)
    build = partial(kernels.nll_grad_kernel, kind)
    stages.call(f"loss/nll_grad/{kind}", build, operands, words, shared)
    return stages.plan()


# -- two classes, on probabilities ------------------------------------------------------------


def _log(k: Kernel, x: Value) -> Value:
    return k.maximum(vmath.log(k, x), ops.LOWEST_LOG)


def _log_of_rest(k: Kernel, x: Value) -> Value:
    """log(1 - x)."""
    return k.maximum(vmath.log1p(k, -x), ops.LOWEST_LOG)


@scalar(ops.binary_cross_entropy, cost=_LOGARITHMS)
def _(k: Kernel, x: Value, target: Value) -> Value:
    return (target - 1.0) * _log_of_rest(k, x) - target * _log(k, x)


@scalar(ops.binary_cross_entropy_grad)
def _(k: Kernel, gy: Value, x: Value, target: Value) -> Value:
    return gy * (x - target) / k.maximum((1.0 - x) * x, ops.LEAST_SLOPE)


@CPU.lower(ops.binary_cross_entropy, ops.binary_cross_entropy_grad)
def _(op: Op, inputs: tuple[Any, ...], attrs: None, specs: Sequence[Spec]) -> Plan:
    (spec,) = specs
    strides = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
    call = ready(op, attrs, inputs, spec.dtype, spec.dtype, strides, spec.shape)
    return launch(call, [t.dtype for t in inputs], spec, range(len(inputs)))
