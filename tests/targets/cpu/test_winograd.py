"""3 x 3 convolutions in Winograd form against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from fovea.ops.epilogue import RELU
from fovea.targets.cpu import winograd
from fovea.targets.cpu.conv import (
    ConvParams,
    forward_correlation,
    input_grad_correlations,
    plan_conv2d,
    plan_conv2d_input_grad,
)
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.winograd_matrices import INPUT, OUTPUT, WEIGHT
from tests.targets.cpu.programs import Array, run, view_of
from tests.targets.cpu.test_conv import Case, Data, images, make, same

CASES = [
    Case((8, 32, 8, 8), 32, (3, 3), ConvParams(padding=same(1))),
    Case((12, 64, 7, 9), 48, (3, 3), ConvParams(padding=same(1))),
    Case((4, 48, 14, 14), 64, (3, 3)),
    Case((5, 32, 16, 9), 16, (3, 3), ConvParams(padding=(2, 1, 0, 1))),
    Case((32, 32, 4, 4), 32, (3, 3), ConvParams(padding=same(1))),
    Case((3, 32, 56, 57), 32, (3, 3), ConvParams(padding=same(1))),  # two groups of images
]


def norm_error(result: Array, exact: Array) -> float:
    difference = result.astype(np.float64) - exact
    return float(np.linalg.norm(difference) / np.linalg.norm(exact))


def check(d: Data, tolerance: float) -> None:
    x, w, b, g = map(view_of, (d.x, d.weight, d.bias, d.gy))
    y, gx = images(d.gy.shape, d.x.dtype), images(d.x.shape, d.x.dtype)
    assert winograd.suits(forward_correlation(x, w, view_of(y), d.case.p))
    run(plan_conv2d(x, w, view_of(y), d.case.p, b), [d.x, d.weight, d.bias, y])
    assert norm_error(y, d.exact("forward")) < tolerance
    (correlation,) = input_grad_correlations(g, w, view_of(gx), d.case.p)
    assert winograd.suits(correlation)
    run(plan_conv2d_input_grad(g, w, view_of(gx), d.case.p), [d.gy, d.weight, gx])
    assert norm_error(gx, d.exact("input")) < tolerance


def test_the_matrices_compute_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    b, g, a = np.array(INPUT), np.array(WEIGHT), np.array(OUTPUT)
    y = a @ ((g @ w @ g.T) * (b @ x @ b.T)) @ a.T
    exact = [[(x[i : i + 3, j : j + 3] * w).sum() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(y, exact, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_geometry(case: Case) -> None:
    check(make(case, "float32", "channels_last"), 5e-6)


def call_count(d: Data) -> tuple[int, int]:
    """The calls of the forward program, and the panels of outputs."""
    x, w, y = map(view_of, (d.x, d.weight, images(d.gy.shape, d.x.dtype)))
    form = winograd.WinogradForm.of(forward_correlation(x, w, y, d.case.p))
    return len(plan_conv2d(x, w, y, d.case.p).calls), form.panels


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_many_groups_of_tiles(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "GROUP_BYTES", 100_000)
    monkeypatch.setattr(winograd, "GROUP_TILES", 4)
    d = make(case, "float32", "planes")
    assert call_count(d)[0] >= 7
    check(d, 5e-6)


@pytest.mark.parametrize("layout", ["channels_last", "planes"])
@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_slabs_of_outputs(case: Case, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "GROUP_BYTES", 1 << 40)
    monkeypatch.setattr(winograd, "SLAB_BYTES", 1)
    d = make(case, "float32", layout)
    calls, panels = call_count(d)
    assert calls == 1 + 3 * panels
    check(d, 5e-6)
    check(make(case, "bfloat16", layout), 4e-3)


@pytest.mark.parametrize("layout", ["planes", "gaps"])
def test_every_layout(layout: str) -> None:
    check(make(CASES[1], "float32", layout), 5e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_floats(dtype: str) -> None:
    check(make(CASES[1], dtype, "channels_last"), {"bfloat16": 4e-3, "float16": 5e-4}[dtype])


@pytest.mark.parametrize("unit", NAMES)
def test_every_vector_unit(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    for layout in ("channels_last", "planes"):
        check(make(CASES[1], "float32", layout), 5e-6)


def test_bounds_checked_kernels_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    for layout in ("channels_last", "planes"):
        check(make(CASES[1], "float32", layout), 5e-6)


def test_relu_follows_the_bias() -> None:
    d = make(CASES[0], "float32", "channels_last")
    y = images(d.gy.shape, d.x.dtype)
    program = plan_conv2d(
        view_of(d.x), view_of(d.weight), view_of(y), d.case.p, view_of(d.bias), RELU
    )
    run(program, [d.x, d.weight, d.bias, y])
    assert norm_error(y, np.maximum(d.exact("forward"), 0)) < 5e-6


def test_what_does_not_suit_goes_the_direct_way() -> None:
    for case in (
        Case((8, 32, 8, 8), 32, (3, 3), ConvParams((2, 2), same(1))),
        Case((8, 32, 8, 8), 32, (3, 3), ConvParams((1, 1), same(2), (2, 2))),
        Case((8, 32, 8, 8), 32, (3, 3), ConvParams(padding=same(1), groups=2)),
        Case((8, 3, 8, 8), 32, (3, 3), ConvParams(padding=same(1))),
        Case((1, 32, 8, 8), 32, (3, 3), ConvParams(padding=same(1))),
        Case((8, 32, 8, 8), 32, (5, 5), ConvParams(padding=same(2))),
    ):
        d = make(case, "float32", "channels_last")
        c = forward_correlation(view_of(d.x), view_of(d.weight), view_of(d.gy), case.p)
        assert not winograd.suits(c)


def test_weights_that_never_change_can_be_transformed_once() -> None:
    """A program knows by this mark what it may run before its first call only."""
    d = make(CASES[1], "float32", "channels_last")
    y = images(d.gy.shape, d.x.dtype)
    program = plan_conv2d(view_of(d.x), view_of(d.weight), view_of(y), d.case.p)
    assert [c.packs for c in program.calls].count(True) == 1
    assert program.calls[0].packs
