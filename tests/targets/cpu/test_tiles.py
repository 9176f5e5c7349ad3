"""Contractions in tile registers: the same kernels in memory everywhere, and the instructions
themselves where the machine has them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
import pytest

import fovea
from fovea.functions import quantized
from fovea.ops.epilogue import NONE, RELU, Activation
from fovea.targets.cpu import compile as compiler
from fovea.targets.cpu import isa as units
from fovea.targets.cpu import matmul_long, schedule
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.conv import DirectForm, form_of, forward_correlation, plan_packed
from fovea.targets.cpu.elements import Element, bf16_pair, byte_quad, f32
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.matmul import PackedForm, plan_product
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.quantized import byte_form
from fovea.targets.cpu.tiles import Tiles
from tests.targets.cpu import test_conv as conv
from tests.targets.cpu import test_matmul as matmul
from tests.targets.cpu.kernel_cases import drop_plans, same_bits_for_any_thread_count
from tests.targets.cpu.programs import Array, close, poisoned, run, view_of

SAPPHIRE_RAPIDS = (
    "+amx-tile,+amx-bf16,+amx-int8,+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512bf16,"
    "+avx512vnni,+avx2,+fma,+f16c,-prefer-256-bit"
)
has_tiles = units._supported(units.TILED)
only_with_tiles = pytest.mark.skipif(
    not has_tiles, reason="this machine has no tile registers (amx-tile, amx-bf16, amx-int8)"
)


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels for tile registers: real ones where there are any."""
    monkeypatch.setenv("FOVEA_CPU_ISA", units.TILED)
    drop_plans()
    yield
    drop_plans()


# -- the instructions ------------------------------------------------------------------------------


def in_tiles(element: Element, c: Array, a: Array, b: Array, real: bool) -> Array:
    """c + a @ b by one instruction, c, a and b whole tiles."""
    unit = replace(units.describe(units.TILED), real_tiles=real)
    k = Kernel("tiles", [(n, element) for n in "abcy"], isa=unit)
    tiles = Tiles(k)
    with tiles.configured(), k.parallel(1):
        for t, source in enumerate(k.buffers[:3]):
            tiles.load(t, source, 16)
        tiles.dot(element, 2, 0, 1)
        tiles.store(2, k.buffers[3], 16)
    y = np.zeros_like(c)
    program = KernelProgram([KernelCall(compiler.load(k), (0, 1, 2, 3))], 4)
    run(program, [a, b, c, y])
    return y


REALITY = [False, pytest.param(True, marks=only_with_tiles)]


@pytest.mark.parametrize("real", REALITY)
def test_pairs_are_added_in_the_order_of_the_manual(real: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((16, 32)).astype(ml_dtypes.bfloat16) for _ in range(2))
    c = rng.standard_normal((16, 16)).astype("f4")
    expected = c.copy()
    left, right = a.astype("f8").reshape(16, 16, 2), b.astype("f8").reshape(16, 16, 2)
    halves = []
    for half in (0, 1):
        total = np.zeros((16, 16), "f4")
        for item in range(16):  # products and sums are exact in float64, then rounded once
            product = np.outer(left[:, item, half], right[item, :, half])
            total = (total.astype("f8") + product).astype("f4")
        halves.append(total)
    expected += halves[0] + halves[1]
    np.testing.assert_array_equal(in_tiles(bf16_pair, c, a, b, real), expected)


@pytest.mark.parametrize("real", REALITY)
def test_bytes_are_unsigned_times_signed(real: bool) -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (16, 16, 4)).astype("u1")
    b = rng.integers(-128, 128, (16, 16, 4)).astype("i1")
    a[0], b[:, 0], a[1], b[:, 1] = 255, -128, 255, 127
    c = rng.integers(-(2**20), 2**20, (16, 16)).astype("i4")
    c[2, 2] = 2**31 - 1  # sums wrap around
    wide = c + np.einsum("mkx,knx->mn", a.astype("i8"), b.astype("i8"))
    np.testing.assert_array_equal(in_tiles(byte_quad, c, a, b, real), wide.astype("i4"))


