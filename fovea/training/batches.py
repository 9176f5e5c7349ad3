"""Batches for one epoch after another, from whatever can be iterated over."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fovea import random

__all__ = ["Batches", "Position"]


@dataclass
class Position:
    """Where in the data a run stands.

    Attributes:
        began: the state of the random numbers when the pass over the source began.
        taken: how many batches of the pass were taken.
    """

    began: Any
    taken: int


class Batches:
    """An iterable of batches, epoch by epoch.

    Args:
        source: a list of batches, a ``DataLoader``, a generator ...; what can be iterated over once
            only goes on where the last epoch stopped.
        steps: batches an epoch; None is as many as there are.

    Attributes:
        position: where in the data the run stands; None before the first batch.

    >>> [list(epoch) for epoch in (Batches([1, 2, 3]).epoch(), Batches(iter(range(9)), 2).epoch())]
    [[1, 2, 3], [0, 1]]
    """

    def __init__(self, source: Iterable[Any], steps: int | None = None) -> None:
        self.source, self._steps = source, steps
        self._once = isinstance(source, Iterator)
        self._length = _length(source)
        self._running: Iterator[Any] | None = None
        self._held: list[Any] = []  # a batch that was drawn ahead
        self.position: Position | None = None
        self.exhausted = False

    @property
    def steps(self) -> int | None:
        """How many batches the next epoch has; None if nobody knows yet."""
        return self._steps if self._steps is not None else self._length

    @property
    def within_pass(self) -> bool:
        """Whether the next epoch takes up a pass over the source where this one left it."""
        return self._running is not None

    def restore(self, position: Position) -> None:
        """Go on from a position: `epoch` gives the batches after it.

        The random numbers are left as they were when the batch after it had been drawn for the
        first time and nothing else: the caller sets what it had.
        """
        random.set_rng_state(position.began)
        self._running = self._open(position.taken)
        # A sampler may draw when its first index is asked for.
        self._held = [batch for batch in (next(self._running, None),) if batch is not None]

    def epoch(self, done: int = 0) -> Iterator[Any]:
        """The batches of the next epoch, of which so many were taken before `restore`."""
        begin = getattr(self.source, "on_epoch_begin", None)
        if begin is not None:
            begin()
        if self._steps is None:
            yield from self._whole(done)
        else:
            yield from self._counted(self._steps - done)
        end = getattr(self.source, "on_epoch_end", None)
        if end is not None:
            end()

    def _open(self, taken: int = 0) -> Iterator[Any]:
        """A pass over the source, from a batch on."""
        self.position = Position(random.get_rng_state(), taken)
        if not taken:
            return iter(self.source)
        if hasattr(self.source, "starting_at"):
            started: Iterator[Any] = self.source.starting_at(taken)
            return started
        running = iter(self.source)
        for _ in range(taken):
            next(running, None)
        return running

    def _next(self, running: Iterator[Any]) -> Any:
        batch = self._held.pop() if self._held else next(running)
        if self.position is not None:
            self.position.taken += 1
        return batch

    def _whole(self, done: int) -> Iterator[Any]:
        running, count = self._running or self._open(), done
        self._running = running
        try:
            while True:
                try:
                    batch = self._next(running)
                except StopIteration:
                    break
                count += 1
                yield batch
        finally:
            self._running = None
            _close(running, self._once)
        self._length = count
        self.exhausted = self._once

    def _counted(self, steps: int) -> Iterator[Any]:
        """``steps`` batches; a source that ends earlier starts again with the next epoch."""
        for _ in range(steps):
            if self._running is None:
                self._running = self._open()
            try:
                batch = self._next(self._running)
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
        self._running = self._open()
        try:
            return self._next(self._running)
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
        self._held.clear()


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
