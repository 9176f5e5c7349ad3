"""Values of Python's own types that checkpoints hold beside weights: dates, sets, ranges, deques.

Checked functions stand for their constructors, as in ``pickle_objects``. Of other harmless types
only a record is made (``AS_RECORDS``).
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Callable
from typing import Any

from fovea.interop.pickle_objects import ForbiddenNameError, PickleError, checked_key
from fovea.interop.records import ClassName

__all__ = ["AS_RECORDS", "TABLE"]

# Python's own types that do no more than hold values; nothing of them is made or run.
AS_RECORDS = frozenset(
    {
        "collections.ChainMap", "collections.UserDict", "decimal.Decimal", "fractions.Fraction",
        "itertools.count", "logging.Logger", "logging.getLogger", "random.Random", "re._compile",
        "string.Template", "types.SimpleNamespace", "uuid.SafeUUID", "uuid.UUID",
        "zoneinfo.ZoneInfo",
    }
)  # fmt: skip


def _queue(items: Any = (), most: Any = None) -> deque[Any]:
    if not isinstance(items, list | tuple) or not (most is None or type(most) is int):
        raise PickleError("a deque is made of something else than items")
    return deque(items, most)


def _frozen(items: Any = ()) -> frozenset[Any]:
    if not isinstance(items, list | tuple | set | frozenset):
        raise PickleError("a set is made of something else than items")
    return frozenset(map(checked_key, items))


def _bytes_array(data: Any = b"", encoding: Any = None) -> bytearray:
    if isinstance(data, str) and encoding == "latin-1":
        return bytearray(data, "latin-1")
    if not isinstance(data, bytes) or encoding is not None:
        raise ForbiddenNameError("builtins.bytearray, with other than bytes")
    return bytearray(data)


def _of_integers(kind: Callable[..., Any]) -> Callable[..., Any]:
    """``range`` and ``slice``, of whole numbers and None."""

    def make(*ends: Any) -> Any:
        if not all(end is None or type(end) is int for end in ends):
            raise PickleError(f"a {kind.__name__} has an end that is no whole number")
        return kind(*ends)

    return make


def _moment(kind: Callable[..., Any]) -> Callable[..., Any]:
    """A date or a time: a few bytes, and a time zone."""

    def make(state: Any = b"", zone: Any = None) -> Any:
        state = state.encode("latin1") if isinstance(state, str) else state
        if not isinstance(state, bytes) or len(state) not in (4, 6, 10):
            raise PickleError("a date or a time is described wrongly")
        return kind(state, zone) if isinstance(zone, datetime.tzinfo) else kind(state)

    return make


def _duration(days: Any = 0, seconds: Any = 0, microseconds: Any = 0) -> datetime.timedelta:
    if not all(type(part) is int for part in (days, seconds, microseconds)):
        raise PickleError("a duration is no number")
    return datetime.timedelta(days, seconds, microseconds)


def _zone(offset: Any, *name: Any) -> datetime.timezone:
    if not isinstance(offset, datetime.timedelta) or not all(isinstance(n, str) for n in name):
        raise PickleError("a time zone is described wrongly")
    return datetime.timezone(offset, *name[:1])


def _part(owner: Any, name: Any) -> ClassName:
    """Stands for ``getattr``, by which classes within classes and members of enumerations are
    named: a longer name, and nothing that is looked up."""
    if not isinstance(owner, ClassName) or not isinstance(name, str) or not name.isidentifier():
        raise ForbiddenNameError("builtins.getattr")
    return ClassName(f"{owner.name}.{name}")


def _complex(real: Any = 0, imaginary: Any = 0) -> complex:
    if not all(isinstance(part, int | float) for part in (real, imaginary)):
        raise PickleError("a complex number is made of something else than numbers")
    return complex(real, imaginary)


_BUILTINS: dict[str, Any] = {
    "bytearray": _bytes_array,
    "complex": _complex,
    "frozenset": _frozen,
    "getattr": _part,
    "range": _of_integers(range),
    "xrange": _of_integers(range),
    "slice": _of_integers(slice),
}
TABLE: dict[str, Any] = {
    "collections.deque": _queue,
    "datetime.date": _moment(datetime.date),
    "datetime.datetime": _moment(datetime.datetime),
    "datetime.time": _moment(datetime.time),
    "datetime.timedelta": _duration,
    "datetime.timezone": _zone,
    **{f"{m}.{name}": f for m in ("builtins", "__builtin__") for name, f in _BUILTINS.items()},
}
