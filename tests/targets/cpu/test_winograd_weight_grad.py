"""The gradient to the weights in Winograd form against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from fovea.targets.cpu import conv_weight_grad_winograd as winograd
from fovea.targets.cpu import threads
from fovea.targets.cpu.conv import ConvParams
from fovea.targets.cpu.conv_weight_grad import plan_conv2d_weight_grad
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.options import OPTIONS
from fovea.targets.cpu.winograd_matrices import INPUT, OUTPUT, WEIGHT
from tests.targets.cpu.programs import Array, poisoned, run, view_of
from tests.targets.cpu.test_conv import Case, Data, make, same

PAD = ConvParams(padding=same(1))
CASES = [
    Case((8, 32, 8, 8), 32, (3, 3), PAD),
    Case((12, 64, 7, 9), 48, (3, 3), PAD),
    Case((4, 48, 14, 14), 64, (3, 3)),
    Case((5, 16, 16, 9), 48, (3, 3), ConvParams(padding=(2, 1, 0, 1))),
    Case((32, 80, 4, 4), 32, (3, 3), PAD),
    Case((4, 16, 12, 11), 80, (3, 3), ConvParams(padding=same(2))),
]


def gradient(d: Data) -> Array:
    gw = poisoned(d.weight.shape, d.x.dtype)
    views = view_of(d.gy), view_of(d.x), view_of(gw)
    assert winograd.suits(*views, d.case.p) == OPTIONS.winograd
    run(plan_conv2d_weight_grad(*views, d.case.p), [d.gy, d.x, gw])
    return gw


def error(d: Data) -> float:
    exact = d.exact("weight")
    difference = gradient(d).astype(np.float64) - exact
    return float(np.linalg.norm(difference) / np.linalg.norm(exact))


def test_the_matrices_compute_the_gradient_of_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((6, 6)), rng.standard_normal((4, 4))
    b, g, a = np.array(INPUT), np.array(WEIGHT), np.array(OUTPUT)
    dw = g.T @ ((a.T @ dy @ a) * (b @ x @ b.T)) @ g
    exact = [[(x[r : r + 4, s : s + 4] * dy).sum() for s in range(3)] for r in range(3)]
    np.testing.assert_allclose(dw, exact, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_geometry(case: Case) -> None:
    assert error(make(case, "float32", "channels_last")) < 5e-6


def test_its_error_beside_that_of_the_direct_form(monkeypatch: pytest.MonkeyPatch) -> None:
    d = make(Case((16, 32, 16, 16), 32, (3, 3), PAD), "float32", "channels_last")
    assert 1e-6 < error(d) < 4e-6
    monkeypatch.setattr(OPTIONS, "winograd", False)
    assert error(d) < 5e-7


@pytest.mark.parametrize("case", CASES[1:4], ids=str)
def test_many_groups_of_tiles(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "GROUP_BYTES", 150_000)
    monkeypatch.setattr(winograd, "GROUP_TILES", 8)
    monkeypatch.setattr(winograd, "CHUNK_TILES", 3)
    monkeypatch.setattr(winograd, "BLOCK", 24)
    d = make(case, "float32", "channels_last")
    gw = np.empty(d.weight.shape, np.float32)
    assert len(plan_conv2d_weight_grad(*map(view_of, (d.gy, d.x, gw)), case.p).calls) >= 7
    assert error(d) < 5e-6


@pytest.mark.parametrize("layout", ["planes", "gaps"])
def test_every_layout(layout: str) -> None:
    assert error(make(CASES[1], "float32", layout)) < 5e-6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_floats(dtype: str) -> None:
    d = make(CASES[1], dtype, "channels_last")
    assert error(d) < {"bfloat16": 4e-3, "float16": 5e-4}[dtype]


@pytest.mark.parametrize("unit", NAMES)
def test_every_vector_unit(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    for case in (CASES[1], Case((8, 32, 8, 8), 80, (3, 3), PAD)):
        assert error(make(case, "float32", "channels_last")) < 5e-6


def test_bounds_checked_kernels_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    for case in CASES[:4]:
        assert error(make(case, "float32", "channels_last")) < 5e-6


def test_an_expanded_gradient_is_read_where_it_is() -> None:
    d = make(CASES[0], "float32", "channels_last")
    d.gy = np.broadcast_to(np.float32(0.5), d.gy.shape)
    assert error(d) < 5e-6


def test_results_have_the_same_bits_for_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(winograd, "CHUNK_TILES", 16)
    d = make(CASES[1], "float32", "channels_last")
    before = threads.get_num_threads()
    try:
        seen = set()
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            seen.add(gradient(d).tobytes())
        assert len(seen) == 1
    finally:
        threads.set_num_threads(before)


def test_what_does_not_suit_goes_the_direct_way() -> None:
    for case in (
        Case((8, 32, 8, 8), 32, (3, 3), ConvParams((2, 2), same(1))),
        Case((8, 32, 8, 8), 32, (3, 3), ConvParams((1, 1), same(2), (2, 2))),
        Case((8, 32, 8, 8), 32, (3, 3), ConvParams(padding=same(1), groups=2)),
        Case((8, 3, 8, 8), 32, (3, 3), PAD),
        Case((8, 32, 8, 8), 36, (3, 3), PAD),
        Case((1, 32, 8, 8), 32, (3, 3), PAD),
        Case((64, 32, 2, 2), 32, (3, 3), PAD),
        Case((8, 32, 8, 8), 32, (5, 5), ConvParams(padding=same(2))),
    ):
        d = make(case, "float32", "channels_last")
        gw = np.empty(d.weight.shape, np.float32)
        assert not winograd.suits(view_of(d.gy), view_of(d.x), view_of(gw), case.p)
    d = make(CASES[0], "float64", "channels_last")
    gw = np.empty(d.weight.shape)
    assert not winograd.suits(view_of(d.gy), view_of(d.x), view_of(gw), PAD)