@pytest.mark.parametrize("real", REALITY)
@pytest.mark.parametrize(("rows", "words"), [(0, 16), (3, 16), (16, 5), (7, 1), (16, 16)])
def test_a_part_of_a_tile_is_loaded_with_zeros_around(real: bool, rows: int, words: int) -> None:
    unit = replace(units.describe(units.TILED), real_tiles=real)
    k = Kernel("part", [("x", f32), ("y", f32)], ("rows", "words"), isa=unit)
    tiles = Tiles(k)
    with tiles.configured(), k.parallel(1):
        tiles.zero(3)
        tiles.load(3, k.buffers[0], 20, *k.sizes)
        tiles.store(3, k.buffers[1], 24)
    x, y = np.arange(16 * 20, dtype="f4").reshape(16, 20) + 1, np.full((16, 24), -1, "f4")
    program = KernelProgram([KernelCall(compiler.load(k), (0, 1), (rows, words))], 2)
    run(program, [x, y])
    expected = np.zeros((16, 16), "f4")
    expected[:rows, :words] = x[:rows, :words]
    np.testing.assert_array_equal(y[:, :16], expected)
    assert (y[:, 16:] == -1).all()


# -- products --------------------------------------------------------------------------------------

SIZES = [(32, 32, 16), (33, 34, 17), (40, 66, 70), (100, 64, 31), (65, 130, 129), (300, 96, 40)]


