"""Convolutions against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from tests.nn.oracle import compare, rng, second_derivatives, torch

TF = torch.nn.functional

# input, weight, bias, options
CONV2D: list[tuple[tuple[int, ...], tuple[int, ...], bool, dict[str, Any]]] = [
    ((2, 3, 7, 8), (4, 3, 3, 3), True, {}),
    ((2, 3, 7, 8), (4, 3, 3, 3), True, {"padding": 1}),
    ((1, 3, 9, 9), (4, 3, 3, 3), False, {"stride": 2, "padding": 1}),
    ((2, 4, 7, 6), (6, 2, 3, 2), True, {"stride": (2, 1), "padding": (1, 2), "groups": 2}),
    ((1, 6, 8, 8), (6, 1, 3, 3), True, {"padding": 1, "groups": 6}),
    ((1, 4, 9, 10), (5, 4, 3, 3), True, {"dilation": (2, 3), "padding": 2}),
    ((2, 5, 4, 4), (7, 5, 1, 1), True, {"stride": 2}),
    ((1, 2, 6, 7), (3, 2, 4, 3), True, {"padding": "same"}),
    ((1, 2, 6, 7), (3, 2, 2, 2), True, {"padding": "same", "dilation": (1, 2)}),
    ((1, 2, 6, 7), (3, 2, 3, 3), True, {"padding": "valid"}),
    ((3, 6, 7), (4, 3, 3, 3), True, {"padding": [1, 1], "stride": [2]}),
    ((0, 3, 7, 8), (4, 3, 3, 3), True, {}),
    ((1, 1, 1, 1), (1, 1, 1, 1), True, {}),
    ((2, 3, 11, 11), (8, 3, 7, 7), False, {"stride": 2, "padding": 3}),
]


def operands(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    r = rng()
    return [r.standard_normal(s) for s in shapes]


@pytest.mark.parametrize(("x", "w", "bias", "options"), CONV2D)
def test_conv2d(x: Any, w: Any, bias: bool, options: dict[str, Any]) -> None:
    arrays = operands(x, w, *([(w[0],)] if bias else []))
    compare(lambda *t: F.conv2d(*t, **options), lambda *t: TF.conv2d(*t, **options), *arrays)


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((2, 3, 9), (4, 3, 3), {}),
        ((2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
        ((3, 9), (4, 3, 4), {"padding": "same"}),
        ((1, 3, 9), (4, 3, 2), {"padding": (1,), "stride": [2]}),
    ],
)
def test_conv1d(x: Any, w: Any, options: dict[str, Any]) -> None:
    arrays = operands(x, w, (w[0],))
    compare(lambda *t: F.conv1d(*t, **options), lambda *t: TF.conv1d(*t, **options), *arrays)


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((2, 4, 5, 6), (4, 3, 3, 3), {}),
        ((2, 4, 5, 6), (4, 3, 2, 2), {"stride": 2}),
        ((2, 4, 5, 6), (4, 3, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((1, 4, 5, 4), (4, 2, 3, 2), {"stride": (2, 3), "groups": 2, "output_padding": (1, 2)}),
        ((1, 4, 5, 4), (4, 2, 3, 2), {"dilation": 2, "padding": (1, 0)}),
        ((4, 5, 4), (4, 2, 3, 3), {"stride": 2}),
    ],
)
def test_conv_transpose2d(x: Any, w: Any, options: dict[str, Any]) -> None:
    arrays = operands(x, w, (w[1] * options.get("groups", 1),))
    compare(
        lambda *t: F.conv_transpose2d(*t, **options),
        lambda *t: TF.conv_transpose2d(*t, **options),
        *arrays,
    )


def test_conv_transpose1d() -> None:
    arrays = operands((2, 4, 7), (4, 3, 3), (3,))
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    compare(
        lambda *t: F.conv_transpose1d(*t, **options),
        lambda *t: TF.conv_transpose1d(*t, **options),
        *arrays,
    )


def test_conv2d_reads_any_strides() -> None:
    x, w = operands((8, 2, 7, 4), (3, 4, 3, 2))

    def call(f: Any) -> Any:
        # Permuted images, every second column, and transposed kernels.
        return lambda a, b: f(a.permute(1, 3, 2, 0)[..., ::2], b.transpose(2, 3), padding=1)

    compare(call(F.conv2d), call(TF.conv2d), x, w)


def test_results_lie_channels_last() -> None:
    y = F.conv2d(fovea.randn(2, 3, 5, 6), fovea.randn(4, 3, 3, 3), padding=1)
    assert y.strides == (120, 1, 24, 4)


def test_second_derivatives() -> None:
    x, w, b = operands((1, 2, 4, 5), (4, 1, 2, 3), (4,))
    options: Any = {"stride": (1, 2), "padding": 1, "groups": 2}
    second_derivatives(lambda *t: F.conv2d(*t, **options), x, w, b)
    x, w = operands((1, 2, 3, 2), (2, 2, 2, 2))
    second_derivatives(lambda *t: F.conv_transpose2d(*t, stride=2), x, w)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype: str) -> None:
    kind = getattr(fovea, dtype)
    x, w = operands((1, 3, 6, 6), (4, 3, 3, 3))
    full = F.conv2d(fovea.tensor(x).to(kind).float(), fovea.tensor(w).to(kind).float())
    half = F.conv2d(fovea.tensor(x).to(kind), fovea.tensor(w).to(kind))
    assert half.dtype is kind
    step = 2.0**-8 if dtype == "bfloat16" else 2.0**-11
    error = (half.float() - full).abs().max().item()
    assert error <= step * full.abs().max().item() * 2
