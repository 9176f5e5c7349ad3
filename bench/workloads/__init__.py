"""What the contestants run, written once for each style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ADAM_EPSILON", "ADAM_RATE", "LEARNING_RATE", "MOMENTUM", "Task", "load", "save_arrays"]

# The small CNN trains by Adam, as its example program does; the others by SGD.
ADAM_RATE, ADAM_EPSILON = 1e-3, 1e-8
LEARNING_RATE, MOMENTUM = 0.01, 0.9

Array = np.ndarray[Any, Any]


@dataclass
class Task:
    """A case that is ready to be timed.

    Attributes:
        run: one unit of it, complete when it returns.
        results: what it computed, to be compared: ``logits``; or the ``loss``, the one ``after`` a
            step, and what the step changed in two parameters, ``first`` and ``last``.
        done: when the first unit was complete, by ``time.time()``.
    """

    run: Callable[[], Any]
    results: dict[str, Array] = field(default_factory=dict)
    done: float = 0.0


def save_arrays(path: str | Path, arrays: dict[str, Array]) -> None:
    """Write arrays to a file, for ``load``."""
    np.savez(path, allow_pickle=False, **arrays)


def load(path: str) -> dict[str, Array]:
    """Arrays of a file that ``bench.weights`` wrote."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
