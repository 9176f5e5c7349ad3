"""Tensors made by compiled code: an output, and the kernel call that fills it, as one built-in
function.

In Python an output is two objects with twenty attributes, and each address takes two numbers to
work out: half a microsecond, more than many kernels. Here the objects are copies of a template,
whose slots are read and written where they lie in memory. Where that is, is found by looking into
an object (`_places`); where it can't be found, Python does it all.
"""

from __future__ import annotations

import ctypes
import struct
import sysconfig
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from fovea.dtypes import float32
from fovea.form import Form, interned
from fovea.ops.op import Spec, contiguous_strides, numel
from fovea.size import Size
from fovea.storage import Storage, shelf_of
from fovea.targets.base import SLOTS, blank, tensor_class
from fovea.targets.cpu.direct import MOST_WORDS, Builtin, available, function, run_kernel
from fovea.targets.cpu.elements import i64
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Value

__all__ = ["launcher", "maker", "pattern_maker", "view_maker"]

_STORAGE_SLOTS = ("shelf", "nbytes", "version", "block", "address")
_TYPE = 8  # where an object says what it is

# What a function is prepared with: words, most of them the addresses of objects. Then come the
# template, which is a storage's first three slots and a tensor's but its first, and the words that
# the kernel takes behind its addresses.
_TENSOR, _BASE, _STORAGE, _FREE, _FRESH, _NONE, _ERROR, _WHY, _KERNEL, _INPUTS, _COUNT = range(11)
_TEMPLATE = 11
_WORDS = _TEMPLATE + 3 + len(SLOTS) - 1
# Of views, after the first eight: how many elements behind its base one starts, the op and its
# attributes in a tuple, and the slots that are the same for all.
_BEHIND, _STEPS = 8, 9
_DERIVED = ("storage", "offset", "_base", "_replay", "_view_stamp")
_OF_VIEW = tuple(name for name in SLOTS if name not in _DERIVED)
_MISUSE = "a plan takes a tuple with as many tensors as it was made for."


class _Places(NamedTuple):
    """Where slots lie in an object, in bytes: of tensors, of storages and the size in dtypes."""

    tensor: dict[str, int]
    storage: dict[str, int]
    itemsize: int

    @property
    def key(self) -> str:
        """Names them for the cache of compiled functions."""
        return ".".join(map(str, (*self.tensor.values(), *self.storage.values(), self.itemsize)))


def _found(sample: Any, names: Sequence[str]) -> dict[str, int]:
    count = type(sample).__basicsize__ // 8
    words = struct.unpack(f"{count}q", ctypes.string_at(id(sample), 8 * count))
    return {name: 8 * words.index(id(getattr(sample, name))) for name in names}


@cache
def _places() -> _Places | None:
    """Where slots lie; None where compiled code may not touch them."""
    if not available() or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None
    tensor, storage = blank(tensor_class()), object.__new__(Storage)
    for sample, names in ((tensor, SLOTS), (storage, _STORAGE_SLOTS)):
        for name in names:
            setattr(sample, name, object())  # which is found nowhere else
    try:
        size = _found(float32, ("itemsize",))["itemsize"]
        return _Places(_found(tensor, SLOTS), _found(storage, _STORAGE_SLOTS), size)
    except ValueError:
        return None
    finally:
        storage.shelf = None  # there is no block to give back


# -- what is compiled ------------------------------------------------------------------------------


def _slot(k: Builtin, owner: Value, place: int) -> Buffer:
    return Buffer(k, i64, k.pointer(owner, place))


def _number(k: Builtin, owner: Value, place: int) -> Value:
    """The value of an int in a slot."""
    return k.call("PyLong_AsLongLong", k.load(_slot(k, owner, place)))


def _fill(k: Builtin, owner: Value, places: Sequence[int], words: Buffer, first: int) -> None:
    """Set slots to the objects of a template."""
    for n, place in enumerate(places):
        value = k.load(words, first + n)
        k.call("Py_IncRef", value)
        k.store(value, _slot(k, owner, place))


