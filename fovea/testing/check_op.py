"""``check_op``: does an op do on this target what its NumPy reference says, and is its gradient
right?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import targets
from fovea.functions.creation import from_array, from_numpy
from fovea.gradcheck import gradcheck, gradgradcheck
from fovea.ops.op import Op
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["check_op", "layouts", "on_reference"]

Array = np.ndarray[Any, Any]


@contextmanager
def on_reference() -> Iterator[None]:
    """Run ops on the NumPy reference inside."""
    before = targets.use(targets.named("reference"))
    try:
        yield
    finally:
        targets.use(before)


def layouts(array: Array) -> dict[str, Tensor]:
    """The same values in several memory layouts: row-major, reversed dimension order, with gaps,
    broadcast.
    """
    found = {"contiguous": from_array(array)}
    if array.ndim > 1:
        found["transposed"] = from_numpy(np.asfortranarray(array))
    if array.ndim == 4:
        nhwc = np.ascontiguousarray(array.transpose(0, 2, 3, 1))
        found["channels_last"] = from_numpy(nhwc).permute(0, 3, 1, 2)
    if array.ndim:
        roomy = np.zeros((*array.shape[:-1], array.shape[-1] * 2 + 1), array.dtype)
        roomy[..., : array.shape[-1] * 2 : 2] = array
        found["gaps"] = from_numpy(roomy)[..., : array.shape[-1] * 2 : 2]
    return found


def check_op(
    op: Op,
    arrays: Sequence[Array | None],
    attrs: dict[str, Any] | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    gradients: bool = True,
    second: bool = False,
) -> None:
    """Run ``op`` on the active target and on the reference, in every layout, and check gradients in
    float64.

    Args:
        op: the op.
        arrays: its inputs (None for an optional one left out).
        attrs: its attributes by name.
        rtol, atol: how far results may lie from the reference.
        gradients: compare backward with finite differences (float64 inputs that are
            differentiable).
        second: second derivatives too.

    Raises:
        AssertionError: a result differs. GradientError: a gradient differs.
    """
    attrs = attrs or {}
    with on_reference():
        expected = _outputs(op(*(None if a is None else from_array(a) for a in arrays), **attrs))
    for name, inputs in _variants(arrays).items():
        found = _outputs(op(*inputs, **attrs))
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert a.dtype is b.dtype and a.shape == b.shape, (op.name, name, a.dtype, b.dtype)
            np.testing.assert_allclose(
                _wide(a), _wide(b), rtol, atol, err_msg=f"{op.name}, output {i}, {name}"
            )
    if gradients and op.nondifferentiable is None:
        _check_gradients(op, arrays, attrs, second)


def _outputs(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _wide(t: Tensor) -> Array:
    array = t.detach()._array()
    return array.astype(np.float64) if t.dtype.is_floating_point else array


def _variants(arrays: Sequence[Array | None]) -> dict[str, list[Tensor | None]]:
    """All inputs in one layout, for each layout that any input has."""
    each = [None if a is None else layouts(a) for a in arrays]
    names = {name for e in each if e is not None for name in e}
    return {
        name: [None if e is None else e.get(name, e["contiguous"]) for e in each]
        for name in sorted(names)
    }


def _check_gradients(
    op: Op, arrays: Sequence[Array | None], attrs: dict[str, Any], second: bool
) -> None:
    inputs = [None if a is None else from_array(a) for a in arrays]
    floats = [t for t in inputs if t is not None and t.dtype.name == "float64"]
    for t in floats:
        t.requires_grad_()

    def call(*values: Any) -> Any:
        given = iter(values)
        full = [next(given) if is_tensor(t) else None for t in inputs]
        return tuple(o for o in _outputs(op(*full, **attrs)) if o.dtype.is_floating_point)

    if floats and any(o.requires_grad for o in call(*(t for t in inputs if t is not None))):
        present = [t for t in inputs if t is not None]
        checks: list[Callable[..., bool]] = [gradcheck, gradgradcheck] if second else [gradcheck]
        for check in checks:
            check(call, present)
