"""Every function and method that fovea shares with PyTorch agrees with it on PyTorch's own cases."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from fovea.errors import ArgumentError, DTypeError, ShapeError
from tests.functions.exceptions import EXCEPTIONS, LEFT_OUT, NOT_COMPLEX, reason
from tests.functions.torch_tables import (
    UNDETERMINED,
    UnsupportedError,
    compare,
    compare_gradients,
    forms,
    picked,
    run,
    samples,
    table,
)

KEYS = sorted(table())


def samples_of(key: str) -> list[Any]:
    return samples(key, torch.complex64, 1)


OTHER_DTYPES = (torch.int64, torch.bool, torch.uint8, torch.bfloat16)


def check(key: str, dtype: torch.dtype, count: int, gradient: bool, what: str) -> int:
    """All forms of an entry, on some of its samples; how many of these said something."""
    done = 0
    for label, theirs, ours in forms(table()[key]):
        if reason(key, what, label, f"{what}:{label}"):
            continue
        shorter = count if label == "function" else -(-count // 3)
        for sample in samples(key, dtype, shorter, gradient):
            done += _agrees(table()[key].name, sample, (theirs, ours), gradient, label)
    return done


def _agrees(name: str, sample: Any, calls: tuple[Any, Any], gradient: bool, label: str) -> int:
    """1 if both agree, 0 if the sample says nothing."""
    theirs, ours = calls
    inplace, fixed = label == "inplace", name not in UNDETERMINED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected, reference = run(theirs, sample, False, inplace)
        except (RuntimeError, TypeError, IndexError):
            assert inplace or label == "method", "PyTorch refuses its own sample"
            return 0
        try:
            result, leaves = run(ours, sample, True, inplace)
            if name.startswith("nn.functional.conv") and sample.input.dtype is torch.bfloat16:
                expected = _in_float32(theirs, sample)
            compare(picked(name, result, sample), picked(name, expected, sample), None, fixed)
            if gradient and fixed:
                compare_gradients(result, expected, leaves, reference)
        except UnsupportedError:
            return 0
        except Exception as error:
            error.add_note(f"{label}: {sample.summary()}"[:500])
            raise
    return 1


def _in_float32(call: Any, sample: Any) -> Any:
    """PyTorch's result in float32, rounded at the end: on some processors its kernels sum in
    bfloat16, on others they do not.
    """

    def widened(value: Any) -> Any:
        half = isinstance(value, torch.Tensor) and value.dtype is torch.bfloat16
        return value.float() if half else value

    return run(call, sample.transform(widened), False, False)[0].bfloat16()


@pytest.mark.parametrize("key", KEYS)
def test_values(key: str) -> None:
    if not check(key, torch.float32, 10, False, "values"):
        pytest.skip(reason(key, "values") or "no samples that fovea has")


@pytest.mark.parametrize("key", [k for k in KEYS if table()[k].supports_autograd])
def test_gradients(key: str) -> None:
    if not check(key, torch.float64, 5, True, "gradients"):
        pytest.skip(reason(key, "gradients") or "no samples that fovea has")


@pytest.mark.parametrize("key", KEYS)
def test_other_dtypes(key: str) -> None:
    done = [check(key, dtype, 2, False, str(dtype)[6:]) for dtype in OTHER_DTYPES]
    if not any(done):
        pytest.skip("no samples that fovea has")


@pytest.mark.parametrize("key", [k for k in KEYS if torch.complex64 in table()[k].dtypes])
def test_complex(key: str) -> None:
    """Values, and gradients by PyTorch's convention. What does not take complex numbers says so."""
    done = check(key, torch.complex64, 4, False, "complex")
    if table()[key].supports_autograd:
        done += check(key, torch.complex128, 3, True, "complex")
    if not done:
        pytest.skip(reason(key, "complex") or "no samples that fovea has")


@pytest.mark.parametrize(
    "key", sorted(k for k in table() if reason(k, "complex") == NOT_COMPLEX and samples_of(k))
)
def test_what_takes_no_complex_numbers(key: str) -> None:
    refused = 0
    for sample in samples(key, torch.complex64, 20):
        try:
            run(next(forms(table()[key]))[2], sample, True)
        except (DTypeError, ArgumentError, ShapeError):
            refused += 1
    assert refused


def test_exceptions_name_entries_of_the_table() -> None:
    unknown = [k for k in (*EXCEPTIONS, *LEFT_OUT) if k.partition(":")[0] not in table()]
    assert not unknown, "exceptions for what is not in the table"
