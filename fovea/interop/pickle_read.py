"""Reading pickles without running anything from them.

A pickle is a program for a small stack machine, and Python's own reader lets it call any function.
This machine knows only the instructions that build plain data, and calls only what ``TABLE``
lists: functions of this package that check their arguments. Memory stays in proportion to the
file. Source of the instructions: Python's ``pickletools`` module.
"""

from __future__ import annotations

import pickletools
from collections import deque
from collections.abc import Callable
from types import FunctionType
from typing import IO, Any

from fovea.interop.pickle_objects import (
    ForbiddenNameError,
    PickleError,
    Plain,
    checked_key,
    set_state,
)
from fovea.interop.pickle_values import AS_RECORDS
from fovea.interop.records import ClassName, Record, is_foreign
from fovea.interop.whole import CALLED, Named

__all__ = ["ForbiddenNameError", "read_pickle"]

_MAX_INTEGER_BYTES = 1024


class _Mark:
    """Where a group of items on the stack begins."""


_MARK = _Mark()

# By name: a function to call with checked arguments, or an object that stands for itself.
Table = dict[str, Any]


def read_pickle(
    stream: IO[bytes],
    size: int,
    table: Table,
    persistent: Callable[[Any], Any],
    *,
    records: bool = False,
    whole: bool = False,
) -> Any:
    """Run one pickle and return what it builds.

    Args:
        stream: positioned at the pickle; afterwards at the byte behind it.
        size: the bytes that the pickle can have at most, from which bounds follow.
        table: what it may name.
        persistent: turns a persistent id (in PyTorch's files: a storage) into an object.
        records: read objects of classes outside the table as ``Record``; Python's own classes and
            functions stay forbidden.
        whole: make modules of classes that fovea or the program has (`fovea.interop.whole`).

    Raises:
        ForbiddenNameError: it names something outside the table.
        PickleError: anything else that is wrong with it.
    """
    machine = _Machine(size, table, persistent, records, Named() if whole else None)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, TypeError, OverflowError, MemoryError, EOFError) as error:
        raise PickleError(str(error) or type(error).__name__) from error
    raise PickleError("it ends without its last instruction")


