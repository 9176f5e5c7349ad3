"""Pooling kernels against PyTorch and against the NumPy reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.ops import pool as ops
from tests.targets.cpu.kernel_cases import (
    HALVES,
    LAYOUTS,
    RNG,
    Array,
    channels_last,
    compiled,
    isa,
    normal,
    numpy_type,
    same_bits_for_any_thread_count,
)

torch = pytest.importorskip("torch")
TF = torch.nn.functional
assert isa  # a fixture, used by its name

# kernel, stride, padding, dilation, ceil_mode
WINDOWS = [
    ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ((3, 3), (2, 2), (1, 1), (1, 1), False),
    ((3, 3), (1, 1), (1, 1), (1, 1), False),
    ((1, 1), (2, 2), (0, 0), (1, 1), False),
    ((2, 3), (3, 3), (0, 1), (1, 1), True),
    ((3, 2), (1, 3), (1, 0), (2, 1), True),
    ((2, 2), (1, 1), (1, 1), (3, 3), False),
    ((5, 4), (2, 3), (2, 1), (1, 1), True),
]
IMAGES = [(2, 5, 9, 11), (1, 1, 8, 8), (2, 40, 10, 9), (3, 67, 7, 8)]


def attrs(window: Any, **more: Any) -> dict[str, Any]:
    kernel, stride, (top, left), dilation, ceil_mode = window
    found = {"kernel": kernel, "stride": stride, "padding": (top, top, left, left)}
    return {**found, "dilation": dilation, "ceil_mode": ceil_mode, **more}


def with_ties(*shape: int, dtype: str = "float32") -> Array:
    """Numbers of which many are equal."""
    return (np.round(normal(*shape) * 2) / 2).astype(numpy_type(dtype))


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_pool(isa: str, shape: tuple[int, ...], window: Any) -> None:
    x = with_ties(*shape)
    tx = torch.tensor(x, requires_grad=True)
    y, places = TF.max_pool2d(tx, *window, return_indices=True)
    gy = normal(*y.shape)
    y.backward(torch.tensor(gy))
    fx = channels_last(x).requires_grad_()
    fy = ops.max_pool2d(fx, **attrs(window))
    fy.backward(channels_last(gy))
    np.testing.assert_array_equal(fy.detach().numpy(), y.detach().numpy())
    np.testing.assert_allclose(fx.grad.numpy(), tx.grad.numpy(), 1e-5, 1e-5)
    values, indices = ops.max_pool2d_with_indices(fx.detach(), **attrs(window))
    np.testing.assert_array_equal(values.numpy(), y.detach().numpy())
    np.testing.assert_array_equal(indices.numpy(), places.numpy())


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_max_pool_in_every_layout(layout: str, window: Any) -> None:
    x, make = with_ties(2, 12, 9, 10), LAYOUTS[layout]
    plain = ops.max_pool2d(channels_last(x), **attrs(window))
    gy = normal(*plain.shape)
    expected = ops.max_pool2d_grad(channels_last(gy), channels_last(x), plain, **attrs(window))
    found = ops.max_pool2d(make(x), **attrs(window))
    np.testing.assert_array_equal(found.numpy(), plain.numpy())
    grad = ops.max_pool2d_grad(make(gy), make(x), make(plain.numpy()), **attrs(window))
    np.testing.assert_array_equal(grad.numpy(), expected.numpy())


def test_gradient_of_a_sum_needs_no_copy_of_ones() -> None:
    x = channels_last(normal(2, 9, 6, 6)).requires_grad_()
    ops.max_pool2d(x, **attrs(WINDOWS[0])).sum().backward()
    assert x.grad.sum().item() == 2 * 9 * 9


@pytest.mark.parametrize("window", WINDOWS[:3], ids=str)
def test_nan_beats_everything_and_infinities_count(isa: str, window: Any) -> None:
    x = normal(2, 9, 8, 8)
    x[0, :, 2, 3], x[0, 4, 2, 2] = np.nan, np.inf
    x[1], x[1, 0, 5, 5] = -np.inf, np.nan
    a = ops.PoolAttrs.of(*attrs(window).values())
    y, places = ops.max_pool2d_with_indices.reference_rule(x, a)  # type: ignore[misc]
    np.testing.assert_array_equal(ops.max_pool2d(channels_last(x), **attrs(window)).numpy(), y)
    found, indices = ops.max_pool2d_with_indices(channels_last(x), **attrs(window))
    np.testing.assert_array_equal(found.numpy(), y)
    np.testing.assert_array_equal(indices.numpy(), places)
    gy = normal(*y.shape)
    expected = ops.max_pool2d_grad.reference_rule(gy, x, y, a)  # type: ignore[misc]
    gx = ops.max_pool2d_grad(channels_last(gy), channels_last(x), found, **attrs(window))
    np.testing.assert_allclose(gx.numpy(), expected, 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float64"])
def test_max_pool_of_other_elements(isa: str, dtype: str) -> None:
    x = (normal(2, 21, 9, 8) * 40).astype(np.int64).astype(dtype)
    for window in WINDOWS[:3]:
        a = ops.PoolAttrs.of(*attrs(window).values())
        y, places = ops.max_pool2d_with_indices.reference_rule(x.astype(np.int64), a)  # type: ignore[misc]
        np.testing.assert_array_equal(ops.max_pool2d(channels_last(x), **attrs(window)).numpy(), y)
        if dtype != "float64":
            continue
        found, indices = ops.max_pool2d_with_indices(channels_last(x), **attrs(window))
        np.testing.assert_array_equal(found.numpy(), y)
        np.testing.assert_array_equal(indices.numpy(), places)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("window", WINDOWS[:5], ids=str)
def test_half_types_are_rounded_once(isa: str, dtype: str, window: Any) -> None:
    kind = numpy_type(dtype)
    x = with_ties(2, 21, 9, 8, dtype=dtype)
    a = ops.PoolAttrs.of(*attrs(window).values())
    y = ops.max_pool2d.reference_rule(x.astype("f4"), a)  # type: ignore[misc]
    found = ops.max_pool2d(channels_last(x), **attrs(window))
    np.testing.assert_array_equal(found.numpy().astype("f4"), y)
    gy = normal(*y.shape, dtype=dtype)
    expected = ops.max_pool2d_grad.reference_rule(gy.astype("f4"), x.astype("f4"), y, a)  # type: ignore[misc]
    gx = ops.max_pool2d_grad(channels_last(gy), channels_last(x), found, **attrs(window))
    np.testing.assert_allclose(
        gx.numpy().astype("f4"), expected.astype(kind).astype("f4"), HALVES[dtype]
    )
    mean = ops.avg_pool2d(channels_last(x), **average(window))
    expected = ops.avg_pool2d.reference_rule(
        x.astype("f4"), ops.AvgPoolAttrs.of(*average(window).values())
    )  # type: ignore[misc]
    np.testing.assert_allclose(mean.numpy().astype("f4"), expected, HALVES[dtype], 1e-6)


def average(
    window: Any, count_include_pad: bool = True, divisor: int | None = None
) -> dict[str, Any]:
    kernel, stride, (top, left), _, ceil_mode = window
    top, left = min(top, kernel[0] - 1), min(left, kernel[1] - 1)
    return {
        "kernel": kernel,
        "stride": stride,
        "padding": (top, top, left, left),
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
        "divisor": divisor,
    }


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[3] == (1, 1)], ids=str)
def test_average_pool(isa: str, shape: tuple[int, ...], window: Any) -> None:
    kernel, stride, padding, _, ceil_mode = window
    x = normal(*shape)
    for include_pad, divisor in ((True, None), (False, None), (True, 7)):
        tx = torch.tensor(x, requires_grad=True)
        y = TF.avg_pool2d(tx, kernel, stride, padding, ceil_mode, include_pad, divisor)
        gy = normal(*y.shape)
        y.backward(torch.tensor(gy))
        fx = channels_last(x).requires_grad_()
        fy = ops.avg_pool2d(fx, **average(window, include_pad, divisor))
        fy.backward(channels_last(gy))
        np.testing.assert_allclose(fy.detach().numpy(), y.detach().numpy(), 1e-5, 1e-6)
        np.testing.assert_allclose(fx.grad.numpy(), tx.grad.numpy(), 1e-5, 1e-6)


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (7, 7), (12, 5)], ids=str)
def test_adaptive_pool(isa: str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    x = normal(*shape)
    tx, fx = torch.tensor(x, requires_grad=True), channels_last(x).requires_grad_()
    y = TF.adaptive_avg_pool2d(tx, size)
    gy = normal(*y.shape)
    y.backward(torch.tensor(gy))
    fy = ops.adaptive_avg_pool2d(fx, output_size=size)
    fy.backward(channels_last(gy))
    np.testing.assert_allclose(fy.detach().numpy(), y.detach().numpy(), 1e-5, 1e-6)
    np.testing.assert_allclose(fx.grad.numpy(), tx.grad.numpy(), 1e-5, 1e-6)
    y, places = TF.adaptive_max_pool2d(tx, size, True)
    fy, indices = ops.adaptive_max_pool2d(fx.detach(), output_size=size)
    np.testing.assert_array_equal(fy.numpy(), y.detach().numpy())
    np.testing.assert_array_equal(indices.numpy(), places.numpy())


def test_a_large_average_loses_no_digits() -> None:
    x = (1000 + normal(1, 8, 200, 200)).astype("f4")
    y = ops.adaptive_avg_pool2d(channels_last(x), output_size=(1, 1))
    np.testing.assert_allclose(y.numpy()[:, :, 0, 0], x.astype("f8").mean((2, 3)), 2e-6)


@pytest.mark.parametrize("shape", [(0, 4, 6, 6), (2, 0, 6, 6)], ids=str)
def test_images_without_elements(shape: tuple[int, ...]) -> None:
    x = fovea.from_numpy(np.zeros(shape, "f4")).requires_grad_()
    y = ops.max_pool2d(x, **attrs(WINDOWS[1])) + ops.avg_pool2d(x, **average(WINDOWS[1]))
    assert y.shape == (*shape[:2], 3, 3)
    y.sum().backward()
    assert x.grad.shape == shape
    assert ops.adaptive_avg_pool2d(x, output_size=(2, 1)).shape == (*shape[:2], 2, 1)


@pytest.mark.parametrize("window", WINDOWS[:6], ids=str)
def test_same_bits_for_any_number_of_threads(window: Any) -> None:
    x = channels_last(with_ties(3, 70, 40, 30))

    def run() -> tuple[fovea.Tensor, ...]:
        y = ops.max_pool2d(x, **attrs(window))
        gx = ops.max_pool2d_grad(y, x, y, **attrs(window))
        mean = ops.avg_pool2d(x, **average(window))
        return y, gx, mean, ops.adaptive_avg_pool2d(x, output_size=(1, 1))

    same_bits_for_any_thread_count(run)


def test_a_new_shape_compiles_nothing() -> None:
    def run(n: int, c: int, size: int, stride: int) -> None:
        x = channels_last(normal(n, c, size, size + 1)).requires_grad_()
        window = ((3, 3), (stride, stride), (1, 1), (1, 1), False)
        ops.max_pool2d(x, **attrs(window)).sum().backward()
        ops.avg_pool2d(x, **average(window)).sum().backward()

    run(2, 16, 8, 2)
    before = compiled()
    run(3, 33, 13, 1)
    run(1, 18, 29, 2)
    assert compiled() == before


@pytest.mark.parametrize("seed", range(25))
def test_random_windows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, 5, 2)) for _ in range(3))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    size = [int(rng.integers(r, r + 20)) for r in reach]
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 80)), *size)
    window = (kernel, stride, padding, dilation, bool(rng.integers(2)))
    x = np.round(rng.standard_normal(shape) * 3).astype("f4")
    tx = torch.tensor(x, requires_grad=True)
    y = TF.max_pool2d(tx, *window)
    gy = RNG.standard_normal(y.shape).astype("f4")
    y.backward(torch.tensor(gy))
    fx = channels_last(x).requires_grad_()
    fy = ops.max_pool2d(fx, **attrs(window))
    fy.backward(channels_last(gy))
    np.testing.assert_array_equal(fy.detach().numpy(), y.detach().numpy())
    np.testing.assert_allclose(fx.grad.numpy(), tx.grad.numpy(), 1e-5, 1e-5)
