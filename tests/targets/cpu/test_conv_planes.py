"""Convolutions of few channels a group in planes: which ones, against NumPy, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from fovea.targets.cpu import threads
from fovea.targets.cpu.conv import ConvParams, DirectForm, form_of, forward_correlation, plan_forms
from fovea.targets.cpu.conv_planes import PlanesForm
from fovea.targets.cpu.correlation import Correlation
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import NAMES
from tests.targets.cpu.programs import Array, run, view_of
from tests.targets.cpu.test_conv import LAYOUTS, Case, Data, check, images, make, results, same

CASES = [
    Case((2, 48, 14, 14), 48, (3, 3), ConvParams(padding=same(1), groups=6)),
    Case((2, 24, 15, 14), 24, (3, 3), ConvParams((2, 2), same(1), groups=3)),
    Case((3, 20, 9, 17), 20, (3, 3), ConvParams(padding=same(1), groups=5)),
    Case((1, 6, 18, 40), 6, (5, 3), ConvParams((1, 2), (2, 2, 0, 3), (2, 1), groups=3)),
    Case((2, 32, 7, 7), 32, (3, 3), ConvParams(padding=same(1), groups=4)),
    Case((2, 64, 30, 29), 64, (3, 3), ConvParams((3, 2), same(2), (1, 2), groups=8)),
    Case((2, 40, 30, 31), 40, (3, 3), ConvParams(padding=same(1), groups=10)),
]


def correlation(d: Data, y: Array) -> Correlation:
    return forward_correlation(view_of(d.x), view_of(d.weight), view_of(y), d.case.p)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_geometry_and_layout(case: Case, layout: str) -> None:
    check(make(case, "float32", layout), "float32")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_every_element_type(case: Case, dtype: str) -> None:
    check(make(case, dtype, "planes"), dtype)


@pytest.mark.parametrize("case", CASES[:4], ids=str)
@pytest.mark.parametrize("unit", NAMES)
def test_every_vector_unit(unit: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    for dtype in ("float32", "float64"):
        check(make(case, dtype, "channels_last"), dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bounds_checked_kernels_stay_inside(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    for layout in LAYOUTS[:2]:
        check(make(case, "float32", layout), "float32")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bits_as_the_direct_form(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", "avx512")
    d = make(case, "float32", "channels_last")
    found = []
    for form in (PlanesForm, DirectForm):
        y = images(d.gy.shape, d.x.dtype)
        program = plan_forms([form.of(correlation(d, y))], view_of(d.weight), Epilogue())
        run(program, [d.x, d.weight, y])
        found.append(np.ascontiguousarray(y))
    np.testing.assert_array_equal(*found)


def test_the_same_bits_for_any_number_of_threads() -> None:
    d = make(CASES[-1], "float32", "channels_last")
    before = threads.get_num_threads()
    try:
        seen = set()
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            seen.add(tuple(np.ascontiguousarray(r).tobytes() for r in results(d).values()))
        assert len(seen) == 1
    finally:
        threads.set_num_threads(before)


def test_which_convolutions_are_in_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", "avx512")

    def in_planes(case: Case) -> bool:
        d = make(case, "float32", "channels_last")
        return isinstance(form_of(correlation(d, images(d.gy.shape, d.x.dtype))), PlanesForm)

    assert all(map(in_planes, CASES))
    few = ConvParams(padding=same(1), groups=4)
    assert in_planes(Case((1, 32, 20, 20), 32, (3, 3), few))
    assert not in_planes(Case((1, 32, 20, 20), 64, (3, 3), few))  # outputs unlike inputs
    assert not in_planes(Case((1, 64, 20, 20), 64, (3, 3), few))  # groups that fill a vector
    assert not in_planes(Case((1, 12, 20, 20), 12, (3, 3), few))  # vectors cut a group
    assert not in_planes(Case((1, 4, 20, 20), 4, (3, 3), few))  # depthwise
    assert not in_planes(Case((1, 32, 2, 2), 32, (3, 3), few))  # fewer pixels than lanes
    assert not in_planes(Case((1, 16, 20, 20), 16, (1, 1), ConvParams(groups=4)))  # few products
