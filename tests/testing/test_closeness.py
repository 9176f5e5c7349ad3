"""``assert_close`` says what PyTorch's says, word by word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.testing import assert_close

torch = pytest.importorskip("torch")

PAIRS: dict[str, Callable[[Any], tuple[Any, Any, dict[str, Any]]]] = {
    "far": lambda lib: (lib.ones(2), lib.tensor([1.0, 1.5]), {}),
    "with tolerances": lambda lib: (
        lib.ones(3),
        lib.tensor([1.0, 1.01, 2.0]),
        {"rtol": 1e-3, "atol": 1e-3},
    ),
    "in rows": lambda lib: (lib.ones(2, 2), lib.tensor([[1.0, 3.0], [1.0, 0.0]]), {}),
    "integers": lambda lib: (lib.tensor([1, 2]), lib.tensor([1, 3]), {}),
    "truth": lambda lib: (lib.tensor([True, True]), lib.tensor([True, False]), {}),
    "dtypes": lambda lib: (lib.ones(2), lib.ones(2, dtype=lib.float64), {}),
    "shapes": lambda lib: (lib.ones(2), lib.ones(3), {}),
    "strides": lambda lib: (lib.ones(2, 3), lib.ones(3, 2).t(), {"check_stride": True}),
    "not a number": lambda lib: (lib.tensor([float("nan")]), lib.tensor([float("nan")]), {}),
    "infinite": lambda lib: (lib.tensor([float("inf"), 1.0]), lib.tensor([1.0, 1.0]), {}),
    "numbers": lambda lib: (1.0, 1.5, {}),
    "one number": lambda lib: (lib.tensor(1.0), lib.tensor(2.0), {"msg": "no"}),
    "words made": lambda lib: (lib.ones(1), lib.zeros(1), {"msg": lambda m: f"layer 1\n{m}"}),
    "a list": lambda lib: ([lib.ones(1), lib.ones(2)], [lib.ones(1), lib.zeros(2)], {}),
    "a list too short": lambda lib: ([lib.ones(1)], [lib.ones(1), lib.zeros(2)], {}),
    "a dictionary": lambda lib: ({"a": [lib.ones(1)]}, {"a": [lib.zeros(1)]}, {}),
    "half": lambda lib: (
        lib.ones(2, dtype=lib.bfloat16),
        lib.tensor([1.0, 1.5], dtype=lib.bfloat16),
        {},
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_what_differs_is_said(case: str) -> None:
    told = []
    for lib, check in ((fovea, assert_close), (torch, torch.testing.assert_close)):
        actual, expected, options = PAIRS[case](lib)
        with pytest.raises(AssertionError) as error:
            check(actual, expected, **options)
        told.append(str(error.value).replace("torch.", "fovea."))
    assert told[0] == told[1]


FITS: list[Callable[[Any], tuple[Any, Any, dict[str, Any]]]] = [
    lambda lib: (lib.ones(2), lib.ones(2) + 1e-6, {}),
    lambda lib: (lib.ones(2), lib.ones(2) + 0.05, {"rtol": 0.0, "atol": 0.1}),
    lambda lib: (lib.tensor([float("nan")]), lib.tensor([float("nan")]), {"equal_nan": True}),
    lambda lib: (lib.tensor([float("inf")]), lib.tensor([float("inf")]), {}),
    lambda lib: (lib.ones(2), lib.ones(2, dtype=lib.float64), {"check_dtype": False}),
    lambda lib: (lib.ones(2, dtype=lib.bfloat16), lib.ones(2, dtype=lib.bfloat16) * 1.01, {}),
    lambda lib: ({"a": (1, 2.0)}, {"a": (1, 2.0)}, {}),
    lambda lib: (np.ones(3), np.ones(3), {}),
    lambda lib: (None, None, {}),
    lambda lib: (lib.ones(0), lib.ones(0), {}),
    lambda lib: (lib.ones(1, requires_grad=True), lib.ones(1), {}),
]


@pytest.mark.parametrize("n", range(len(FITS)))
def test_what_fits_passes(n: int) -> None:
    for lib, check in ((fovea, assert_close), (torch, torch.testing.assert_close)):
        actual, expected, options = FITS[n](lib)
        check(actual, expected, **options)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="both"):
        assert_close(1.0, 1.0, rtol=0.1)
    with pytest.raises(ValueError, match="cannot compare"):
        assert_close(object(), object())
    with pytest.raises(AssertionError, match="keys"):
        assert_close({"a": 1}, {"b": 1})
