"""Attributes of ops as plain data, such as JSON holds, and back.

Which classes there are says the op table, and what a field holds its annotation: what comes back
from data is built from these alone and has the types that they promise, whoever wrote the data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import math
import pkgutil
import types
import typing
from typing import Any

from fovea import dtypes
from fovea.dtypes import DType
from fovea.ops.op import REGISTRY, Attrs, Op

__all__ = ["attrs_from_plain", "attrs_to_plain", "op_named"]

_LARGEST = 1 << 64
_LARGEST_FLOAT = dtypes.finfo(dtypes.float64).max
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def op_named(name: str) -> Op:
    """The op with this name; ValueError if there is none."""
    if name not in REGISTRY:
        _declare_all()
    op = REGISTRY.get(name)
    if op is None:
        raise ValueError(f"there is no op called {name!r}")
    return op


@functools.cache
def _declare_all() -> None:
    """Import all families of ops: they register themselves."""
    import fovea.ops

    for module in pkgutil.iter_modules(fovea.ops.__path__):
        importlib.import_module(f"fovea.ops.{module.name}")


def attrs_to_plain(attrs: Attrs | None) -> Any:
    """A dict of the fields, nested as they are; None for no attributes.

    >>> from fovea.ops.elementwise import CastAttrs
    >>> attrs_to_plain(CastAttrs.of(dtypes.bfloat16))
    {'dtype': 'bfloat16'}
    """
    return None if attrs is None else _fields_to_plain(attrs)


def attrs_from_plain(op: Op, data: Any) -> Attrs | None:
    """The attributes of an op from what ``attrs_to_plain`` made of them.

    Raises:
        ValueError: data that fits the op's attributes not.
    """
    if op.attrs_class is None:
        if data is not None:
            raise ValueError(f"{op.name} has no attributes")
        return None
    fields: Attrs = op.attrs_class.of(*_fields_from_plain(op.attrs_class, data))
    return fields


def _fields_to_plain(value: Any) -> dict[str, Any]:
    return {name: _to_plain(getattr(value, name)) for name in _field_names(type(value))}


def _field_names(cls: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(cls):
        return tuple(f.name for f in dataclasses.fields(cls))
    return tuple(getattr(cls, "_fields", ()))


def _to_plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, DType):
        return value.name
    if isinstance(value, Attrs):
        return {"of": _op_with(type(value)).name, "fields": _fields_to_plain(value)}
    if _field_names(type(value)):
        return _fields_to_plain(value)
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    raise TypeError(f"an attribute of type {type(value).__name__} cannot be written")


def _op_with(cls: type[Attrs]) -> Op:
    """An op whose attributes have this class."""
    return next(op for op in REGISTRY.values() if op.attrs_class is cls)


@functools.cache
def _kinds(cls: type) -> dict[str, Any]:
    """The types of a class's fields."""
    hints = typing.get_type_hints(cls)
    return {name: hints[name] for name in _field_names(cls)}


def _fields_from_plain(cls: type, data: Any) -> list[Any]:
    kinds = _kinds(cls)
    if not isinstance(data, dict) or data.keys() != kinds.keys():
        raise ValueError(f"{cls.__name__} has the fields {', '.join(kinds)}")
    return [_from_plain(kind, data[name]) for name, kind in kinds.items()]


def _from_plain(kind: Any, data: Any) -> Any:
    """Data as a value of a type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, data)
    if origin is tuple:
        return _tuple_from_plain(arguments, data)
    if isinstance(kind, type) and issubclass(kind, Attrs):
        return _nested_attrs(kind, data)
    if isinstance(kind, type) and _field_names(kind):
        return kind(*_fields_from_plain(kind, data))
    if kind is DType and isinstance(data, str):
        return dtypes.as_dtype(data)
    return _number_or_text(kind, data)


def _number_or_text(kind: Any, data: Any) -> Any:
    if kind is float and isinstance(data, dict) and data.keys() == {"float"}:
        found = _SPECIAL.get(data["float"]) if type(data["float"]) is str else None
        if found is not None:
            return found
    if kind is float and type(data) in (int, float) and abs(data) <= _LARGEST_FLOAT:
        return float(data)
    if kind is int and type(data) is int and abs(data) <= _LARGEST:
        return data
    if kind in (bool, str) and type(data) is kind:
        return data
    raise ValueError(f"{str(data)[:40]!r} is not of type {getattr(kind, '__name__', kind)}")


def _one_of(kinds: tuple[Any, ...], data: Any) -> Any:
    """Data as a value of the first type that takes them."""
    if data is None and types.NoneType in kinds:
        return None
    for kind in kinds:
        with contextlib.suppress(ValueError, TypeError):
            return _from_plain(kind, data)
    raise ValueError(f"{str(data)[:40]!r} is of none of the types {kinds}")


def _tuple_from_plain(kinds: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"{str(data)[:40]!r} is no list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_from_plain(kinds[0], item) for item in data)
    if len(data) != len(kinds):
        raise ValueError(f"{len(data)} items where {len(kinds)} are needed")
    return tuple(_from_plain(kind, item) for kind, item in zip(kinds, data, strict=True))


def _nested_attrs(kind: type[Attrs], data: Any) -> Attrs:
    """Attributes in a field that takes those of ops, or of certain ones."""
    if not isinstance(data, dict) or data.keys() != {"of", "fields"} or type(data["of"]) is not str:
        raise ValueError("nested attributes name their op and their fields")
    found = attrs_from_plain(op_named(data["of"]), data["fields"])
    if not isinstance(found, kind):
        raise ValueError(f"{data['of']} has no attributes of the type {kind.__name__}")
    return found
