"""Which vector unit kernels are generated for.

`avx512`, `avx2` and `generic` (128 bits: SSE2 or NEON). `FOVEA_CPU_ISA` forces one. Forcing a unit
that the machine lacks keeps its vector width and its schedules, and compiles for the features that
exist: slower, but the same kernels, so that every one can be tested on every machine.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache

NAMES = ("avx512", "avx2", "generic")
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")


@dataclass(frozen=True)
class Isa:
    """A vector unit: its register width, how many registers it has, the LLVM features to compile
    with, and what it can do beside the usual.
    """

    name: str
    vector_bytes: int
    registers: int
    features: str
    has_fma: bool
    has_f16: bool
    has_bf16_dot: bool = False
    has_byte_dot: bool = False

    def lanes(self, element_bytes: int) -> int:
        """How many elements of that many bytes fill a vector register.

        >>> Isa("avx2", 32, 16, "", True, True).lanes(4)
        8
        """
        return self.vector_bytes // element_bytes


@cache
def host_features() -> dict[str, bool]:
    """The features of this machine, by LLVM name."""
    import llvmlite.binding as llvm

    return dict(llvm.get_host_cpu_features())


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i686")


def _supported(name: str) -> bool:
    have = host_features()
    if name == "avx512":
        return all(have.get(f, False) for f in _AVX512)
    if name == "avx2":
        return have.get("avx2", False) and have.get("fma", False)
    return True


def _feature_text(name: str) -> str:
    """LLVM's feature string: what the host has, cut down to what `name` allows."""
    have = dict(host_features())
    if _is_x86() and name == "generic":
        return "+sse2"
    if _is_x86() and name == "avx2":
        have = {f: on and "avx512" not in f and "amx" not in f for f, on in have.items()}
    text = ",".join(("+" if on else "-") + f for f, on in sorted(have.items()))
    return text + (",-prefer-256-bit" if name == "avx512" else "")


def describe(name: str) -> Isa:
    """The vector unit called `name` on this machine (whether or not the machine has it).

    Raises:
        ValueError: `name` is not one of NAMES.
    """
    if name not in NAMES:
        raise ValueError(f"FOVEA_CPU_ISA: {name!r} is not one of {', '.join(NAMES)}")
    arm = not _is_x86()
    width = {"avx512": 64, "avx2": 32, "generic": 16}[name]
    registers = 32 if name == "avx512" or arm else 16
    bare = _is_x86() and name == "generic"
    fma = arm or (not bare and host_features().get("fma", False))
    f16 = arm or (not bare and host_features().get("f16c", False))
    dots = [
        name == "avx512" and _supported(name) and host_features().get(feature, False)
        for feature in ("avx512bf16", "avx512vnni")
    ]
    return Isa(name, width, registers, _feature_text(name), fma, f16, *dots)


@cache
def host() -> Isa:
    """The widest vector unit of this machine."""
    return describe(next(name for name in NAMES if _supported(name)))


@cache
def _forced(name: str) -> Isa:
    return describe(name)


def active() -> Isa:
    """The vector unit to generate for: `FOVEA_CPU_ISA`, or the machine's widest."""
    name = os.environ.get("FOVEA_CPU_ISA", "")
    return _forced(name) if name else host()
