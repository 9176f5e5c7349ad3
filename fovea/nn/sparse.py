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

__all__ = ["Embedding", "EmbeddingBag"]


class Embedding(Module):
    """A table of vectors, looked up by number.

    y = weight[x]

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        padding_idx: a row that is not learned and starts as zeros.
        max_norm: rows that are longer are scaled down when looked up.
        norm_type: the norm that ``max_norm`` means.
        scale_grad_by_freq: divide the gradient of a row by how often it was picked.
        sparse: taken as PyTorch takes it; gradients are dense all the same.
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
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _row("Embedding", padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            table = empty((num_embeddings, embedding_dim), device=device, dtype=dtype)
            self.weight = Parameter(table, requires_grad=not _freeze)
            self.reset_parameters()
            return
        _check_table("Embedding", _weight, (num_embeddings, embedding_dim))
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
        _draw(self)

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
        for name, usual in _USUAL.items():
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


_USUAL = {
    "padding_idx": None,
    "max_norm": None,
    "norm_type": 2,
    "scale_grad_by_freq": False,
    "sparse": False,
}


class EmbeddingBag(Module):
    """Bags of vectors from a table, each put together into one.

    y[b] = sum, mean or max over i in bag b of weight[x[i]]

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        max_norm: rows that are longer are scaled down when looked up.
        norm_type: the norm that ``max_norm`` means.
        scale_grad_by_freq: divide the gradient of a row by how often it was picked.
        mode: ``"sum"``, ``"mean"`` or ``"max"``.
        sparse: taken as PyTorch takes it; gradients are dense all the same.
        _weight: the table, instead of a new one.
        include_last_offset: offsets have one more entry, where the last bag ends.
        padding_idx: a row that no bag counts, that is not learned and starts as zeros.
        device: ``None`` or the CPU.
        dtype: of the table.

    Shapes:
        (bags, n), int64 or int32, to (bags, embedding_dim); or (all) with offsets (bags).

    Parameters:
        weight (num_embeddings, embedding_dim), normal with mean 0 and variance 1.

    Raises:
        OutOfRangeError: a number outside [0, num_embeddings).

    >>> import fovea
    >>> EmbeddingBag(10, 3)(fovea.tensor([1, 2, 4, 5, 4]), fovea.tensor([0, 3])).shape
    fovea.Size([2, 3])
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.mode, self.sparse = scale_grad_by_freq, mode, sparse
        self.include_last_offset = include_last_offset
        self.padding_idx = _row("EmbeddingBag", padding_idx, num_embeddings)
        if _weight is None:
            table = empty((num_embeddings, embedding_dim), device=device, dtype=dtype)
            self.weight = Parameter(table)
            self.reset_parameters()
            return
        _check_table("EmbeddingBag", _weight, (num_embeddings, embedding_dim))
        self.weight = Parameter(_weight)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A layer over an existing table.

        Args:
            embeddings: (rows, features).
            freeze: whether the table is not learned.
            others: as of the class.
        """
        if embeddings.ndim != 2:
            raise ShapeError(f"from_pretrained: the table must be 2-D, got {describe(embeddings)}.")
        rows, features = embeddings.shape
        layer = cls(
            rows,
            features,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        layer.weight.requires_grad = not freeze
        return layer

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        _draw(self)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """The bags; see ``F.embedding_bag``."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        usual = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "mode": ""}
        for name, value in {**usual, "padding_idx": None}.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)!r}"
        return text


def _row(name: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ArgumentError(f"{name}: padding_idx {padding_idx} is outside the {rows} rows.")
    return None if padding_idx is None else padding_idx % rows


def _check_table(name: str, table: Tensor, shape: tuple[int, int]) -> None:
    if tuple(table.shape) != shape:
        raise ShapeError(f"{name}: the table must be {shape}, got {describe(table)}.")


def _draw(layer: Embedding | EmbeddingBag) -> None:
    init.normal_(layer.weight)
    if layer.padding_idx is not None:
        with no_grad():
            layer.weight[layer.padding_idx].fill_(0)
