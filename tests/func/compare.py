"""Running a program in fovea and in PyTorch, and comparing nested results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea

torch = pytest.importorskip("torch")

__all__ = ["both", "same", "tensor", "torch"]


def tensor(ns: Any, array: np.ndarray) -> Any:
    """An array as a tensor of one of the two."""
    return ns.tensor(array.tolist(), dtype=getattr(ns, str(array.dtype)))


def _given(ns: Any, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tensor(ns, value)
    if isinstance(value, dict):
        return {k: _given(ns, v) for k, v in value.items()}
    return type(value)(_given(ns, v) for v in value) if isinstance(value, tuple | list) else value


def same(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    """Nested results: one structure, and equal values."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and list(ours) == list(theirs)
        ours, theirs = tuple(ours.values()), tuple(theirs.values())
    if isinstance(theirs, tuple | list):
        assert isinstance(ours, tuple | list) and len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b, tolerance)
        return
    if not isinstance(theirs, torch.Tensor):
        assert ours == theirs
        return
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape and a.dtype == b.dtype
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def both(program: Callable[..., Any], *arguments: Any, tolerance: float = 1e-10) -> None:
    """``program(ns, *arguments)``, with arrays as tensors: the results must agree."""
    results = [program(ns, *_given(ns, arguments)) for ns in (fovea, torch)]
    same(*results, tolerance)
