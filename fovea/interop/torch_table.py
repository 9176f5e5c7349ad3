"""What a PyTorch file of weights may name, and the checked functions that stand for those names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import devices, dtypes
from fovea.dtypes import DType
from fovea.functions.creation import from_numpy
from fovea.interop import pickle_objects, pickle_values
from fovea.interop.pickle_objects import PickleError, Plain
from fovea.interop.records import ClassName, Record
from fovea.interop.torch_names import DTYPE_OF_STORAGE, FOREIGN_DTYPES
from fovea.size import Size
from fovea.storage import Storage
from fovea.tensor import Tensor

__all__ = ["TABLE", "StorageKind", "TypedStorage", "persistent_reader", "rebuilt"]

_MAX_DIMS = 64
_MAX_ELEMENTS = 1 << 62


@dataclass(frozen=True)
class StorageKind(Plain):
    """Stands for ``torch.FloatStorage`` and its like; None as dtype for bytes without a type."""

    dtype: DType | None


@dataclass(frozen=True, eq=False)
class TypedStorage(Plain):
    """Bytes from the file and the type of their elements, from the first that counts on."""

    storage: Storage
    dtype: DType | None
    first: int = 0


@dataclass(frozen=True)
class _Foreign(Plain):
    """An element type that fovea does not have."""

    name: str


def persistent_reader(
    fetch: Callable[[str, int, DType | None], Storage],
) -> Callable[[Any], TypedStorage | ClassName]:
    """The function that turns ``("storage", kind, key, location, elements)`` into a storage.

    Args:
        fetch: gives the storage with a key, a number of bytes and a type of elements (None: bytes
            of unknown meaning).
    """

    def read(pid: Any) -> TypedStorage | ClassName:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
                if isinstance(pid[1], ClassName):
                    return pid[1]  # its source, which follows, is never run
                raise PickleError("it holds the code of a module without its name")
            raise PickleError("it refers to an object outside the file")
        kind, key, count = pid[1], pid[2], pid[4]
        if isinstance(kind, _Foreign):
            raise PickleError(f"it holds elements of type {kind.name}, which fovea does not have")
        if not isinstance(kind, StorageKind) or not isinstance(key, str) or not _is_count(count):
            raise PickleError("a storage is described wrongly")
        itemsize = 1 if kind.dtype is None else kind.dtype.itemsize
        first = 0 if len(pid) < 6 or pid[5] is None else _view(pid[5], count)
        return TypedStorage(fetch(key, count * itemsize, kind.dtype), kind.dtype, first)

    return read


def _view(part: Any, count: int) -> int:
    """Where a part of a storage begins, as PyTorch 0.3 describes it: key, start, elements."""
    if not isinstance(part, tuple) or len(part) != 3 or not all(map(_is_count, part[1:])):
        raise PickleError("a part of a storage is described wrongly")
    if part[1] + part[2] > count:
        raise PickleError("a part of a storage reaches outside it")
    return int(part[1])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_ELEMENTS


def _rebuild(
    source: Any, dtype: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any
) -> Tensor:
    """A tensor over a storage; everything that the file says about it is checked first."""
    if isinstance(dtype, _Foreign):
        raise PickleError(f"it holds elements of type {dtype.name}, which fovea does not have")
    if not isinstance(source, TypedStorage) or not isinstance(dtype, DType):
        raise PickleError("a tensor has no storage")
    sizes_fit = (
        isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
    )
    if not sizes_fit or len(shape) > _MAX_DIMS:
        raise PickleError("a tensor's shape and strides do not fit together")
    if not all(map(_is_count, (offset, *shape, *strides))):
        raise PickleError("a tensor has a size, stride or offset that is no count")
    shape = Size(shape)
    count = shape.numel()
    offset += source.first
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    available = source.storage.nbytes // dtype.itemsize
    if count >= _MAX_ELEMENTS or (count and last >= available) or offset > available:
        raise PickleError(
            f"a tensor of shape {tuple(shape)} reaches outside its storage of {available} elements"
        )
    tensor = Tensor._make(source.storage, shape, strides, offset, dtype)
    tensor._requires_grad = bool(requires_grad is True and dtype.is_floating_point)
    return tensor


def rebuilt(source: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """A tensor over a storage of a file, which is checked."""
    return _rebuild(source, _dtype_of(source), offset, shape, strides, False)


def _rebuild_tensor_v2(
    source: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> Tensor:
    return _rebuild(source, _dtype_of(source), offset, shape, strides, requires_grad)


def _rebuild_tensor_v3(
    source: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor:
    return _rebuild(source, dtype, offset, shape, strides, requires_grad)


def _dtype_of(source: Any) -> DType | None:
    return source.dtype if isinstance(source, TypedStorage) else None


def _rebuild_parameter(data: Any, requires_grad: Any, hooks: Any) -> Tensor:
    from fovea.nn import Parameter

    if not isinstance(data, Tensor):
        raise PickleError("a parameter is made of something that is no tensor")
    return Parameter(data, requires_grad=requires_grad is True)


def _rebuild_parameter_with_state(data: Any, requires_grad: Any, hooks: Any, state: Any) -> Tensor:
    """A parameter that attributes had been set on, which are left out."""
    return _rebuild_parameter(data, requires_grad, hooks)


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Tensor:
    """A tensor of a subclass, or with attributes: the tensor alone."""
    known = any(function is f for f in _REBUILDS.values())
    if not known or not isinstance(arguments, tuple):
        raise PickleError("a tensor is made by an unknown function")
    tensor: Tensor = function(*arguments)
    return tensor


def _rebuild_on_device(
    values: Any, dtype: Any, device: Any = None, requires_grad: Any = False
) -> Tensor:
    """A tensor of a device that PyTorch copies to the CPU to save it (TPUs and others)."""
    if isinstance(values, np.ndarray) and isinstance(dtype, DType) and not values.dtype.hasobject:
        tensor = from_numpy(values.astype(dtype.numpy))
    elif isinstance(values, Tensor):
        tensor = values.detach()
    else:
        raise PickleError("a tensor has no values")
    tensor._requires_grad = requires_grad is True and tensor.dtype.is_floating_point
    return tensor


def _size(shape: Any = ()) -> Size:
    if not isinstance(shape, tuple | list) or not all(map(_is_count, shape)):
        raise PickleError("a shape holds something that is no count")
    return Size(shape)


def _device(name: Any, index: Any = None) -> Any:
    """Everything arrives on the CPU, wherever it was saved."""
    return devices.CPU


_OBJECT = Plain()


def _reconstructor(kind: Any, base: Any, state: Any) -> Record:
    """Stands for ``copyreg._reconstructor``, by which old protocols make objects."""
    if not isinstance(kind, ClassName) or base is not _OBJECT or state is not None:
        raise PickleError("an object of an unknown kind is made")
    return Record(kind.name)


def _partial(function: Any) -> Record:
    """Stands for ``functools.partial``: a record of the function's name and its arguments."""
    return Record("functools.partial", (function,))


