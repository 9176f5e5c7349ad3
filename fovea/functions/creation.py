"""Making tensors: from data, filled, and stepped. Names, argument orders and defaults are
PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ctypes import memmove
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import devices, dtypes, targets, watching
from fovea.dtypes import DType
from fovea.errors import ArgumentError, ShapeError
from fovea.functions.sizes import parse_size
from fovea.ops.op import Spec, numel
from fovea.ops.rules import like_layout
from fovea.size import Size
from fovea.storage import Storage
from fovea.targets.base import empty as _allocate
from fovea.targets.base import make_tensor
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "from_numpy",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]


_SMALL = 1 << 12  # bytes


def finish(t: Tensor, requires_grad: bool) -> Tensor:
    """Set ``requires_grad`` on a new leaf."""
    return t.requires_grad_() if requires_grad else t


def from_array(array: np.ndarray[Any, Any], dtype: DType | None = None) -> Tensor:
    """A tensor with a copy of the array's values."""
    dtype = dtype or dtypes.as_dtype(array.dtype)
    out = _allocate(Spec(Size(array.shape), dtype))
    with np.errstate(all="ignore"):
        out._array()[...] = array
    return out


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A tensor over the array's own memory: changes to one show in the other.

    Args:
        ndarray: any strides that are not negative; a dtype that fovea has; native byte order.

    Raises:
        TypeError: no NumPy array, or a dtype that fovea does not have.
        ValueError: negative strides.

    >>> import numpy as np
    >>> from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    array = ndarray
    watching.foreign(array)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}.")
    dtype = dtypes.as_dtype(array.dtype)
    if not array.dtype.isnative:
        raise TypeError("from_numpy: the array's byte order is not this machine's.")
    if any(s < 0 for s in array.strides):
        raise ValueError("from_numpy: negative strides cannot be shared; pass array.copy().")
    if any(s % dtype.itemsize for s in array.strides):
        array = array.copy()
    extent = (
        sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) + dtype.itemsize
    )
    storage = Storage(extent if array.size else 0, array, array.__array_interface__["data"][0])
    strides = tuple(s // dtype.itemsize for s in array.strides)
    return make_tensor(storage, Size(array.shape), strides, 0, dtype)


def _infer(data: Any) -> np.ndarray[Any, Any]:
    """Nested sequences of numbers (or of tensors) as an array."""
    if isinstance(data, Sequence) and any(is_tensor(item) for item in data):
        return np.stack(
            [item.detach()._array() if is_tensor(item) else np.asarray(item) for item in data]
        )
    try:
        array = np.asarray(data)
    except ValueError:
        raise ShapeError(
            "tensor: the nested sequences differ in length.", fix="every row needs as many items"
        ) from None
    if array.dtype == object or (
        array.dtype.kind not in "biufc" and array.dtype not in dtypes._BY_NUMPY
    ):
        raise TypeError(
            f"tensor: cannot make a tensor of {type(data).__name__} with values of type "
            f"{array.dtype}."
        )
    return array


_PYTHONS = {float, int, bool, complex}


def _says_double(data: Any) -> bool:
    """Whether a number among them is of NumPy's float64, or a tensor's: Python's floats are of no
    type of their own.
    """
    if isinstance(data, np.ndarray | np.generic):
        return data.dtype in (np.float64, np.complex128)
    if is_tensor(data):
        return data.dtype in (dtypes.float64, dtypes.complex128)
    if not isinstance(data, list | tuple) or set(map(type, data)) <= _PYTHONS:
        return False
    return any(_says_double(item) for item in data)


def _from_data(data: Any, dtype: DType | None) -> Tensor:
    """Python floats take the default dtype; arrays keep theirs."""
    array = _infer(watching.foreign(data))
    if dtype is None and array.dtype in (np.float64, np.complex128) and not _says_double(data):
        dtype = dtypes.get_default_dtype()
        dtype = dtype.to_complex() if array.dtype.kind == "c" else dtype
    return from_array(array, dtype)


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of ``data``.

    Args:
        data: a number, nested sequences, a NumPy array or a tensor.
        dtype: default: that of arrays and tensors, int64 for ints, the default dtype for floats.
        requires_grad: whether backward computes its gradient.

    Raises:
        ShapeError: rows of different lengths. TypeError: values that are no numbers.

    >>> tensor([[1, 2], [3, 4]]).shape
    fovea.Size([2, 2])
    """
    devices.as_device(device)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if is_tensor(data):
        return finish(data.detach().to(wanted or data.dtype).clone(), requires_grad)
    return finish(_from_data(data, wanted), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where its memory can be shared (tensors, NumPy arrays).

    >>> as_tensor([1.5, 2.0]).dtype
    fovea.float32
    """
    devices.as_device(device)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if is_tensor(data):
        return data if wanted is None else data.to(wanted)
    if isinstance(data, np.ndarray) and data.flags.writeable and all(s >= 0 for s in data.strides):
        shared = from_numpy(data)
        return shared if wanted is None else shared.to(wanted)
    return _from_data(data, wanted)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """``as_tensor``; ``copy=True`` always copies."""
    return tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)


