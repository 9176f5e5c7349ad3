"""Plain data as a pickle of protocol 2, in the vocabulary that PyTorch's safe reader takes.

Python's own pickler cannot name PyTorch's functions without importing them, so this one writes the
opcodes itself. Source of the opcodes: Python's ``pickletools`` module.
"""

from __future__ import annotations

import argparse
import functools
import struct
from collections import Counter, OrderedDict
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np

from fovea.devices import device
from fovea.dtypes import DType
from fovea.errors import ArgumentError
from fovea.interop import whole
from fovea.interop.torch_names import STORAGE_OF_DTYPE
from fovea.size import Size
from fovea.storage import Storage
from fovea.tensorbase import is_tensor

__all__ = ["PlacedTensor", "StorageTable", "write_pickle"]

_MAX_DEPTH = 200
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_NUMPY_ARRAY: tuple[str, str] = (_RECONSTRUCT.__module__, _RECONSTRUCT.__name__)  # type: ignore


class PlacedTensor(Protocol):
    """Where in the file a tensor's elements lie."""

    key: str
    elements: int
    offset: int
    strides: tuple[int, ...]


class StorageTable(Protocol):
    """Gives each tensor its place among the file's storages."""

    def place(self, tensor: Any) -> PlacedTensor: ...


def write_pickle(obj: Any, storages: StorageTable) -> bytes:
    """The pickle of ``obj``; its tensors refer to entries of ``storages``.

    Raises:
        ArgumentError: a value of another kind, a circle, or a nesting too deep; the message says
            where.
    """
    writer = _Writer(storages)
    writer.value(obj, "the object")
    return b"\x80\x02" + bytes(writer.out) + b"."


