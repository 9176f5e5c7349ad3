"""Resizing: weights sum to one, and attributes are checked. Values are tested with interpolate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops.resize import MODES, resize2d, resize2d_grad, resize_weights


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_weights(mode: str, align_corners: bool) -> None:
    for n in (1, 2, 5):
        for count in (1, 3, 8):
            index, weights = resize_weights(n, count, mode, align_corners, 0.0)
            assert index.shape == weights.shape
            assert index.min() >= 0
            assert index.max() < n
            np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-12)
            if n == count:
                same = np.zeros((n, n))
                np.add.at(same, (np.arange(n)[:, None], index), weights)
                np.testing.assert_allclose(same, np.eye(n), atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "lanczos"},
        {"output_size": (0, 2)},
        {"output_size": (2,)},
        {"output_size": (2.5, 2)},
        {"scale": (-1.0, 1.0)},
        {"scale": (float("nan"), 1.0)},
    ],
)
def test_attributes_are_checked(options: dict[str, Any]) -> None:
    attrs: dict[str, Any] = {"output_size": (2, 2), "mode": "bilinear", **options}
    with pytest.raises(FoveaError):
        resize2d(fovea.ones(1, 1, 3, 3), **attrs)


def test_gradients_must_fit() -> None:
    attrs: Any = {"output_size": (2, 2), "mode": "nearest", "align_corners": False}
    with pytest.raises(FoveaError, match="not of the output size"):
        resize2d_grad(fovea.ones(1, 1, 3, 2), **attrs, scale=(0.0, 0.0), input_size=(4, 4))
    with pytest.raises(FoveaError, match="without pixels"):
        resize2d(fovea.ones(1, 1, 0, 3), output_size=(2, 2), mode="nearest")


# -- the kernels ---------------------------------------------------------------------------------

SHAPES = [(2, 3, 7, 9), (1, 1, 5, 5), (2, 16, 6, 4), (1, 33, 5, 6), (1, 5, 1, 1), (1, 2, 1, 7)]
SIZES = [(14, 18), (3, 4), (7, 9), (1, 1), (11, 5), (30, 29)]


def laid_out(a: Any, how: str) -> Any:
    """A tensor of these values: row-major, channels-last, or a part of a larger image."""
    if how == "rows":
        return fovea.tensor(a)
    n, c, h, w = a.shape
    room = np.full((n, h + 2, w + 3, c + 2), np.nan, a.dtype)
    room[:, 1:-1, 1:-2, 1:-1] = a.transpose(0, 2, 3, 1)
    if how == "part":
        return fovea.tensor(room)[:, 1:-1, 1:-2, 1:-1].permute(0, 3, 1, 2)
    return fovea.tensor(np.ascontiguousarray(a.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_weights(shape: Any, mode: str, align: bool) -> None:
    """Two matrices, whatever the sizes, the layout and the type; gradients by their transposes."""
    rng = np.random.default_rng(0)
    for size in SIZES:
        rows, columns = (_matrix(shape[2 + d], size[d], mode, align) for d in (0, 1))
        for how, kind in (("rows", "f4"), ("last", "f8"), ("part", "f4")):
            a = rng.normal(size=shape).astype(kind)
            x = laid_out(a, how).detach().requires_grad_()
            y = resize2d(x, output_size=size, mode=mode, align_corners=align)
            assert tuple(y.shape) == (*shape[:2], *size)
            near = 1e-12 if kind == "f8" else 2e-5
            want = rows @ a.astype("f8") @ columns.T
            np.testing.assert_allclose(y.detach().numpy(), want, rtol=near, atol=near * 5)
            gy = rng.normal(size=y.shape).astype(kind)
            y.backward(laid_out(gy, how))
            want = rows.T @ gy.astype("f8") @ columns
            np.testing.assert_allclose(x.grad.numpy(), want, rtol=near, atol=near * 20)


def _matrix(n: int, count: int, mode: str, align: bool) -> Any:
    places, weights = resize_weights(n, count, mode, align, 0.0)
    found = np.zeros((count, n))
    np.add.at(found, (np.arange(count)[:, None], places), weights)
    return found


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_halves_are_rounded_once(kind: str) -> None:
    """What float32 gives, rounded."""
    dtype = getattr(fovea, kind)
    for channels in (3, 40):
        x = fovea.randn(2, channels, 9, 7).to(dtype)
        for mode in ("nearest", "bilinear", "bicubic"):
            for size in ((5, 4), (21, 30)):
                own = resize2d(x, output_size=size, mode=mode)
                wide = resize2d(x.float(), output_size=size, mode=mode)
                assert own.dtype is dtype
                assert own.tolist() == wide.to(dtype).tolist()


def test_nearest_pixels_keep_to_themselves() -> None:
    """No other pixel's NaN or infinity."""
    a = np.arange(30, dtype="f4").reshape(1, 1, 5, 6)
    a[0, 0, 2, 3], a[0, 0, 0, 0] = np.nan, np.inf
    for channels in (1, 3, 20):
        x = fovea.tensor(np.repeat(a, channels, 1))
        y = resize2d(x, output_size=(10, 12), mode="nearest").numpy()
        np.testing.assert_array_equal(y, a.repeat(2, 2).repeat(2, 3).repeat(channels, 1))


def test_pixels_that_nothing_reads_have_no_gradient() -> None:
    x = fovea.ones(1, 20, 16, 15, requires_grad=True)
    resize2d(x, output_size=(2, 3), mode="nearest").sum().backward()
    assert float(x.grad.sum()) == 6 * 20 and int((x.grad != 0).sum()) == 6 * 20


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x = fovea.randn(3, 5, 90, 80)
    threads = fovea.get_num_threads()
    found = []
    for count in (1, 2):
        fovea.set_num_threads(count)
        found += [resize2d(x, output_size=s, mode="bicubic") for s in ((200, 210), (30, 20))]
    fovea.set_num_threads(threads)
    assert (found[0] == found[2]).all() and (found[1] == found[3]).all()


def test_no_images() -> None:
    for shape, mode in (((0, 3, 4, 4), "nearest"), ((2, 0, 4, 4), "bilinear")):
        y = resize2d(fovea.ones(*shape), output_size=(2, 2), mode=mode)
        assert tuple(y.shape) == (*shape[:2], 2, 2)
