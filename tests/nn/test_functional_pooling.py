"""Pooling against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from tests.nn.oracle import compare, rng, second_derivatives, torch

TF = torch.nn.functional

MAX: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 6, 8), {"kernel_size": 2}),
    ((2, 3, 7, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((1, 2, 9, 7), {"kernel_size": (3, 2), "stride": (1, 3), "padding": (1, 0)}),
    ((1, 2, 9, 9), {"kernel_size": 3, "dilation": 2, "padding": 1}),
    ((1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ((1, 2, 5, 5), {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
    ((3, 6, 8), {"kernel_size": [2]}),
    ((0, 3, 6, 8), {"kernel_size": 2}),
]


@pytest.mark.parametrize(("shape", "options"), MAX)
def test_max_pool2d(shape: Any, options: dict[str, Any]) -> None:
    x = rng().standard_normal(shape)
    compare(lambda t: F.max_pool2d(t, **options), lambda t: TF.max_pool2d(t, **options), x)
    compare(
        lambda t: F.max_pool2d(t, **options, return_indices=True),
        lambda t: TF.max_pool2d(t, **options, return_indices=True),
        x,
    )


def test_equal_maxima_send_the_gradient_to_the_first() -> None:
    x = rng().integers(0, 2, (2, 3, 8, 8)).astype(float)
    options: Any = {"kernel_size": 3, "stride": 2, "padding": 1}
    compare(lambda t: F.max_pool2d(t, **options), lambda t: TF.max_pool2d(t, **options), x)
    x = np.zeros((1, 2, 4, 4))
    compare(lambda t: F.max_pool2d(t, 2), lambda t: TF.max_pool2d(t, 2), x)
    compare(lambda t: F.adaptive_max_pool2d(t, 3), lambda t: TF.adaptive_max_pool2d(t, 3), x)


def test_nan_and_infinity() -> None:
    x = rng().standard_normal((1, 2, 6, 6))
    x[0, 0, 1, 2], x[0, 1, 3, 3], x[0, 1, :2, :2] = np.nan, np.inf, -np.inf
    compare(lambda t: F.max_pool2d(t, 2), lambda t: TF.max_pool2d(t, 2), x)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int8", "bfloat16"])
def test_max_pool2d_of_other_types(dtype: str) -> None:
    x = rng().integers(0, 100, (2, 3, 6, 6))
    ours = F.max_pool2d(fovea.tensor(x).to(getattr(fovea, dtype)), 2)
    theirs = TF.max_pool2d(torch.tensor(x).to(getattr(torch, dtype)), 2)
    assert ours.dtype.name == dtype
    assert ours.long().tolist() == theirs.long().tolist()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 3, 6, 8), {"kernel_size": 2}),
        ((2, 3, 7, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((2, 3, 7, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
        ((1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
        ((1, 2, 6, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
        (
            (1, 2, 6, 7),
            {"kernel_size": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        ),
        ((1, 2, 6, 7), {"kernel_size": (2, 3), "divisor_override": 5}),
        ((2, 6, 7), {"kernel_size": 2}),
    ],
)
def test_avg_pool2d(shape: Any, options: dict[str, Any]) -> None:
    x = rng().standard_normal(shape)
    compare(lambda t: F.avg_pool2d(t, **options), lambda t: TF.avg_pool2d(t, **options), x)


@pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 7, 5), 1),
        ((2, 3, 8, 6), (4, 3)),
        ((2, 3, 7, 5), (3, 2)),
        ((2, 3, 4, 4), 7),
        ((3, 7, 5), (None, 2)),
        ((2, 3, 7, 5), [2]),
    ],
)
def test_adaptive(name: str, shape: Any, size: Any) -> None:
    x = rng().standard_normal(shape)
    theirs = size * 2 if isinstance(size, list) else size
    ours, reference = getattr(F, name), getattr(TF, name)
    compare(lambda t: ours(t, size), lambda t: reference(t, theirs), x)


def test_adaptive_max_indices() -> None:
    x = rng().standard_normal((2, 3, 7, 5))
    compare(
        lambda t: F.adaptive_max_pool2d(t, (3, 2), return_indices=True),
        lambda t: TF.adaptive_max_pool2d(t, (3, 2), return_indices=True),
        x,
    )


@pytest.mark.parametrize("shape", [(2, 3, 9), (3, 9)])
def test_sequences(shape: Any) -> None:
    x = rng().standard_normal(shape)
    for name, args in (
        ("max_pool1d", (3, 2, 1)),
        ("max_pool1d", (2,)),
        ("avg_pool1d", (3, 2, 1)),
        ("avg_pool1d", (2, None, 1, True, False)),
        ("adaptive_avg_pool1d", (4,)),
        ("adaptive_max_pool1d", (4,)),
    ):
        ours, theirs = getattr(F, name), getattr(TF, name)
        extra = (3, *args[1:]) if args[1:2] == (None,) else args
        reference = (3, 3, *args[2:]) if args[1:2] == (None,) else args
        compare(lambda t, f=ours, a=extra: f(t, *a), lambda t, f=theirs, a=reference: f(t, *a), x)
    compare(
        lambda t: F.max_pool1d(t, 2, return_indices=True),
        lambda t: TF.max_pool1d(t, 2, return_indices=True),
        x,
    )


def test_channels_last_and_strided_inputs() -> None:
    x = rng().standard_normal((2, 8, 9, 3))

    def call(f: Any) -> Any:
        return lambda t: f(t.permute(0, 3, 1, 2)[..., ::2], 2)

    for name in ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"):
        compare(call(getattr(F, name)), call(getattr(TF, name)), x)
    y = F.max_pool2d(fovea.tensor(x).permute(0, 3, 1, 2), 2)
    assert y.strides == (4 * 4 * 3, 1, 4 * 3, 3)


def test_second_derivatives() -> None:
    x = rng().permutation(60).reshape(1, 2, 5, 6) / 7.0
    second_derivatives(lambda t: F.max_pool2d(t, 2, padding=1).square(), x)
    second_derivatives(lambda t: F.avg_pool2d(t, 3, 2, 1, True, False).square(), x)
    second_derivatives(lambda t: F.adaptive_avg_pool2d(t, (3, 4)).square(), x)
    second_derivatives(lambda t: F.adaptive_max_pool2d(t, (3, 4)).square(), x)


@pytest.mark.parametrize("op", ["relu_", "mul_"])
def test_results_of_max_pool2d_may_be_changed_in_place(op: str) -> None:
    """As ``nn.ReLU(inplace=True)`` after a pooling does; PyTorch keeps places, not maxima."""
    a = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    grads = []
    for lib in (fovea, torch):
        x = lib.tensor(a).requires_grad_()
        y = lib.nn.functional.max_pool2d(x * 1, 2)
        y = y.relu_() if op == "relu_" else y.mul_(3.0)
        (y * y).sum().backward()
        grads.append(x.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-12)
