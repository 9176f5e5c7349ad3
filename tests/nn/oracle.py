"""Comparing fovea with PyTorch: the same arrays through both, values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

Array = np.ndarray[Any, Any]
TOLERANCE = {"float64": (1e-10, 1e-11), "float32": (2e-5, 2e-5)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def to_fovea(array: Array, dtype: str, grad: bool = True) -> fovea.Tensor:
    floating = array.dtype.kind == "f"
    t = fovea.tensor(array.astype(dtype) if floating else array)
    return t.requires_grad_() if floating and grad else t


def to_torch(array: Array, dtype: str, grad: bool = True) -> Any:
    floating = array.dtype.kind == "f"
    t = torch.tensor(array.astype(dtype) if floating else array)
    return t.requires_grad_() if floating and grad else t


def flat(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple | list) else [out]


def close(ours: Any, theirs: Any, dtype: str, what: str = "value") -> None:
    """Same shape, and values that agree as well as ``dtype`` allows."""
    rtol, atol = TOLERANCE[dtype]
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape, f"{what}: {a.shape} and {b.shape}"
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol * max(1.0, scale(b)), err_msg=what)


def scale(array: Array) -> float:
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return float(np.abs(finite).max()) if finite.size else 1.0


def compare(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    *arrays: Array,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    grads: bool = True,
) -> None:
    """Both functions of the same arrays: outputs, and gradients of a random weighting of them."""
    for dtype in dtypes:
        ours = [to_fovea(a, dtype, grads) for a in arrays]
        theirs = [to_torch(a, dtype, grads) for a in arrays]
        out, expected = flat(function(*ours)), flat(reference(*theirs))
        assert len(out) == len(expected)
        for i, (y, t) in enumerate(zip(out, expected, strict=True)):
            assert y.dtype.name == str(t.dtype).removeprefix("torch.")
            close(y, t, dtype, f"output {i}")
        if grads:
            compare_gradients(ours, theirs, out, expected, dtype)


def compare_gradients(
    ours: list[Any], theirs: list[Any], out: list[Any], expected: list[Any], dtype: str
) -> None:
    weights = rng(1)
    seeds, total, wanted = [], [], []
    for y, t in zip(out, expected, strict=True):
        if t.requires_grad:
            g = weights.standard_normal(tuple(t.shape)).astype(dtype)
            seeds.append((fovea.tensor(g), torch.tensor(g)))
            total.append(y)
            wanted.append(t)
    if not total:
        return
    fovea.autograd.backward(total, [s for s, _ in seeds])
    torch.autograd.backward(wanted, [s for _, s in seeds])
    for i, (x, t) in enumerate(zip(ours, theirs, strict=True)):
        if t.requires_grad:
            assert (x.grad is None) == (t.grad is None), f"gradient {i}"
            if t.grad is not None:
                close(x.grad, t.grad, dtype, f"gradient {i}")


def second_derivatives(function: Callable[..., Any], *arrays: Array) -> None:
    """The gradient's gradient agrees with differences, in float64."""
    inputs = [to_fovea(a, "float64") for a in arrays]
    assert fovea.autograd.gradgradcheck(function, inputs)
