"""Memory shared with other libraries: the DLPack protocol, and Python's buffers.

Source: https://dmlc.github.io/dlpack/latest/python_spec.html
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from fovea import devices, dtypes
from fovea.errors import ArgumentError, DeviceError, describe
from fovea.functions.creation import from_numpy
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

_CPU = 1  # kDLCPU
_UINT, _BFLOAT = 1, 4  # kDLUInt, kDLBfloat: NumPy knows no bfloat16
# Where the element type's code stands in the two structures that capsules hold, in bytes.
_CODE_AT = {b"dltensor": 20, b"dltensor_versioned": 52}

_name_of = ctypes.pythonapi.PyCapsule_GetName
_name_of.restype, _name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _code(capsule: Any) -> ctypes.c_uint8:
    """The element type's code in a capsule, to read and to change."""
    name = _name_of(capsule)
    if name not in _CODE_AT:
        raise ArgumentError("from_dlpack: the capsule has been used before.")
    return ctypes.c_uint8.from_address(_pointer_of(capsule, name) + _CODE_AT[name])


def to_capsule(self: Tensor, **options: Any) -> Any:
    """``Tensor.__dlpack__``: a capsule over this tensor's memory.

    Args:
        options: those of the protocol: ``stream`` (None), ``max_version``, ``dl_device``, ``copy``.

    Raises:
        BufferError: the tensor requires a gradient, which would be lost.
    """
    if self.requires_grad:
        raise BufferError(
            f"__dlpack__: {describe(self)} requires a gradient, which would be lost: "
            "use x.detach()."
        )
    given = {k: v for k, v in options.items() if v is not None}
    array = self._array()
    if self.dtype is not dtypes.bfloat16:
        return array.__dlpack__(**given)
    capsule = array.view(np.uint16).__dlpack__(**given)
    _code(capsule).value = _BFLOAT
    return capsule


def device_of(self: Tensor) -> tuple[int, int]:
    """``Tensor.__dlpack_device__``: the CPU."""
    return _CPU, 0


class _Writable:
    """An array of a capsule that cannot say whether it may be written: NumPy takes it for no,
    everybody else for yes.
    """

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        about = dict(array.__array_interface__)
        self.__array_interface__ = about | {"data": (about["data"][0], False)}


class _Capsule:
    """Shows a capsule as an object that NumPy takes."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU, 0


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over another library's memory: changes to one show in the other.

    Args:
        ext_tensor: what has ``__dlpack__`` (an array of NumPy, PyTorch, JAX ...), or a capsule.
        device: None or the CPU.
        copy: True gives new memory.

    Raises:
        DeviceError: memory of another device. TypeError: an element type that fovea does not have.
        ValueError: negative strides.

    >>> import numpy as np
    >>> array = np.arange(3)
    >>> x = from_dlpack(array)
    >>> array[0] = 7
    >>> x
    tensor([7, 1, 2])
    """
    devices.as_device(device)
    if is_tensor(ext_tensor):
        return ext_tensor.clone() if copy else ext_tensor.detach()
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        kind, _ = ext_tensor.__dlpack_device__()
        if kind != _CPU:
            raise DeviceError(f"from_dlpack: the memory is on device type {kind}, not on the CPU.")
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:
            capsule = ext_tensor.__dlpack__()
    code = _code(capsule)
    half = code.value == _BFLOAT
    if half:
        code.value = _UINT
    unversioned = _name_of(capsule) == b"dltensor"
    array = np.from_dlpack(_Capsule(capsule))
    if unversioned and not array.flags.writeable and array.size:
        array = np.asarray(_Writable(array))
    shared = from_numpy(array.view(ml_dtypes.bfloat16) if half else array)
    return shared.clone() if copy else shared


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule over a tensor's memory."""
    return to_capsule(tensor)


def frombuffer(
    buffer: Any,
    *,
    dtype: Any,
    count: int = -1,
    offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """A 1-D tensor over the bytes of a ``bytearray``, ``memoryview``, ``array`` ...

    Args:
        count: how many elements; -1 for all.
        offset: where they start, in bytes.

    >>> frombuffer(bytearray([1, 2, 3]), dtype="uint8")
    tensor([1, 2, 3], dtype=fovea.uint8)
    """
    array = np.frombuffer(buffer, dtypes.as_dtype(dtype).numpy, count, offset)
    shared = from_numpy(array)
    return shared.requires_grad_() if requires_grad else shared
