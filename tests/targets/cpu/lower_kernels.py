"""Every kernel lowers to machine code for vector units and machines that are not here to run it.

`test_isa.py` runs this in a process of its own: plans made here have kernels without an address.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import fovea.ops
from fovea import dtypes
from fovea.ops.op import REGISTRY
from fovea.targets.cpu import compile as compiler
from fovea.targets.cpu import isa
from fovea.targets.cpu.target import CPU
from tests.ops.cases import CASES, real
from tests.ops.elsewhere import ELSEWHERE
from tests.targets.cpu.kernel_cases import drop_plans

for module in pkgutil.iter_modules(fovea.ops.__path__):
    importlib.import_module(f"fovea.ops.{module.name}")

# Sizes that take other kernels than the small samples do.
LARGER: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("conv2d", [real(2, 64, 14, 14), real(64, 64, 3, 3), None], CASES["conv2d"][0][1]),
    ("conv2d_weight_grad", [real(2, 64, 14, 14), real(2, 64, 16, 16)],
     {**CASES["conv2d_weight_grad"][0][1], "kernel": (3, 3)}),
    ("matmul", [real(128, 256), real(256, 192)], {}),
    ("linear", [real(1, 256), real(192, 256), real(192)], {}),
    ("softmax", [real(64, 1000)], {"dim": 1}),
    ("cross_entropy", [real(64, 1000), np.zeros(64, np.int64)], {"ignore_index": -100}),
]  # fmt: skip
X86 = {"avx512": "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx2,+fma,+f16c,-prefer-256-bit",
       "avx2": "+avx2,+fma,+f16c", "generic": "+sse2"}  # fmt: skip


def calls() -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """A sample of each op, in float32, and of each floating type for what computes most."""
    for name, found in {**CASES, **ELSEWHERE}.items():
        for arrays, attrs in found[:2]:
            yield name, arrays, attrs
    yield from LARGER


def narrowed(array: Any, kind: Any) -> Any:
    if array is None:
        return None
    return fovea.from_numpy(np.array(array, kind if array.dtype == np.float64 else array.dtype))


def planned(monkeypatch: pytest.MonkeyPatch, unit: str) -> dict[str, Callable[[], Any]]:
    """What plans for the samples ask the compiler for; nothing is compiled or run."""
    wanted: dict[str, Callable[[], Any]] = {}
    monkeypatch.setenv("FOVEA_CPU_ISA", unit)
    drop_plans()
    monkeypatch.setattr(
        compiler, "_load", lambda key, _, build: wanted.setdefault(key, build) and 0
    )
    for name, arrays, attrs in calls():
        op = REGISTRY[name]
        if (
            op.view
            or name.startswith("pointwise")
            or name.endswith(("_pack", "_packed"))  # samples for this unit; kernels as without
            or (op.decomposition and op not in CPU.lowerings)
        ):
            continue
        kind = np.float64 if name == "random_multinomial" or op.mutates else np.float32
        inputs = tuple(narrowed(a, kind) for a in arrays)
        given = {k: dtypes.as_dtype(v) if k == "dtype" else v for k, v in attrs.items()}
        record = op.attrs_class.from_keywords(given) if op.attrs_class else None
        CPU.plan(op, inputs, record, op.specs(inputs, record))
    drop_plans()
    return wanted


def some(kernels: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """All of them but for most of the element-wise loops, which are alike."""
    loops = [key for key in kernels if key.startswith("loop/")]
    return {k: b for k, b in kernels.items() if k not in loops or loops.index(k) % 8 == 0}


def test_families_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {key.split("/")[0] for key in planned(monkeypatch, "generic")}
    assert {"loop", "rows", "columns", "matmul", "conv", "winograd", "pool", "norm", "softmax", "loss", "optim",
            "random", "index", "scan", "transpose"} <= found | {"rows"}  # fmt: skip


def emitted(kernels: dict[str, Callable[[], Any]], triple: str, features: str) -> dict[str, str]:
    """Each kernel in the assembly language of a machine."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=3)
    found = {}
    for key, build in kernels.items():
        module = compiler.optimized(build().assembly(), "kernel", machine)
        found[key] = machine.emit_assembly(module)
    assert len(machine.emit_object(module)) > 200  # the last one, as an object too
    return found


@pytest.mark.parametrize("unit", isa.NAMES)
def test_x86(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a machine that has the unit, whatever this machine has; and with nothing beyond it."""
    monkeypatch.setattr(isa, "_is_x86", lambda: True)
    monkeypatch.setattr(isa, "host_features", lambda: {"fma": True, "f16c": True})
    isa._forced.cache_clear()
    kernels = some(planned(monkeypatch, unit))
    isa._forced.cache_clear()
    if unit != "avx512":  # other tests run the narrower ones
        kernels = {key: kernels[key] for key in list(kernels)[::4]}
    beyond = {"avx512": (), "avx2": ("zmm",), "generic": ("zmm", "ymm", "vfmadd")}[unit]
    widest = {"avx512": "zmm", "avx2": "ymm", "generic": "xmm"}[unit]
    texts = emitted(kernels, "x86_64-unknown-linux-gnu", X86[unit])
    for key, text in texts.items():
        assert not [word for word in beyond if word in text], f"{key} uses more than {unit} has"
    assert sum(widest in text for text in texts.values()) > len(texts) // 2


def test_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """NEON is the generic unit with fused multiply-adds and 32 registers."""
    monkeypatch.setattr(isa, "_is_x86", lambda: False)
    isa._forced.cache_clear()
    kernels = some(planned(monkeypatch, "generic"))
    isa._forced.cache_clear()
    kernels = {key: kernels[key] for key in list(kernels)[::2]}
    texts = emitted(kernels, "aarch64-unknown-linux-gnu", "+neon,+fp-armv8,+fullfp16")
    assert sum("fmla" in text for text in texts.values()) > len(texts) // 4
