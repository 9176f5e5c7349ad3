"""Kernel calls as built-in functions: from Python straight into machine code.

A call through ctypes costs about half a microsecond, more than many kernels. So a small compiled
function, with the
calling convention of CPython's own built-ins, takes the addresses as arguments, puts the prepared
words after them and
runs the kernel. Where there is no CPython, ctypes does it.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.routine import Routine
from fovea.targets.cpu.values import Value

__all__ = ["MOST_WORDS", "Builtin", "available", "direct_call", "function", "run_kernel"]

MOST_WORDS = 64  # addresses and words of a call
_FASTCALL = 0x80  # METH_FASTCALL


class Builtin(Routine):
    """A routine with the signature of a built-in function: (self, arguments, how many) to a Python
    object.
    """

    def __init__(self) -> None:
        super().__init__("builtin", ("self", "arguments", "count"))
        self.result: Value | None = None

    def call(self, name: str, *arguments: Value) -> Value:
        """A function of Python's C interface; what it returns means nothing if that is void."""
        self.declare(name, f"declare i64 {{name}}({', '.join('i64' for _ in arguments)})")
        typed = ", ".join(a.typed for a in arguments)
        return self.assign(i64, 1, f"call i64 @{name}({typed})")

    def memory(self, address: Value) -> Buffer:
        """The 64-bit words at an address."""
        return Buffer(self, i64, self.pointer(address))

    def assembly(self) -> str:
        """The module, returning `result` instead of nothing."""
        assert self.result is not None
        before, _, after = super().assembly().rpartition(" ret void")
        body = before.replace("define void @kernel", "define i64 @kernel", 1)
        return f"{body} ret {self.result.typed}{after}"


def _builtin() -> Builtin:
    """``self`` is a bytes object with these words: kernel, None, how many words follow, those
    words.
    """
    k = Builtin()
    owner, arguments, count = k.parameters
    prepared = k.memory(k.call("PyBytes_AsString", owner))
    given = k.memory(arguments)
    params = k.scratch(i64, MOST_WORDS)
    with k.loop(0, count, unroll=1) as i:
        k.store(k.call("PyLong_AsLongLong", k.load(given, i)), params, i)
    with k.loop(0, k.load(prepared, 2), unroll=1) as i:
        k.store(k.load(prepared, i + 3), params, count + i)
    kernel, none = k.load(prepared, 0), k.load(prepared, 1)
    run_kernel(k, kernel, params)
    k.call("Py_IncRef", none)
    k.result = none
    return k


def run_kernel(k: Builtin, kernel: Value, params: Buffer) -> None:
    """Run a kernel on the calling thread alone."""
    counter = k.scratch(i64, 1)
    k.store(k.const(0, i64), counter)
    addresses = [k.assign(i64, 1, f"ptrtoint ptr {b.pointer} to i64") for b in (params, counter)]
    zero, one = k.const(0, i64), k.const(1, i64)
    k.call_address(kernel, (addresses[0], zero, one, addresses[1]))


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


def available() -> bool:
    """Whether this is CPython."""
    return sys.implementation.name == "cpython"


_C_FUNCTIONS = (
    "PyBytes_AsString", "PyLong_AsLongLong", "PyLong_FromLongLong", "Py_IncRef",
    "PyEval_SaveThread", "PyEval_RestoreThread", "Py_DecRef", "PyType_GenericAlloc",
    "PyType_IsSubtype", "PyList_Size", "PyList_GetItem", "PyList_SetSlice", "PyTuple_Size",
    "PyTuple_GetItem", "PyObject_CallObject", "PyErr_SetObject", "PySequence_Concat",
)  # fmt: skip


@cache
def _method(key: str, build: Callable[[], Builtin]) -> _Method:
    import llvmlite.binding as llvm

    for name in _C_FUNCTIONS:
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        llvm.add_symbol(name, address)
    function = load_cached(f"direct/{key}", build)
    return _Method(key.encode(), function, _FASTCALL, b"Run compiled code.")


@cache
def _maker() -> Callable[..., Any]:
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    make.restype = ctypes.py_object
    return make


def function(key: str, build: Callable[[], Builtin], owner: object) -> Callable[..., Any]:
    """A built-in function with this ``self``: bytes of words, or a tuple with them first."""
    return _maker()(ctypes.addressof(_method(key, build)), owner, None)


def direct_call(address: int, words: bytes) -> Callable[..., None]:
    """A built-in function of buffer addresses that runs a kernel with these words, on the calling
    thread alone.
    """
    head = struct.pack("3q", address, id(None), len(words) // 8)
    return function("run_kernel", _builtin, head + words)