class _Writer:
    def __init__(self, storages: StorageTable) -> None:
        self.out = bytearray()
        self.storages = storages
        self.open: set[int] = set()  # containers around the value being written
        self.modules = 0  # around it: inside one, things that are there twice are written once
        self.memo: dict[int, tuple[int, Any]] = {}

    def value(self, obj: Any, where: str) -> None:
        """One value of any kind; ``where`` says how to reach it, for the error."""
        if self.scalar(obj, where) or self.known(obj):
            return
        if is_tensor(obj):
            self.tensor(obj)
            self.remember(obj)
        elif isinstance(obj, Mapping | list | tuple | argparse.Namespace):
            self.container(obj, where)
        elif not self.object(obj, where):
            raise _cannot_save(obj, where)

    def scalar(self, obj: Any, where: str) -> bool:
        """None, a truth value, a number or a string; returns whether it was one."""
        if obj is None:
            self.out += b"N"
        elif isinstance(obj, bool | np.bool_):
            self.out += b"\x88" if obj else b"\x89"
        elif isinstance(obj, int | np.integer):
            self.integer(int(obj), where)
        elif isinstance(obj, float | np.floating):
            self.out += b"G" + struct.pack(">d", obj)
        elif isinstance(obj, str):
            self.string(obj)
        else:
            return False
        return True

    def object(self, obj: Any, where: str) -> bool:
        """What is neither a number nor a container; returns whether it was of a known kind."""
        if isinstance(obj, DType):
            self.name("torch", obj.name)
        elif isinstance(obj, bytes):
            self.bytes(obj)
        elif isinstance(obj, device):
            self.call("torch", "device", (str(obj),), where)
        elif isinstance(obj, PurePath):
            self.call("pathlib", type(obj).__name__, obj.parts, where)
        elif isinstance(obj, set):
            for item in obj:
                if not isinstance(item, str | int | float | None):
                    raise _cannot_save(item, f"a member of {where}")
            self.call("__builtin__", "set", (list(obj),), where)
        elif isinstance(obj, np.ndarray) and obj.dtype.kind in "biufc":
            self.array(obj, where)
        else:
            return self.whole(obj, where)
        return True

    def whole(self, obj: Any, where: str) -> bool:
        """A module with its attributes; within it also classes, functions and other objects."""
        if not self.modules and not whole.is_module(obj):
            return False
        if whole.named(obj) is not None:
            self.name(*whole.named(obj))  # type: ignore[misc]
        elif isinstance(obj, Enum) and whole.named(type(obj)) is not None:
            self.call(*whole.MEMBER, (type(obj), obj.name), where)
        elif isinstance(obj, functools.partial):
            self.call(*whole.PARTIAL, (obj.func, obj.args, obj.keywords), where)
        else:
            return self.attributes(obj, where)
        return True

    def attributes(self, obj: Any, where: str) -> bool:
        """An object as its class, made without arguments, and its attributes."""
        parts = whole.parts_of(obj)
        if parts is None:
            return False
        kind, state = parts
        self.name(*kind)
        self.out += b")\x81"
        self.modules += 1
        self.remember(obj)
        self.value(state, where)
        self.modules -= 1
        self.out += b"b"
        return True

    def known(self, obj: Any) -> bool:
        """Within a module: whether an object was written before; then it is named again."""
        if not self.modules or id(obj) not in self.memo:
            return False
        self.out += struct.pack("<cI", b"j", self.memo[id(obj)][0])
        return True

    def remember(self, obj: Any) -> None:
        """Within a module: what was just written may come again."""
        if self.modules:
            self.memo[id(obj)] = len(self.memo), obj
            self.out += struct.pack("<cI", b"r", len(self.memo) - 1)

    def call(self, module: str, name: str, arguments: tuple[Any, ...], where: str) -> None:
        self.name(module, name)
        self.sequence(arguments, where)
        self.out += b"R"

    def bytes(self, data: bytes) -> None:
        """As text, which this protocol has: it has no bytes."""
        self.call("_codecs", "encode", (data.decode("latin1"), "latin1"), "bytes")

    def array(self, array: np.ndarray[Any, Any], where: str) -> None:
        """A NumPy array as NumPy itself pickles it: empty at first, then with a state."""
        self.name(*_NUMPY_ARRAY)
        self.out += b"("
        self.name("numpy", "ndarray")
        self.sequence((0,), where)
        self.bytes(b"b")
        self.out += b"tR(K\x01"
        self.sequence(array.shape, where)
        self.call("numpy", "dtype", (array.dtype.str[1:], False, True), where)
        self.sequence((3, array.dtype.str[0], None, None, None, -1, -1, 0), where)
        self.out += b"b\x89"
        self.bytes(array.tobytes())
        self.out += b"tb"

    def integer(self, value: int, where: str) -> None:
        if 0 <= value < 256:
            self.out += struct.pack("<cB", b"K", value)
        elif -(2**31) <= value < 2**31:
            self.out += struct.pack("<ci", b"J", value)
        else:
            size = value.bit_length() // 8 + 1
            if size > 255:
                raise ArgumentError(f"save: the integer at {where} has {value.bit_length()} bits.")
            self.out += struct.pack("<cB", b"\x8a", size) + value.to_bytes(
                size, "little", signed=True
            )

    def string(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.out += struct.pack("<cI", b"X", len(data)) + data

    def name(self, module: str, name: str) -> None:
        self.out += f"c{module}\n{name}\n".encode("ascii")

    def container(self, obj: Any, where: str) -> None:
        if id(obj) in self.open:
            raise ArgumentError(f"save: {where} contains itself.")
        if len(self.open) >= _MAX_DEPTH:
            raise ArgumentError(f"save: the nesting is deeper than {_MAX_DEPTH} at {where}.")
        self.open.add(id(obj))
        if isinstance(obj, Counter):
            self.name("collections", "Counter")
            self.out += b"("
            self.mapping(dict(obj), where)
            self.out += b"tR"
        elif isinstance(obj, Mapping):
            self.mapping(obj, where)
        elif isinstance(obj, argparse.Namespace):
            self.name("argparse", "Namespace")
            self.out += b")\x81"
            self.mapping(vars(obj), where)
            self.out += b"b"
        elif isinstance(obj, list):
            self.out += b"]("
            self.items(obj, where)
            self.out += b"e"
        else:
            self.sequence(obj, where)
        self.open.discard(id(obj))

    def sequence(self, obj: tuple[Any, ...], where: str) -> None:
        if isinstance(obj, Size):
            self.name("torch", "Size")
        self.out += b"("
        self.items(obj, where)
        self.out += b"t"
        if isinstance(obj, Size):
            self.out += b"\x85R"  # torch.Size((...))

    def items(self, values: Any, where: str) -> None:
        for i, item in enumerate(values):
            self.value(item, f"{where}[{i}]")

    def mapping(self, obj: Mapping[Any, Any], where: str) -> None:
        ordered = isinstance(obj, OrderedDict)
        self.empty_mapping(ordered)
        self.out += b"("
        for key, item in obj.items():
            place = f"{where}[{key!r}]"
            if not self.scalar(key, place):
                raise ArgumentError(
                    f"save: the key {key!r} of {where} is no string or number.",
                    {"type": type(key).__name__},
                )
            self.value(item, place)
        self.out += b"u"
        # A module's state dict carries its layers' versions in an attribute.
        metadata = getattr(obj, "_metadata", None)
        if ordered and isinstance(metadata, dict):
            self.value({"_metadata": metadata}, where)
            self.out += b"b"

    def empty_mapping(self, ordered: bool) -> None:
        if ordered:
            self.name("collections", "OrderedDict")
            self.out += b")R"
        else:
            self.out += b"}"

    def tensor(self, t: Any) -> None:
        """``_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, OrderedDict())``."""
        placed = self.storages.place(t)
        parameter = any(base.__name__ == "Parameter" for base in type(t).__mro__)
        if parameter:
            self.name("torch._utils", "_rebuild_parameter")
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.out += b"(("
        self.string("storage")
        self.name("torch", STORAGE_OF_DTYPE[t.dtype])
        self.string(placed.key)
        self.string("cpu")
        self.integer(placed.elements, "a storage")
        self.out += b"tQ"
        self.integer(placed.offset, "an offset")
        for sizes in (t.shape, placed.strides):
            self.sequence(tuple(sizes), "a shape")
        requires_grad = b"\x88" if t.requires_grad else b"\x89"
        self.out += b"\x89" if parameter else requires_grad
        self.empty_mapping(ordered=True)
        self.out += b"tR"
        if parameter:
            self.out += requires_grad
            self.empty_mapping(ordered=True)
            self.out += b"\x87R"


def _cannot_save(obj: Any, where: str) -> ArgumentError:
    kind = type(obj)
    fix = "keep tensors, numbers, strings, None, and dicts, lists and tuples of them"
    if hasattr(obj, "state_dict"):
        fix = "save its state_dict() instead: fovea.save(model.state_dict(), path)"
    elif isinstance(obj, np.ndarray):
        fix = "keep arrays of numbers alone"
    elif isinstance(obj, Storage):
        fix = "save a tensor over it"
    return ArgumentError(
        f"save: {where} is a {kind.__module__}.{kind.__qualname__},"
        " which a file of tensors cannot hold.",
        fix=fix,
    )