def _block(k: Builtin, words: Buffer) -> Value:
    """A block from the shelf, or a fresh one; 0 and an error if there is no memory."""
    free, block, zero = k.load(words, _FREE), k.var(0), k.const(0, i64)
    size = k.call("PyList_Size", free)
    with k.if_else(size > 0) as (some, none):
        with some:
            block.set(k.call("PyList_GetItem", free, size - 1))
            k.call("Py_IncRef", block.get())
            k.call("PyList_SetSlice", free, size - 1, size, zero)
        with none:
            block.set(k.call("PyObject_CallObject", k.load(words, _FRESH), zero))
    return block.get()


def _new_tensor(k: Builtin, words: Buffer) -> tuple[Value, Value]:
    """A tensor like the template, and its block; a 0 among them is an error, and what was made
    until then goes with the tensor.
    """
    places, zero, block = _places(), k.const(0, i64), k.var(0)
    assert places is not None
    of_tensor, of_storage = places.tensor, places.storage
    t = k.call("PyType_GenericAlloc", k.load(words, _TENSOR), zero)
    with k.if_(t.ne(0)):
        storage = k.call("PyType_GenericAlloc", k.load(words, _STORAGE), zero)
        k.store(storage, _slot(k, t, of_tensor["storage"]))
        _fill(k, t, [of_tensor[name] for name in SLOTS[1:]], words, _TEMPLATE + 3)
        with k.if_(storage.ne(0)):
            known = [of_storage[name] for name in _STORAGE_SLOTS[:3]]
            _fill(k, storage, known, words, _TEMPLATE)
            block.set(_block(k, words))
            with k.if_(block.get().ne(0)):
                k.store(block.get(), _slot(k, storage, of_storage["block"]))
                address = k.call("PyTuple_GetItem", block.get(), k.const(1, i64))
                k.call("Py_IncRef", address)
                k.store(address, _slot(k, storage, of_storage["address"]))
    return t, block.get()


def _gather(k: Builtin, words: Buffer, inputs: Value, params: Buffer) -> Value:
    """Write down the addresses of the inputs that are there; whether they are what was planned."""
    places, found, given = _places(), k.var(0), k.var(0)
    assert places is not None
    at = places.tensor
    wanted = k.load(words, _INPUTS)
    with k.loop(0, k.call("PyTuple_Size", inputs), unroll=1) as i:
        x = k.call("PyTuple_GetItem", inputs, i)
        with k.if_(x.ne(k.load(words, _NONE))):
            with k.if_(_is_tensor(k, words, x) & (found.get() < wanted)):
                start = _number(k, k.load(_slot(k, x, at["storage"])), places.storage["address"])
                size = _number(k, k.load(_slot(k, x, at["dtype"])), places.itemsize)
                k.store(start + _number(k, x, at["offset"]) * size, params, found.get())
                found.set(found.get() + 1)
            given.set(given.get() + 1)
    return found.get().eq(wanted) & given.get().eq(wanted)


def _is_tensor(k: Builtin, words: Buffer, x: Value) -> Value:
    """Whether an object is a tensor; 0 is none."""
    found = k.var(0)
    with k.if_(x.ne(0)):
        kind = k.load(_slot(k, x, _TYPE))
        found.set(1)
        with k.if_(kind.ne(k.load(words, _TENSOR))):
            found.set(k.call("PyType_IsSubtype", kind, k.load(words, _BASE)) & 1)
    return found.get().ne(0)


def _prepared_words(k: Builtin) -> Buffer:
    owner = k.parameters[0]
    return k.memory(k.call("PyBytes_AsString", k.call("PyTuple_GetItem", owner, k.const(0, i64))))


def _make() -> Builtin:
    """``make()``: a tensor with unwritten memory, or with so many bytes of a pattern, or of 0."""
    k = Builtin()
    words, zero = _prepared_words(k), k.const(0, i64)
    t, block = _new_tensor(k, words)
    result, pattern, count = k.var(t), k.load(words, _KERNEL), k.load(words, _COUNT)
    with k.if_else(block.ne(0)) as (made, failed):
        with made, k.if_(count > 0):
            number = k.call("PyTuple_GetItem", block, k.const(1, i64))
            target = k.call("PyLong_AsLongLong", number)
            with k.if_else(pattern.ne(0)) as (some, none):
                with some:
                    k.call("memcpy", target, k.call("PyBytes_AsString", pattern), count)
                with none:
                    k.call("memset", target, zero, count)
        with failed:
            k.call("Py_DecRef", t)
            result.set(0)
    k.result = result.get()
    return k