class _Machine:
    def __init__(
        self,
        size: int,
        table: Table,
        persistent: Callable[[Any], Any],
        records: bool,
        named: Named | None,
    ) -> None:
        self.named = named
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.table = table
        self.persistent = persistent
        self.records = records
        self.copies_left = 3 * size + 1000  # elements that calls may still copy

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        else:
            handler = _HANDLERS.get(name)
            if handler is None:
                raise PickleError(f"the instruction {name} builds no plain data")
            handler(self, argument)

    def result(self) -> Any:
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise PickleError("its stack does not end with one object")
        if isinstance(self.stack[0], ClassName):
            raise ForbiddenNameError(self.stack[0].name)
        if isinstance(self.stack[0], FunctionType):
            raise PickleError("it holds the name of a function")
        return self.stack[0]

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("a group of items ends too early")
        return value

    def drop(self, _: Any) -> None:
        """POP: what is on top, be it a mark, is not needed (TorchScript writes so)."""
        self.stack.pop()

    def pop_group(self) -> list[Any]:
        """The items above the last mark."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                group = self.stack[i + 1 :]
                del self.stack[i:]
                return group
        raise PickleError("a group of items has no beginning")

    # -- instructions -----------------------------------------------------------------------------

    def nothing(self, _: Any) -> None:
        """PROTO and FRAME only tell readers what comes."""

    def mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def long(self, value: int) -> None:
        if value.bit_length() > 8 * _MAX_INTEGER_BYTES:
            raise PickleError("an integer is absurdly long")
        self.stack.append(value)

    def put(self, index: Any) -> None:
        self.memo[int(index)] = self.top()

    def memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.top()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError("there is no object to remember")
        return self.stack[-1]

    def get(self, index: Any) -> None:
        try:
            self.stack.append(self.memo[int(index)])
        except KeyError:
            raise PickleError(f"it refers to object {index}, which was not remembered") from None

    def group_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_group()))

    def append(self, _: Any) -> None:
        item = self.pop()
        self.target(list).append(item)

    def extend(self, _: Any) -> None:
        items = self.pop_group()
        self.target(list).extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.target(dict)[checked_key(key)] = value

    def set_items(self, _: Any) -> None:
        items = self.pop_group()
        if len(items) % 2:
            raise PickleError("a key has no value")
        target = self.target(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def target(self, kind: type) -> Any:
        top = self.stack[-1] if self.stack else None
        if isinstance(top, deque) and kind is list:
            return top
        if isinstance(top, Record) and kind is not set:
            return top.mapping if kind is dict else top.sequence
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise PickleError(f"items are added to something that is no {kind.__name__}")
        return self.stack[-1]

    def name(self, argument: str) -> None:
        self.lookup(*argument.split(" ", 1))

    def stacked_name(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise PickleError("a name is no string")
        self.lookup(module, name)

    def lookup(self, module: str, name: str = "") -> None:
        full = f"{module}.{name}"
        if full in self.table:
            self.stack.append(self.table[full])
        elif self.named is not None and (found := self.named.lookup(module, name)) is not None:
            self.stack.append(found)
        elif self.records and (is_foreign(module, name) or full in AS_RECORDS):
            self.stack.append(ClassName(full))
        else:
            raise ForbiddenNameError(full)

    def call(self, _: Any) -> None:
        arguments, function = self.pop(), self.pop()
        if isinstance(function, ClassName):
            # What PyTorch's or NumPy's functions would make is no mere record.
            if function.name.startswith(("torch.", "numpy.")):
                raise ForbiddenNameError(function.name)
            self.stack.append(_record(function, arguments))
            return
        if (
            not isinstance(arguments, tuple)
            or isinstance(function, Plain)
            or not callable(function)
            or (self.named is not None and self.named.is_given(function) and function not in CALLED)
        ):
            raise PickleError("something that is no function is called")
        for argument in arguments:
            if isinstance(argument, list | tuple | dict | str | bytes):
                self.pay(len(argument))
        self.stack.append(function(*arguments))

    def pay(self, copies: int) -> None:
        self.copies_left -= copies
        if self.copies_left < 0:
            raise PickleError("it copies more than a file of its size has reason to")

    def new_object(self, _: Any) -> None:
        """``cls.__new__(cls, *args)``: the table's functions serve for both ways of making."""
        if len(self.stack) > 1 and self.is_class(self.stack[-2]):
            if self.pop() != ():
                raise PickleError("a module is made of arguments")
            self.stack.append(self.named.new(self.pop()))  # type: ignore[union-attr]
        elif len(self.stack) > 1 and isinstance(self.stack[-2], ClassName):
            arguments, kind = self.pop(), self.pop()
            self.stack.append(_record(kind, arguments))
        else:
            self.call(None)

    def is_class(self, kind: Any) -> bool:
        """Whether it is a class that fovea or the program has."""
        return self.named is not None and isinstance(kind, type) and self.named.is_given(kind)

    def new_object_by_name(self, _: Any) -> None:
        """As ``new_object``, with arguments by name, which only records take."""
        named, arguments, kind = self.pop(), self.pop(), self.pop()
        if not isinstance(kind, ClassName) or not isinstance(named, dict):
            raise PickleError("something that is no class is made")
        self.stack.append(_record(kind, arguments))
        self.pay(self.stack[-1].set(named))

    def build(self, _: Any) -> None:
        state = self.pop()
        target = self.top()
        if self.named is not None and self.named.set(target, state):
            self.pay(len(state))
            return
        self.pay(target.set(state) if isinstance(target, Record) else set_state(target, state))

    def add_items(self, _: Any) -> None:
        items = self.pop_group()
        self.target(set).update(map(checked_key, items))

    def frozen(self, _: Any) -> None:
        self.stack.append(frozenset(map(checked_key, self.pop_group())))

    def persistent_id(self, _: Any) -> None:
        self.stack.append(self.persistent(self.pop()))


def _record(kind: ClassName, arguments: Any) -> Record:
    if not isinstance(arguments, tuple):
        raise PickleError("an object is made of arguments that are no tuple")
    return Record(kind.name, arguments)


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_LITERALS = frozenset(
    {
        "BININT", "BININT1", "BININT2", "BINFLOAT", "FLOAT", "BINUNICODE", "SHORT_BINUNICODE",
        "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
        "BINSTRING", "SHORT_BINSTRING", "STRING",
    }
)  # fmt: skip


def _fixed_tuple(count: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return make


def _fresh(kind: Callable[[Any], Any]) -> Callable[[_Machine, Any], None]:
    """LIST and DICT of protocol 0: a group becomes the container."""

    def make(machine: _Machine, _: Any) -> None:
        group = machine.pop_group()
        machine.stack.append(kind(group))

    return make


def _dict_of(group: list[Any]) -> dict[Any, Any]:
    if len(group) % 2:
        raise PickleError("a key has no value")
    return {checked_key(k): v for k, v in zip(group[::2], group[1::2], strict=True)}


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.nothing,
    "FRAME": _Machine.nothing,
    "MARK": _Machine.mark,
    "INT": _Machine.long,
    "LONG": _Machine.long,
    "LONG1": _Machine.long,
    "LONG4": _Machine.long,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.group_tuple,
    "TUPLE1": _fixed_tuple(1),
    "TUPLE2": _fixed_tuple(2),
    "TUPLE3": _fixed_tuple(3),
    "LIST": _fresh(list),
    "DICT": _fresh(_dict_of),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "ADDITEMS": _Machine.add_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.new_object,
    "NEWOBJ_EX": _Machine.new_object_by_name,
    "POP": _Machine.drop,
    "BUILD": _Machine.build,
    "FROZENSET": _Machine.frozen,
    "BINPERSID": _Machine.persistent_id,
}
