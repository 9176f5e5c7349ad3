"""The CPU target: which lowering runs which op."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fovea.errors import LoweringError
from fovea.targets.base import Plan, PlanInto, view_form, view_plan
from fovea.targets.reference import ReferenceTarget, reference_plan

if TYPE_CHECKING:
    from fovea.ops.op import Attrs, Op, Spec
    from fovea.tensor import Tensor

__all__ = ["CPU", "CpuTarget"]

# The modules of this package that register lowerings (with `CPU.lower`) for the ops of each file in
# fovea/ops; a family
# that is not listed has a module of its own name. They are imported with the first op of the family
# that runs.
_LOWERINGS = {
    "sampling": ("sampling", "sampling_grad"),
    "activation": ("pointwise",),
    "elementwise": ("pointwise",),
    "fused": ("fused_conv", "fused_linear"),
    "fused_pointwise": ("fused_pointwise", "fused_reduce"),
    "index": ("index", "along"),
    "linalg": ("matmul",),
    "memory": ("memory_ops",),
    "philox": ("random",),
    "reduce": ("reduce", "argreduce", "scan"),
    "shape": ("copy", "triangle"),
}


def family_of(op: Op) -> str:
    """The file in fovea/ops that declares an op."""
    rule = op.shape_rule or op.reference_rule
    return rule.__module__.rpartition(".")[2] if rule is not None else ""


def modules_of(family: str) -> list[str]:
    """The modules with a family's lowerings, as far as they are there."""
    names = [f"fovea.targets.cpu.{m}" for m in _LOWERINGS.get(family, (family,)) if m]
    return [name for name in names if find_spec(name) is not None]


def _complex(*groups: Sequence[Any]) -> bool:
    """Whether any of these holds complex numbers."""
    return any(t is not None and t.dtype.is_complex for group in groups for t in group)


class CpuTarget(ReferenceTarget):
    """Compiled kernels; the irregular ops listed in ``fallback.py`` run their NumPy reference."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._loaded: set[str] = set()

    def load(self, op: Op) -> None:
        """Import the lowerings of an op's family. Kernels, and LLVM with them, come only when one
        is asked for.
        """
        family = family_of(op)
        if family not in self._loaded:
            for module in modules_of(family):
                importlib.import_module(module)
            self._loaded.add(family)

    @property
    def warm(self) -> bool:
        """Whether lowerings are there: who only makes tensors does not wait for LLVM."""
        return bool(self._loaded)

    def maker(self, spec: Spec, pattern: bytes | None) -> Callable[[], Any]:
        """Tensors are made by compiled code, once that is there."""
        if not self.warm:
            return super().maker(spec, pattern)
        from fovea.targets.cpu.objects import maker, pattern_maker

        make = maker(spec) if pattern is None else pattern_maker(spec, pattern)
        return make or super().maker(spec, pattern)

    def view_plan(self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None) -> Plan:
        """Views are made by compiled code, too."""
        from fovea.targets.cpu.objects import view_maker

        plan = view_maker((op, attrs), *view_form(op, inputs[0], attrs))
        return plan or view_plan(op, inputs, attrs)

    def load_lowerings(self) -> None:
        """Import the lowerings of every op that is declared."""
        from fovea.ops.op import REGISTRY

        for op in REGISTRY.values():
            self.load(op)

    def plan(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]
    ) -> Plan:
        if _complex(inputs, specs):
            return self.complex_plan(op, attrs, specs)
        self.load(op)
        return super().plan(op, inputs, attrs, specs)

    def complex_plan(self, op: Op, attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
        """Complex numbers have no kernels: they run as NumPy."""
        if op.reference_rule is None or op.mutates:
            raise LoweringError(f"{op.name}: it does not take complex numbers.")
        return reference_plan(op, attrs, specs)

    def plan_into(
        self,
        op: Op,
        inputs: tuple[Any, ...],
        attrs: Attrs | None,
        specs: Sequence[Spec],
        out: Tensor,
    ) -> PlanInto:
        if _complex(inputs, (*specs, out)):
            return self.through_temporary(self.plan(op, inputs, attrs, specs))
        self.load(op)
        return super().plan_into(op, inputs, attrs, specs, out)

    def missing(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]
    ) -> Plan:
        from fovea.targets.cpu.fallback import FALLBACK

        if op.reference_rule is not None and (op.name in FALLBACK or not modules_of(family_of(op))):
            return super().missing(op, inputs, attrs, specs)
        raise LoweringError(
            f"{op.name}: the {self.name} target has no kernel for it, and it is not listed in "
            "fallback.py.",
            fix="add a lowering or a decomposition, or list it there",
        )


CPU = CpuTarget("cpu")