_constants: dict[tuple[Any, ...], Any] = {}


def constant(value: Any, dtype: DType) -> Tensor:
    """A shared 0-d tensor with this value; never to be changed. Python numbers in expressions
    become these.
    """
    key: Any
    if value.__class__ is complex:
        key = (repr(value), dtype)
    else:
        key = (value, dtype, math.copysign(1.0, value) if value == 0 else value.__class__)
    found = _constants.get(key)
    if found is None:
        if len(_constants) > 4096:
            _constants.clear()
        try:
            array = np.asarray(value).astype(dtype.numpy)
        except OverflowError:
            raise ArgumentError(f"{value} does not fit {dtype.name}.") from None
        found = _constants[key] = from_array(array, dtype)
        watching.shared.add(found.storage)
    return found


def scalar_tensor(
    s: bool | int | float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d tensor (default dtype unless given)."""
    devices.as_device(device)
    return finish(from_array(np.asarray(s), float_or(dtype)), requires_grad)


def full(
    size: Any,
    fill_value: bool | int | float,
    *,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of shape ``size`` with every element ``fill_value`` (its type decides the dtype).

    >>> full((2,), 7)
    tensor([7, 7])
    """
    devices.as_device(device)
    kind = dtypes.of_scalar(fill_value) if dtype is None else dtypes.as_dtype(dtype)
    filled = _filled(Spec(parse_size(size), kind), fill_value)
    return _into(out, filled) if out is not None else finish(filled, requires_grad)


_makers: dict[Any, Callable[[], Tensor]] = {}  # by spec and value


def _filled(spec: Spec, value: bool | int | float | None) -> Tensor:
    """A tensor with every element ``value``; None: unset."""
    kind = value.__class__
    if watching.watcher is None:  # who watches hears of memory and writes
        if value is None or (kind is int and 0 <= value <= 1):
            make = _makers.get((spec, value)) or _maker(spec, value)
            if make is not None:
                return make()
        elif kind is int or kind is float or kind is bool:
            # Bytes that are known cost a tenth of NumPy's view and fill.
            sign = math.copysign(1.0, value) if kind is float else 1.0
            if not value and sign > 0:
                return _filled(spec, 0)
            if numel(spec.shape) * spec.dtype.itemsize <= _SMALL:
                t = _filled(spec, None)
                memmove(t.storage.address, _bytes_of(value, sign, spec.dtype), t.storage.nbytes)
                return t
    t = _allocate(spec)
    if value is not None:
        with np.errstate(all="ignore"):
            t._array()[...] = value
    return t


def _made(shape: tuple[Any, ...], size: Any, dtype: Any, value: int | None) -> Tensor:
    """What ``empty``, ``zeros`` and ``ones`` make, given their sizes as ints or as a sequence."""
    kind = float_or(dtype)
    if size is None and watching.watcher is None:
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        for n in sizes:
            if n.__class__ is not int:  # 4.0 and True are found like 4 and 1
                break
        else:
            make = _makers.get(((sizes, kind, None), value))  # equal to what a Spec is
            if make is not None:
                return make()
    return _filled(Spec(parse_size(*(shape if size is None else (size,))), kind), value)


def _maker(spec: Spec, value: Any) -> Callable[[], Tensor] | None:
    """What makes tensors of zeros or ones, or unset ones; None for many ones."""
    pattern = None if value is None else b""
    if value:
        if numel(spec.shape) * spec.dtype.itemsize > _SMALL:
            return None
        pattern = _bytes_of(value, 1.0, spec.dtype)
    target = targets.active()
    make = target.maker(spec, pattern)
    if target.warm:
        if len(_makers) >= 4096:
            _makers.clear()
        _makers[spec, value] = make
    return make


@lru_cache(maxsize=256)
def _bytes_of(value: bool | int | float, sign: float, dtype: DType) -> bytes:
    """As many bytes as small tensors have, all elements this value; -0.0 and 0.0 are two."""
    array = np.empty(_SMALL // dtype.itemsize, dtype.numpy)
    with np.errstate(all="ignore"):
        array[...] = value
    return array.tobytes()


def _into(out: Tensor, value: Tensor) -> Tensor:
    if out.shape != value.shape:
        raise ShapeError(f"out has shape {tuple(out.shape)}, the result {tuple(value.shape)}.")
    return out.copy_(value)


def float_or(dtype: Any) -> DType:
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)


def empty(
    *shape: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor whose elements are not set.

    >>> empty(2, 3).shape
    fovea.Size([2, 3])
    """
    if device is not None:
        devices.as_device(device)
    return finish(_made(shape, size, dtype, None), requires_grad)


def zeros(
    *shape: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros.

    >>> zeros(2)
    tensor([0., 0.])
    """
    if device is not None:
        devices.as_device(device)
    made = _made(shape, size, dtype, 0)
    return _into(out, made) if out is not None else finish(made, requires_grad)


def ones(
    *shape: Any,
    size: Any = None,
    out: Tensor | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones.

    >>> ones(2)
    tensor([1., 1.])
    """
    devices.as_device(device)
    made = _made(shape, size, dtype, 1)
    return _into(out, made) if out is not None else finish(made, requires_grad)


def _like_spec(t: Tensor, dtype: Any) -> Spec:
    return Spec(
        t.shape, t.dtype if dtype is None else dtypes.as_dtype(dtype), like_layout(t.shape, (t,))
    )


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor whose elements are not set, laid out with these strides (in elements).

    >>> empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    shape, strides = tuple(parse_size(size)), tuple(parse_size(stride))
    pairs = zip(shape, strides, strict=False)
    room = sum((n - 1) * s for n, s in pairs) + 1 if 0 not in shape else 0
    block = empty((max(room, 0),), dtype=dtype, device=device)
    return finish(strided_over(block, shape, strides, 0), requires_grad)


def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor whose elements are not set; its dimensions lie in memory in the order of
    ``physical_layout``, the outermost first.

    >>> empty_permuted((2, 3, 4, 5), (0, 2, 3, 1)).stride()
    (60, 1, 15, 3)
    """
    shape, order = tuple(parse_size(size)), tuple(parse_size(physical_layout))
    if sorted(order) != list(range(len(shape))):
        raise ArgumentError(
            f"empty_permuted: {order} is not an order of the dimensions of {shape}."
        )
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = step
        step *= max(shape[d], 1)
    return empty_strided(shape, strides, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``empty`` with ``input``'s shape, dtype and layout."""
    devices.as_device(device)
    if input._level:  # under vmap: one for each sample
        return input.new_empty(input.shape, dtype=dtype, requires_grad=requires_grad)
    return finish(_filled(_like_spec(input, dtype), None), requires_grad)


def full_like(
    input: Tensor,
    fill_value: bool | int | float,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``full`` with ``input``'s shape, dtype and layout."""
    devices.as_device(device)
    if input._level:  # under vmap: one for each sample
        return input.new_full(input.shape, fill_value, dtype=dtype, requires_grad=requires_grad)
    return finish(_filled(_like_spec(input, dtype), fill_value), requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``zeros`` with ``input``'s shape, dtype and layout."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``ones`` with ``input``'s shape, dtype and layout."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def strided_over(
    t: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Tensor:
    """``as_strided``, checked against the storage's bounds."""
    if len(shape) != len(strides) or min(shape, default=0) < 0:
        raise ShapeError(
            f"as_strided: shape {shape} and strides {strides} do not go together.",
            fix="a size that is not negative and a stride for each dimension",
        )
    if t._level:
        raise ArgumentError("as_strided: under vmap a sample has no memory of its own.")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    room = t.storage.nbytes // t.dtype.itemsize
    if min(strides, default=0) < 0 or offset < 0 or (0 not in shape and last >= room):
        raise ShapeError(
            f"as_strided: shape {shape} with strides {strides} at {offset} leaves the storage of "
            f"{room} elements."
        )
    return make_tensor(t.storage, Size(shape), strides, offset, t.dtype)
