"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from fovea.errors import ShapeError, describe
from fovea.functions.parts import cat
from fovea.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters in one vector.

    >>> import fovea
    >>> parameters_to_vector([fovea.ones(2, 1), fovea.zeros(1)])
    tensor([1., 1., 0.])
    """
    return cat([p.reshape(p.numel()) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Replace the parameters' values by pieces of a vector, in order.

    Raises:
        ShapeError: a vector with more or fewer elements than the parameters.
    """
    listed = list(parameters)
    if vec.ndim != 1 or vec.numel() != sum(p.numel() for p in listed):
        raise ShapeError(
            f"vector_to_parameters: the parameters have {sum(p.numel() for p in listed)} "
            f"elements, got {describe(vec)}."
        )
    start = 0
    for p in listed:
        p.data = vec[start : start + p.numel()].detach().clone().reshape(p.shape)
        start += p.numel()
