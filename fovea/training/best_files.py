"""Which of the files that a run has written are kept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["BestFiles", "last_path"]


class BestFiles:
    """The files of the best values so far; files that fall out of them are deleted.

    Args:
        count: how many are kept; -1 keeps all.
        better: whether a value is better than another.

    Attributes:
        files: each kept file's path and value, the oldest first.
    """

    def __init__(self, count: int, better: Callable[[float, float], bool]) -> None:
        self.count, self.better = count, better
        self.files: dict[str, float] = {}

    def wants(self, value: float) -> bool:
        """Whether a file of this value would be kept."""
        if self.count < 0 or len(self.files) < self.count:
            return True
        worst = self._worst()
        return worst is not None and self._beats(value, self.files[worst])

    def add(self, path: str, value: float) -> None:
        """Take up a file that has been written, and delete what is no longer among the best."""
        self.files.pop(path, None)
        self.files[path] = value
        while 0 <= self.count < len(self.files):
            worst = self._worst()
            assert worst is not None
            del self.files[worst]
            Path(worst).unlink(missing_ok=True)

    @property
    def best(self) -> str | None:
        """The path of the best file."""
        found: str | None = None
        for path, value in self.files.items():
            if found is None or self._beats(value, self.files[found]):
                found = path
        return found

    def _beats(self, value: float, other: float) -> bool:
        """NaN is worse than any number."""
        if math.isnan(value) or math.isnan(other):
            return math.isnan(other) and not math.isnan(value)
        return self.better(value, other)

    def _worst(self) -> str | None:
        """The path of the worst file; of equal ones the newest."""
        found: str | None = None
        for path, value in self.files.items():
            if found is None or not self._beats(value, self.files[found]):
                found = path
        return found


def last_path(path: str) -> str:
    """Where the newest model lies beside a file: ``last`` with the file's endings.

    >>> last_path("runs/epoch-03.weights.h5"), last_path("{epoch}-{val_loss:.2f}.pt")
    ('runs/last.weights.h5', 'last.pt')
    """
    folder, name = os.path.split(path)
    for ending in (".weights.h5", os.path.splitext(name)[1]):
        if name.endswith(ending):
            return os.path.join(folder, f"last{ending}")
    return os.path.join(folder, "last")
