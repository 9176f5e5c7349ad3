"""From Tensors to one kernel call.

A plan built here does as little as Python allows: take a block from its shelf, put a Tensor around
    it, gather the
addresses, call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from fovea.dtypes import DType
from fovea.ops.op import Spec
from fovea.targets.base import Plan, PlanInto
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.direct import MOST_WORDS, available, direct_call
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.objects import launcher, maker
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.recipe import Recipe, exposed

__all__ = [
    "address_of",
    "caller",
    "calling",
    "launch",
    "launch_into",
    "launched",
    "launched_alone",
    "maker",
    "program_call",
    "ranges_of",
    "run_checked",
    "run_checked_at",
]


def address_of(t: Any) -> int:
    """The byte address of a Tensor's first element."""
    return t.storage.address + t.offset * t.dtype.itemsize


def ranges_of(tensors: Sequence[Any]) -> list[tuple[int, int]]:
    """The byte range (first, one past last) of each Tensor's storage, for kernels that check
    bounds.
    """
    return [(t.storage.address, t.storage.address + t.storage.nbytes) for t in tensors]


def caller(ready: Ready, buffers: int) -> Callable[..., None]:
    """``call(*addresses)`` for a kernel whose other arguments are known."""
    if not ready.parallel and buffers + len(ready.words) // 8 <= MOST_WORDS and available():
        return direct_call(ready.address, ready.words)
    pack = struct.Struct(f"{buffers}q").pack
    address, words, count = ready.address, ready.words, 0 if ready.parallel else 1
    run = threads.run

    def call(*addresses: int) -> None:
        run(address, pack(*addresses) + words, count)

    return call


def launch(
    ready: Ready | None, dtypes: Sequence[DType], spec: Spec, in_place: Sequence[int] = ()
) -> Plan:
    """A plan that makes an output and calls a kernel on the inputs (of these dtypes) and on it.

    Without a kernel (``ready`` is None) there is nothing to compute: the output has no elements.
    ``in_place``: inputs whose memory the output may take where both are laid out alike.
    """
    if ready is None:
        make = maker(spec)
        plan: Plan = lambda inputs: make()  # noqa: E731
    elif checking():
        plan = _checked(ready, maker(spec))
    else:
        plan = launched(ready, len(dtypes), spec)
    return exposed(plan, lambda: Recipe.of_ready(ready, len(dtypes), spec, in_place))


def launched(ready: Ready, inputs: int, spec: Spec) -> Plan:
    """A plan that makes an output, and calls a kernel on the inputs that are there (so many) and on
    it.
    """
    plan = launcher(ready, spec, inputs)
    return plan or calling(caller(ready, inputs + 1), maker(spec))


def launched_alone(program: KernelProgram, spec: Spec) -> Plan | None:
    """The plan for a program of nothing but one kernel, whose last buffer is the output; None for
    others.
    """
    if (single := program.single) is None:
        return None
    words = struct.pack(f"{len(single.words)}q", *single.words)
    ready = Ready(single.address, words, single.parallel)
    return launched(ready, program.external - 1, spec)


def calling(call: Callable[..., None], make: Callable[[], Any]) -> Plan:
    """A plan that makes an output, and calls with the addresses of the inputs that are there and of
    it.
    """

    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        call(
            *[t.storage.address + t.offset * t.dtype.itemsize for t in inputs if t is not None],
            out.storage.address,
        )
        return out

    return run


def launch_into(ready: Ready | None, inputs: int) -> PlanInto:
    """A plan that calls a kernel on the inputs and on an output that is there already."""
    if ready is None:
        return lambda tensors, out: None
    if checking():
        return lambda tensors, out: run_checked(ready, [*tensors, out])
    call = caller(ready, inputs + 1)

    def run(tensors: tuple[Any, ...], out: Any) -> None:
        call(
            *[t.storage.address + t.offset * t.dtype.itemsize for t in tensors],
            out.storage.address + out.offset * out.dtype.itemsize,
        )

    return run


def _checked(ready: Ready, make: Callable[[], Any]) -> Plan:
    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        run_checked(ready, [*inputs, out])
        return out

    return run


def run_checked(ready: Ready, tensors: Sequence[Any]) -> None:
    """Run a kernel that checks its accesses against the tensors' storages."""
    run_checked_at(ready, [address_of(t) for t in tensors], tensors)


def run_checked_at(ready: Ready, addresses: Sequence[int], tensors: Sequence[Any]) -> None:
    """The same, on parts of the tensors that begin at these addresses."""
    from fovea.targets.cpu.checks import run_checked as run

    params = struct.pack(f"{len(addresses)}q", *addresses) + ready.words
    run(ready.address, params, ranges_of(tensors), 0 if ready.parallel else 1)


def program_call(ready: Ready, buffers: tuple[int, ...]) -> KernelCall:
    """A prepared call as a step of a program, on buffers of these numbers."""
    words = struct.unpack(f"{len(ready.words) // 8}q", ready.words)
    return KernelCall(ready.address, buffers, words, ready.parallel)
