"""Matrix products against NumPy: sizes, strides, batches, element types, vector units, threads."""

from __future__ import annotations

import numpy as np
import pytest

from fovea.ops.epilogue import NONE, RELU, Activation
from fovea.targets.cpu import matmul_long, threads
from fovea.targets.cpu.isa import NAMES
from fovea.targets.cpu.matmul import plan_matmul, plannable
from tests.targets.cpu.programs import Array, close, numpy_type, poisoned, run, view_of

LAYOUTS = ("rows", "columns", "gaps")
SIZES = [
    (1, 1, 1), (1, 7, 1), (1, 30, 700), (1, 5, 515), (700, 9, 1),
    (5, 3, 2), (6, 16, 16), (7, 17, 33), (10, 100, 64), (64, 10, 100),
    (100, 300, 10), (33, 65, 130), (2, 50, 40), (3, 40, 1), (40, 40, 1), (1, 70, 200), (13, 130, 8),
]  # fmt: skip


def make(shape: tuple[int, ...], dtype: str, layout: str, seed: int = 0) -> Array:
    """Random values (small integers where the type holds those) in one of three layouts."""
    rng = np.random.default_rng(seed)
    kind = numpy_type(dtype)
    values = rng.integers(-3, 4, shape) if kind.kind in "iub" else rng.standard_normal(shape)
    a = values.astype(kind)
    if layout == "columns":
        return np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "gaps":
        wide = np.zeros((*shape[:-2], shape[-2] * 2, shape[-1] * 3), kind)
        wide[..., ::2, ::3] = a
        return wide[..., ::2, ::3]
    return a


def product(a: Array, b: Array, bias: Array | None = None, activation: Activation = NONE) -> Array:
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    c = poisoned(shape, a.dtype)
    views = view_of(a), view_of(b), None if bias is None else view_of(bias)
    program = plan_matmul(*views, activation)
    run(program, [a, b, c] if bias is None else [a, b, bias, c])
    return c


