"""Ways of pruning: at random, by size, by a mask; elements or whole slices."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, OutOfRangeError, ShapeError, describe
from fovea.functions.creation import zeros_like
from fovea.functions.random import rand
from fovea.nn.utils.prune.method import BasePruningMethod

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "RandomStructured",
    "RandomUnstructured",
]


class Identity(BasePruningMethod):
    """Prunes nothing."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask is zero.

    Args:
        mask: zeros and ones of the tensor's shape.
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if self.mask.shape != default_mask.shape:
            raise ShapeError(
                "prune: the mask must have the shape of what is pruned.",
                {"mask": describe(self.mask), "tensor": describe(default_mask)},
            )
        return default_mask * self.mask.to(default_mask.dtype)


class _Amount(BasePruningMethod):
    """Prunes a number of things, or a fraction of them."""

    amount: int | float

    def __init__(self, amount: float) -> None:
        if not isinstance(amount, numbers.Real):
            raise TypeError(f"prune: amount must be a number, got {amount!r}.")
        whole = isinstance(amount, numbers.Integral)
        self.amount = int(amount) if whole else float(amount)
        if amount < 0 or (amount > 1 and not whole):
            raise ArgumentError(
                f"prune: amount must be a whole number or a fraction in [0, 1], got {amount!r}."
            )

    def count(self, n: int) -> int:
        """How many of n to prune."""
        if isinstance(self.amount, float):
            return round(self.amount * n)
        if self.amount > n:
            raise ArgumentError(f"prune: amount={self.amount} is more than the {n} that are left.")
        return self.amount


class _Elements(_Amount):
    """Prunes the elements with the smallest scores."""

    PRUNING_TYPE = "unstructured"

    def ranks(self, t: Tensor) -> Tensor:
        """What the elements, in one row, are ranked by."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        row = t.reshape(t.numel())
        pruned = self.ranks(row).topk(self.count(t.numel()), largest=False).indices
        mask = default_mask.clone().reshape(t.numel())
        mask[pruned] = 0
        return mask.reshape(default_mask.shape)


class RandomUnstructured(_Elements):
    """Prunes elements at random.

    Args:
        amount: how many, or which fraction.
    """

    def ranks(self, t: Tensor) -> Tensor:
        return rand(t.numel())


class L1Unstructured(_Elements):
    """Prunes the elements with the smallest absolute values.

    Args:
        amount: how many, or which fraction.
    """

    def ranks(self, t: Tensor) -> Tensor:
        return t.abs()


class _Slices(_Amount):
    """Prunes the slices of a dimension with the smallest scores."""

    PRUNING_TYPE = "structured"
    dim: int

    def ranks(self, t: Tensor, dim: int) -> Tensor:
        """What the slices are ranked by."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.ndim < 2:
            raise ShapeError(
                f"prune: slices need at least 2 dimensions, got {describe(t)}.",
                fix="prune single elements",
            )
        if not -t.ndim <= self.dim < t.ndim:
            raise OutOfRangeError(f"prune: dim {self.dim} is out of range for {describe(t)}.")
        dim = self.dim % t.ndim
        n = t.shape[dim]
        kept = n - self.count(n)
        mask = zeros_like(default_mask)
        best = self.ranks(t, dim).topk(kept).indices
        return default_mask * mask.index_fill(dim, best, 1)


class RandomStructured(_Slices):
    """Prunes slices of a dimension at random.

    Args:
        amount: how many, or which fraction.
        dim: the dimension.
    """

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def ranks(self, t: Tensor, dim: int) -> Tensor:
        return rand(t.shape[dim])


class LnStructured(_Slices):
    """Prunes the slices of a dimension with the smallest norms.

    Args:
        amount: how many, or which fraction.
        n: which norm; see ``fovea.norm``.
        dim: the dimension.
    """

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.n, self.dim = n, dim

    def ranks(self, t: Tensor, dim: int) -> Tensor:
        return t.norm(self.n, [d for d in range(t.ndim) if d != dim])
