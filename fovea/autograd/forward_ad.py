"""Derivatives along with values: dual numbers, as PyTorch spells them.

A dual tensor is the beginning of a tape. Where the tangent of a result is asked for, ``v^T J`` is
recorded from the result back to the duals and differentiated by ``v``: see `fovea.func.jvp`.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from fovea.backward import grad
from fovea.errors import ArgumentError, DTypeError, GradientError, ShapeError, describe
from fovea.functions.creation import zeros_like
from fovea.ops.shape import alias

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


class UnpackedDualTensor(NamedTuple):
    """A value and its derivative along the duals' tangents (None: it does not depend on them)."""

    primal: Any
    tangent: Any


class _State(threading.local):
    def __init__(self) -> None:
        self.levels: list[list[tuple[Any, Any]]] = []  # the duals of each level, with tangents


_state = _State()


def enter_dual_level() -> int:
    """Begin a level, and return its number. There is one at a time, as in PyTorch."""
    if _state.levels:
        raise GradientError("forward_ad: a level is entered already; levels do not nest.")
    _state.levels.append([])
    return len(_state.levels) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: its duals are forgotten."""
    if not _state.levels or level not in (None, len(_state.levels) - 1):
        raise GradientError("forward_ad: that level is not entered.")
    _state.levels.pop()


class dual_level:  # noqa: N801 - PyTorch's name
    """A level for the duals that are made within.

    >>> import fovea
    >>> with dual_level():
    ...     x = make_dual(fovea.tensor([1.0, 2.0]), fovea.tensor([1.0, 0.0]))
    ...     unpack_dual(x * x).tangent
    tensor([2., 0.])
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *error: object) -> None:
        exit_dual_level()


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """The tensor as a dual number: what is computed from it has a derivative along ``tangent``.

    It is on a tape, so ``requires_grad`` is True; what runs under ``no_grad`` has no tangent.

    Raises:
        GradientError: no level is entered.
        DTypeError, ShapeError: tensor and tangent do not fit.
    """
    if not _state.levels:
        raise GradientError(
            "make_dual: no level is entered.", fix="with fovea.autograd.forward_ad.dual_level():"
        )
    if not tensor.dtype.is_floating_point or tangent.dtype is not tensor.dtype:
        raise DTypeError(
            "make_dual: tensor and tangent must be floating point, of one dtype.",
            {"tensor": describe(tensor), "tangent": describe(tangent)},
        )
    if tuple(tensor.shape) != tuple(tangent.shape):
        raise ShapeError(
            "make_dual: the tangent's shape is not the tensor's.",
            {"tensor": describe(tensor), "tangent": describe(tangent)},
        )
    if tensor.requires_grad:
        root = alias.bind((tensor,))
    else:
        root = tensor._alias()
        root._requires_grad = True
    _state.levels[-1].append((root, tangent))
    return root


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """A tensor's value and tangent."""
    if not hasattr(tensor, "_alias"):
        raise ArgumentError(f"unpack_dual: a tensor is needed, got {type(tensor).__name__}.")
    pairs = _state.levels[-1] if _state.levels else []
    if not pairs or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    from fovea.func.roots import leads_elsewhere

    roots = [root for root, _ in pairs]
    tied = leads_elsewhere([tensor, *(t for _, t in pairs)], roots)
    primal = tensor if tied else tensor._alias()
    probe = zeros_like(tensor._alias()).requires_grad_()
    pulled = grad(tensor, roots, probe, True, True, allow_unused=True)
    live = [(g, t) for g, (_, t) in zip(pulled, pairs, strict=True) if g is not None]
    if not live:
        return UnpackedDualTensor(primal, None)
    paths = [(g, t) for g, t in live if g.requires_grad]
    if not paths:
        return UnpackedDualTensor(primal, zeros_like(primal))
    vectors, tangents = (list(column) for column in zip(*paths, strict=True))
    (found,) = grad(vectors, probe, tangents, True, tied)
    return UnpackedDualTensor(primal, found)