def check(a: Array, b: Array, bias: Array | None = None, activation: Activation = NONE) -> None:
    """A product in tile registers against float64."""
    form = PackedForm(a.shape[-2], a.shape[-1], b.shape[-1], f32, pairs=True)
    assert form.tile.amx
    exact = matmul.expected(a, b) + (0.0 if bias is None else bias.astype("f8"))
    exact = np.maximum(exact, 0) if activation is RELU else exact
    close(matmul.product(a, b, bias, activation), exact, "bfloat16", a.shape[-1])


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("left", matmul.LAYOUTS)
@pytest.mark.parametrize("right", matmul.LAYOUTS)
@pytest.mark.parametrize("checked", ["", "1"])
def test_products(left: str, right: str, checked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    for m, k, n in SIZES:
        a = matmul.make((m, k), "bfloat16", left)
        b = matmul.make((k, n), "bfloat16", right, 1)
        check(a, b)
    a = matmul.make((3, 40, 36), "bfloat16", left)
    b = matmul.make((3, 36, 50), "bfloat16", right, 1)
    check(a, b)
    check(a, b[0], matmul.make((50,), "bfloat16", "rows", 2), RELU)


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("left", matmul.LAYOUTS)
@pytest.mark.parametrize("right", matmul.LAYOUTS)
def test_long_contracted_indices(left: str, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LEAST", 100), ("AMX_BLOCK", 48), ("ROWS", 40), ("PANELS", 2)):
        monkeypatch.setattr(matmul_long, name, value)
    for checked in ("", "1"):
        monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
        for m, k, n in [(33, 100, 18), (45, 202, 300), (100, 144, 70)]:
            a = matmul.make((m, k), "bfloat16", left)
            b = matmul.make((k, n), "bfloat16", right, 1)
            check(a, b)
            check(a, b, matmul.make((n,), "bfloat16", "rows", 2), RELU)


@pytest.mark.usefixtures("tiled")
def test_a_residual_and_a_costly_activation() -> None:
    a, b = matmul.make((70, 40), "bfloat16", "rows"), matmul.make((40, 45), "bfloat16", "rows", 1)
    bias, residual = (matmul.make(s, "bfloat16", "rows", 2) for s in ((45,), (70, 45)))
    element = view_of(a).element
    epilogue = Epilogue(element, None, element, ("tanh", ()), True)
    c = poisoned((70, 45), a.dtype)
    run(plan_product(view_of(a), view_of(b), epilogue), [a, b, bias, residual, c])
    exact = np.tanh(matmul.expected(a, b) + bias.astype("f8")) + residual.astype("f8")
    close(c, exact, "bfloat16", 40)


@pytest.mark.usefixtures("tiled")
def test_what_is_behind_the_last_element_is_not_multiplied() -> None:
    wide = matmul.make((40, 96), "bfloat16", "rows")
    wide[:, 66:] = np.nan
    b = matmul.make((66, 33), "bfloat16", "rows", 1)
    check(wide[:, :66], b)
    a = matmul.make((40, 66), "bfloat16", "rows")
    a[7] = np.nan
    c = matmul.product(a, b)
    assert np.isnan(c[7].astype("f4")).all()
    rest = np.arange(40) != 7
    close(c[rest], matmul.expected(a[rest], b), "bfloat16", 66)


@pytest.mark.usefixtures("tiled")
def test_no_elements() -> None:
    for m, k, n in [(0, 64, 64), (64, 0, 64), (64, 64, 0)]:
        a = matmul.make((m, k), "bfloat16", "rows")
        b = matmul.make((k, n), "bfloat16", "rows")
        np.testing.assert_array_equal(matmul.product(a, b).astype("f4"), np.zeros((m, n)))


@pytest.mark.usefixtures("tiled")
def test_few_rows_columns_or_elements_are_not_put_into_tiles() -> None:
    for rows, run_, columns, suits in [
        (32, 32, 16, True), (31, 32, 16, False), (32, 30, 16, False), (32, 32, 15, False),
    ]:  # fmt: skip
        assert PackedForm(rows, run_, columns, f32, pairs=True).tile.amx == suits
        a = matmul.make((rows, run_), "bfloat16", "rows")
        b = matmul.make((run_, columns), "bfloat16", "columns", 1)
        close(matmul.product(a, b), matmul.expected(a, b), "bfloat16", run_)


# -- convolutions ----------------------------------------------------------------------------------

CASES = [
    conv.Case((3, 16, 7, 7), 32, (3, 3), conv.ConvParams(padding=conv.same(1))),
    conv.Case((2, 32, 12, 11), 20, (3, 3), conv.ConvParams((2, 2), conv.same(1))),
    conv.Case((2, 34, 9, 9), 40, (1, 1)),
    conv.Case((2, 64, 8, 8), 70, (1, 1)),
    conv.Case((2, 64, 9, 9), 33, (1, 1), conv.ConvParams((2, 2))),
    conv.Case((4, 32, 6, 6), 17, (1, 1), conv.ConvParams(padding=conv.same(2))),
    conv.Case((2, 36, 9, 9), 36, (3, 3), conv.ConvParams(padding=conv.same(1), groups=2)),
    conv.Case((2, 18, 13, 13), 24, (5, 3), conv.ConvParams((3, 2), (2, 1, 0, 3), (2, 1))),
    conv.Case((1, 70, 7, 9), 130, (3, 3), conv.ConvParams(padding=conv.same(1))),
]


def directly(d: conv.Data) -> DirectForm:
    y = conv.images(d.gy.shape, d.x.dtype)
    c = forward_correlation(view_of(d.x), view_of(d.weight), view_of(y), d.case.p)
    form = form_of(c)
    assert isinstance(form, DirectForm)
    return form


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("checked", ["", "1"])
def test_convolutions(case: conv.Case, checked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    for bytes_ in (schedule.GATHERED_BYTES, 1):  # all pixels of a piece at once, and 32
        monkeypatch.setattr(schedule, "GATHERED_BYTES", bytes_)
        for layout in conv.LAYOUTS:
            d = conv.make(case, "bfloat16", layout)
            if layout == "channels_last":
                assert directly(d).tile.amx
            conv.check(d, "bfloat16")


@pytest.mark.usefixtures("tiled")
def test_where_pixels_are_gathered() -> None:
    gathers = [directly(conv.make(case, "bfloat16", "channels_last")).gathers for case in CASES]
    assert gathers == [True, True, False, False, True, True, True, True, True]


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=str)
def test_statistics_residuals_and_scales(case: conv.Case) -> None:
    """Compiled training and inference of a layer with what follows it, against eager float32."""
    d = conv.make(case, "bfloat16", "channels_last")
    x, w = (fovea.from_numpy(np.array(a)) for a in (d.x, d.weight))
    x = x.contiguous(memory_format=fovea.channels_last)
    norm = fovea.nn.BatchNorm2d(case.outputs).to(fovea.bfloat16)

    def block(x: Any) -> Any:
        y = fovea.nn.functional.conv2d(x, w, padding=case.p.padding[0])
        return fovea.relu(norm(y) + y)

    run = fovea.compile(block, strict=True)
    for training in (True, False):
        norm.train(training)
        found, wanted = run(x), block(x)
        np.testing.assert_allclose(
            found.detach().float().numpy(), wanted.detach().float().numpy(), atol=0.1, rtol=0.02
        )


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("channels", [64, 20])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("checked", ["", "1"])
def test_convolutions_of_bytes(
    channels: int, kernel: int, checked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits as in vectors: sums are integers."""
    monkeypatch.setenv("FOVEA_CPU_CHECK", checked)
    rng = np.random.default_rng(0)
    x = fovea.from_numpy(rng.integers(0, 256, (3, channels * 4, 7, 6), np.uint8))
    w = fovea.from_numpy(rng.integers(-128, 128, (40, channels * 4, kernel, kernel), np.int8))
    scale, bias = (fovea.from_numpy(rng.uniform(0.01, 0.1, 40).astype("f4")) for _ in range(2))
    edge = (kernel // 2,) * 4
    found = quantized.qlinear_conv2d(x, w, scale, bias, 3, (1, 1), edge)
    rows = quantized.qlinear(x.permute(0, 2, 3, 1), w[:, :, 0, 0], scale, bias, 3)
    monkeypatch.setenv("FOVEA_CPU_ISA", "avx512")
    drop_plans()
    wanted = quantized.qlinear_conv2d(x, w, scale, bias, 3, (1, 1), edge)
    np.testing.assert_array_equal(found.numpy(), wanted.numpy())
    wanted = quantized.qlinear(x.permute(0, 2, 3, 1), w[:, :, 0, 0], scale, bias, 3)
    np.testing.assert_array_equal(rows.numpy(), wanted.numpy())


@pytest.mark.usefixtures("tiled")
def test_same_bits_for_any_number_of_threads() -> None:
    x = fovea.randn(4, 64, 20, 20).to(fovea.bfloat16)
    x = x.contiguous(memory_format=fovea.channels_last)
    w, v = fovea.randn(96, 64, 3, 3).to(fovea.bfloat16), fovea.randn(300, 400).to(fovea.bfloat16)

    def results() -> tuple[Any, ...]:
        return fovea.nn.functional.conv2d(x, w, padding=1), v.T @ v

    same_bits_for_any_thread_count(results)


# -- machine code ----------------------------------------------------------------------------------


@pytest.fixture
def assembly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], Any]], str]]:
    """What the kernel of a plan that works in tile registers is to a Sapphire Rapids."""
    features = {f[1:]: f[0] == "+" for f in SAPPHIRE_RAPIDS.split(",")}
    monkeypatch.setattr(units, "host_features", lambda: features)
    monkeypatch.setattr(units, "_is_x86", lambda: True)
    monkeypatch.setattr(units, "tiles_permitted", lambda: True)
    monkeypatch.setenv("FOVEA_CPU_ISA", units.TILED)
    units._forced.cache_clear()
    built: dict[str, Callable[[], Any]] = {}

    def keep(key: str, unit: units.Isa, build: Callable[[], Any]) -> int:
        built.setdefault(key, build)
        return 0

    monkeypatch.setattr(compiler, "_load", keep)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(features=SAPPHIRE_RAPIDS, opt=3)

    def of(plan: Callable[[], Any]) -> str:
        built.clear()
        plan()
        (build,) = (b for key, b in built.items() if "amx" in key)
        module = compiler.optimized(build().assembly(), "kernel", machine)
        return str(machine.emit_assembly(module))

    yield of
    units._forced.cache_clear()


def plan_of_product(long: bool = False) -> None:
    a, b = (np.zeros((n, n), ml_dtypes.bfloat16) for n in (64, 64))
    if long:
        a, b = np.zeros((64, 5000), a.dtype), np.zeros((5000, 64), a.dtype)
    matmul.plan_matmul(view_of(a), view_of(b))


def plan_of_convolution(case: conv.Case) -> None:
    d = conv.make(case, "bfloat16", "channels_last")
    y = conv.images(d.gy.shape, d.x.dtype)
    conv.plan_conv2d(view_of(d.x), view_of(d.weight), view_of(y), case.p)


def plan_of_bytes() -> None:
    x, w = np.zeros((2, 9, 9, 64), "u1").transpose(0, 3, 1, 2), np.zeros((40, 64, 3, 3), "i1")
    y = conv.images((2, 40, 7, 7), np.dtype("f4"))
    c = forward_correlation(view_of(x), view_of(w), view_of(y), conv.ConvParams())
    plan_packed(byte_form(c, 0), Epilogue(view_of(y).element))


@pytest.mark.parametrize(
    ("plan", "instruction"),
    [
        (plan_of_product, "tdpbf16ps"),
        (lambda: plan_of_product(long=True), "tdpbf16ps"),
        (lambda: plan_of_convolution(CASES[0]), "tdpbf16ps"),
        (lambda: plan_of_convolution(CASES[3]), "tdpbf16ps"),
        (plan_of_bytes, "tdpbusd"),
    ],
)
def test_machine_code(
    assembly: Callable[[Callable[[], Any]], str], plan: Callable[[], None], instruction: str
) -> None:
    """Tiles are configured once, given up at the end, and stay in registers while products are
    added.
    """
    text = assembly(plan)
    words = re.findall(r"^\s+(ldtilecfg|tilerelease|tile\w+|tdp\w+)\b", text, re.MULTILINE)
    assert words[0] == "ldtilecfg" and words[-1] == "tilerelease"
    assert words.count("ldtilecfg") == words.count("tilerelease") == 1
    assert words.count("tilezero") == words.count("tilestored") == 4
    loop = inner_loop(text, instruction)
    inside = re.findall(r"^\s+(tile\w+|tdp\w+|v\w+)\b", loop, re.MULTILINE)
    assert sorted(inside) == [instruction] * 4 + ["tileloadd"] * 4, loop


def inner_loop(text: str, instruction: str) -> str:
    """The shortest stretch between a label and a jump back to it that has the instruction."""
    found = []
    for label in re.finditer(r"^(\.LBB\w+):", text, re.MULTILINE):
        back = re.search(rf"\tj\w+\t{re.escape(label[1])}\n", text[label.end() :])
        if back is not None:
            stretch = text[label.end() : label.end() + back.start()]
            found += [stretch] if instruction in stretch else []
    return min(found, key=len)


# -- which unit ------------------------------------------------------------------------------------


def test_a_machine_whose_system_refuses_has_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = dict.fromkeys(
        [*units._AMX, *units._AVX512, "avx2", "fma", "f16c", "avx512bf16"], True
    )
    monkeypatch.setattr(units, "host_features", lambda: everything)
    monkeypatch.setattr(units, "_is_x86", lambda: True)
    for permitted, name in ((True, "amx"), (False, "avx512")):
        monkeypatch.setattr(units, "tiles_permitted", lambda permitted=permitted: permitted)
        units.host.cache_clear()
        host, forced = units.host(), units.describe(units.TILED)
        assert host.name == name
        assert (host.has_tiles, host.real_tiles) == (permitted, permitted)
        assert (forced.has_tiles, forced.real_tiles) == (True, permitted)
        assert ("+amx-tile" in forced.features) == permitted  # so caches tell kernels apart
    units.host.cache_clear()


@only_with_tiles
def test_tile_registers_are_used_where_they_are() -> None:
    assert units.host().real_tiles


def test_threads_made_before_and_forked_children_use_tiles() -> None:
    """Permission is asked for once, for all of the process."""
    script = """
import os, threading
ready, results = threading.Event(), []

def work():
    ready.wait()
    results.append(product())

early = threading.Thread(target=work)
early.start()
import fovea

def product():
    return (a @ b).float().numpy().tobytes()

a, b = (fovea.randn(64, 64).to(fovea.bfloat16) for _ in range(2))
wanted = product()
ready.set()
early.join()
child = os.fork()
if child == 0:
    os._exit(product() != wanted)
_, status = os.waitpid(child, 0)
print(results == [wanted], os.waitstatus_to_exitcode(status))
"""
    unit = os.environ | {"FOVEA_CPU_ISA": units.TILED}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True, text=True, env=unit, timeout=120,
    )  # fmt: skip
    assert done.stdout == "True 0\n", done.stderr


def test_asking_for_permission_twice_gives_the_same_answer() -> None:
    first = units.tiles_permitted()
    units.tiles_permitted.cache_clear()
    assert units.tiles_permitted() == first
