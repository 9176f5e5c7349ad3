"""The CPU target: which lowering runs which op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea.targets.base import Plan
from fovea.targets.reference import ReferenceTarget

if TYPE_CHECKING:
    from fovea.ops.op import Attrs, Op, Spec

__all__ = ["CPU", "CpuTarget"]


class CpuTarget(ReferenceTarget):
    """Compiled kernels; the irregular ops listed in ``fallback.py`` run their NumPy reference."""

    def missing(
        self, op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]
    ) -> Plan:
        return super().missing(op, inputs, attrs, specs)


CPU = CpuTarget("cpu")
