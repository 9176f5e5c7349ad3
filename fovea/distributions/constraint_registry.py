"""Transforms by what they lead to: ``biject_to(constraint)`` and ``transform_to(constraint)``.

>>> import fovea
>>> from fovea.distributions import constraints
>>> transform_to(constraints.positive)(fovea.tensor([0.0]))
tensor([1.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fovea.distributions import constraints
from fovea.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SigmoidTransform,
    SoftmaxTransform,
    StickBreakingTransform,
    identity_transform,
)

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]

Factory = Callable[[Any], Any]


class ConstraintRegistry:
    """Functions that make, for a constraint, a transform of all numbers into its region.

    Args:
        simplex: makes the transform for probabilities.
        matrices: whether there are transforms for matrices that are not bijective.
    """

    def __init__(self, simplex: Factory | None = None, matrices: bool = False) -> None:
        self._simplex, self._matrices = simplex, matrices
        self._registry: dict[int, tuple[Any, Factory]] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Let ``factory`` make the transform for a constraint; without it, a decorator.

        Args:
            constraint: this very constraint.
        """
        if factory is None:
            return lambda made: self.register(constraint, made)
        self._registry[id(constraint)] = (constraint, factory)
        return factory

    def __call__(self, constraint: Any) -> Any:
        """The transform for a constraint.

        Raises:
            NotImplementedError: none is known.
        """
        if id(constraint) in self._registry:
            return self._registry[id(constraint)][1](constraint)
        made = self._known(constraint)
        if made is None:
            raise NotImplementedError(f"no transform to {constraint!r} is known; see register.")
        return made

    def _known(self, constraint: Any) -> Any:
        base = getattr(constraint, "base_constraint", None)
        if base is not None:
            return IndependentTransform(self(base), constraint.reinterpreted_batch_ndims)
        if constraint is constraints.simplex and self._simplex is not None:
            return self._simplex(constraint)
        if constraint is constraints.corr_cholesky:
            return CorrCholeskyTransform()
        if self._matrices and constraint is constraints.lower_cholesky:
            return LowerCholeskyTransform()
        if self._matrices and constraint is constraints.positive_definite:
            return PositiveDefiniteTransform()
        if constraint.event_dim or constraint.is_discrete:
            return None
        return _of_numbers(constraint)


def _of_numbers(constraint: Any) -> Any:
    """The transform into an interval of numbers."""
    if constraint is constraints.real:
        return identity_transform
    low = getattr(constraint, "lower_bound", None)
    high = getattr(constraint, "upper_bound", None)
    if low is not None and high is not None:
        if isinstance(low, float | int) and isinstance(high, float | int) and (low, high) == (0, 1):
            return SigmoidTransform()
        return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])
    if low is not None:
        if isinstance(low, float | int) and low == 0:
            return ExpTransform()
        return ComposeTransform([ExpTransform(), AffineTransform(low, 1)])
    if high is not None:
        return ComposeTransform([ExpTransform(), AffineTransform(high, -1)])
    return None


biject_to = ConstraintRegistry(lambda c: StickBreakingTransform())
transform_to = ConstraintRegistry(lambda c: SoftmaxTransform(), matrices=True)
