"""Check gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch, dtypes
from fovea.errors import GradientError
from fovea.tensorbase import TensorBase

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["gradcheck", "gradgradcheck"]


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list | tuple) else [x]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare backward's Jacobian with central differences, for every input that requires a
    gradient.

    Args:
        func: takes the inputs, returns a tensor or a tuple of them.
        inputs: tensors; those to check are float64 with ``requires_grad``.
        eps: the step of the differences.
        atol, rtol: how far the two may lie apart.
        raise_exception: raise on a difference instead of returning False.

    >>> import fovea
    >>> x = fovea.rand(3, dtype=fovea.float64, requires_grad=True)
    >>> gradcheck(fovea.sin, x)
    True
    """
    args = _listed(inputs)
    checked = [i for i, t in enumerate(args) if isinstance(t, TensorBase) and t.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient.")
    for i in checked:
        if args[i].dtype is not dtypes.float64:
            raise ValueError(
                f"gradcheck: input {i} is {args[i].dtype.name}; differences need float64."
            )
    outputs = [o for o in _listed(func(*args)) if o.dtype.is_floating_point and o.requires_grad]
    for n, out in enumerate(outputs):
        analytic = _analytic(out, [args[i] for i in checked])
        for i, found in zip(checked, analytic, strict=True):
            expected = _numeric(func, args, i, n, eps)
            if not np.allclose(found, expected, rtol, atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradientError(
                    f"gradcheck: the Jacobian of output {n} with respect to input {i} differs by "
                    f"{np.abs(found - expected).max():.3g}.",
                    {
                        "backward": np.array2string(found, threshold=20),
                        "differences": np.array2string(expected, threshold=20),
                    },
                )
    return True


def _analytic(out: Tensor, inputs: Sequence[Tensor]) -> list[np.ndarray[Any, Any]]:
    """Jacobians (outputs by inputs), one row a backward pass."""
    from fovea.backward import grad

    rows: list[list[np.ndarray[Any, Any]]] = []
    for k in range(out.numel()):
        seed = np.zeros(out.numel())
        seed[k] = 1.0
        unit = out.new_tensor(seed.reshape(out.shape))
        found = grad(out, list(inputs), unit, retain_graph=True, allow_unused=True)
        rows.append(
            [
                np.zeros(x.numel()) if g is None else g.detach()._array().reshape(-1).copy()
                for g, x in zip(found, inputs, strict=True)
            ]
        )
    if not rows:
        return [np.zeros((0, x.numel())) for x in inputs]
    return [np.stack([row[j] for row in rows]) for j in range(len(inputs))]


def _numeric(
    func: Callable[..., Any], args: list[Any], which: int, output: int, eps: float
) -> np.ndarray[Any, Any]:
    base = args[which].detach().clone(memory_format="contiguous")
    flat = base._array().reshape(-1)
    columns = []

    def run() -> np.ndarray[Any, Any]:
        call = [
            base.detach() if i == which else _copy_leaf(a) if isinstance(a, TensorBase) else a
            for i, a in enumerate(args)
        ]
        call[which].requires_grad_()
        before = dispatch.set_grad_enabled(True)
        try:
            outs = [
                o for o in _listed(func(*call)) if o.dtype.is_floating_point and o.requires_grad
            ]
        finally:
            dispatch.set_grad_enabled(before)
        return outs[output].detach()._array().reshape(-1).astype(np.float64, copy=True)

    for j in range(flat.size):
        kept = flat[j]
        flat[j] = kept + eps
        high = run()
        flat[j] = kept - eps
        low = run()
        flat[j] = kept
        columns.append((high - low) / (2 * eps))
    return np.stack(columns, 1) if columns else np.zeros((run().size, 0))


def _copy_leaf(t: Any) -> Any:
    return t.detach().requires_grad_(t.requires_grad)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """``gradcheck`` of the gradient itself: second derivatives against finite differences."""
    from fovea.backward import grad
    from fovea.functions.random import randn

    args = _listed(inputs)
    outputs = [o for o in _listed(func(*args)) if o.dtype.is_floating_point and o.requires_grad]
    seeds = (
        _listed(grad_outputs)
        if grad_outputs is not None
        else [randn(o.shape, dtype=o.dtype).requires_grad_() for o in outputs]
    )

    def gradient(*values: Any) -> Any:
        call, vectors = values[: len(args)], values[len(args) :]
        outs = [o for o in _listed(func(*call)) if o.dtype.is_floating_point and o.requires_grad]
        wanted = [t for t in call if isinstance(t, TensorBase) and t.requires_grad]
        found = grad(outs, wanted, list(vectors), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradient, [*args, *seeds], eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )
