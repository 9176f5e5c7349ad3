"""Convolutions that return their channels' moments: against NumPy on the convolution's result."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops.conv import conv2d
from fovea.ops.fused import conv2d_moments
from fovea.targets.cpu import threads
from tests.nn.oracle import rng
from tests.ops.test_fused import FORMS, Form
from tests.targets.cpu.kernel_cases import channels_last, isa  # noqa: F401

EPS = 1e-3
TOLERANCE = {"float64": 1e-11, "float32": 3e-6, "bfloat16": 3e-6, "float16": 3e-6}
MANY = {  # cut into many parts, the last of which are smaller
    "rows": Form((3, 24, 41, 40), (33, 24, 1, 1)),
    "images": Form((37, 20, 5, 5), (20, 20, 3, 3), stride=(2, 2)),
    "tiles": Form((9, 32, 21, 22), (24, 32, 3, 3)),
    "slabs": Form((3, 272, 13, 13), (288, 272, 3, 3)),  # of outputs, in Winograd form
    "channels": Form((5, 130, 12, 12), (130, 1, 3, 3), groups=130),
    "planes": Form((5, 40, 21, 20), (40, 8, 3, 3), groups=5),
}


def operands(f: Form, dtype: str, shift: float = 0.0) -> list[fovea.Tensor]:
    r, kind = rng(), getattr(fovea, dtype)
    x = channels_last(r.standard_normal(f.x)).to(kind)
    w = fovea.tensor(r.standard_normal(f.w) / np.prod(f.w[1:]) ** 0.5).to(kind)
    return [x, w, fovea.tensor(r.standard_normal(f.w[0]) + shift).to(kind)]


def check(f: Form, dtype: str = "float32", shift: float = 0.0) -> None:
    x, w, b = operands(f, dtype, shift)
    found, mean, rstd, var = conv2d_moments(x, w, b, **f.attrs, eps=EPS)
    y = conv2d(x, w, b, **f.attrs)
    np.testing.assert_array_equal(found.double().numpy(), y.double().numpy())
    assert found.strides == y.strides
    wide, tolerance = y.double().numpy(), TOLERANCE[dtype]
    exact = wide.mean((0, 2, 3)), wide.var((0, 2, 3))
    np.testing.assert_allclose(mean.numpy(), exact[0], rtol=tolerance, atol=tolerance)
    # The sums of a part are about its first pixel; what mean and that differ by is not lost.
    np.testing.assert_allclose(var.numpy(), exact[1], rtol=5 * tolerance, atol=tolerance)
    np.testing.assert_allclose(rstd.numpy(), 1 / np.sqrt(exact[1] + EPS), rtol=5 * tolerance)
    assert mean.dtype is (fovea.float64 if dtype == "float64" else fovea.float32)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_and_element_type(name: str, dtype: str) -> None:
    check(FORMS[name], dtype)


@pytest.mark.parametrize("name", MANY)
def test_many_parts(name: str) -> None:
    check(MANY[name])


@pytest.mark.parametrize("name", FORMS)
def test_every_vector_unit_and_bounds(name: str, isa: str) -> None:  # noqa: F811
    check(FORMS[name])


@pytest.mark.parametrize("name", ["rows", "tiles", "channels"])
def test_large_means_keep_their_variance(name: str) -> None:
    """The mean of squares minus the square of the mean would lose it: 1e8 beside 1."""
    f = MANY[name]
    x, w, b = operands(f, "float32", 1e4)
    y, mean, _, var = conv2d_moments(x, w, b, **f.attrs, eps=EPS)
    wide = y.double().numpy()
    np.testing.assert_allclose(mean.numpy(), wide.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), wide.var((0, 2, 3)), rtol=2e-3)


def test_a_first_pixel_that_is_infinite_spoils_its_channel_alone() -> None:
    f = FORMS["depthwise"]
    x, w, b = operands(f, "float32")
    x = x.clone()
    x[0, 3, 0, 0] = float("inf")
    _, mean, _, var = conv2d_moments(x, w, b, **f.attrs, eps=EPS)
    bad = [c for c in range(f.w[0]) if not np.isfinite(mean.numpy()[c] + var.numpy()[c])]
    assert bad == [3]


def test_same_bits_for_any_number_of_threads() -> None:
    before, seen = threads.get_num_threads(), set()
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            bits = []
            for f in (*FORMS.values(), *MANY.values()):
                results = conv2d_moments(*operands(f, "float32"), **f.attrs, eps=EPS)
                bits += [t.contiguous().numpy().tobytes() for t in results]
            seen.add(tuple(bits))
    finally:
        threads.set_num_threads(before)
    assert len(seen) == 1


def test_refusals() -> None:
    f = FORMS["direct"]
    x, w, b = operands(f, "float32")
    with pytest.raises(FoveaError, match="bias has shape"):
        conv2d_moments(x, w, b[1:], **f.attrs)
    with pytest.raises(FoveaError, match="channels, weight expects"):
        conv2d_moments(x[:, :2], w, b, **f.attrs)
