"""Images read between their pixels: the kernel against the reference, whatever the layout, the type
and the places. Values and gradients of the op itself are in the table of cases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError, ShapeError
from fovea.ops.sampling import GRIDS, MODES, OUTSIDE, SampleAttrs, sample2d, sample2d_grad

RNG = np.random.default_rng(8)
SHAPES = [(2, 3, 7, 9), (1, 1, 5, 5), (2, 16, 6, 4), (1, 33, 5, 6), (3, 5, 1, 1), (1, 4, 1, 7)]


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


def expected(x: Any, places: Any, attrs: SampleAttrs) -> Any:
    return sample2d.reference_rule(x, places, attrs)  # type: ignore[misc]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("shape", SHAPES)
def test_values(shape: Any, mode: str, outside: str) -> None:
    rng = np.random.default_rng(0)
    n, _, h, w = shape
    x = rng.normal(size=shape).astype("f4")
    for size in ((1, 1), (9, 11), (3, 70)):  # less than a vector, a few, more than a table
        places = rng.uniform(-3 * w, 4 * w, (n, *size, 2)).astype("f4")
        places[:, ::2] = rng.uniform(-1.5, max(h, w) + 0.5, places[:, ::2].shape)
        attrs = SampleAttrs.of(mode, outside, "pixels", 0.25)
        for how in ("rows", "last", "part"):
            found = sample2d.bind((laid_out(x, how), fovea.tensor(places)), attrs)
            np.testing.assert_allclose(
                found.numpy(), expected(x, places, attrs), rtol=1e-4, atol=2e-5
            )
        turned = fovea.tensor(np.ascontiguousarray(places.transpose(3, 0, 1, 2)))
        found = sample2d.bind((fovea.tensor(x), turned.permute(1, 2, 3, 0)), attrs)
        np.testing.assert_allclose(found.numpy(), expected(x, places, attrs), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("places", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_types(dtype: str, places: str, grid: str) -> None:
    rng = np.random.default_rng(1)
    x = fovea.tensor(rng.normal(size=(2, 3, 6, 5))).to(getattr(fovea, dtype))
    at = (
        rng.uniform(-1.2, 1.2, (2, 4, 5, 2))
        if grid != "pixels"
        else rng.uniform(-2, 7, (2, 4, 5, 2))
    )
    at = at.astype(places)
    attrs = SampleAttrs.of("bilinear", "constant", grid, -1.5)
    found = sample2d.bind((x, fovea.tensor(at)), attrs)
    assert found.dtype is x.dtype
    wide = expected(x.double().numpy(), at.astype("f8"), attrs)
    close = {"float64": 1e-6 if places == "float32" else 1e-12, "float32": 1e-5}.get(dtype, 2e-2)
    np.testing.assert_allclose(found.double().numpy(), wide, rtol=close, atol=close)


def test_nothing_reaches_where_nothing_is_read() -> None:
    """Pixels that are not finite stay where they are; places that are not are far outside."""
    x = np.ones((1, 2, 4, 4), np.float32)
    x[0, :, 0, 0] = np.nan
    x[0, :, 3, 3] = np.inf
    places = np.array([[[[-5, -5], [9, 9], [1.5, 1.5], [np.nan, 2.0]]]], np.float32)
    for mode in MODES:
        y = sample2d(fovea.tensor(x), fovea.tensor(places), mode=mode, outside="constant")
        assert y[0].tolist() == [[[0.0, 0.0, 1.0, 0.0]]] * 2
    far = fovea.tensor([[[[np.inf, -np.inf], [1e30, 0.0]]]])
    y = sample2d(fovea.tensor(x), far, mode="bilinear", outside="border")
    assert y.shape == (1, 2, 1, 2) and y[0, 0].tolist() == [[1.0, 1.0]]


def test_no_pixels_and_refusals() -> None:
    at = fovea.zeros(2, 0, 3, 2)
    y = sample2d(fovea.ones(2, 3, 4, 4), at, mode="nearest", outside="wrap")
    assert y.shape == (2, 3, 0, 3)
    y = sample2d(fovea.ones(0, 3, 4, 4), at[:0], mode="nearest", outside="wrap")
    assert y.shape == (0, 3, 0, 3)
    good: dict[str, Any] = {"mode": "bilinear", "outside": "border"}
    for x, places, options in (
        (fovea.ones(1, 1, 2, 2), fovea.zeros(1, 1, 1, 2), {"mode": "bicubic"}),
        (fovea.ones(1, 1, 2, 2), fovea.zeros(1, 1, 1, 2), {"outside": "zeros"}),
        (fovea.ones(1, 1, 2, 2), fovea.zeros(1, 1, 1, 2), {"grid": "middle"}),
        (fovea.ones(1, 1, 2, 2), fovea.zeros(1, 1, 1, 3), {}),
        (fovea.ones(1, 1, 2, 2), fovea.zeros(2, 1, 1, 2), {}),
        (fovea.ones(1, 1, 0, 2), fovea.zeros(1, 1, 1, 2), {}),
        (fovea.ones(1, 1, 2, 2), fovea.zeros(1, 1, 1, 2).int(), {}),
        (fovea.ones(1, 1, 2, 2).int(), fovea.zeros(1, 1, 1, 2), {}),
    ):
        with pytest.raises(FoveaError):
            sample2d(x, places, **{**good, **options})


def test_threads_agree() -> None:
    x, places = fovea.rand(3, 5, 40, 50), fovea.rand(3, 90, 70, 2) * 60 - 5
    before, found = fovea.get_num_threads(), []
    try:
        for count in (1, 2):
            fovea.set_num_threads(count)
            found.append(sample2d(x, places, mode="bilinear", outside="mirror").numpy())
    finally:
        fovea.set_num_threads(before)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("channels", [1, 3, 17, 40])
@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_those_of_the_definition(mode: str, outside: str, channels: int) -> None:
    for n, kind in enumerate(("float32", "float64", "bfloat16")):
        grid = GRIDS[n]
        a = SampleAttrs.of(mode, outside, grid, 0.5)
        wide = (-3, 9) if grid == "pixels" else (-1.6, 1.6)
        x = fovea.tensor(RNG.standard_normal((2, channels, 5, 6))).to(getattr(fovea, kind))
        at = fovea.tensor(RNG.uniform(*wide, (2, 7, 9, 2)), dtype=fovea.float64 if n else None)
        at = at.float() if not n else at
        gy = fovea.tensor(RNG.standard_normal((2, channels, 7, 9))).to(getattr(fovea, kind))
        found = sample2d_grad.bind((gy, x, at), a)
        wanted = sample2d_grad.decomposition(gy.double(), x.double(), at.double(), a)  # type: ignore[misc]
        for got, expected, exact in zip(found, wanted, (x.dtype, at.dtype), strict=True):
            assert got.dtype is exact and got.shape == expected.shape
            close = {"float32": 2e-5, "float64": 1e-12, "bfloat16": 0.06}[kind]
            scale = float(expected.abs().max()) + 1
            assert float((got.double() - expected).abs().max()) <= close * scale


def test_gradients_of_other_layouts_and_any_number_of_threads() -> None:
    a = SampleAttrs.of("bilinear", "constant", "corners", 0.0)
    x = fovea.tensor(RNG.standard_normal((6, 8, 20, 24)), dtype=fovea.float32)
    at = fovea.tensor(RNG.uniform(-1.2, 1.2, (6, 30, 30, 2)), dtype=fovea.float32)
    gy = fovea.tensor(RNG.standard_normal((6, 8, 30, 30)), dtype=fovea.float32)
    expected = sample2d_grad.bind((gy, x, at), a)
    turned = sample2d_grad.bind(
        (gy.contiguous(memory_format="channels_last"), x[..., ::1].transpose(2, 3).clone().mT, at),
        a,
    )
    before = fovea.get_num_threads()
    try:
        fovea.set_num_threads(2)
        several = sample2d_grad.bind((gy, x, at), a)
    finally:
        fovea.set_num_threads(before)
    for others in (turned, several):
        assert all(fovea.equal(p, q) for p, q in zip(others, expected, strict=True))


def test_second_gradients() -> None:
    x = fovea.tensor(RNG.standard_normal((1, 2, 4, 5)), requires_grad=True)
    at = fovea.tensor(RNG.uniform(-0.9, 0.9, (1, 3, 3, 2)), requires_grad=True)
    a = SampleAttrs.of("bilinear", "border", "edges", 0.0)
    assert fovea.autograd.gradcheck(lambda *t: sample2d.bind(t, a), (x, at))
    assert fovea.autograd.gradgradcheck(lambda *t: sample2d.bind(t, a), (x, at))


def test_gradients_do_not_fit() -> None:
    a = SampleAttrs.of("bilinear", "border", "edges", 0.0)
    with pytest.raises(ShapeError, match="gy must have the shape"):
        sample2d_grad.bind(
            (fovea.ones(1, 2, 3, 4), fovea.ones(1, 2, 4, 4), fovea.ones(1, 3, 3, 2)), a
        )
