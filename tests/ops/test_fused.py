"""Fused convolutions: against PyTorch's separate steps, in every form, type and vector unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops import activation, elementwise
from fovea.ops.conv import conv2d
from fovea.ops.epilogue import ACTIVATIONS, NONE, RELU, Activation, activation_of
from fovea.ops.fused import conv2d_fused
from fovea.ops.op import REGISTRY
from fovea.targets.cpu import threads
from tests.nn.oracle import Array, rng, torch

F = torch.nn.functional
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "gelu": ("none",), "hardtanh": (0.0, 6.0), "leaky_relu": (0.1,), "elu": (0.9, 1.1, 1.2),
    "softplus": (1.5, 20.0),
}  # fmt: skip
ALL: list[Activation] = [NONE, *((n, PARAMETERS.get(n, ())) for n in ACTIVATIONS)]
TOLERANCE = {"float64": 1e-12, "float32": 5e-6, "bfloat16": 6e-3, "float16": 1e-3}


def in_torch(y: Any, a: Activation) -> Any:
    """PyTorch's function for an activation."""
    name, values = a
    if name == "none":
        return y
    if name == "elu":
        alpha, scale, inner = values
        return torch.where(y > 0, y * scale, scale * alpha * torch.expm1(y * inner))
    return (
        getattr(F if hasattr(F, name) else torch, name)(
            y, **{"gelu": {"approximate": values[0]} if values else {}}.get(name, {})
        )
        if name in ("gelu", "relu", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid", "mish")
        else getattr(F, name)(y, *values)
    )


@dataclass(frozen=True)
class Form:
    """A convolution that takes one of the forms that there are."""

    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    groups: int = 1
    stride: tuple[int, int] = (1, 1)

    @property
    def attrs(self) -> dict[str, Any]:
        pad = (self.w[2] // 2, self.w[2] // 2, self.w[3] // 2, self.w[3] // 2)
        return {"stride": self.stride, "padding": pad, "dilation": (1, 1), "groups": self.groups}


FORMS = {
    "winograd": Form((6, 32, 9, 8), (48, 32, 3, 3)),
    "direct": Form((2, 5, 9, 8), (21, 5, 3, 3), stride=(2, 1)),
    "in place": Form((2, 24, 7, 7), (32, 24, 1, 1)),
    "grouped": Form((2, 8, 9, 9), (12, 2, 3, 3), groups=4),
    "groups of two": Form((2, 38, 9, 8), (38, 2, 3, 3), groups=19),
    "groups of four": Form((2, 40, 7, 15), (40, 4, 3, 3), stride=(1, 2), groups=10),
    "groups of eight": Form((2, 24, 9, 9), (24, 8, 3, 3), stride=(2, 2), groups=3),
    "depthwise": Form((2, 37, 7, 8), (37, 1, 3, 3), groups=37),
}


@dataclass
class Data:
    """Operands of a form in float64, and what PyTorch makes of them."""

    form: Form
    dtype: str = "float32"
    after: bool = False
    given: str = "bias scale residual inner"

    def __post_init__(self) -> None:
        r, f = rng(), self.form
        rounded = lambda a: fovea.tensor(a).to(getattr(fovea, self.dtype)).double().numpy()  # noqa: E731
        self.x = rounded(r.standard_normal(f.x))
        self.w = rounded(r.standard_normal(f.w) / np.prod(f.w[1:]) ** 0.5)
        plain = F.conv2d(*map(torch.tensor, (self.x, self.w)), stride=f.stride,
                         padding=f.attrs["padding"][::2], groups=f.groups)  # fmt: skip
        self.plain = plain
        vector = (f.w[0],)
        shapes = {"bias": vector, "scale": vector, "residual": tuple(plain.shape), "inner": vector}
        self.extras = [
            rounded(r.standard_normal(s)) if n in self.given else None for n, s in shapes.items()
        ]

    def ours(self, a: Activation) -> fovea.Tensor:
        kind = getattr(fovea, self.dtype)
        inputs = [
            None if t is None else fovea.tensor(t).to(kind) for t in (self.x, self.w, *self.extras)
        ]
        return conv2d_fused(*inputs, **self.form.attrs, activation=a, residual_after=self.after)

    def exact(self, a: Activation) -> Array:
        given = (None if t is None else torch.tensor(t) for t in self.extras)
        bias, scale, residual, inner = given
        y = self.plain if inner is None else self.plain + inner[:, None, None]
        y = y if scale is None else y * scale[:, None, None]
        y = y if bias is None else y + bias[:, None, None]
        y = y if residual is None or self.after else y + residual
        y = in_torch(y, a)
        return (y + residual if residual is not None and self.after else y).numpy()

    def check(self, a: Activation = RELU) -> None:
        y, exact = self.ours(a), self.exact(a)
        assert y.dtype is getattr(fovea, self.dtype)
        _, c, h, w = y.shape
        assert y.strides == (c * h * w, 1, w * c, c)
        error = np.linalg.norm(y.double().numpy() - exact) / np.linalg.norm(exact)
        assert error < TOLERANCE[self.dtype]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("a", [NONE, RELU, ("silu", ())], ids=lambda a: a[0])
@pytest.mark.parametrize("after", [False, True])
def test_every_form(name: str, a: Activation, after: bool) -> None:
    Data(FORMS[name], after=after).check(a)


@pytest.mark.parametrize("a", ALL, ids=lambda a: a[0])
@pytest.mark.parametrize("name", ["winograd", "direct"])
def test_every_activation(name: str, a: Activation) -> None:
    Data(FORMS[name]).check(a)


GIVEN = ["", "bias", "scale", "residual", "bias residual", "bias scale"]


@pytest.mark.parametrize("given", [*GIVEN, *(f"{given} inner" for given in GIVEN)])
@pytest.mark.parametrize("name", ["winograd", "in place", "depthwise"])
def test_what_is_left_out(name: str, given: str) -> None:
    Data(FORMS[name], given=given).check()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", FORMS)
def test_every_element_type(name: str, dtype: str) -> None:
    Data(FORMS[name], dtype).check()
    Data(FORMS[name], dtype).check(("tanh", ()))


@pytest.fixture(params=["generic", "avx512", "checked"])
def setting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another vector unit, or bounds checks; plans of one setting are not for the next."""
    if request.param == "checked":
        monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    else:
        monkeypatch.setenv("FOVEA_CPU_ISA", request.param)
    forget_plans()
    yield request.param
    forget_plans()


def forget_plans() -> None:
    for op in REGISTRY.values():
        op.plans.clear()


@pytest.mark.parametrize("name", FORMS)
def test_every_vector_unit_and_bounds(name: str, setting: str) -> None:
    Data(FORMS[name]).check()
    Data(FORMS[name], "bfloat16", after=True).check(("gelu", ("none",)))


@pytest.mark.parametrize("name", FORMS)
def test_same_bits_for_any_number_of_threads(name: str) -> None:
    d, before, seen = Data(FORMS[name]), threads.get_num_threads(), set()
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            seen.add(d.ours(("silu", ())).contiguous().numpy().tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(seen) == 1


def test_vectors_of_half_precision_may_be_float32() -> None:
    d = Data(FORMS["direct"], "bfloat16")
    x, w = (fovea.tensor(a).bfloat16() for a in (d.x, d.w))
    bias, scale, residual, inner = (fovea.tensor(a).float() for a in d.extras)
    extras = (bias, scale, residual.bfloat16(), inner)
    y = conv2d_fused(x, w, *extras, **d.form.attrs, activation=RELU)
    np.testing.assert_array_equal(y.float().numpy(), d.ours(RELU).float().numpy())


def test_nothing_to_finish_is_a_convolution() -> None:
    d = Data(FORMS["direct"], given="bias")
    x, w, b = (fovea.tensor(a).float() for a in (d.x, d.w, d.extras[0]))
    y = conv2d(x, w, b, **d.form.attrs)
    np.testing.assert_array_equal(d.ours(NONE).numpy(), y.numpy())
    np.testing.assert_array_equal(d.ours(RELU).numpy(), y.relu().numpy())
    np.testing.assert_array_equal(d.ours(("mish", ())).numpy(), F_mish(y).numpy())


def F_mish(y: fovea.Tensor) -> fovea.Tensor:  # noqa: N802
    return activation.mish(y)


def test_activations_have_the_attributes_of_their_ops() -> None:
    assert activation_of(elementwise.relu) == RELU
    assert activation_of(elementwise.exp) is None
    slope = activation.SlopeAttrs.of(0.25)
    assert activation_of(activation.leaky_relu, slope) == ("leaky_relu", (0.25,))


def test_refusals() -> None:
    d = Data(FORMS["direct"])
    x, w, b, s, r, i = (fovea.tensor(a).float() for a in (d.x, d.w, *d.extras))
    attrs = d.form.attrs
    with pytest.raises(FoveaError, match="is no activation; known are none, elu"):
        conv2d_fused(x, w, b, s, r, i, **attrs, activation=("cube", ()))
    with pytest.raises(FoveaError, match="hardtanh takes 2 attributes"):
        conv2d_fused(x, w, b, s, r, i, **attrs, activation=("hardtanh", (1.0,)))
    with pytest.raises(FoveaError, match="must have the result's shape"):
        conv2d_fused(x, w, b, s, r[:, :3], i, **attrs)
    with pytest.raises(FoveaError, match="residual is float64 but the result is float32"):
        conv2d_fused(x, w, b, s, r.double(), i, **attrs)
    with pytest.raises(FoveaError, match="scale has shape"):
        conv2d_fused(x, w, b, s[1:], r, i, **attrs)
    with pytest.raises(FoveaError, match="bias is float16 but x is float32"):
        conv2d_fused(x, w, b.half(), s, r, i, **attrs)
    with pytest.raises(FoveaError, match="inner has shape"):
        conv2d_fused(x, w, b, s, r, i[1:], **attrs)