def _launch() -> Builtin:
    """``launch(inputs)``: a tensor that a kernel has written, from a tuple of tensors or None."""
    k = Builtin()
    words, result = _prepared_words(k), k.var(0)
    inputs = k.load(k.memory(k.parameters[1]), 0)
    t, block = _new_tensor(k, words)
    with k.if_(block.ne(0)):
        params = k.scratch(i64, MOST_WORDS)
        with k.if_else(_gather(k, words, inputs, params)) as (right, wrong):
            with right:
                count = k.load(words, _INPUTS)
                target = k.call("PyTuple_GetItem", block, k.const(1, i64))
                k.store(k.call("PyLong_AsLongLong", target), params, count)
                with k.loop(0, k.load(words, _COUNT), unroll=1) as i:
                    k.store(k.load(words, i + _WORDS), params, count + i + 1)
                run_kernel(k, k.load(words, _KERNEL), params)
                result.set(t)
            with wrong:
                k.call("PyErr_SetObject", k.load(words, _ERROR), k.load(words, _WHY))
    with k.if_(result.get().eq(0)):
        k.call("Py_DecRef", t)
    k.result = result.get()
    return k


def _view() -> Builtin:
    """``view(inputs)``: a view of the one tensor in a tuple."""
    places, k = _places(), Builtin()
    assert places is not None
    at, words, result = places.tensor, _prepared_words(k), k.var(0)
    inputs = k.load(k.memory(k.parameters[1]), 0)
    x = k.call("PyTuple_GetItem", inputs, k.const(0, i64))
    with k.if_else(_is_tensor(k, words, x)) as (right, wrong):
        with right:
            t = k.call("PyType_GenericAlloc", k.load(words, _TENSOR), k.const(0, i64))
            with k.if_(t.ne(0)):
                _fill(k, t, [at[name] for name in _OF_VIEW], words, _STEPS + 1)
                storage = k.load(_slot(k, x, at["storage"]))
                k.call("Py_IncRef", storage)
                k.store(storage, _slot(k, t, at["storage"]))
                offset = _number(k, x, at["offset"]) + k.load(words, _BEHIND)
                k.store(k.call("PyLong_FromLongLong", offset), _slot(k, t, at["offset"]))
                _derive(k, words, x, t)
                result.set(t)
        with wrong:
            k.call("PyErr_SetObject", k.load(words, _ERROR), k.load(words, _WHY))
    k.result = result.get()
    return k


def _derive(k: Builtin, words: Buffer, x: Value, t: Value) -> None:
    """Note of a view which tensor it is a view of, by which steps, and that tensor's state."""
    places, steps = _places(), k.load(words, _STEPS)
    assert places is not None
    at = places.tensor
    base, replay = k.var(k.load(_slot(k, x, at["_base"]))), k.var(steps)
    with k.if_else(base.get().eq(k.load(words, _NONE))) as (first, further):
        with first:
            base.set(x)
            k.call("Py_IncRef", steps)
        with further:
            before = k.load(_slot(k, x, at["_replay"]))
            replay.set(k.call("PySequence_Concat", before, steps))
    stamp = k.load(_slot(k, base.get(), at["_graph_version"]))
    for value in (base.get(), stamp):
        k.call("Py_IncRef", value)
    for name, value in (("_base", base.get()), ("_view_stamp", stamp), ("_replay", replay.get())):
        k.store(value, _slot(k, t, at[name]))


# -- what is called --------------------------------------------------------------------------------


