"""Sequences of several lengths in one tensor: padded, or packed step by step without padding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import as_tensor, tensor
from fovea.functions.parts import cat, stack
from fovea.functions.ranges import arange
from fovea.nn.functional.padding import pad
from fovea.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Sequences, longest first, step by step: all first elements, then all second ones, and so on.

    Attributes:
        data: (elements of all sequences, ...).
        batch_sizes: how many sequences have each step, int64.
        sorted_indices: where each sequence, longest first, stood; None: they came in this order.
        unsorted_indices: the way back.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with other data; see ``Tensor.to``."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def cpu(self) -> PackedSequence:
        """Itself."""
        return self

    def float(self) -> PackedSequence:
        """With float32 data."""
        return self._replace(data=self.data.float())

    def double(self) -> PackedSequence:
        """With float64 data."""
        return self._replace(data=self.data.double())


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Where each number stands in a permutation of 0 to n - 1.

    >>> import fovea
    >>> invert_permutation(fovea.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    return None if permutation is None else permutation.argsort()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Leave out the padding of (T, N, ...) sequences.

    Args:
        input: (T, N, ...), or (N, T, ...) with ``batch_first``.
        lengths: of each sequence, at least 1.
        enforce_sorted: the longest must come first; otherwise they are sorted here.

    Raises:
        ArgumentError: lengths below 1, or not sorted. ShapeError: another number of lengths.

    >>> import fovea
    >>> pack_padded_sequence(fovea.tensor([[1, 4], [2, 0], [3, 0]]), [3, 1]).data
    tensor([1, 4, 2, 3])
    """
    x = input.transpose(0, 1) if batch_first else input
    sizes = [int(n) for n in as_tensor(lengths).tolist()]
    if len(sizes) != x.shape[1]:
        raise ShapeError(
            f"pack_padded_sequence: {len(sizes)} lengths for {x.shape[1]} sequences.",
            {"input": describe(input)},
        )
    if not sizes or min(sizes) < 1 or max(sizes) > x.shape[0]:
        raise ArgumentError(
            f"pack_padded_sequence: lengths must lie between 1 and {x.shape[0]}, got {sizes}."
        )
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    if enforce_sorted and order != list(range(len(sizes))):
        raise ArgumentError(
            f"pack_padded_sequence: the longest sequence must come first, got {sizes}.",
            fix="enforce_sorted=False",
        )
    ordered = None if enforce_sorted else tensor(order)
    x = x if ordered is None else x.index_select(1, ordered)
    steps = range(max(sizes))
    counts = [sum(n > t for n in sizes) for t in steps]
    data = cat([x[t, :count] for t, count in zip(steps, counts, strict=True)])
    return PackedSequence(data, tensor(counts), ordered, invert_permutation(ordered))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Sequences (T, N, ...) with padding, in the order in which they were packed, and lengths.

    Args:
        batch_first: (N, T, ...) instead.
        padding_value: what follows a sequence's end.
        total_length: T; the longest sequence's unless given.
    """
    counts = sequence.batch_sizes.tolist()
    n, steps = counts[0], len(counts)
    if total_length is not None and total_length < steps:
        raise ArgumentError(
            f"pad_packed_sequence: total_length {total_length} is less than the longest "
            f"sequence's {steps}."
        )
    rest = (0, 0) * (sequence.data.ndim - 1)
    rows = [
        pad(part, (*rest, 0, n - count), value=padding_value)
        for part, count in zip(sequence.data.split(counts), counts, strict=True)
    ]
    x = stack(rows)
    if total_length is not None and total_length > steps:
        x = pad(x, (*rest, 0, 0, 0, total_length - steps), value=padding_value)
    lengths = tensor([sum(count > i for count in counts) for i in range(n)])
    if sequence.unsorted_indices is not None:
        x = x.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    return (x.transpose(0, 1) if batch_first else x), lengths


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors (T_i, ...) as one (T, N, ...), filled up.

    Args:
        batch_first: (N, T, ...) instead.
        padding_value: what follows (or, on the left, precedes) a sequence.
        padding_side: ``"right"`` or ``"left"``.

    >>> import fovea
    >>> pad_sequence([fovea.ones(2), fovea.ones(1)], batch_first=True)
    tensor([[1., 1.],
            [1., 0.]])
    """
    if padding_side not in ("right", "left"):
        raise ArgumentError(
            f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}."
        )
    items = list(sequences)
    longest = max(len(t) for t in items)
    rows = []
    for t in items:
        lack = longest - len(t)
        both = (0, lack) if padding_side == "right" else (lack, 0)
        rows.append(pad(t, ((0, 0) * (t.ndim - 1)) + both, value=padding_value))
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences without their padding."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:n] for row, n in zip(x, lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """``pack_padded_sequence`` of tensors (T_i, ...)."""
    lengths = [len(t) for t in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def mask_of(lengths: Tensor, steps: int) -> Tensor:
    """(T, N, 1) booleans: true where a sequence has a step."""
    return (arange(steps).unsqueeze(1) < lengths).unsqueeze(-1)
