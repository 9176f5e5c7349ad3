"""Functions of draws that can be undone, with the logarithm of how they stretch space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fovea.functions.creation import zeros
from fovea.nn import functional as F
from fovea.tensorbase import is_tensor

__all__ = [
    "AffineTransform",
    "ComposeTransform",
    "ExpTransform",
    "SigmoidTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


class Transform:
    """Base: ``t(x)``, ``t.inv(y)`` and ``log_abs_det_jacobian``.

    Subclasses define ``_call``, ``_inverse`` and ``log_abs_det_jacobian``. A transform made with
    ``cache_size=1`` remembers its last result, so that undoing it is exact.

    Args:
        cache_size: 0 or 1.
    """

    bijective = True
    sign = 1
    event_dim = 0

    def __init__(self, cache_size: int = 0) -> None:
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

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

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)


class _Inverse(Transform):
    def __init__(self, of: Transform) -> None:
        super().__init__()
        self.of, self.event_dim = of, of.event_dim

    def __call__(self, x: Any) -> Any:
        return self.of.undo(x)

    def undo(self, y: Any) -> Any:
        return self.of(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self.of.log_abs_det_jacobian(y, x)

    @property
    def inv(self) -> Transform:
        return self.of


class AffineTransform(Transform):
    """loc + scale x

    Args:
        loc, scale: numbers or tensors.
        event_dim: how many of the last dimensions are one event.
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        scale = self.scale
        one = scale.abs().log() if is_tensor(scale) else math.log(abs(scale))
        full = zeros(x.shape, dtype=x.dtype) + one
        return full.sum(tuple(range(-self.event_dim, 0))) if self.event_dim else full


class ExpTransform(Transform):
    """exp(x)"""

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class SigmoidTransform(Transform):
    """1 / (1 + exp(-x))"""

    def _call(self, x: Any) -> Any:
        return x.sigmoid()

    def _inverse(self, y: Any) -> Any:
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -F.softplus(-x) - F.softplus(x)


class TanhTransform(Transform):
    """tanh(x), with the logarithm in a form that does not overflow."""

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2 * (math.log(2) - x - F.softplus(-2 * x))


class ComposeTransform(Transform):
    """Transforms one after another.

    Args:
        parts: the first comes first.

    >>> import fovea
    >>> both = ComposeTransform([AffineTransform(1.0, 2.0), ExpTransform()])
    >>> both.inv(both(fovea.tensor([0.5])))
    tensor([0.5000])
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        self.event_dim = max((p.event_dim for p in self.parts), default=0)

    def _call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.undo(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        total: Any = 0
        for part in self.parts:
            y = part(x)
            more = part.log_abs_det_jacobian(x, y)
            extra = self.event_dim - part.event_dim
            total = total + (more.sum(tuple(range(-extra, 0))) if extra else more)
            x = y
        return total


identity_transform = ComposeTransform([])
