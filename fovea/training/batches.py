"""Batches for one epoch after another, from whatever can be iterated over."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["Batches"]


class Batches:
    """An iterable of batches, epoch by epoch.

    Args:
        source: a list of batches, a ``DataLoader``, a generator ...; what can be iterated over once
            only goes on where the last epoch stopped.
        steps: batches an epoch; None is as many as there are.

    >>> [list(epoch) for epoch in (Batches([1, 2, 3]).epoch(), Batches(iter(range(9)), 2).epoch())]
    [[1, 2, 3], [0, 1]]
    """

    def __init__(self, source: Iterable[Any], steps: int | None = None) -> None:
        self.source, self._steps = source, steps
        self._once = isinstance(source, Iterator)
        self._length = _length(source)
        self._running: Iterator[Any] | None = None
        self.exhausted = False

    @property
    def steps(self) -> int | None:
        """How many batches the next epoch has; None if nobody knows yet."""
        return self._steps if self._steps is not None else self._length

    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch."""
        begin = getattr(self.source, "on_epoch_begin", None)
        if begin is not None:
            begin()
        if self._steps is None:
            yield from self._whole()
        else:
            yield from self._counted(self._steps)
        end = getattr(self.source, "on_epoch_end", None)
        if end is not None:
            end()

    def _whole(self) -> Iterator[Any]:
        running, count = iter(self.source), 0
        try:
            for batch in running:
                count += 1
                yield batch
        finally:
            _close(running, self._once)
        self._length = count
        self.exhausted = self._once

    def _counted(self, steps: int) -> Iterator[Any]:
        """``steps`` batches; a source that ends earlier starts again with the next epoch."""
        for _ in range(steps):
            if self._running is None:
                self._running = iter(self.source)
            try:
                batch = next(self._running)
            except StopIteration:
                self._running = None
                if self._once:
                    self.exhausted = True
                else:
                    batch = self._restart()
                if self.exhausted:
                    self._warn()
                    return
            yield batch

    def _restart(self) -> Any:
        """The first batch of another pass."""
        self._running = iter(self.source)
        try:
            return next(self._running)
        except StopIteration:
            self.exhausted = True
            return None

    def _warn(self) -> None:
        warnings.warn(
            "The data ran out before steps_per_epoch * epochs batches were drawn; "
            "the run ends here.",
            stacklevel=3,
        )

    def close(self) -> None:
        """Stop what draws batches (the workers of a ``DataLoader``)."""
        if self._running is not None:
            _close(self._running, self._once)
            self._running = None


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except (TypeError, NotImplementedError, AttributeError):
        return None


def _close(iterator: Any, keep: bool) -> None:
    """Close an iterator that this run made; a user's own generator stays open."""
    close = getattr(iterator, "close", None)
    if close is not None and not keep:
        close()