def _listed(items: Any, kind: Any = None) -> Any:
    """Stands for the functions by which TorchScript marks the types of its lists and dicts."""
    if not isinstance(items, list | dict):
        raise PickleError("a list of TorchScript is none")
    return items


def _default_dict(factory: Any = None) -> dict[Any, Any]:
    """Stands for ``collections.defaultdict``: a dict, whose missing keys are missing."""
    return {}


def _no_tensor(what: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise PickleError(f"it holds {what}, which fovea has no tensors for")

    return refuse


_REBUILDS: dict[str, Callable[..., Tensor]] = {
    "_rebuild_tensor": rebuilt,
    "_rebuild_tensor_v2": _rebuild_tensor_v2,
    "_rebuild_tensor_v3": _rebuild_tensor_v3,
    "_rebuild_parameter": _rebuild_parameter,
    "_rebuild_parameter_with_state": _rebuild_parameter_with_state,
    "_rebuild_device_tensor_from_numpy": _rebuild_on_device,
    "_rebuild_device_tensor_from_cpu_tensor": _rebuild_on_device,
    "_rebuild_xla_tensor": _rebuild_on_device,
}
TABLE: dict[str, Any] = {
    **pickle_objects.TABLE,
    **pickle_values.TABLE,
    **{f"torch._utils.{name}": function for name, function in _REBUILDS.items()},
    "torch._tensor._rebuild_from_type": _rebuild_from_type,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch._utils._rebuild_meta_tensor_no_storage": _no_tensor("a tensor without values"),
    "torch.serialization._get_layout": _no_tensor("a sparse tensor"),
    "torch._utils._rebuild_sparse_tensor": _no_tensor("a sparse tensor"),
    "torch._utils._rebuild_qtensor": _no_tensor("a quantized tensor"),
    "torch._utils._rebuild_nested_tensor": _no_tensor("a nested tensor"),
    "functools.partial": _partial,
    "collections.defaultdict": _default_dict,
    **{f"{m}._reconstructor": _reconstructor for m in ("copyreg", "copy_reg")},
    **{
        f"{m}.{name}": _OBJECT if name == "object" else Plain()
        for m in ("builtins", "__builtin__")
        for name in ("object", "dict", "list", "tuple", "int", "float", "str", "bool")
    },
    **{
        f"torch.jit._pickle.{name}": _listed
        for name in (
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "build_tensorlist",
            "restore_type_tag",
        )
    },
    "torch.Size": _size,
    "torch.device": _device,
    "torch.storage.UntypedStorage": StorageKind(None),
    **{
        f"{module}.{name}": StorageKind(dtype)
        for module in ("torch", "torch.cuda")
        for name, dtype in DTYPE_OF_STORAGE.items()
    },
    **{f"torch.{dtype.name}": dtype for dtype in dtypes.ALL},
    **{f"torch.{name}": _Foreign(name) for name in FOREIGN_DTYPES},
}
