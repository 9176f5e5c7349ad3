"""Convolution and both gradients against their NumPy definition: geometry, layouts, types."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from fovea.ops import conv as ops
from fovea.ops.epilogue import RELU
from fovea.targets.cpu import schedule, threads
from fovea.targets.cpu.conv import (
    ConvParams,
    DirectForm,
    form_of,
    forward_correlation,
    plan_conv2d,
    plan_conv2d_input_grad,
)
from fovea.targets.cpu.conv_weight_grad import plan_conv2d_weight_grad
from fovea.targets.cpu.isa import NAMES, active
from fovea.targets.cpu.views import View
from tests.targets.cpu.programs import Array, close, numpy_type, poisoned, run, view_of

LAYOUTS = ("channels_last", "planes", "gaps")


@dataclass(frozen=True)
class Case:
    """A convolution: (images, channels, height, width), output channels, kernel, parameters."""

    x: tuple[int, int, int, int]
    outputs: int
    kernel: tuple[int, int]
    p: ConvParams = field(default_factory=ConvParams)

    def __str__(self) -> str:
        p = self.p
        return f"{self.x}-{self.outputs}-{self.kernel}-{p.stride}{p.padding}{p.dilation}{p.groups}"


def same(n: int) -> tuple[int, int, int, int]:
    return (n, n, n, n)


CASES = [
    Case((1, 1, 5, 5), 1, (3, 3)),
    Case((2, 3, 9, 8), 5, (3, 3), ConvParams(padding=same(1))),
    Case((3, 16, 7, 7), 32, (3, 3), ConvParams(padding=same(1))),
    Case((2, 8, 12, 11), 20, (3, 3), ConvParams((2, 2), same(1))),
    Case((2, 8, 12, 11), 20, (3, 3), ConvParams((2, 2), (0, 1, 0, 1))),
    Case((2, 6, 13, 13), 9, (5, 3), ConvParams((3, 2), (2, 1, 0, 3), (2, 1))),
    Case((2, 9, 14, 14), 6, (3, 3), ConvParams((2, 2), same(2), (2, 2))),
    Case((1, 4, 17, 17), 6, (3, 3), ConvParams((3, 3), same(2), (2, 2))),
    Case((2, 8, 9, 9), 12, (3, 3), ConvParams(padding=same(1), groups=4)),
    Case((2, 6, 10, 10), 6, (3, 3), ConvParams(padding=same(1), groups=6)),
    Case((2, 6, 11, 10), 12, (3, 3), ConvParams((2, 2), same(1), groups=6)),
    Case((2, 24, 9, 9), 24, (5, 3), ConvParams((2, 1), (2, 2, 1, 1), groups=24)),
    Case((2, 37, 7, 8), 37, (3, 3), ConvParams(padding=same(1), groups=37)),
    Case((2, 64, 8, 8), 40, (1, 1)),
    Case((2, 24, 9, 9), 40, (1, 1), ConvParams((2, 2))),
    Case((1, 3, 4, 4), 2, (1, 1), ConvParams((3, 3))),
    Case((2, 4, 6, 6), 4, (1, 1), ConvParams(padding=same(2), groups=2)),
    Case((2, 3, 23, 23), 16, (7, 7), ConvParams((2, 2), same(3))),
    Case((10, 1, 28, 28), 32, (3, 3)),
    Case((1, 70, 3, 3), 33, (3, 3), ConvParams(padding=same(1))),
    Case((4, 5, 1, 1), 7, (1, 1)),
    Case((1, 24, 1, 1), 40, (1, 1)),
    Case((1, 8, 1, 1), 5, (3, 3), ConvParams(padding=same(1))),
    Case((1, 2, 5, 40), 3, (2, 4), ConvParams(dilation=(1, 3))),
    Case((2, 16, 4, 4), 130, (3, 3), ConvParams(padding=same(1))),
    Case((2, 8, 12, 11), 8, (3, 3), ConvParams(padding=same(1))),
    Case((2, 72, 15, 14), 72, (5, 5), ConvParams((2, 2), same(2), groups=72)),
    Case((1, 40, 9, 23), 40, (3, 3), ConvParams(padding=same(1), groups=40)),
    Case((2, 33, 2, 3), 33, (7, 7), ConvParams(padding=same(3), groups=33)),
    Case((1, 16, 20, 12), 16, (3, 3), ConvParams((1, 1), same(2), (2, 2), 16)),
    Case((2, 18, 6, 17), 18, (3, 9), ConvParams(padding=(1, 1, 4, 4), groups=18)),
    Case((0, 3, 5, 5), 4, (3, 3), ConvParams(padding=same(1))),
]  # fmt: skip
FEW = [CASES[i] for i in (3, 5, 8, 14, 18, 12, 25, 26, 27, 28)]


def laid_out(a: Array, layout: str) -> Array:
    """The same (N, C, H, W) values in another memory layout."""
    if layout == "channels_last":
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "planes":
        return np.ascontiguousarray(a)
    n, c, h, w = a.shape
    wide = np.zeros((n, h, w + 1, c * 2), a.dtype)
    wide[:, :, :w, ::2] = a.transpose(0, 2, 3, 1)
    return wide[:, :, :w, ::2].transpose(0, 3, 1, 2)


def images(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """A poisoned channels-last output."""
    n, c, h, w = shape
    return poisoned((n, h, w, c), dtype).transpose(0, 3, 1, 2)


@dataclass
class Data:
    """Operands of a case, and its parameters as the ops have them."""

    x: Array
    weight: Array
    bias: Array
    gy: Array
    case: Case

    @property
    def terms(self) -> int:
        return self.weight[0].size

    def exact(self, name: str) -> Array:
        """What the op of that name means, in float64."""
        p, shape, kernel = self.case.p, self.case.x, self.case.kernel
        x, w, b, g = (a.astype(np.float64) for a in (self.x, self.weight, self.bias, self.gy))
        plain = (p.stride, p.padding, p.dilation, p.groups)
        if name == "forward":
            return ops.conv2d.reference_rule(x, w, b, ops.ConvAttrs.of(*plain))
        if name == "input":
            attrs = ops.ConvInputGradAttrs.of(*plain, (shape[2], shape[3]))
            return ops.conv2d_input_grad.reference_rule(g, w, attrs)
        attrs = ops.ConvWeightGradAttrs.of(*plain, kernel)
        return ops.conv2d_weight_grad.reference_rule(g, x, attrs)


def make(case: Case, dtype: str, layout: str) -> Data:
    rng = np.random.default_rng(0)
    kind, p = numpy_type(dtype), case.p
    n, channels, height, width = case.x
    oh, ow = p.output_size((height, width), case.kernel)
    x = laid_out(rng.standard_normal(case.x).astype(kind), layout)
    shape = (case.outputs, channels // p.groups, *case.kernel)
    weight = rng.standard_normal(shape).astype(kind)
    if layout == "channels_last":
        weight = laid_out(weight, layout)
    bias = rng.standard_normal(case.outputs).astype(kind)
    gy = laid_out(rng.standard_normal((n, case.outputs, oh, ow)).astype(kind), layout)
    return Data(x, weight, bias, gy, case)


def results(d: Data) -> dict[str, Array]:
    """Forward (with bias), and both gradients."""
    p, kind = d.case.p, d.x.dtype
    y, gx = images(d.gy.shape, kind), images(d.x.shape, kind)
    gw = poisoned(d.weight.shape, kind)
    x, w, b, g = map(view_of, (d.x, d.weight, d.bias, d.gy))
    run(plan_conv2d(x, w, view_of(y), p, b), [d.x, d.weight, d.bias, y])
    run(plan_conv2d_input_grad(g, w, view_of(gx), p), [d.gy, d.weight, gx])
    run(plan_conv2d_weight_grad(g, x, view_of(gw), p), [d.gy, d.x, gw])
    return {"forward": y, "input": gx, "weight": gw}


def check(d: Data, dtype: str) -> None:
    terms = {
        "forward": d.terms, "input": d.terms * d.case.outputs, "weight": d.gy[:, 0].size
    }  # fmt: skip
    for name, value in results(d).items():
        close(value, d.exact(name), dtype, terms[name])


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_geometry_and_layout(case: Case, layout: str) -> None:
    check(make(case, "float32", layout), "float32")


@pytest.mark.parametrize("case", FEW, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_every_element_type(case: Case, dtype: str) -> None:
    check(make(case, dtype, "channels_last"), dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_contracted_index_in_blocks(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "PANEL_BYTES", 0)
    monkeypatch.setattr(schedule, "RUN_BLOCK_BYTES", 7 * 64)
    for dtype in ("float32", "bfloat16"):
        check(make(case, dtype, "channels_last"), dtype)


@pytest.mark.parametrize("unit", NAMES)
@pytest.mark.parametrize("case", [*FEW[:3], *FEW[-3:]], ids=str)
def test_every_vector_unit(unit: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    for dtype in ("float32", "float64"):
        check(make(case, dtype, "channels_last"), dtype)


@pytest.mark.parametrize("case", FEW, ids=str)
def test_bounds_checked_kernels_stay_inside(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    for layout in LAYOUTS[:2]:
        check(make(case, "float32", layout), "float32")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("checked", ["", "1"])
def test_pairs_of_bfloat16(case: Case, checked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine multiplies pairs; elsewhere they are widened."""
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    for layout in LAYOUTS:
        check(make(case, "bfloat16", layout), "bfloat16")


