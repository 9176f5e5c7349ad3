"""Which vector unit kernels are generated for.

`avx512`, `avx2` and `generic` (128 bits: SSE2 or NEON), and `amx`: AVX-512 with Intel's tile
registers. `FOVEA_CPU_ISA` forces one. Forcing a unit that the machine lacks keeps its vector width
and its schedules, and compiles for the features that exist (tile registers become memory): slower,
but the same kernels, so that every one can be tested on every machine.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache

NAMES = ("avx512", "avx2", "generic")
TILED = "amx"
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_AMX = ("amx-tile", "amx-bf16", "amx-int8")
_ARCH_PRCTL, _REQUEST_STATE, _TILE_DATA = 158, 0x1023, 18  # of Linux on x86-64


@dataclass(frozen=True)
class Isa:
    """A vector unit: its register width, how many registers it has, the LLVM features to compile
    with, and what it can do beside the usual. `has_tiles`: kernels are written for tile registers,
    which are `real_tiles` where the machine has them (see `tiles.py`).
    """

    name: str
    vector_bytes: int
    registers: int
    features: str
    has_fma: bool
    has_f16: bool
    has_bf16_dot: bool = False
    has_byte_dot: bool = False
    has_tiles: bool = False
    real_tiles: bool = False

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


@cache
def tiles_permitted() -> bool:
    """Whether this process may use tile registers: Linux, which keeps their 8 kB for a thread that
    is interrupted, wants to be asked once.
    """
    import ctypes

    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return False
    request = (ctypes.c_long(n) for n in (_ARCH_PRCTL, _REQUEST_STATE, _TILE_DATA))
    return bool(ctypes.CDLL(None).syscall(*request) == 0)


def _supported(name: str) -> bool:
    have = host_features()
    if name == TILED:
        there = all(have.get(f, False) for f in _AMX)
        return there and _supported("avx512") and tiles_permitted()
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
    if name == TILED and not _supported(TILED):
        have = {f: on for f, on in have.items() if "amx" not in f}
    text = ",".join(("+" if on else "-") + f for f, on in sorted(have.items()))
    return text + (",-prefer-256-bit" if name in ("avx512", TILED) else "")


def describe(name: str) -> Isa:
    """The vector unit called `name` on this machine (whether or not the machine has it).

    Raises:
        ValueError: `name` is not "amx" or one of NAMES.
    """
    if name not in (TILED, *NAMES):
        raise ValueError(f"FOVEA_CPU_ISA: {name!r} is not one of {', '.join((TILED, *NAMES))}")
    arm = not _is_x86()
    wide = name in ("avx512", TILED)
    width = 64 if wide else {"avx2": 32, "generic": 16}[name]
    registers = 32 if wide or arm else 16
    bare = _is_x86() and name == "generic"
    fma = arm or (not bare and host_features().get("fma", False))
    f16 = arm or (not bare and host_features().get("f16c", False))
    pairs, quads = (
        wide and _supported("avx512") and host_features().get(feature, False)
        for feature in ("avx512bf16", "avx512vnni")
    )
    tiles = name == TILED
    real = tiles and _supported(TILED)
    return Isa(name, width, registers, _feature_text(name), fma, f16, pairs, quads, tiles, real)


@cache
def host() -> Isa:
    """The widest vector unit of this machine."""
    return describe(next(name for name in (TILED, *NAMES) if _supported(name)))


@cache
def _forced(name: str) -> Isa:
    return describe(name)


def active() -> Isa:
    """The vector unit to generate for: `FOVEA_CPU_ISA`, or the machine's widest."""
    name = os.environ.get("FOVEA_CPU_ISA", "")
    return _forced(name) if name else host()