def expected(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iub":
        return np.matmul(a, b).astype(np.float64)
    return np.matmul(a.astype(np.float64), b.astype(np.float64))


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_layout_and_size(left: str, right: str, size: tuple[int, int, int]) -> None:
    m, k, n = size
    a, b = make((m, k), "float32", left), make((k, n), "float32", right, 1)
    close(product(a, b), expected(a, b), "float32", k)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_element_type(dtype: str, layout: str) -> None:
    for m, k, n in [(7, 40, 18), (30, 9, 5), (1, 33, 3)]:
        a, b = make((m, k), dtype, layout), make((k, n), dtype, layout, 1)
        close(product(a, b), expected(a, b), dtype, k)


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("checked", ["", "1"])
def test_pairs_of_bfloat16(
    left: str, right: str, checked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine multiplies pairs; elsewhere they are widened."""
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    for m, k, n in [(17, 2, 16), (40, 66, 70), (33, 130, 129), (100, 64, 31)]:
        a, b = make((m, k), "bfloat16", left), make((k, n), "bfloat16", right, 1)
        close(product(a, b), expected(a, b), "bfloat16", k)
    a, b = make((3, 20, 40), "bfloat16", left), make((3, 40, 18), "bfloat16", right, 1)
    close(product(a, b), expected(a, b), "bfloat16", 40)


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("checked", ["", "1"])
def test_long_contracted_indices(
    left: str, right: str, dtype: str, checked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matmul_long, "LEAST", 100)
    monkeypatch.setattr(matmul_long, "BLOCK", 48)
    monkeypatch.setattr(matmul_long, "ROWS", 20)
    monkeypatch.setattr(matmul_long, "PANELS", 2)
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    for m, k, n in [(17, 100, 18), (45, 201, 300), (3, 144, 70), (20, 146, 1)]:
        a, b = make((m, k), dtype, left), make((k, n), dtype, right, 1)
        bias = make((n,), dtype, "rows", 2)
        exact = expected(a, b) + bias.astype(np.float64)
        close(product(a, b), expected(a, b), dtype, k)
        close(product(a, b, bias, RELU), np.maximum(exact, 0), dtype, k)


@pytest.mark.parametrize("unit", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_every_vector_unit(unit: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    for m, k, n, layouts in [
        (11, 35, 150, ("rows", "rows")), (11, 35, 70, ("rows", "columns")),
        (25, 35, 7, ("columns", "rows")), (60, 40, 40, ("gaps", "gaps")),
    ]:  # fmt: skip
        a, b = make((m, k), dtype, layouts[0]), make((k, n), dtype, layouts[1], 1)
        close(product(a, b), expected(a, b), dtype, k)


@pytest.mark.parametrize(
    "batches",
    [((3, 4), (3, 4)), ((3, 1), (1, 4)), ((2, 3, 4), (4,)), ((5,), ()), ((), (5,))],
    ids=str,
)
@pytest.mark.parametrize("layouts", [("rows", "rows"), ("rows", "columns"), ("columns", "gaps")])
def test_batches_broadcast(
    batches: tuple[tuple[int, ...], tuple[int, ...]], layouts: tuple[str, str]
) -> None:
    for m, k, n in [(7, 20, 18), (70, 20, 33), (5, 100, 32), (1, 9, 9)]:
        a = make((*batches[0], m, k), "float32", layouts[0])
        b = make((*batches[1], k, n), "float32", layouts[1], 1)
        assert plannable(view_of(a), view_of(b))
        close(product(a, b), expected(a, b), "float32", k)


def test_batches_that_do_not_merge_are_told_apart() -> None:
    a = np.zeros((2, 1, 2, 1, 2, 3, 3), np.float32)
    b = np.zeros((1, 2, 1, 2, 1, 3, 3), np.float32)
    assert not plannable(view_of(a), view_of(b))


@pytest.mark.parametrize("size", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (40, 0, 40)], ids=str)
def test_empty_operands(size: tuple[int, int, int]) -> None:
    m, k, n = size
    a, b = make((m, k), "float32", "rows"), make((k, n), "float32", "rows")
    np.testing.assert_array_equal(product(a, b), np.zeros((m, n)))


def test_expanded_operands() -> None:
    a = np.broadcast_to(np.float32(2.0), (20, 30))
    b = np.broadcast_to(np.arange(10, dtype=np.float32), (30, 10))
    np.testing.assert_array_equal(product(a, b), np.broadcast_to(np.arange(10) * 60.0, (20, 10)))
    np.testing.assert_array_equal(
        product(b.T, a.T), np.broadcast_to(np.arange(10) * 60.0, (20, 10)).T
    )


@pytest.mark.parametrize(
    "size", [(7, 20, 18), (10, 300, 64), (5, 100, 10), (9, 9, 1), (1, 64, 3), (1, 9, 600)], ids=str
)
@pytest.mark.parametrize("right", ["rows", "columns"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bias_and_relu(size: tuple[int, int, int], right: str, dtype: str) -> None:
    m, k, n = size
    a, b = make((m, k), dtype, "rows"), make((k, n), dtype, right, 1)
    bias = make((n,), dtype, "rows", 2)
    exact = expected(a, b) + bias.astype(np.float64)
    close(product(a, b, bias), exact, dtype, k)
    close(product(a, b, bias, RELU), np.maximum(exact, 0), dtype, k)


def test_nan_and_infinity_stay_in_their_row() -> None:
    for k, layout in ((20, "rows"), (64, "columns")):
        a, b = make((9, k), "float32", "rows"), make((k, 21), "float32", layout, 1)
        a[2, 3], a[5, 1] = np.nan, np.inf
        c = product(a, b)
        assert np.isnan(c[2]).all()
        assert np.isinf(c[5]).all()
        rest = [0, 1, 3, 4, 6, 7, 8]
        close(c[rest], expected(a[rest], b), "float32", k)


def test_results_have_the_same_bits_for_any_number_of_threads() -> None:
    before = threads.get_num_threads()
    cases = [((100, 300), (300, 130), "rows"), ((10, 2000), (2000, 64), "columns")]
    try:
        for left, right, layout in cases:
            a, b = make(left, "float32", "rows"), make(right, "float32", layout, 1)
            results = []
            for count in (1, 2, 5):
                threads.set_num_threads(count)
                results.append(product(a, b).tobytes())
            assert results[0] == results[1] == results[2]
    finally:
        threads.set_num_threads(before)


def test_bounds_checked_kernels_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    for m, k, n in [(7, 17, 33), (10, 100, 64), (33, 65, 130), (1, 70, 200), (5, 40, 7)]:
        for left, right in [
            ("rows", "rows"),
            ("columns", "rows"),
            ("rows", "columns"),
            ("gaps", "gaps"),
        ]:
            a, b = make((m, k), "float32", left), make((k, n), "float32", right, 1)
            close(product(a, b), expected(a, b), "float32", k)
