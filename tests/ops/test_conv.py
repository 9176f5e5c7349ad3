"""Convolution ops: what only the op level has (padding on each side, the gradients as ops)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from fovea.ops.windows import window_count
from tests.nn.oracle import rng, torch

PLAIN: dict[str, Any] = {
    "stride": (1, 1),
    "padding": (0, 0, 0, 0),
    "dilation": (1, 1),
    "groups": 1,
}
CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 6, 7), (4, 3, 3, 3), {"padding": (0, 1, 2, 0)}),
    ((1, 4, 7, 8), (6, 2, 3, 2), {"padding": (1, 0, 0, 3), "stride": (2, 3), "groups": 2}),
    ((1, 4, 9, 8), (4, 1, 3, 3), {"padding": (2, 1, 1, 2), "dilation": (2, 1), "groups": 4}),
    ((1, 2, 5, 5), (3, 2, 2, 2), {"stride": (3, 3)}),  # the last rows are never read
]


def padded(x: Any, padding: tuple[int, ...]) -> Any:
    top, bottom, left, right = padding
    return torch.nn.functional.pad(x, (left, right, top, bottom))


@pytest.mark.parametrize(("x", "w", "options"), CASES)
def test_gradients_are_pytorchs(x: Any, w: Any, options: dict[str, Any]) -> None:
    attrs = {**PLAIN, **options}
    r = rng()
    image, weight = r.standard_normal(x), r.standard_normal(w)
    tx, tw = torch.tensor(image).requires_grad_(), torch.tensor(weight).requires_grad_()
    y = torch.nn.functional.conv2d(
        padded(tx, attrs["padding"]),
        tw,
        stride=attrs["stride"],
        dilation=attrs["dilation"],
        groups=attrs["groups"],
    )
    gy = r.standard_normal(tuple(y.shape))
    y.backward(torch.tensor(gy))
    ours = conv2d(fovea.tensor(image), fovea.tensor(weight), None, **attrs)
    np.testing.assert_allclose(ours.numpy(), y.detach().numpy(), rtol=1e-10, atol=1e-11)
    gx = conv2d_input_grad(fovea.tensor(gy), fovea.tensor(weight), **attrs, input_size=x[2:])
    np.testing.assert_allclose(gx.numpy(), tx.grad.numpy(), rtol=1e-10, atol=1e-11)
    gw = conv2d_weight_grad(fovea.tensor(gy), fovea.tensor(image), **attrs, kernel=w[2:])
    np.testing.assert_allclose(gw.numpy(), tw.grad.numpy(), rtol=1e-10, atol=1e-11)
    _, c, height, width = x
    assert gx.strides == (c * height * width, 1, width * c, c)
    assert gw.is_contiguous()


HOSTILE: list[dict[str, Any]] = [
    {"stride": (0, 1)},
    {"stride": (1,)},
    {"stride": (1, -2)},
    {"stride": (1, 2**40)},
    {"stride": (1.5, 1)},
    {"padding": (0, 0, 0)},
    {"padding": (-1, 0, 0, 0)},
    {"dilation": (0, 1)},
    {"dilation": (2**31 - 1, 1)},
    {"groups": 0},
    {"groups": 3},
    {"groups": "2"},
]


@pytest.mark.parametrize("options", HOSTILE)
def test_attributes_are_checked(options: dict[str, Any]) -> None:
    x, w = fovea.ones(1, 4, 5, 5), fovea.ones(4, 4, 2, 2)
    with pytest.raises(FoveaError):
        conv2d(x, w, None, **{**PLAIN, **options})
    with pytest.raises(FoveaError):
        conv2d_input_grad(x, w, **{**PLAIN, **options}, input_size=(6, 6))
    with pytest.raises(FoveaError):
        conv2d_weight_grad(x, fovea.ones(1, 4, 6, 6), **{**PLAIN, **options}, kernel=(2, 2))


def test_sizes_must_belong_together() -> None:
    gy, w = fovea.ones(1, 4, 5, 5), fovea.ones(4, 3, 2, 2)
    with pytest.raises(FoveaError, match="gives an output of 6 x 6, but gy is 5 x 5"):
        conv2d_input_grad(gy, w, **PLAIN, input_size=(7, 7))
    with pytest.raises(FoveaError, match="input_size must be two integers"):
        conv2d_input_grad(gy, w, **PLAIN, input_size=(6, -6))
    with pytest.raises(FoveaError, match="different numbers of images"):
        conv2d_weight_grad(gy, fovea.ones(2, 3, 6, 6), **PLAIN, kernel=(2, 2))
    with pytest.raises(FoveaError, match="bias must have shape"):
        conv2d(fovea.ones(1, 3, 5, 5), w, fovea.ones(3), **PLAIN)
    with pytest.raises(FoveaError, match="weight must have 4 dimensions"):
        conv2d(fovea.ones(1, 3, 5, 5), fovea.ones(4, 3, 2), None, **PLAIN)


def test_window_count_is_the_number_of_windows() -> None:
    """Against counting, for every small combination."""
    for size in range(1, 7):
        for kernel in range(1, 4):
            for stride in range(1, 4):
                for before, after in ((0, 0), (1, 0), (1, 1)):
                    for dilation in (1, 2):
                        starts = range(-before, size + after - dilation * (kernel - 1), stride)
                        count = window_count(size, kernel, stride, before, after, dilation)
                        assert max(count, 0) == len(starts)
