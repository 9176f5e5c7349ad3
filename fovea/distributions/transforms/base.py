"""What transforms share."""

from __future__ import annotations

from typing import Any

from fovea.distributions import constraints
from fovea.errors import ArgumentError
from fovea.ops.rules import broadcast_shapes
from fovea.size import Size
from fovea.tensorbase import is_tensor

__all__ = ["Transform", "same_numbers", "shape_with", "summed"]


def summed(value: Any, dims: int) -> Any:
    """A value, summed over so many of its last dimensions."""
    return value.sum(tuple(range(-dims, 0))) if dims else value


def shape_with(shape: Any, *arguments: Any) -> Size:
    """A shape broadcast with those of arguments that are tensors."""
    held = [tuple(a.shape) for a in arguments if is_tensor(a)]
    return Size(broadcast_shapes("transform", tuple(shape), *held))


def same_numbers(a: Any, b: Any) -> bool:
    """Whether two arguments, numbers or tensors, have the same values."""
    return bool((a == b).all()) if is_tensor(a) or is_tensor(b) else bool(a == b)


class Transform:
    """Base: ``t(x)``, ``t.inv(y)`` and ``log_abs_det_jacobian``.

    Subclasses define ``_call``, ``_inverse`` and ``log_abs_det_jacobian``. A transform made with
    ``cache_size=1`` remembers its last result, so that undoing it is exact.

    Args:
        cache_size: 0 or 1.

    Attributes:
        domain, codomain: what it takes and what it gives, as constraints.
        bijective: whether it can be undone.
        sign: 1 if it rises, -1 if it falls.
    """

    bijective: Any = False
    sign: Any = 1
    domain: Any = constraints.real
    codomain: Any = constraints.real

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ArgumentError(f"{type(self).__name__}: cache_size is 0 or 1, got {cache_size}.")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)
        self._inv: Any = None

    @property
    def event_dim(self) -> int:
        """How many of the last dimensions are one event."""
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError(
                f"{type(self).__name__}: ask domain.event_dim or codomain.event_dim, they differ."
            )
        return int(self.domain.event_dim)

    def _call(self, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} should define _call(self, x).")

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} should define _inverse(self, y).")

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |dy / dx|."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian.")

    def __call__(self, x: Any) -> Any:
        if self._cache_size and self._last[0] is x:
            return self._last[1]
        y = self._call(x)
        self._last = (x, y) if self._cache_size else (None, None)
        return y

    def undo(self, y: Any) -> Any:
        """x for which the transform gives y."""
        if self._cache_size and self._last[1] is y:
            return self._last[0]
        x = self._inverse(y)
        self._last = (x, y) if self._cache_size else (None, None)
        return x

    def _inv_call(self, y: Any) -> Any:
        return self.undo(y)

    @property
    def inv(self) -> Any:
        """The inverse."""
        if self._inv is None:
            self._inv = _Inverse(self)
        return self._inv

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inv": None, "_last": (None, None)}

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with another ``cache_size``."""
        if self._cache_size == cache_size:
            return self
        made: Any = type(self)
        return made(*self._arguments(), cache_size=cache_size)

    def _arguments(self) -> tuple[Any, ...]:
        """What it was made of, but for ``cache_size``."""
        return ()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        own, others = self._arguments(), other._arguments()
        return len(own) == len(others) and all(map(same_numbers, own, others))

    def __hash__(self) -> int:
        return id(self)

    def forward_shape(self, shape: Any) -> Any:
        """The shape of the result for an input of this shape."""
        return Size(shape)

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of the input for a result of this shape."""
        return Size(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """A transform the other way round."""

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.of = of

    @property
    def domain(self) -> Any:
        return self.of.codomain

    @property
    def codomain(self) -> Any:
        return self.of.domain

    @property
    def bijective(self) -> Any:
        return self.of.bijective

    @property
    def sign(self) -> Any:
        return self.of.sign

    def __call__(self, x: Any) -> Any:
        return self.of.undo(x)

    def undo(self, y: Any) -> Any:
        return self.of(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self.of.log_abs_det_jacobian(y, x)

    @property
    def inv(self) -> Any:
        return self.of

    def with_cache(self, cache_size: int = 1) -> Any:
        return self.of.with_cache(cache_size).inv

    def _arguments(self) -> tuple[Any, ...]:
        return (self.of,)

    def forward_shape(self, shape: Any) -> Any:
        return self.of.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.of.forward_shape(shape)

    def __repr__(self) -> str:
        return f"_InverseTransform({self.of!r})"
