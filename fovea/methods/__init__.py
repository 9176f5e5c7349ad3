"""The methods of a tensor: one name each, and the function that does the work."""

from __future__ import annotations

from fovea.methods.arithmetic import ArithmeticMethods
from fovea.methods.facts import FactMethods
from fovea.methods.indexing import IndexingMethods
from fovea.methods.inplace import InPlaceMethods
from fovea.methods.making import MakingMethods
from fovea.methods.reductions import ReductionMethods
from fovea.methods.shape import ShapeMethods

__all__ = ["Methods"]


class Methods(
    ArithmeticMethods,
    InPlaceMethods,
    ReductionMethods,
    ShapeMethods,
    IndexingMethods,
    MakingMethods,
    FactMethods,
):
    """Mixed into ``Tensor``."""
