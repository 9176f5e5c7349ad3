"""Look-up tables."""

from __future__ import annotations

from typing import Any, Self

from fovea.autograd import no_grad
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """A table of vectors, looked up by number.

    y = weight[x]

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        padding_idx: a row that is not learned and starts as zeros.
        max_norm: rows that are longer are scaled down when looked up.
        norm_type: the norm that ``max_norm`` means.
        scale_grad_by_freq: only False.
        sparse: only False.
        _weight: the table, instead of a new one.
        _freeze: whether the table is not learned.
        device: ``None`` or the CPU.
        dtype: of the table.

    Shapes:
        (...), int64 or int32, to (..., embedding_dim).

    Parameters:
        weight (num_embeddings, embedding_dim), normal with mean 0 and variance 1.

    Raises:
        OutOfRangeError: a number outside [0, num_embeddings).

    >>> import fovea
    >>> Embedding(10, 3)(fovea.tensor([[1, 2], [3, 4]])).shape
    fovea.Size([2, 2, 3])
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError(
                f"Embedding: padding_idx {padding_idx} is outside the {num_embeddings} rows."
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            table = empty((num_embeddings, embedding_dim), device=device, dtype=dtype)
            self.weight = Parameter(table, requires_grad=not _freeze)
            self.reset_parameters()
            return
        if tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ShapeError(
                f"Embedding: the table must be ({num_embeddings}, {embedding_dim}), "
                f"got {describe(_weight)}."
            )
        self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None, **options: Any
    ) -> Self:
        """A layer over an existing table.

        Args:
            embeddings: (rows, features).
            freeze: whether the table is not learned.
            padding_idx, options: as of the class.
        """
        if embeddings.ndim != 2:
            raise ShapeError(f"from_pretrained: the table must be 2-D, got {describe(embeddings)}.")
        rows, features = embeddings.shape
        return cls(rows, features, padding_idx, _weight=embeddings, _freeze=freeze, **options)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        return text
