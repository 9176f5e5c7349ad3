"""``assert_close``: whether numbers agree, and if not, where they differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fovea.dtypes import DType, int64, promote_types
from fovea.errors import ArgumentError
from fovea.functions.creation import as_tensor
from fovea.tensorbase import is_tensor

__all__ = ["assert_close"]

# Relative and absolute tolerances, as PyTorch's.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
Message = str | Callable[[str], str] | None


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Message = None,
) -> None:
    """Raise if ``actual`` and ``expected`` differ by more than ``atol + rtol * |expected|``.

    Args:
        actual, expected: tensors, arrays, numbers, or sequences and mappings of them.
        allow_subclasses: whether one may be of a subclass of the other's type.
        rtol, atol: both or neither; by default what the dtype holds: 1.3e-6 and 1e-5 of float32,
            1e-7 and 1e-7 of float64, 0.016 and 1e-5 of bfloat16, 0.001 and 1e-5 of float16, and 0
            of integers and truth values. Of two dtypes the larger of each.
        equal_nan: whether NaN equals NaN.
        check_dtype: whether the dtypes must be the same.
        check_stride: whether the strides must be.
        check_device, check_layout: there is one device and one layout.
        msg: the message, or what makes it of the usual one.

    Raises:
        AssertionError: they differ; the message says where most.
        ArgumentError: one of ``rtol`` and ``atol`` without the other.

    >>> import fovea
    >>> assert_close(fovea.ones(2), fovea.ones(2) + 1e-7)
    >>> assert_close({"x": 1.0}, {"x": 1.5})
    Traceback (most recent call last):
        ...
    AssertionError: Scalars are not close!
    <BLANKLINE>
    Expected 1.5 but got 1.0.
    Absolute difference: 0.5 (up to 1e-07 allowed)
    Relative difference: 0.3333333333333333 (up to 1e-07 allowed)
    <BLANKLINE>
    The failure occurred for item ['x']
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError("assert_close: rtol and atol are given both, or neither.")
    tolerances = None if rtol is None or atol is None else (rtol, atol)
    options = _Options(tolerances, equal_nan, check_dtype, check_stride, allow_subclasses)
    options.compare(actual, expected, (), msg)


class _Options:
    def __init__(
        self,
        tolerances: tuple[float, float] | None,
        equal_nan: bool,
        dtype: bool,
        stride: bool,
        subclasses: bool,
    ) -> None:
        self.tolerances, self.equal_nan = tolerances, equal_nan
        self.dtype, self.stride, self.subclasses = dtype, stride, subclasses

    def compare(self, actual: Any, expected: Any, place: tuple[Any, ...], msg: Message) -> None:
        """Go down into sequences and mappings, and look at each pair of tensors or numbers."""
        inside = self._inside(actual, expected)
        if inside is not None:
            for key, a, e in inside:
                self.compare(a, e, (*place, key), msg)
            return
        problem = self._problem(actual, expected)
        if problem is None:
            return
        if place:
            problem += f"\n\nThe failure occurred for item {''.join(f'[{key!r}]' for key in place)}"
        raise AssertionError(msg(problem) if callable(msg) else msg or problem)

    def _inside(self, actual: Any, expected: Any) -> list[tuple[Any, Any, Any]] | None:
        if isinstance(actual, Mapping) and isinstance(expected, Mapping):
            if set(actual) != set(expected):
                raise AssertionError(
                    f"The keys of the mappings do not match:\n"
                    f"Missing keys in the actual mapping: {sorted(set(expected) - set(actual))}\n"
                    f"Additional keys in the actual mapping: {sorted(set(actual) - set(expected))}"
                )
            return [(key, actual[key], expected[key]) for key in expected]
        sequences = [isinstance(x, Sequence) and not isinstance(x, str) for x in (actual, expected)]
        if all(sequences):
            if len(actual) != len(expected):
                raise AssertionError(
                    f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
                )
            return [(i, a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True))]
        return None

    def _problem(self, actual: Any, expected: Any) -> str | None:
        """What two values differ in."""
        if actual is None or expected is None:
            same = actual is expected
            return None if same else f"None mismatch: {actual} is not {expected}"
        related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
        if is_tensor(actual) != is_tensor(expected) or (not self.subclasses and not related):
            return (
                "Except for Sequence's and Mapping's, actual and expected must be of one type, "
                f"got {type(actual)} and {type(expected)} instead."
            )
        numbers = not is_tensor(actual) and np.ndim(actual) == 0
        a, e = (_tensor(x) for x in (actual, expected))
        if a.shape != e.shape:
            return f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}."
        if self.dtype and a.dtype is not e.dtype:
            return f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}."
        if self.stride and a.stride() != e.stride():
            return (
                f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}."
            )
        return self._values(a, e, numbers)

    def _values(self, actual: Any, expected: Any, numbers: bool) -> str | None:
        rtol, atol = self.tolerances or _tolerances(actual.dtype, expected.dtype)
        a, e = _values(actual, expected)
        with np.errstate(all="ignore"):
            apart, size = np.abs(a - e), np.abs(e)
            close = (a == e) | (np.isfinite(apart) & (apart <= atol + rtol * size))
            if self.equal_nan:
                close |= np.isnan(a) & np.isnan(e)
            if close.all():
                return None
            whole = size.dtype.kind == "i"
            relative = apart.astype(np.float32) / size.astype(np.float32) if whole else apart / size
            apart, relative = (np.where(close, np.zeros_like(x), x) for x in (apart, relative))
        kind = "Scalars" if numbers else "Tensor-likes"
        head = f"{kind} are not {'equal' if rtol == 0 == atol else 'close'}!\n"
        allowed = [f" (up to {x} allowed)" if x else "" for x in (atol, rtol)]
        if numbers:
            told = (
                f"Expected {expected.item()} but got {actual.item()}.",
                f"Absolute difference: {apart.item()}{allowed[0]}",
                f"Relative difference: {relative.item()}{allowed[1]}",
            )
        else:
            wrong = int((~close).sum())
            told = (
                f"Mismatched elements: {wrong} / {close.size} ({wrong / close.size:.1%})",
                f"Greatest absolute difference: {_greatest(apart)}{allowed[0]}",
                f"Greatest relative difference: {_greatest(relative)}{allowed[1]}",
            )
        return "\n".join((head, *told))


def _tensor(x: Any) -> Any:
    try:
        return x.detach() if is_tensor(x) else as_tensor(np.asarray(x))
    except (TypeError, ValueError):
        raise ArgumentError(f"assert_close: cannot compare {type(x).__name__}.") from None


def _tolerances(*dtypes: DType) -> tuple[float, float]:
    found = [_TOLERANCES.get(dtype.name, (0.0, 0.0)) for dtype in dtypes]
    return max(rtol for rtol, _ in found), max(atol for _, atol in found)


def _values(actual: Any, expected: Any) -> tuple[Any, Any]:
    """Both in the type that they have, integers and truth values in one where they subtract."""
    kind = promote_types(actual.dtype, expected.dtype)
    kind = kind if kind.is_inexact else int64
    return actual.numpy().astype(kind.numpy), expected.numpy().astype(kind.numpy)


def _greatest(differences: Any) -> str:
    """The largest difference, and where it is; NaN counts as the largest."""
    at = np.unravel_index(np.argmax(differences), differences.shape)
    return f"{differences[at].item()} at index {tuple(int(i) for i in at)}"
