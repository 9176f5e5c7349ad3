"""What functions with several results return: named tuples that print as PyTorch's do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ValuesIndices", "printed"]


def printed(name: str, results: Any) -> str:
    """A named tuple's text: the function's name, and a line for each result."""
    lines = [f"{field}={getattr(results, field)!r}" for field in results._fields]
    return "\n".join([f"fovea.return_types.{name}(", ",\n".join(lines)]) + ")"


class ValuesIndices(NamedTuple):
    """Values and where they were found.

    >>> import fovea
    >>> fovea.tensor([3, 1, 2]).max(0)
    fovea.return_types.max(
    values=tensor(3),
    indices=tensor(0))
    """

    values: Tensor
    indices: Tensor


def _of(name: str) -> type[ValuesIndices]:
    """The values and indices that the function of that name returns."""

    class Result(ValuesIndices):
        __slots__ = ()

        def __repr__(self) -> str:
            return printed(name, self)

    Result.__name__ = Result.__qualname__ = name
    return Result


max = _of("max")
min = _of("min")
sort = _of("sort")
topk = _of("topk")
kthvalue = _of("kthvalue")
mode = _of("mode")
median = _of("median")
nanmedian = _of("nanmedian")
cummax = _of("cummax")
cummin = _of("cummin")
