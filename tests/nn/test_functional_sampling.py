"""Sampling and folding against PyTorch, beyond its table of cases: grids, columns and back, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as T

import fovea
import fovea.nn.functional as F
from fovea.autograd import gradcheck
from fovea.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_a_turned_image(mode: str, padding: str, align: bool) -> None:
    image = RNG.normal(size=(2, 3, 5, 7)).astype("f4")
    theta = np.array([[[0.9, 0.5, 0.13], [-0.4, 1.3, -0.23]]] * 2, "f4")
    results, grads = [], []
    for lib, f in ((fovea, F), (torch, T)):
        lib_any: Any = lib
        x = lib_any.tensor(image, requires_grad=True)
        t = lib_any.tensor(theta, requires_grad=True)
        grid = f.affine_grid(t, (2, 3, 4, 6), align_corners=align)
        y = f.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=align)
        (y * y).sum().backward()
        results.append(y.detach().numpy())
        grads.append((x.grad.numpy(), None if t.grad is None else t.grad.numpy()))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[0][0], grads[1][0], rtol=1e-4, atol=1e-4)
    if mode != "nearest":
        np.testing.assert_allclose(grads[0][1], grads[1][1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), ((2, 1), 1, 2), (3, (0, 2), 1)]
)
def test_columns_and_back(stride: Any, padding: Any, dilation: Any) -> None:
    image = RNG.normal(size=(2, 3, 9, 8))
    ours = F.unfold(fovea.tensor(image), (2, 3), dilation, padding, stride)
    theirs = T.unfold(torch.tensor(image), (2, 3), dilation, padding, stride)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    back = F.fold(ours, (9, 8), (2, 3), dilation, padding, stride)
    expected = T.fold(theirs, (9, 8), (2, 3), dilation, padding, stride)
    np.testing.assert_allclose(back.numpy(), expected.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(
        F.fold(ours[0], (9, 8), (2, 3), dilation, padding, stride).numpy(), back[0].numpy()
    )


def test_gradients_by_differences() -> None:
    x = fovea.tensor(RNG.normal(size=(1, 2, 4, 5)), requires_grad=True)
    grid = fovea.tensor(RNG.uniform(-0.9, 0.9, (1, 2, 3, 2)), requires_grad=True)
    assert gradcheck(lambda a, g: F.grid_sample(a, g, align_corners=False), (x, grid))
    assert gradcheck(lambda a, g: F.grid_sample(a, g, "bicubic", "border", True), (x, grid))
    assert gradcheck(lambda a: F.unfold(a, 2, padding=1, stride=2), (x,))
    assert gradcheck(lambda a: F.fold(a.reshape(1, 8, 5)[:, :, :4], (3, 3), 2), (x,))


def test_captured() -> None:
    program = fovea.compile(lambda x, g: F.grid_sample(x, g, align_corners=False), strict=True)
    for _ in range(2):
        x, grid = (
            fovea.tensor(RNG.normal(size=(1, 2, 4, 5))),
            fovea.tensor(RNG.uniform(-1, 1, (1, 3, 3, 2))),
        )
        np.testing.assert_allclose(
            program(x, grid).numpy(), F.grid_sample(x, grid, align_corners=False).numpy()
        )


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_turned_volume(mode: str, padding: str, align: bool) -> None:
    volume = RNG.normal(size=(2, 3, 4, 5, 6)).astype("f4")
    theta = np.array([[[0.9, 0.5, 0.1, 0.13], [-0.4, 1.3, 0.2, -0.2], [0.3, -0.1, 1.1, 0.05]]] * 2)
    results, grads = [], []
    for lib, f in ((fovea, F), (torch, T)):
        lib_any: Any = lib
        x = lib_any.tensor(volume, requires_grad=True)
        t = lib_any.tensor(theta.astype("f4"), requires_grad=True)
        grid = f.affine_grid(t, (2, 3, 3, 4, 7), align_corners=align)
        y = f.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=align)
        (y * y).sum().backward()
        results.append(y.detach().numpy())
        grads.append((x.grad.numpy(), None if t.grad is None else t.grad.numpy()))
    assert results[0].shape == (2, 3, 3, 4, 7)
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[0][0], grads[1][0], rtol=1e-4, atol=1e-4)
    if mode != "nearest":
        np.testing.assert_allclose(grads[0][1], grads[1][1], rtol=1e-3, atol=1e-3)


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="of a volume"):
        F.grid_sample(fovea.ones(1, 1, 2, 2, 2), fovea.ones(1, 1, 1, 1, 3), "bicubic")
    with pytest.raises(ShapeError, match="grid"):
        F.grid_sample(fovea.ones(1, 1, 2, 2), fovea.ones(1, 2, 2, 3))
    with pytest.raises(ArgumentError, match="mode"):
        F.grid_sample(fovea.ones(1, 1, 2, 2), fovea.ones(1, 2, 2, 2), "cubic")
    with pytest.raises(ShapeError, match="theta"):
        F.affine_grid(fovea.ones(2, 2, 3), (1, 1, 2, 2))
    with pytest.raises(ShapeError, match="windows"):
        F.fold(fovea.ones(1, 8, 5), (3, 3), 2)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 5), (7, 4), (13, 20), (1, 1), (7, 9)])
def test_filters_that_cover_a_pixel(mode: str, align: bool, size: tuple[int, int]) -> None:
    image = RNG.normal(size=(2, 3, 7, 9))
    ours = fovea.tensor(image, requires_grad=True)
    theirs = torch.tensor(image, requires_grad=True)
    a = F.interpolate(ours, size, mode=mode, align_corners=align, antialias=True)
    b = T.interpolate(theirs, size, mode=mode, align_corners=align, antialias=True)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-8)
    (a * a).sum().backward()
    (b * b).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-6, atol=1e-8)


def test_antialias_by_a_factor() -> None:
    image = RNG.normal(size=(1, 2, 10, 11))
    for factor in (0.5, 0.37, 1.6):
        a = F.interpolate(fovea.tensor(image), scale_factor=factor, mode="bilinear", antialias=True)
        b = T.interpolate(torch.tensor(image), scale_factor=factor, mode="bilinear", antialias=True)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-8)
    with pytest.raises(ArgumentError, match="antialias"):
        F.interpolate(fovea.tensor(image), scale_factor=0.5, mode="nearest", antialias=True)
