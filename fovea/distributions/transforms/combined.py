"""Transforms made of others, and of shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fovea.distributions import constraints
from fovea.distributions.transforms.base import Transform, summed
from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import zeros
from fovea.functions.joining import cat
from fovea.functions.parts import stack
from fovea.size import Size

__all__ = [
    "CatTransform",
    "ComposeTransform",
    "IndependentTransform",
    "ReshapeTransform",
    "StackTransform",
    "identity_transform",
]


def _widened(constraint: Any, event_dim: int) -> Any:
    """A constraint of events with so many dimensions."""
    extra = event_dim - constraint.event_dim
    return constraints.independent(constraint, extra) if extra > 0 else constraint


class ComposeTransform(Transform):
    """Transforms one after another.

    Args:
        parts: the first comes first.
        cache_size: as of `Transform`.

    >>> import fovea
    >>> from fovea.distributions import AffineTransform, ExpTransform
    >>> both = ComposeTransform([AffineTransform(1.0, 2.0), ExpTransform()])
    >>> both.inv(both(fovea.tensor([0.5])))
    tensor([0.5000])
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = [p.with_cache(cache_size) for p in parts] if cache_size else list(parts)

    @property
    def domain(self) -> Any:
        """Of the first part, for the largest event of all."""
        if not self.parts:
            return constraints.real
        dims = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            dims += part.domain.event_dim - part.codomain.event_dim
            dims = max(dims, part.domain.event_dim)
        return _widened(self.parts[0].domain, dims)

    @property
    def codomain(self) -> Any:
        """Of the last part, for the largest event of all."""
        if not self.parts:
            return constraints.real
        dims = self.parts[0].domain.event_dim
        for part in self.parts:
            dims += part.codomain.event_dim - part.domain.event_dim
            dims = max(dims, part.codomain.event_dim)
        return _widened(self.parts[-1].codomain, dims)

    @property
    def bijective(self) -> bool:
        """Whether all parts are."""
        return all(p.bijective for p in self.parts)

    @property
    def sign(self) -> Any:
        """The product of the parts'."""
        found: Any = 1
        for p in self.parts:
            found = found * p.sign
        return found

    @property
    def inv(self) -> Any:
        """The parts' inverses, in reverse order."""
        if self._inv is None:
            self._inv = ComposeTransform([p.inv for p in reversed(self.parts)])
            self._inv._inv = self
        return self._inv

    def _arguments(self) -> tuple[Any, ...]:
        return (self.parts,)

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def undo(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.undo(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if not self.parts:
            return zeros(x.shape, dtype=x.dtype)
        steps = [x]
        for part in self.parts[:-1]:
            steps.append(part(steps[-1]))
        steps.append(y)
        total: Any = 0
        dims = self.domain.event_dim
        for part, before, after in zip(self.parts, steps[:-1], steps[1:], strict=True):
            more = part.log_abs_det_jacobian(before, after)
            total = total + summed(more, dims - part.domain.event_dim)
            dims += part.codomain.event_dim - part.domain.event_dim
        return total

    def forward_shape(self, shape: Any) -> Any:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return Size(shape)

    def inverse_shape(self, shape: Any) -> Any:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return Size(shape)

    def __repr__(self) -> str:
        inside = ",\n    ".join(map(repr, self.parts))
        return f"ComposeTransform(\n    {inside}\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last batch dimensions are part of the event: logarithms are summed over
    them.

    Args:
        base_transform: the transform.
        reinterpreted_batch_ndims: how many dimensions.
        cache_size: as of `Transform`.
    """

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        base, n = self.base_transform, reinterpreted_batch_ndims
        self.domain = constraints.independent(base.domain, n)
        self.codomain = constraints.independent(base.codomain, n)
        self.bijective, self.sign = base.bijective, base.sign

    def _arguments(self) -> tuple[Any, ...]:
        return self.base_transform, self.reinterpreted_batch_ndims

    def _checked(self, value: Any, dims: int) -> Any:
        if value.ndim < dims:
            raise ShapeError(f"IndependentTransform: {dims} dimensions are needed: {value.shape}.")
        return value

    def _call(self, x: Any) -> Any:
        return self.base_transform(self._checked(x, self.domain.event_dim))

    def _inverse(self, y: Any) -> Any:
        return self.base_transform.undo(self._checked(y, self.codomain.event_dim))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        found = self.base_transform.log_abs_det_jacobian(x, y)
        return summed(found, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """The last dimensions in another shape.

    Args:
        in_shape, out_shape: with as many elements.
        cache_size: as of `Transform`.

    Raises:
        ShapeError: another number of elements.
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ShapeError(
                f"ReshapeTransform: {tuple(in_shape)} and {tuple(out_shape)} differ in their "
                "numbers of elements."
            )
        self.domain = constraints.independent(constraints.real, len(self.in_shape))
        self.codomain = constraints.independent(constraints.real, len(self.out_shape))

    def _arguments(self) -> tuple[Any, ...]:
        return self.in_shape, self.out_shape

    def _batch(self, shape: Any, end: Size) -> tuple[int, ...]:
        cut = len(shape) - len(end)
        if cut < 0 or tuple(shape[cut:]) != tuple(end):
            raise ShapeError(
                f"ReshapeTransform: a shape that ends with {tuple(end)} is needed, "
                f"got {tuple(shape)}."
            )
        return tuple(shape[:cut])

    def _call(self, x: Any) -> Any:
        return x.reshape(*self._batch(x.shape, self.in_shape), *self.out_shape)

    def _inverse(self, y: Any) -> Any:
        return y.reshape(*self._batch(y.shape, self.out_shape), *self.in_shape)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return zeros(self._batch(x.shape, self.in_shape), dtype=x.dtype)

    def forward_shape(self, shape: Any) -> Any:
        return Size((*self._batch(shape, self.in_shape), *self.out_shape))

    def inverse_shape(self, shape: Any) -> Any:
        return Size((*self._batch(shape, self.out_shape), *self.in_shape))


class _Parts(Transform):
    """Transforms of the parts of a tensor along a dimension."""

    transforms: list[Any]
    dim: int

    def _take(self, tseq: Sequence[Any], cache_size: int) -> None:
        if not all(isinstance(t, Transform) for t in tseq):
            raise ArgumentError(f"{type(self).__name__}: tseq must hold transforms.")
        self.transforms = [t.with_cache(cache_size) if cache_size else t for t in tseq]

    @property
    def bijective(self) -> bool:
        """Whether all are."""
        return all(t.bijective for t in self.transforms)

    def _pieces(self, value: Any) -> Any:
        raise NotImplementedError

    def _join(self, pieces: list[Any], dim: int) -> Any:
        raise NotImplementedError

    def _call(self, x: Any) -> Any:
        pairs = zip(self.transforms, self._pieces(x), strict=True)
        return self._join([t(v) for t, v in pairs], self.dim)

    def _inverse(self, y: Any) -> Any:
        pairs = zip(self.transforms, self._pieces(y), strict=True)
        return self._join([t.undo(v) for t, v in pairs], self.dim)

    def _logs(self, x: Any, y: Any) -> list[Any]:
        rows = zip(self.transforms, self._pieces(x), self._pieces(y), strict=True)
        return [t.log_abs_det_jacobian(a, b) for t, a, b in rows]


class CatTransform(_Parts):
    """Transforms of the parts of a tensor, which are joined again as by `fovea.cat`.

    Args:
        tseq: the transforms.
        dim: the dimension.
        lengths: of the parts (default: 1 each).
        cache_size: as of `Transform`.
    """

    def __init__(
        self,
        tseq: Sequence[Any],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
        cache_size: int = 0,
    ) -> None:
        super().__init__(cache_size)
        self._take(tseq, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise ArgumentError(
                f"CatTransform: {len(self.lengths)} lengths for {len(self.transforms)} transforms."
            )
        self.dim = dim

    @property
    def event_dim(self) -> int:
        """The largest of all."""
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """Of all parts together."""
        return sum(self.lengths)

    @property
    def domain(self) -> Any:
        """The parts'."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        """The parts'."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _arguments(self) -> tuple[Any, ...]:
        return self.transforms, self.dim, self.lengths

    def _pieces(self, value: Any) -> Any:
        if value.shape[self.dim] != self.length:
            raise ShapeError(
                f"CatTransform: size {self.length} is needed along dimension {self.dim}, "
                f"got {tuple(value.shape)}."
            )
        return value.split(self.lengths, self.dim)

    def _join(self, pieces: list[Any], dim: int) -> Any:
        return cat(pieces, dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        logs = [
            summed(log, self.event_dim - t.event_dim)
            for t, log in zip(self.transforms, self._logs(x, y), strict=True)
        ]
        dim = (self.dim - x.ndim if self.dim >= 0 else self.dim) + self.event_dim
        if dim < 0:
            return cat(logs, dim)
        total = logs[0]
        for log in logs[1:]:
            total = total + log
        return total


class StackTransform(_Parts):
    """Transforms of the slices of a tensor, which are joined again as by `fovea.stack`.

    Args:
        tseq: the transforms.
        dim: the dimension.
        cache_size: as of `Transform`.
    """

    def __init__(self, tseq: Sequence[Any], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self._take(tseq, cache_size)
        self.dim = dim

    @property
    def domain(self) -> Any:
        """The slices'."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        """The slices'."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _arguments(self) -> tuple[Any, ...]:
        return self.transforms, self.dim

    def _pieces(self, value: Any) -> Any:
        if value.shape[self.dim] != len(self.transforms):
            raise ShapeError(
                f"StackTransform: size {len(self.transforms)} is needed along dimension "
                f"{self.dim}, got {tuple(value.shape)}."
            )
        return value.unbind(self.dim)

    def _join(self, pieces: list[Any], dim: int) -> Any:
        return stack(pieces, dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return stack(self._logs(x, y), self.dim)
