"""Windows for spectra, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fovea
from fovea.errors import ArgumentError, DTypeError

NAMES = ("bartlett", "blackman", "hamming", "hann", "kaiser")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_windows_are_pytorch_s(name: str, periodic: bool, dtype: str) -> None:
    ours, theirs = getattr(fovea, f"{name}_window"), getattr(torch, f"{name}_window")
    for length in (0, 1, 2, 3, 8, 33):
        mine = ours(length, periodic, dtype=getattr(fovea, dtype)).numpy()
        expected = theirs(length, periodic, dtype=getattr(torch, dtype)).numpy()
        assert mine.dtype == expected.dtype
        near = {"float64": 1e-7, "float32": 1e-6, "float16": 4e-3}[dtype]
        np.testing.assert_allclose(mine, expected, atol=near)


def test_their_own_parameters() -> None:
    np.testing.assert_allclose(
        fovea.hamming_window(9, False, 0.6, 0.4).numpy(),
        torch.hamming_window(9, False, 0.6, 0.4).numpy(),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        fovea.kaiser_window(9, beta=3.0).numpy(), torch.kaiser_window(9, True, 3.0), atol=1e-6
    )
    assert fovea.hann_window(3, requires_grad=True).requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused(name: str) -> None:
    window = getattr(fovea, f"{name}_window")
    with pytest.raises(ArgumentError):
        window(-1)
    with pytest.raises(DTypeError):
        window(4, dtype=fovea.int32)
