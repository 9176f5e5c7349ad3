"""From a `KernelProgram` to a plan on Tensors."""

from __future__ import annotations

from typing import Any

from fovea.dtypes import DType
from fovea.ops.op import Spec
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.copy import copied
from fovea.targets.cpu.launch import launched_alone, maker, ranges_of
from fovea.targets.cpu.loops import broadcast_strides
from fovea.targets.cpu.program import KernelProgram
from fovea.targets.cpu.recipe import Recipe, exposed
from fovea.targets.cpu.views import View


def view_of(t: Any) -> View:
    """What planners see of a Tensor (or of a Spec with strides)."""
    return View(tuple(t.shape), tuple(t.strides), t.dtype.name)


def dense_copy(v: View, shape: tuple[int, ...], dtype: DType) -> Plan:
    """A plan that copies a Tensor like `v`, row-major and broadcast to `shape`."""
    seen = v._replace(strides=broadcast_strides(shape, v.shape, v.strides))
    return copied(seen, Spec(shape, dtype))


def run_program(program: KernelProgram, spec: Spec) -> Plan:
    """A plan that makes the output that `spec` asks for and runs a program on the inputs (None left
    out) and on it.
    """
    if (plan := launched_alone(program, spec)) is not None:
        return exposed(plan, lambda: Recipe.of_program(program, program.external - 1, [spec]))
    make, call, checked = maker(spec), program.run, checking()

    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        tensors = [t for t in inputs if t is not None]
        addresses = [t.storage.address + t.offset * t.dtype.itemsize for t in tensors]
        addresses.append(out.storage.address)
        call(addresses, ranges_of([*tensors, out]) if checked else None)
        return out

    return exposed(run, lambda: Recipe.of_program(program, program.external - 1, [spec]))
