"""What can be asked about a tensor, and names for what other devices and layouts would need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, describe
from fovea.functions import complex_numbers, exchange, shaping
from fovea.functions.creation import empty, strided_over

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def _never(doc: str) -> Any:
    return property(lambda self: False, doc=doc)


def _itself(doc: str) -> Any:
    def call(self: Tensor) -> Tensor:
        return self

    call.__doc__ = doc
    return call


def is_signed(self: Tensor) -> bool:
    """Whether the type has negative numbers."""
    return self.dtype.is_signed


def is_nonzero(self: Tensor) -> bool:
    """Whether the one element is not zero."""
    return bool(self)


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether both have one shape."""
    return self.shape == other.shape


def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same view of the same memory."""
    return (
        self.storage is tensor.storage
        and self.offset == tensor.offset
        and self.shape == tensor.shape
        and tuple(self.strides) == tuple(tensor.strides)
    )


class UntypedStorage:
    """What is known of the memory that a tensor lies in.

    Args:
        storage: the memory.
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def nbytes(self) -> int:
        """How many bytes there are."""
        return int(self._storage.nbytes)

    def size(self) -> int:
        """How many bytes there are."""
        return int(self._storage.nbytes)

    def data_ptr(self) -> int:
        """The address of the first."""
        return int(self._storage.address)

    def __len__(self) -> int:
        return int(self._storage.nbytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other._storage is self._storage

    def __hash__(self) -> int:
        return id(self._storage)


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that the tensor lies in, of which views are a part.

    >>> import fovea
    >>> x = fovea.zeros(2, 3)
    >>> x[1].untyped_storage().data_ptr() == x.data_ptr(), x[1].untyped_storage().nbytes()
    (True, 24)
    """
    return UntypedStorage(self.storage)


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replace each element by what a Python function gives for it (slow)."""
    array = self._array()
    array[...] = np.vectorize(callable, otypes=[array.dtype])(array) if array.size else array
    self.storage.version += 1
    return self


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replace each element by what a function gives for it and the other tensor's (slow)."""
    array = self._array()
    other = np.broadcast_to(tensor._array(), array.shape)
    array[...] = np.vectorize(callable, otypes=[array.dtype])(array, other)
    self.storage.version += 1
    return self


def new_empty_strided(
    self: Tensor, size: Any, stride: Any, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Unset memory of this dtype with these strides."""
    last = sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else -1
    block = empty((last + 1,), dtype=self.dtype if dtype is None else dtype, device=device)
    return strided_over(block, tuple(size), tuple(stride), 0)


def dim_order(self: Tensor) -> tuple[int, ...]:
    """The dimensions from the outermost in memory to the innermost."""
    return tuple(sorted(range(self.ndim), key=lambda d: -self.strides[d]))


def reversed_rows(self: Tensor) -> Iterator[Tensor]:
    """``reversed(x)``: the rows from the last to the first."""
    return iter(shaping.flip(self, (0,)) if self.ndim else self)


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged, and conjugated: a view, of real numbers."""
    if input.ndim < 2:
        raise ArgumentError(f"adjoint: at least 2 dimensions are needed, got {describe(input)}.")
    return complex_numbers.conj(shaping.transpose(input, -1, -2))


class FactMethods:
    """Questions with short answers."""

    is_cpu: Any = property(lambda self: True, doc="Whether it lies on the CPU.")
    is_sparse, is_sparse_csr = _never("Whether it is sparse."), _never("Whether it is sparse.")
    is_quantized, is_nested = _never("Whether it is quantized."), _never("Whether it is nested.")
    is_meta, is_mps = _never("Whether it has no memory."), _never("Whether it lies on MPS.")
    is_xla, is_xpu = _never("Whether it lies on XLA."), _never("Whether it lies on an XPU.")
    layout: Any = property(lambda self: "strided", doc="How elements lie in memory.")
    H: Any = property(
        lambda self: complex_numbers.conj(shaping.t(self)),
        doc="The conjugate transpose of a matrix.",
    )
    mH: Any = property(adjoint, doc="``adjoint()``.")  # noqa: N815
    real: Any = property(
        complex_numbers.real, doc="The real parts; the tensor itself if it is real."
    )
    imag: Any = property(complex_numbers.imag, doc="The imaginary parts; DTypeError if it is real.")
    output_nr: Any = property(lambda self: self._output_nr, doc="Which output of its node it is.")
    retains_grad: Any = property(lambda self: self._retains_grad, doc="After ``retain_grad``.")

    is_signed, is_nonzero, is_same_size = is_signed, is_nonzero, is_same_size
    is_set_to, dim_order, adjoint = is_set_to, dim_order, adjoint
    untyped_storage = untyped_storage
    angle, conj, conj_physical = (
        complex_numbers.angle,
        complex_numbers.conj,
        complex_numbers.conj_physical,
    )
    apply_, map_, new_empty_strided = apply_, map_, new_empty_strided
    resolve_conj = resolve_neg = _itself("The tensor itself: nothing is put off.")
    to_dense = _itself("The tensor itself: it is dense.")
    share_memory_ = _itself("The tensor itself: worker processes get copies.")

    __dlpack__, __dlpack_device__ = exchange.to_capsule, exchange.device_of
    __reversed__ = reversed_rows

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The functions of the array API standard."""
        from fovea import array_api

        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ArgumentError(f"the array API of version {api_version!r} is not known.")
        return array_api

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The array API standard's name of ``to(device)``."""
        return self.to(device)  # type: ignore[attr-defined]

    def ndimension(self) -> int:
        """The number of dimensions."""
        return len(self.shape)  # type: ignore[attr-defined]

    def is_conj(self) -> bool:
        """False: nothing is conjugated."""
        return False

    is_neg = is_shared = is_pinned = is_inference = is_conj