def test_which_convolutions_multiply_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def pairs(channels: int, dtype: str, strides: tuple[int, ...], groups: int = 1) -> bool:
        x, y = View((2, channels, 5, 5), strides, dtype), View.dense((2, 8, 5, 5), dtype)
        w = View.dense((8, channels // groups, 1, 1), dtype)
        form = form_of(forward_correlation(x, w, y, ConvParams(groups=groups)))
        return isinstance(form, DirectForm) and form.pairs

    last = (300, 1, 60, 12)
    here = active().has_bf16_dot
    assert pairs(12, "bfloat16", last) == here and pairs(12, "bfloat16", last, 2) == here
    assert not pairs(12, "float32", last) and not pairs(12, "bfloat16", (300, 25, 5, 1))
    assert not pairs(3, "bfloat16", (75, 1, 15, 3)) and not pairs(12, "bfloat16", last, 4)
    monkeypatch.setenv("FOVEA_CPU_ISA", "avx2")
    assert not pairs(12, "bfloat16", last)


def test_relu_follows_the_bias_and_keeps_nan() -> None:
    d = make(CASES[2], "float32", "channels_last")
    d.x[0, 0, 0, 0] = np.nan
    y = images(d.gy.shape, d.x.dtype)
    views = view_of(d.x), view_of(d.weight), view_of(y)
    program = plan_conv2d(*views, d.case.p, view_of(d.bias), RELU)
    run(program, [d.x, d.weight, d.bias, y])
    exact = d.exact("forward")
    assert np.isnan(y[0, :, :2, :2]).all()
    assert not np.isnan(y[1:]).any()
    close(y[1:], np.maximum(exact[1:], 0), "float32", d.terms)


def test_an_expanded_gradient_is_read_where_it_is() -> None:
    d = make(CASES[3], "float32", "channels_last")
    d.gy = np.broadcast_to(np.float32(0.5), d.gy.shape)
    check(d, "float32")


def test_no_output_position_leaves_a_zero_weight_gradient() -> None:
    d = make(CASES[-1], "float32", "channels_last")
    np.testing.assert_array_equal(results(d)["weight"], np.zeros((4, 3, 3, 3)))


def test_results_have_the_same_bits_for_any_number_of_threads() -> None:
    case = Case((6, 16, 20, 20), 24, (3, 3), ConvParams(padding=same(1)))
    d = make(case, "float32", "channels_last")
    before = threads.get_num_threads()
    try:
        seen = set()
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            seen.add(tuple(np.ascontiguousarray(r).tobytes() for r in results(d).values()))
        assert len(seen) == 1
    finally:
        threads.set_num_threads(before)


def test_strides_beyond_the_kernel_leave_zeros_between() -> None:
    case = Case((2, 3, 300, 40), 4, (2, 1), ConvParams((150, 17), (0, 0, 3, 0)))
    for dtype in ("float32", "bfloat16"):
        check(make(case, dtype, "channels_last"), dtype)


def test_no_input_channels_leave_the_bias() -> None:
    x, w = np.zeros((2, 0, 5, 5), np.float32), np.zeros((4, 0, 3, 3), np.float32)
    bias, y = np.arange(4, dtype=np.float32), images((2, 4, 3, 3), np.dtype(np.float32))
    program = plan_conv2d(view_of(x), view_of(w), view_of(y), ConvParams(), view_of(bias))
    run(program, [x, w, bias, y])
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None, None], y.shape))


@pytest.mark.parametrize(
    "case",
    [
        Case((4, 80, 20, 20), 70, (3, 3), ConvParams(padding=same(1))),
        Case((8, 160, 14, 14), 40, (1, 1)),
        Case((8, 40, 28, 28), 160, (1, 1), ConvParams((2, 2))),
        Case((16, 3, 32, 32), 40, (3, 3), ConvParams(padding=same(1))),
        Case((8, 3, 60, 60), 24, (7, 7), ConvParams((2, 2), same(3))),
        Case((8, 96, 28, 28), 96, (3, 3), ConvParams((2, 2), same(1), groups=96)),
        Case((4, 320, 8, 8), 72, (3, 3), ConvParams((2, 2), same(1))),
        Case((2, 1030, 7, 7), 40, (1, 1)),
    ],
    ids=str,
)
def test_work_that_is_cut_into_many_pieces(case: Case) -> None:
    d = make(case, "float32", "channels_last")
    for name, value in results(d).items():
        exact = d.exact(name)
        error = np.linalg.norm(value - exact) / np.linalg.norm(exact)
        assert error < 5e-6, name
