"""Dropout: random zeros in training, nothing otherwise."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from fovea.dtypes import float32
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.random import rand

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]

SELU_FLOOR = -1.7580993408473766  # what selu tends to: -scale * alpha


def _check(name: str, p: float) -> None:
    if not isinstance(p, int | float) or not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: the probability must lie in [0, 1], got {p!r}.")


def _kept(input: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    """Booleans of ``shape``, each true with probability 1 - p."""
    dtype = input.dtype if input.dtype.itemsize >= 4 else float32
    return rand(*shape, dtype=dtype) >= p


def _drop(input: Tensor, p: float, shape: tuple[int, ...], inplace: bool) -> Tensor:
    factors = _kept(input, p, shape).to(input.dtype)
    if p < 1.0:
        factors = factors * (1.0 / (1.0 - p))
    return input.mul_(factors) if inplace else input * factors


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability ``p`` and divide the rest by ``1 - p``; only in training.

    Raises:
        ArgumentError: ``p`` outside [0, 1].

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 2014.

    >>> import fovea
    >>> dropout(fovea.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    _check("dropout", p)
    if not training or p == 0.0:
        return input
    return _drop(input, p, input.shape, inplace)


def _drop_features(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, ranks: tuple[int, int]
) -> Tensor:
    """Drop whole channels of (N, C, ...), or of one sample (C, ...)."""
    _check(name, p)
    if input.ndim not in ranks:
        raise ShapeError(
            f"{name}: input must have {ranks[0]} or {ranks[1]} dimensions, got {describe(input)}."
        )
    if not training or p == 0.0:
        return input
    lead = 2 if input.ndim == ranks[1] else 1
    shape = tuple(input.shape[:lead]) + (1,) * (input.ndim - lead)
    return _drop(input, p, shape, inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """``dropout`` of whole channels of (N, C, L) or (C, L)."""
    return _drop_features("dropout1d", input, p, training, inplace, (2, 3))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """``dropout`` of whole channels of (N, C, H, W).

    An input of 3 dimensions is taken as (N, C, L), with a warning: PyTorch does so too.
    """
    _check("dropout2d", p)
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: an input of 3 dimensions is taken as (N, C, L); "
            "use dropout1d, or x.unsqueeze(0) for one image.",
            stacklevel=2,
        )
        return dropout1d(input, p, training, inplace)
    return _drop_features("dropout2d", input, p, training, inplace, (4, 4))


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """``dropout`` of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _drop_features("dropout3d", input, p, training, inplace, (4, 5))


def _alpha(input: Tensor, p: float, shape: tuple[int, ...], inplace: bool) -> Tensor:
    """Set to the floor of selu, then scale and shift so that mean and variance stay."""
    if p == 1.0:
        return input.mul_(0.0) if inplace else input * 0.0
    kept = _kept(input, p, shape).to(input.dtype)
    scale = 1.0 / math.sqrt((1.0 - p) * (1.0 + p * SELU_FLOOR**2))
    shift = (1.0 - kept) * (SELU_FLOOR * scale) - p * SELU_FLOOR * scale
    result = input * (kept * scale) + shift
    return input.copy_(result) if inplace else result


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for selu networks, which keeps mean and variance.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    _check("alpha_dropout", p)
    if not training or p == 0.0:
        return input
    return _alpha(input, p, input.shape, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """``alpha_dropout`` of whole channels of (N, C, ...)."""
    _check("feature_alpha_dropout", p)
    if input.ndim < 2:
        raise ShapeError(
            f"feature_alpha_dropout: input must be (N, C, ...), got {describe(input)}."
        )
    if not training or p == 0.0:
        return input
    return _alpha(input, p, tuple(input.shape[:2]) + (1,) * (input.ndim - 2), inplace)
