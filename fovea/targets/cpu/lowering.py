"""From a `KernelProgram` to a plan on Tensors."""

from __future__ import annotations

from typing import Any

from fovea.ops.op import Spec
from fovea.targets.base import Plan, empty
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.launch import maker, ranges_of
from fovea.targets.cpu.program import KernelProgram
from fovea.targets.cpu.recipe import Recipe, exposed
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View


def view_of(t: Any) -> View:
    """What planners see of a Tensor (or of a Spec with strides)."""
    return View(tuple(t.shape), tuple(t.strides), t.dtype.name)


def dense_copy(t: Any, shape: tuple[int, ...] | None = None) -> Any:
    """A row-major copy of a Tensor, broadcast to `shape` if given."""
    out = empty(Spec(tuple(t.shape) if shape is None else shape, t.dtype))
    CPU.copy(t, out)
    return out


def run_program(program: KernelProgram, spec: Spec) -> Plan:
    """A plan that makes the output that `spec` asks for and runs a program on the inputs (None left
    out) and on it.
    """
    make, call, checked = maker(spec), program.run, checking()

    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        tensors = [t for t in inputs if t is not None]
        addresses = [t.storage.address + t.offset * t.dtype.itemsize for t in tensors]
        addresses.append(out.storage.address)
        call(addresses, ranges_of([*tensors, out]) if checked else None)
        return out

    return exposed(run, lambda: Recipe.of_program(program, program.external - 1, [spec]))
