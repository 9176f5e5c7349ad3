"""The tensor people hold."""

from __future__ import annotations

import ctypes
from typing import Any, NoReturn

import numpy as np

from fovea import devices, dtypes, watching
from fovea.errors import ArgumentError, GradientError, describe
from fovea.functions import creation, parts, pointwise, shaping
from fovea.functions.numpy_names import numpy_names
from fovea.functions.sizes import parse_size
from fovea.methods import Methods
from fovea.printing import format_tensor
from fovea.size import Size
from fovea.targets.base import blank, register_tensor_class
from fovea.tensorbase import TensorBase

__all__ = ["Tensor"]

# How a number is read from its address.
_NUMBERS: dict[dtypes.DType, Any] = {
    dtypes.float32: ctypes.c_float.from_address,
    dtypes.float64: ctypes.c_double.from_address,
    dtypes.int64: ctypes.c_int64.from_address,
    dtypes.int32: ctypes.c_int32.from_address,
    dtypes.uint8: ctypes.c_uint8.from_address,
    dtypes.bool_: ctypes.c_bool.from_address,
}


class Tensor(Methods, TensorBase):
    """An n-dimensional array that remembers how it was made.

    Use ``fovea.tensor(data)`` to make one; ``Tensor(2, 3)`` gives unset memory, as PyTorch's does.

    >>> import fovea
    >>> x = fovea.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> (x @ x).sum()
    tensor(54.)
    """

    __array_priority__ = 1000

    def __new__(cls, *data: Any, **kwargs: Any) -> Tensor:
        if not data:
            return blank(cls)
        if len(data) == 1 and not isinstance(data[0], int | Size):
            made = creation.tensor(data[0], dtype=dtypes.get_default_dtype())
        else:
            made = creation.empty(parse_size(*data))
        return cls._make(made.storage, made.shape, made.strides, made.offset, made.dtype)

    def __init__(self, *data: Any, **kwargs: Any) -> None:
        if not data:
            made = creation.empty((0,))
            self.data = made

    # -- facts --------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one dimension of it."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.shape.numel()

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """Strides in elements, or one of them."""
        return self.strides if dim is None else self.strides[dim]

    def storage_offset(self) -> int:
        """Where in its storage the first element lies, in elements."""
        return self.offset

    def data_ptr(self) -> int:
        """The byte address of the first element."""
        return self.address

    def element_size(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers."""
        return self.dtype.is_complex

    @property
    def is_cuda(self) -> bool:
        """Whether the tensor lives on a CUDA device: eager tensors never do."""
        return False

    def get_device(self) -> int:
        """The index of the device: -1 for the CPU."""
        return -1

    @property
    def T(self) -> Tensor:  # noqa: N802 - the field's name
        """A view with all dimensions in reverse order."""
        return shaping.permute(self, tuple(range(self.ndim - 1, -1, -1)))

    @property
    def mT(self) -> Tensor:  # noqa: N802 - the field's name
        """A view with the last two dimensions exchanged."""
        return shaping.transpose(self, -1, -2)

    # -- Python's protocols -------------------------------------------------------------------

    def __repr__(self) -> str:
        return format_tensor(self)

    def __format__(self, spec: str) -> str:
        return (
            format(self.item(), spec)
            if self.ndim == 0 and spec
            else repr(self)
            if not spec
            else format(self.item(), spec)
        )

    def __eq__(self, other: object) -> Any:
        if other is None or isinstance(other, str):
            return False
        return pointwise.eq(self, other)

    def __ne__(self, other: object) -> Any:
        if other is None or isinstance(other, str):
            return True
        return pointwise.ne(self, other)

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor has no length.")
        return self.shape[0]

    def __iter__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor cannot be iterated over.")
        return iter(parts.unbind(self, 0))

    def __contains__(self, value: Any) -> bool:
        return bool(pointwise.eq(self, value).any().item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ArgumentError(
                "the truth of a tensor with more or fewer than one element is ambiguous.",
                {"tensor": describe(self)},
                "use .any() or .all()",
            )
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.is_inexact or self.numel() != 1:
            raise TypeError(f"only one-element integer tensors can index, got {describe(self)}.")
        return int(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        return (
            array.astype(dtype)
            if dtype is not None and array.dtype != dtype
            else array.copy()
            if copy
            else array
        )

    def __array_wrap__(
        self, array: np.ndarray[Any, Any], context: Any = None, return_scalar: bool = False
    ) -> Any:
        """What NumPy's functions of one array make of a tensor is a tensor: ``np.sin(x)``."""
        if return_scalar and array.ndim == 0:
            array = array.reshape(())
        return creation.from_array(array)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                "only leaf tensors can be deep-copied.", fix="use x.detach().clone()"
            )
        copied = self.detach().clone()
        result = type(self)._make(
            copied.storage, copied.shape, copied.strides, copied.offset, copied.dtype
        )
        result._requires_grad = self.requires_grad
        if self.grad is not None:
            result.grad = self.grad.__deepcopy__(memo)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        array = np.ascontiguousarray(self.detach()._array())
        return (
            _rebuild,
            (
                type(self),
                array.tobytes(),
                tuple(self.shape),
                self.dtype.name,
                self.requires_grad and self.is_leaf,
            ),
        )

    # -- values -------------------------------------------------------------------------------

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.shape and self.shape.numel() != 1:
            raise ArgumentError(
                f"item: the tensor must have one element, got {describe(self)}.",
                fix="reduce it first, as .mean() does; or .tolist() gives all",
            )
        dtype = self.dtype
        read = _NUMBERS.get(dtype)
        if read is None or watching.watcher is not None:  # who watches hears of the value
            return self.storage.array((), (), self.offset, dtype.numpy).item()
        return read(self.storage.address + self.offset * dtype.itemsize).value

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._array().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """A NumPy array over the same memory.

        Args:
            force: detach first if the tensor requires a gradient.
        """
        if self.requires_grad and not force:
            raise GradientError(
                "numpy: the tensor requires a gradient, which NumPy would lose.",
                fix="use x.detach().numpy()",
            )
        return self._array()

    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **kwargs: Any
    ) -> Tensor:
        """The tensor with another dtype and/or device; itself if nothing changes (unless ``copy``).

        Takes what PyTorch's takes: a dtype, a device, both, or a tensor to be like.
        """
        for arg in args:
            if isinstance(arg, TensorBase):
                dtype = arg.dtype
            elif isinstance(arg, devices.device) or (
                isinstance(arg, str)
                and arg.partition(":")[0]
                in (
                    "cpu",
                    "cuda",
                    "mps",
                    "xla",
                    "tpu",
                    "gpu",
                    "meta",
                )
            ):
                device = arg
            elif isinstance(arg, bool):
                continue
            elif arg is not None:
                dtype = arg
        if device is not None:
            devices.as_device(device)
        memory_format = kwargs.get("memory_format")
        result: Tensor = self if dtype is None else pointwise.to_dtype(self, dtypes.as_dtype(dtype))
        if memory_format not in (None, "preserve"):
            result = shaping.contiguous(result, memory_format)
        return shaping.clone(result) if copy and result is self else result

    def type(self, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        """``to(dtype)``, which may also be a type such as ``FloatTensor`` or its name; without an
        argument the name of the tensor's type, as PyTorch writes it.

        >>> import fovea
        >>> fovea.ones(1).type("torch.LongTensor").type()
        'torch.LongTensor'
        """
        from fovea import typed_tensors

        if dtype is None:
            return typed_tensors.name_of(self.dtype)
        return self.to(typed_tensors.dtype_of(dtype))

    def type_as(self, other: Tensor) -> Tensor:
        """The values with the dtype of ``other``."""
        return pointwise.to_dtype(self, other.dtype)

    def cpu(self) -> Tensor:
        """The tensor itself: it is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> NoReturn:
        """Raises: eager tensors live on the CPU."""
        devices.device("cuda")
        raise AssertionError

    def pin_memory(self) -> Tensor:
        """The tensor itself: there is no device that pinning would speed up."""
        return self

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, **kwargs: Any) -> Tensor:
        """A tensor of this dtype with every element ``fill_value``."""
        return creation.full(
            size, fill_value, dtype=self.dtype if dtype is None else dtype, **kwargs
        )

    def new_tensor(self, data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
        """A tensor of this dtype with a copy of ``data``."""
        return creation.tensor(
            data, dtype=self.dtype if dtype is None else dtype, requires_grad=requires_grad
        )

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """This tensor where ``condition`` holds, else ``other``."""
        return pointwise.where(condition, self, other)

    def reshape_as(self, other: Tensor) -> Tensor:
        """``reshape`` to the shape of ``other``."""
        return shaping.reshape(self, other.shape)

    view_as = reshape_as

    @numpy_names
    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """Exponentials that sum to one along ``dim``."""
        from fovea.nn import functional

        return functional.softmax(self, dim=dim, dtype=dtype)

    def hardshrink(self, lambd: float = 0.5) -> Tensor:
        """The elements farther from zero than ``lambd``; 0 for the rest."""
        from fovea.nn import functional

        return functional.hardshrink(self, lambd)

    def prelu(self, weight: Tensor) -> Tensor:
        """``weight`` times the negative elements (one number, or one a channel)."""
        from fovea.nn import functional

        return functional.prelu(self, weight)

    @numpy_names
    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """The logarithm of ``softmax``."""
        from fovea.nn import functional

        return functional.log_softmax(self, dim=dim, dtype=dtype)


def _rebuild(cls: Any, data: bytes, shape: tuple[int, ...], dtype: str, requires_grad: bool) -> Any:
    kind = dtypes.as_dtype(dtype)
    t = creation.from_array(np.frombuffer(data, kind.numpy).reshape(shape), kind)
    result = cls._make(t.storage, t.shape, t.strides, t.offset, t.dtype)
    result._requires_grad = requires_grad
    return result


register_tensor_class(Tensor)
