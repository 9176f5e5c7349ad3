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
from fovea.form import interned
from fovea.ops.op import Spec, contiguous_strides, numel
from fovea.size import Size
from fovea.storage import Storage, shelf_of
from fovea.targets.base import Plan, PlanInto, tensor_class
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.direct import MOST_WORDS, available, direct_call
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.program import KernelCall
from fovea.targets.cpu.recipe import Recipe, exposed

__all__ = [
    "address_of",
    "caller",
    "calling",
    "launch",
    "launch_into",
    "maker",
    "program_call",
    "ranges_of",
    "run_checked",
    "run_checked_at",
]


def maker(spec: Spec) -> Callable[[], Any]:
    """A function that makes Tensors with unwritten memory, laid out as ``spec`` asks."""
    shape = spec.shape if isinstance(spec.shape, Size) else Size(spec.shape)
    strides = spec.strides if spec.strides is not None else contiguous_strides(shape)
    dtype = spec.dtype
    nbytes = numel(shape) * dtype.itemsize
    shelf = shelf_of(nbytes)
    form = interned(shape, tuple(strides), dtype)
    pop, fresh, cls, new = shelf.free.pop, shelf.make, tensor_class(), object.__new__

    def make() -> Any:
        storage = new(Storage)
        storage.shelf = shelf
        storage.nbytes = nbytes
        storage.version = 0
        try:
            storage.block = block = pop()
        except IndexError:
            storage.block = block = fresh()
        storage.address = block[1]
        t = new(cls)
        t.storage = storage
        t.shape = shape
        t.strides = strides
        t.offset = 0
        t.dtype = dtype
        t._form = form
        return t

    return make


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
    plan = _launch(ready, dtypes, maker(spec))
    return exposed(plan, lambda: Recipe.of_ready(ready, len(dtypes), spec, in_place))


def _launch(ready: Ready | None, dtypes: Sequence[DType], make: Callable[[], Any]) -> Plan:
    if ready is None:
        return lambda inputs: make()
    if checking():
        return _checked(ready, make)
    call = caller(ready, len(dtypes) + 1)
    sizes = [d.itemsize for d in dtypes]
    if len(sizes) == 1:
        return _unary(call, sizes[0], make)
    if len(sizes) == 2:
        return _binary(call, sizes[0], sizes[1], make)
    return calling(call, make)


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


def _unary(call: Callable[..., None], size: int, make: Callable[[], Any]) -> Plan:
    def run(inputs: tuple[Any, ...]) -> Any:
        x = inputs[0]
        out = make()
        call(x.storage.address + x.offset * size, out.storage.address)
        return out

    return run


def _binary(call: Callable[..., None], size_a: int, size_b: int, make: Callable[[], Any]) -> Plan:
    def run(inputs: tuple[Any, ...]) -> Any:
        a, b = inputs
        out = make()
        call(
            a.storage.address + a.offset * size_a,
            b.storage.address + b.offset * size_b,
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
