"""The kernel builder: loops, element types, arithmetic, bounds checks."""

from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest

from fovea.errors import KernelBoundsError
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.checks import run_checked
from fovea.targets.cpu.compile import load
from fovea.targets.cpu.elements import ELEMENTS, boolean, element, f32, f64, i32, i64, u32
from fovea.targets.cpu.isa import NAMES

FLOATS = ("float32", "float64", "bfloat16", "float16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@pytest.fixture(params=NAMES)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FOVEA_CPU_ISA", request.param)
    name: str = request.param
    return name


def call(k: Kernel, *arguments: np.ndarray | int | float, threads_used: int = 0) -> None:
    words = b""
    for a in arguments:
        if isinstance(a, np.ndarray):
            words += struct.pack("q", a.ctypes.data)
        else:
            words += struct.pack("d" if isinstance(a, float) else "q", a)
    threads.run(load(k), words, threads_used)


def copy_kernel(source: str, target: str, lanes: int) -> Kernel:
    """y = cast(x), `lanes` at a time and one by one for the rest."""
    k = Kernel("copy", (("x", element(source)), ("y", element(target))), ("n",))
    (x, y), (n,) = k.buffers, k.sizes
    with k.loop(0, n // lanes * lanes, lanes) as i:
        k.store(k.cast(k.load(x, i, lanes), y.element.compute), y, i)
    with k.loop(n // lanes * lanes, n) as i:
        k.store(k.cast(k.load(x, i), y.element.compute), y, i)
    return k


def numpy_type(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_narrow_floats_widen_and_round_to_even(isa: str, name: str) -> None:
    kind = numpy_type(name)
    every = np.arange(65536, dtype=np.uint16).view(kind)
    wide = np.empty(65536, np.float32)
    call(copy_kernel(name, "float32", 8), every, wide, every.size)
    np.testing.assert_array_equal(wide, every.astype(np.float32))

    bits = np.random.default_rng(0).integers(0, 2**32, 100003, dtype=np.uint32)
    halfway = every.view(np.uint16).astype(np.uint32) << 16 | 0x8000
    values = np.concatenate([bits, halfway, halfway + 1, halfway - 1, bits & 0xBFFFF000]).view("f4")
    narrow = np.empty(values.size, kind)
    call(copy_kernel("float32", name, 8), values, narrow, values.size)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(kind)
    nan = np.isnan(values)
    assert np.isnan(narrow[nan].astype("f4")).all()
    np.testing.assert_array_equal(narrow[~nan].view("u2"), expected[~nan].view("u2"))


@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
@pytest.mark.parametrize("target", [*FLOATS, *INTEGERS, "bool"])
def test_casts_agree_with_numpy(source: str, target: str) -> None:
    values = np.array([0, 1, 2, 3, 77, 100, 127, 5, 6, 7, 1], numpy_type(source))
    result = np.empty(values.size, numpy_type(target))
    call(copy_kernel(source, target, 4), values, result, values.size)
    np.testing.assert_array_equal(result, values.astype(result.dtype))


def test_float_to_integer_saturates() -> None:
    values = np.array([1e10, -1e10, np.nan, -1.9, 300.5], np.float32)
    result = np.empty(5, np.int32)
    call(copy_kernel("float32", "int32", 4), values, result, 5)
    np.testing.assert_array_equal(result, [2**31 - 1, -(2**31), 0, -1, 300])
    small = np.empty(5, np.uint8)
    call(copy_kernel("float32", "uint8", 4), values, small, 5)
    np.testing.assert_array_equal(small, [255, 0, 0, 0, 255])


def test_negative_values_keep_their_sign_on_the_way() -> None:
    values = np.array([-1, -128, 5], np.int8)
    wide = np.empty(3, np.int64)
    call(copy_kernel("int8", "int64", 2), values, wide, 3)
    np.testing.assert_array_equal(wide, values)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000, 12345])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_parallel_pieces_each_run_once(isa: str, n: int, count: int) -> None:
    k = Kernel("axpy", (("x", f32), ("y", f32)), ("n",), ("a",))
    (x, y), (size,), (a,) = k.buffers, k.sizes, k.scalars
    lanes = k.lanes(f32)
    with k.parallel((size + 99) // 100) as piece:
        low = piece * 100
        high = k.smaller(low + 100, size)
        with k.loop(low, high, lanes) as i:
            left = k.smaller(high - i, lanes)
            v = k.fma(
                k.cast(a, f32), k.load(x, i, lanes, count=left), k.load(y, i, lanes, count=left)
            )
            k.store(v, y, i, count=left)
    rng = np.random.default_rng(n)
    vx, vy = rng.standard_normal((2, n)).astype("f")
    expected = (1.5 * vx.astype("d") + vy).astype("f")
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(count)
        call(k, vx, vy, n, 1.5)
    finally:
        threads.set_num_threads(before)
    np.testing.assert_allclose(vy, expected, rtol=1e-6, atol=1e-7)


def test_constants_and_sizes_give_the_same_result() -> None:
    def build(constants: dict[str, int]) -> Kernel:
        k = Kernel("fill", (("y", i64),), ("n", "v"), constants=constants)
        (y,), (n, v) = k.buffers, k.sizes
        with k.loop(0, n) as i:
            k.store(i * v + 1, y, i)
        return k

    a, b = np.zeros(10, np.int64), np.zeros(10, np.int64)
    call(build({}), a, 10, 3)
    call(build({"n": 10, "v": 3}), b)
    np.testing.assert_array_equal(a, np.arange(10) * 3 + 1)
    np.testing.assert_array_equal(a, b)


def test_loops_nest_and_branch() -> None:
    k = Kernel("triangle", (("y", i64),), ("n",))
    (y,), (n,) = k.buffers, k.sizes
    total, odd = k.var(0), k.var(0)
    with k.loop(0, n) as i:
        with k.loop(0, i + 1) as j:
            total.set(total.get() + j)
        with k.if_else((i % 2).eq(1)) as (then, otherwise):
            with then:
                odd.set(odd.get() + 1)
            with otherwise:
                odd.set(odd.get() + 100)
    count = k.var(0)
    with k.repeat() as turn:
        turn.leave_if(count.get() >= 5)
        count.set(count.get() + 1)
        turn.again_if(count.get() < 3)
        odd.set(odd.get() + 10000)
    k.store(total.get(), y, 0)
    k.store(odd.get(), y, 1)
    result = np.zeros(2, np.int64)
    call(k, result, 7)
    np.testing.assert_array_equal(result, [sum(sum(range(i + 1)) for i in range(7)), 30403])


def test_extremes_and_nan() -> None:
    k = Kernel("extremes", (("x", f32), ("z", f32), ("y", f32)))
    x, z, y = k.buffers
    a, b = k.load(x, 0, 8), k.load(z, 0, 8)
    results = (
        k.minimum(a, b),
        k.maximum(a, b),
        k.fast_max(0.0, a),
        k.abs(a),
        k.floor(a),
        k.trunc(a),
    )
    for n, v in enumerate(results):
        k.store(v, y, 8 * n)
    k.store(k.reduce_add(b), y, 48)
    k.store(k.reduce(b, k.maximum), y, 49)
    va = np.array([1, np.nan, -3.5, np.inf, -np.inf, 0, 2.7, -0.5], "f")
    vb = np.array([2, 1, 7, 4, 5, 8, 3, 6], "f")
    result = np.zeros(50, "f")
    call(k, va, vb, result)
    expected = [
        np.minimum(va, vb),
        np.maximum(va, vb),
        np.maximum(0, va),
        abs(va),
        np.floor(va),
        np.trunc(va),
    ]
    np.testing.assert_array_equal(result[:48], np.concatenate(expected))
    np.testing.assert_array_equal(result[48:], [36, 8])


def test_integers_shift_divide_and_compare_by_signedness() -> None:
    k = Kernel("ints", (("x", u32), ("z", i32), ("y", i64)))
    x, z, y = k.buffers
    a, b = k.load(x), k.load(z)
    results = (a >> 4, b >> 4, a / 3, b / 3, a > 5, b > 5, a * 0xD2511F53, ~b, a & 0xFFFF0000, -b)
    for n, v in enumerate(results):
        k.store(k.cast(v, i64), y, n)
    result = np.zeros(10, np.int64)
    call(k, np.array([0xFFFFFFF0], "u4"), np.array([-16], "i4"), result)
    product = 0xFFFFFFF0 * 0xD2511F53 % 2**32
    expected = [0x0FFFFFFF, -1, 0xFFFFFFF0 // 3, -5, 1, 0, product, 15, 0xFFFF0000, 16]
    np.testing.assert_array_equal(result, expected)


def test_lanes_move() -> None:
    k = Kernel("lanes", (("x", f32), ("y", f32), ("m", boolean)))
    x, y, m = k.buffers
    v = k.load(x, 0, 4)
    k.store(k.shuffle(v, v * 10.0, [3, 0, 5, 6]), y)
    k.store(k.gather(x, k.vector([3, 3, 0, 1], i64)), y, 4)
    k.store(k.insert(v, k.extract(v, 2), 0), y, 8)
    k.store(k.any(v > 2.5), m, 0)
    k.store(k.all(v > 2.5), m, 1)
    k.store(k.prefix_mask(3, 4), m, 2)
    result, mask = np.zeros(12, "f"), np.zeros(6, np.bool_)
    call(k, np.arange(4, dtype="f"), result, mask)
    np.testing.assert_array_equal(result, [3, 0, 10, 20, 3, 3, 0, 1, 2, 1, 2, 3])
    np.testing.assert_array_equal(mask, [True, False, True, True, True, False])


def test_scratch_views_and_double_precision() -> None:
    k = Kernel("scratch", (("x", f64), ("y", f64)))
    x, y = k.buffers
    tile = k.scratch(f64, 8)
    with k.loop(0, 8) as i:
        k.store(k.load(x, i), tile, 7 - i)
    bits = k.load(tile.view(i64), 0)
    k.store(k.bitcast(bits, f64), y, 0)
    k.store(k.load(tile.at(4), 0, 4), y, 1)
    data, result = np.arange(8) + 0.1, np.zeros(5)
    call(k, data, result)
    np.testing.assert_array_equal(result, data[[7, 3, 2, 1, 0]])


def test_type_errors_are_raised_while_building() -> None:
    k = Kernel("bad", (("x", f32), ("y", i32)))
    x, y = k.buffers
    v = k.load(x)
    with pytest.raises(TypeError, match="different elements"):
        v + k.load(y)
    with pytest.raises(TypeError, match="cast it first"):
        k.store(v, y)
    with pytest.raises(TypeError, match="no truth"):
        bool(v > 1.0)
    with pytest.raises(TypeError, match="integers"):
        v // 2.0
    with pytest.raises(TypeError, match="broadcast"):
        k.load(x, 0, 4) + k.load(x, 0, 8)


def test_two_parallel_loops_are_refused() -> None:
    k = Kernel("twice", (("x", f32),))
    with k.parallel(1):
        pass
    with pytest.raises(ValueError, match="two parallel loops"), k.parallel(1):
        pass


@pytest.mark.parametrize("offset", [-1, 0, 1, 10**6])
@pytest.mark.parametrize("masked", [False, True])
def test_bounds_checks_name_kernel_and_buffer(
    monkeypatch: pytest.MonkeyPatch, offset: int, masked: bool
) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", "1")
    k = Kernel("shifted", (("x", f32), ("y", f32)), ("offset",))
    (x, y), (shift,) = k.buffers, k.sizes
    with k.loop(0, 16, 8) as i:
        count = 8 if masked else None
        k.store(k.load(x, i + shift, 8, count=count), y, i)
    source, result = np.arange(16, dtype="f"), np.zeros(16, "f")
    params = struct.pack("3q", source.ctypes.data, result.ctypes.data, offset)
    ranges = [(a.ctypes.data, a.ctypes.data + a.nbytes) for a in (source, result)]
    address = load(k)
    if offset == 0:
        run_checked(address, params, ranges)
        np.testing.assert_array_equal(source, result)
    else:
        with pytest.raises(
            KernelBoundsError, match=r"kernel shifted: 32 bytes .* buffer x, which holds 64"
        ):
            run_checked(address, params, ranges)


def test_every_element_is_known_by_its_name() -> None:
    for name, kind in ELEMENTS.items():
        assert element(name) is kind
        assert numpy_type(name).itemsize == kind.bytes