def _template(spec: Spec) -> tuple[list[Any], list[Any]]:
    """What outputs that `spec` asks for share: the shelf and the first slots of their storages, and
    the slots of tensors but the storage.
    """
    shape = spec.shape if isinstance(spec.shape, Size) else Size(spec.shape)
    strides = spec.strides if spec.strides is not None else contiguous_strides(shape)
    nbytes = numel(shape) * spec.dtype.itemsize
    t = blank(tensor_class())
    t.shape, t.strides, t.offset, t.dtype = shape, strides, 0, spec.dtype
    t._form = interned(shape, tuple(strides), spec.dtype)
    return [shelf_of(nbytes), nbytes, 0], [getattr(t, name) for name in SLOTS[1:]]


def _types() -> tuple[Any, Any]:
    """The class of tensors, and the one that has their slots."""
    cls = tensor_class()
    return cls, next(c for c in reversed(cls.__mro__) if hasattr(c, SLOTS[0]))


def _owner(spec: Spec, kernel: int, inputs: int, count: int, words: bytes = b"") -> tuple[Any, ...]:
    """The words of a function, and the objects in them: as long as it lives, so do they."""
    of_storage, of_tensor = _template(spec)
    shelf = of_storage[0]
    objects = (*_types(), Storage, shelf.free, shelf.make, None, TypeError, _MISUSE)
    template = (*of_storage, *of_tensor)
    head = (*map(id, objects), kernel, inputs, count, *map(id, template))
    return struct.pack(f"{len(head)}q", *head) + words, objects, template


def maker(spec: Spec) -> Callable[[], Any]:
    """A function that makes Tensors with unwritten memory, laid out as ``spec`` asks."""
    places = _places()
    if places is not None:
        return function(f"make/{places.key}", _make, _owner(spec, 0, 0, 0))
    (shelf, nbytes, _), rest = _template(spec)
    pop, fresh, cls, new = shelf.free.pop, shelf.make, tensor_class(), object.__new__
    names = dict(zip(SLOTS[1:], rest, strict=True))
    shape, strides, dtype, form = (names[n] for n in ("shape", "strides", "dtype", "_form"))

    def make() -> Any:
        storage = new(Storage)
        storage.shelf, storage.nbytes, storage.version = shelf, nbytes, 0
        try:
            storage.block = block = pop()
        except IndexError:
            storage.block = block = fresh()
        storage.address = block[1]
        t = blank(cls)
        t.storage, t.shape, t.strides, t.offset = storage, shape, strides, 0
        t.dtype, t._form = dtype, form
        return t

    return make


def pattern_maker(spec: Spec, pattern: bytes) -> Callable[[], Any] | None:
    """A function that makes Tensors that begin with these bytes, all of which are 0 without any;
    None where Python must do that.
    """
    places = _places()
    if places is None:
        return None
    nbytes = numel(spec.shape) * spec.dtype.itemsize
    owner = _owner(spec, id(pattern) if pattern else 0, 0, nbytes)
    return function(f"make/{places.key}", _make, (*owner, pattern))


def launcher(ready: Ready, spec: Spec, inputs: int) -> Callable[[tuple[Any, ...]], Any] | None:
    """A function that makes an output and calls a kernel on the addresses of the inputs that are
    not None (so many) and on it, on the calling thread alone; None where Python must do that.
    """
    places, words = _places(), inputs + 1 + len(ready.words) // 8
    if places is None or ready.parallel or words > MOST_WORDS:
        return None
    owner = _owner(spec, ready.address, inputs, len(ready.words) // 8, ready.words)
    return function(f"launch/{places.key}", _launch, owner)


def view_maker(
    step: tuple[Any, Any], form: Form, offset: int
) -> Callable[[tuple[Any, ...]], Any] | None:
    """A function that makes a view, in this form and so many elements behind the start of what it
    is a view of; None where Python must do that.

    Args:
        step: the op and its attributes.
    """
    places = _places()
    if places is None:
        return None
    t = blank(tensor_class())
    t.shape, t.strides, t.dtype, t._form = form.shape, form.strides, form.dtype, form
    objects = (*_types(), Storage, (), (), None, TypeError, _MISUSE)
    template = ((step,), *(getattr(t, name) for name in _OF_VIEW))
    head = (*map(id, objects), offset, *map(id, template))
    owner = struct.pack(f"{len(head)}q", *head), objects, template
    return function(f"view/{places.key}", _view, owner)
