"""From a kernel to the address of its machine code, in the process and without a compiler on the
machine.

`load_cached(key, build)` is what kernels are asked for with: memory first, then the disk cache (an
object file is linked, nothing is built or optimized), and only then `build()` and LLVM.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from fovea.targets.cpu import cache as disk
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.isa import Isa, active

if TYPE_CHECKING:
    import llvmlite.binding as llvm


class Source(Protocol):
    """What can be compiled: a `Kernel` or a `Routine`."""

    name: str
    buffer_names: tuple[str, ...]

    def assembly(self) -> str: ...


_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread that it lacks
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
_addresses: dict[tuple[str, str, bool], int] = {}
_kernels: dict[int, tuple[str, tuple[str, ...]]] = {}
_linked_symbols: dict[str, int] = {}
_linked = 0


@cache
def _llvm() -> None:
    """Make LLVM ready for this machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def _machine(features: str) -> llvm.TargetMachine:
    """LLVM's target machine. The CPU's name is left out: LLVM gets new ones wrong, the features are
    reliable.
    """
    import llvmlite.binding as llvm

    _llvm()
    return llvm.Target.from_default_triple().create_target_machine(features=features, opt=3)


@cache
def _engine() -> llvm.ExecutionEngine:
    """The one engine that links every object. It outlives Python's objects: workers may be parked
    in its code.
    """
    import ctypes

    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(active().features))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    return engine


# Enough for kernels that are written as they are to run: variables into registers, common addresses
# once, the unrolling that loops ask for. LLVM's own -O3 takes up to ten times as long, and makes
# none of fovea's kernels faster.
_PASSES = ("sroa", "simplify_cfg", "instruction_combine", "new_gvn", "loop_unroll", "simplify_cfg")


def to_object(assembly: str, symbol: str, isa: Isa) -> bytes:
    """Optimize LLVM assembly and turn it into an object file whose entry point `kernel` is called
    `symbol`.
    """
    machine = _machine(isa.features)
    result: bytes = machine.emit_object(optimized(assembly, symbol, machine))
    return result


def optimized(assembly: str, symbol: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """A kernel's module, ready for a machine to emit it."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(assembly)
    module.verify()
    module.get_function("kernel").name = symbol
    passes = llvm.create_new_module_pass_manager()
    for name in _PASSES:
        getattr(passes, f"add_{name}_pass")()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    passes.run(module, llvm.create_pass_builder(machine, options))
    return module


def _link(image: bytes, symbol: str) -> int:
    import llvmlite.binding as llvm

    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(image))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


def _symbol(digest: str) -> str:
    """A name that no other object in this process has (a key may be linked again after tests clear
    the memory).
    """
    return f"fovea_{digest[:32]}"


def load(kernel: Kernel) -> int:
    """Compile a kernel, or find it compiled: the address to hand to `threads.run`.

    The disk cache is keyed by the kernel's LLVM assembly. `load_cached` spares building that, too.
    """
    return _load(f"ir:{kernel.assembly()}", kernel.isa, lambda: kernel)


def load_cached(key: str, build: Callable[[], Source]) -> int:
    """The address of the kernel called `key`, building it with `build` only where no cache has it.

    Args:
        key: names the kernel and everything that `build` depends on, such as "conv/f32/6x2/relu".
            The vector unit, the versions and the generator's source need not be in it.
        build: makes the kernel.
    """
    return _load(key, active(), build)


def _load(key: str, isa: Isa, build: Callable[[], Source]) -> int:
    global _linked
    memo = (key, isa.name, checking())
    address = _addresses.get(memo)
    if address is not None:
        return address
    with _lock:
        if memo in _addresses:
            return _addresses[memo]
        digest = disk.digest(key, isa, checking())
        entry = disk.read(digest)
        if entry is None:
            entry = _made(build(), isa)
            disk.write(digest, *entry)
        image, (symbol, name, *buffers) = entry
        address = _linked_symbols.get(symbol)
        if address is None:
            address = _linked_symbols[symbol] = _link(image, symbol)
            _linked += 1
        _addresses[memo] = address
        _kernels[address] = (name, tuple(buffers))
        return address


def _made(kernel: Source, isa: Isa) -> tuple[bytes, tuple[str, ...]]:
    """A kernel's object file with its symbol and names: found by its assembly, or compiled."""
    assembly = kernel.assembly()
    same = disk.code_digest(assembly, isa)
    found = disk.read(same)
    if found is None:
        symbol = _symbol(same)
        found = (to_object(assembly, symbol, isa), (symbol, kernel.name, *kernel.buffer_names))
        disk.write(same, *found)
    return found


def describe(address: int) -> tuple[str, tuple[str, ...]]:
    """The name and the buffer names of the kernel at `address`."""
    return _kernels[address]
