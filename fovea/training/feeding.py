"""Data on its way to the steps of a trainer, and outputs on their way back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from fovea.functions import creation, joining
from fovea.tensorbase import is_tensor
from fovea.utils.data import DataLoader, TensorDataset

__all__ = ["Last", "MarkedLast", "as_loader", "batch_size_of", "joined"]


class Last:
    """A batch, and whether it is the epoch's last."""

    def __init__(self, batch: Any, last: bool) -> None:
        self.batch, self.last = batch, last


class MarkedLast:
    """Batches that know whether they are the last: an update must not wait for more."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Last]:
        return self._marked(iter(self.source))

    def starting_at(self, batch: int) -> Iterator[Last]:
        """A pass from a batch on."""
        if hasattr(self.source, "starting_at"):
            return self._marked(self.source.starting_at(batch))
        return self._marked(itertools.islice(self.source, batch, None))

    def _marked(self, source: Iterator[Any]) -> Iterator[Last]:
        held: list[Any] = []
        for batch in source:
            if held:
                yield Last(held.pop(), False)
            held.append(batch)
        if held:
            yield Last(held.pop(), True)


def as_loader(data: Any, batch_size: int, shuffle: bool) -> Any:
    """Batches of data: itself if it has them, else a loader over its samples."""
    arrays = data if isinstance(data, tuple) else (data,)
    if all(is_tensor(a) or hasattr(a, "__array_interface__") for a in arrays):
        data = TensorDataset(*(creation.as_tensor(a) for a in arrays))
    elif isinstance(data, list | DataLoader) or not hasattr(data, "__getitem__"):
        return data
    return DataLoader(data, batch_size, shuffle=shuffle)


def batch_size_of(inputs: tuple[Any, ...]) -> int:
    first = inputs[0]
    while isinstance(first, dict | list | tuple) and len(first):
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return len(first) if hasattr(first, "__len__") else 1


def joined(found: list[Any]) -> Any:
    """Outputs of batches as one."""
    first = found[0] if found else None
    if is_tensor(first):
        return joining.cat(found) if first.ndim else joining.stack(found)
    if isinstance(first, dict):
        return {k: joined([f[k] for f in found]) for k in first}
    if isinstance(first, list | tuple):
        return type(first)(joined(list(parts)) for parts in zip(*found, strict=True))
    return found
