"""Convolutions that pool their results: against the two ops apart, to the bit, and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.ops.epilogue import NONE, RELU, Activation
from fovea.ops.fused import conv2d_fused
from fovea.ops.fused_conv_pool import conv2d_max_pool
from fovea.ops.pool import max_pool2d
from fovea.targets.cpu import threads
from tests.nn.oracle import rng, torch
from tests.ops.test_fused import in_torch, setting  # noqa: F401 - a fixture

F = torch.nn.functional

# images, weights, groups, stride, padding, dilation
FORMS: dict[str, tuple[Any, ...]] = {
    "one channel": ((3, 1, 12, 13), (32, 1, 3, 3), 1, 1, 0, 1),
    "one image": ((1, 3, 17, 19), (21, 3, 5, 4), 1, 1, 2, 1),
    "many steps": ((2, 24, 9, 11), (17, 24, 5, 3), 1, 1, 1, 1),
    "strided, spread": ((2, 3, 19, 23), (5, 3, 3, 2), 1, 2, 0, 2),
    "pointwise": ((2, 16, 9, 8), (33, 16, 1, 1), 1, 1, 0, 1),
    "grouped": ((2, 6, 9, 9), (12, 2, 3, 3), 3, 1, 1, 1),
    "depthwise": ((2, 37, 9, 8), (37, 1, 3, 3), 37, 1, 1, 1),
    "winograd": ((6, 32, 9, 8), (48, 32, 3, 3), 1, 1, 1, 1),
}
WINDOWS = [((2, 2), (2, 2)), ((3, 3), (3, 3)), ((1, 2), (2, 3)), ((4, 4), (4, 4)), ((1, 1), (2, 2))]


def operands(name: str, dtype: str = "float32", given: str = "bias scale inner") -> list[Any]:
    x, w, *_ = FORMS[name]
    r, kind = rng(), getattr(fovea, dtype)
    arrays = [r.standard_normal(x), r.standard_normal(w) / np.prod(w[1:]) ** 0.5]
    arrays[0][0, 0, 4, 4] = np.nan
    extras = [r.standard_normal(w[0]) if n in given else None for n in ("bias", "scale", "inner")]
    found = [None if a is None else fovea.tensor(a).to(kind) for a in (*arrays, *extras)]
    found[0] = found[0].contiguous(memory_format=fovea.channels_last)
    return found


def attrs_of(name: str, a: Activation) -> dict[str, Any]:
    _, _, groups, stride, pad, dilation = FORMS[name]
    return {
        "stride": (stride, stride), "padding": (pad,) * 4, "dilation": (dilation, dilation),
        "groups": groups, "activation": a, "residual_after": False,
    }  # fmt: skip


def check(name: str, window: Any, a: Activation = RELU, **more: Any) -> Any:
    """The same bits as from the two ops."""
    inputs, attrs, (kernel, stride) = operands(name, **more), attrs_of(name, a), window
    y = conv2d_max_pool(*inputs, **attrs, pool_kernel=kernel, pool_stride=stride)
    plain = {"padding": (0,) * 4, "dilation": (1, 1), "ceil_mode": False}
    image = conv2d_fused(*inputs[:4], None, inputs[4], **attrs)
    expected = max_pool2d(image, kernel=kernel, stride=stride, **plain)
    assert y.strides == expected.strides and y.dtype is expected.dtype
    found, wanted = y.float().numpy(), expected.float().numpy()
    assert np.isnan(wanted).any() and not np.isnan(wanted).all()
    np.testing.assert_array_equal(found, wanted)
    return y


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form(name: str, window: Any) -> None:
    check(name, window)


@pytest.mark.parametrize(
    "a", [NONE, ("hardtanh", (-0.5, 0.5)), ("silu", ()), ("leaky_relu", (-0.5,))]
)
@pytest.mark.parametrize("name", ["one channel", "winograd", "depthwise"])
def test_activations(name: str, a: Activation) -> None:
    """Also ones that do not grow with what they are given."""
    check(name, WINDOWS[0], a)
    check(name, WINDOWS[0], a, given="bias")


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", FORMS)
def test_every_element_type(name: str, dtype: str) -> None:
    check(name, WINDOWS[0], dtype=dtype)


@pytest.mark.parametrize("name", FORMS)
def test_every_vector_unit_and_bounds(name: str, setting: str) -> None:  # noqa: F811
    check(name, WINDOWS[0])
    check(name, WINDOWS[2], given="")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("window", WINDOWS[:3])
def test_torch(name: str, window: Any) -> None:
    _, _, groups, stride, pad, dilation = FORMS[name]
    x, w, b, *_ = operands(name, given="bias")
    y = check(name, window, given="bias")
    x, w, b = (torch.tensor(t.numpy()) for t in (x, w, b))
    image = in_torch(F.conv2d(x, w, b, stride, pad, dilation, groups), RELU)
    expected = F.max_pool2d(image, *window)
    found, wanted = y.numpy(), expected.numpy()
    if name == "winograd":  # whose tiles are made of more pixels: where one is NaN, all are
        known = ~np.isnan(found)
        found, wanted = found[known], wanted[known]
        assert found.size > known.size // 2
    np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_same_bits_for_any_number_of_threads(name: str) -> None:
    before, seen = threads.get_num_threads(), set()
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            seen.add(check(name, WINDOWS[0]).contiguous().numpy().tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(seen) == 1


@pytest.mark.parametrize("a", [NONE, RELU, ("hardtanh", (0.0, 6.0))])
def test_signs_of_zeros(a: Activation) -> None:
    """Every bit: where the largest is zero, the first zero's sign counts."""
    x = fovea.tensor(rng().choice([-1.0, -0.0, 0.0], (1, 1, 12, 12)), dtype=fovea.float32)
    w, b = fovea.ones(16, 1, 1, 1), -fovea.zeros(16)
    attrs = attrs_of("one channel", a)
    y = conv2d_max_pool(x, w, b, None, None, **attrs, pool_kernel=(2, 2), pool_stride=(2, 2))
    image = conv2d_fused(x, w, b, None, None, None, **attrs)
    plain = {"padding": (0,) * 4, "dilation": (1, 1), "ceil_mode": False}
    expected = max_pool2d(image, kernel=(2, 2), stride=(2, 2), **plain).numpy()
    assert len({bool(s) for s in np.signbit(expected).ravel()}) == 2
    assert y.numpy().tobytes() == expected.tobytes()


def test_no_images() -> None:
    x, w, *rest = operands("one channel")
    y = conv2d_max_pool(x[:0], w, *rest, **attrs_of("one channel", RELU))
    assert y.shape == (0, 32, 5, 5)


def test_what_is_refused() -> None:
    inputs, attrs = operands("one channel"), attrs_of("one channel", RELU)
    for kernel, stride in (((3, 3), (2, 2)), ((5, 5), (5, 5)), ((2, 12), (2, 12))):
        with pytest.raises(ArgumentError, match="windows must be small and lie apart"):
            conv2d_max_pool(*inputs, **attrs, pool_kernel=kernel, pool_stride=stride)
    with pytest.raises(ArgumentError, match="to which nothing is added"):
        conv2d_max_pool(*inputs, **{**attrs, "residual_after": True})
