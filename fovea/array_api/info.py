"""What there is: dtypes, devices, and how arrays are told of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import fovea
from fovea import dtypes
from fovea.errors import ArgumentError

if TYPE_CHECKING:
    from fovea.tensor import Tensor

_KINDS: dict[str, tuple[Any, ...]] = {
    "bool": (dtypes.bool_,),
    "signed integer": (dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64),
    "unsigned integer": (dtypes.uint8,),
    "real floating": (dtypes.float32, dtypes.float64),
    "complex floating": (dtypes.complex64, dtypes.complex128),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """An array in another dtype; a copy even where nothing changes, unless ``copy`` is False."""
    found = x.to(dtype) if device is None else x.to(device, dtype)
    return found.clone() if copy and found is x else found


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether one dtype (or an array's) becomes another without loss of its kind."""
    return fovea.promote_types(getattr(from_, "dtype", from_), to) == to


def finfo(type: Any, /) -> Any:
    """The limits of a floating dtype, or an array's."""
    return fovea.finfo(getattr(type, "dtype", type))


def iinfo(type: Any, /) -> Any:
    """The limits of an integer dtype, or an array's."""
    return fovea.iinfo(getattr(type, "dtype", type))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: ``"bool"``, ``"integral"`` and so on, a dtype, or a tuple.

    >>> isdtype(dtypes.int8, ("real floating", "signed integer"))
    True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if not isinstance(kind, str):
        return bool(dtype == kind)
    if kind not in _KINDS:
        raise ArgumentError(f"isdtype: kind is a dtype or one of {tuple(_KINDS)}, got {kind!r}.")
    return dtype in _KINDS[kind] or (kind == "real floating" and dtype.is_floating_point)


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype of a result of these arrays, dtypes and numbers."""
    arrays = [a for a in arrays_and_dtypes if not isinstance(a, dtypes.DType)]
    kinds = [a for a in arrays_and_dtypes if isinstance(a, dtypes.DType)]
    return fovea.result_type(*(fovea.empty(1, dtype=k) for k in kinds), *arrays)


def size(x: Tensor, /) -> int:
    """The number of elements: the standard's ``x.size``, which is a method here."""
    return math.prod(x.shape)


class namespace_info:  # noqa: N801
    """What the standard's ``__array_namespace_info__()`` tells.

    >>> namespace_info().capabilities()["boolean indexing"]
    True
    """

    def capabilities(self) -> dict[str, Any]:
        """Whether shapes may depend on data, and how many dimensions there may be."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where arrays are made."""
        return "cpu"

    def devices(self) -> list[str]:
        """All that there are."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """What arrays are made of unless told."""
        real = fovea.get_default_dtype()
        wide = dtypes.complex128 if real == dtypes.float64 else dtypes.complex64
        integer = dtypes.int64
        return {
            "real floating": real, "complex floating": wide, "integral": integer,
            "indexing": integer,
        }  # fmt: skip

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """All dtypes, or those of a kind, by name."""
        kinds = (
            ("bool", "numeric") if kind is None else kind if isinstance(kind, tuple) else (kind,)
        )
        return {str(d).rpartition(".")[2]: d for k in kinds for d in _KINDS[k]}
