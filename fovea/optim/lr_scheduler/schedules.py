"""Learning rates as pure functions of the step, with no state: the schedulers compute with these.

``step`` counts from 0; ``base_lr`` is the rate without a schedule. Names of options are PyTorch's.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = [
    "OneCycle",
    "annealed",
    "constant",
    "cosine",
    "cyclic_position",
    "exponential",
    "linear",
    "multi_step",
    "polynomial",
    "restart_position",
    "step_decay",
    "warm_restarts",
]


def step_decay(step: int, base_lr: float, step_size: int, gamma: float = 0.1) -> float:
    """Times ``gamma`` every ``step_size`` steps.

    >>> [step_decay(t, 1.0, 2, 0.5) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return float(base_lr * gamma ** (step // step_size))


def multi_step(step: int, base_lr: float, milestones: Sequence[int], gamma: float = 0.1) -> float:
    """Times ``gamma`` at each milestone (given in rising order).

    >>> [multi_step(t, 1.0, [1, 3], 0.5) for t in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """
    return float(base_lr * gamma ** bisect_right(milestones, step))


def constant(step: int, base_lr: float, factor: float = 1 / 3, total_iters: int = 5) -> float:
    """``factor`` times the rate for the first ``total_iters`` steps.

    >>> [constant(t, 1.0, 0.5, 2) for t in range(4)]
    [0.5, 0.5, 1.0, 1.0]
    """
    return base_lr if step >= total_iters else base_lr * factor


def linear(
    step: int,
    base_lr: float,
    start_factor: float = 1 / 3,
    end_factor: float = 1.0,
    total_iters: int = 5,
) -> float:
    """From ``start_factor`` to ``end_factor`` times the rate along a line: warm-up.

    >>> [linear(t, 1.0, 0.5, 1.0, 2) for t in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """
    if step >= total_iters:
        return base_lr * end_factor
    return base_lr * (start_factor + (end_factor - start_factor) * step / total_iters)


def exponential(step: int, base_lr: float, gamma: float) -> float:
    """Times ``gamma`` at every step.

    >>> [exponential(t, 1.0, 0.5) for t in range(3)]
    [1.0, 0.5, 0.25]
    """
    return float(base_lr * gamma**step)


def polynomial(step: int, base_lr: float, total_iters: int = 5, power: float = 1.0) -> float:
    """Down to 0 in ``total_iters`` steps, as a power of what is left of them.

    >>> [polynomial(t, 1.0, 2) for t in range(4)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return float(base_lr * (1 - min(step, total_iters) / total_iters) ** power)


def cosine(step: float, base_lr: float, T_max: float, eta_min: float = 0.0) -> float:  # noqa: N803
    """Half a wave of the cosine from the rate down to ``eta_min`` in ``T_max`` steps, and on.

    Loshchilov and Hutter 2017.

    >>> [round(cosine(t, 1.0, 2), 3) for t in range(5)]
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """
    return eta_min + (base_lr - eta_min) * (1 + math.cos(math.pi * step / T_max)) / 2


def restart_position(step: float, T_0: int, T_mult: int = 1) -> tuple[float, int]:  # noqa: N803
    """How far ``step`` lies in its cycle, and how long that is; each is ``T_mult`` times the last.

    >>> [restart_position(t, 2, 2) for t in range(7)]
    [(0, 2), (1, 2), (0, 4), (1, 4), (2, 4), (3, 4), (0, 8)]
    """
    if T_mult == 1:
        return step % T_0, T_0
    length = T_0
    while step >= length:
        step -= length
        length *= T_mult
    return step, length


def warm_restarts(
    step: float,
    base_lr: float,
    T_0: int,  # noqa: N803
    T_mult: int = 1,  # noqa: N803
    eta_min: float = 0.0,
) -> float:
    """``cosine`` down to ``eta_min`` again and again, in cycles (Loshchilov and Hutter 2017).

    >>> [round(warm_restarts(t, 1.0, 2), 3) for t in range(5)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    at, length = restart_position(step, T_0, T_mult)
    return cosine(at, base_lr, length, eta_min)


def cyclic_position(step: int, up: float, down: float) -> tuple[int, float]:
    """The number of the cycle (from 1) and the height in it: 0 at its ends, 1 after ``up`` steps.

    >>> [cyclic_position(t, 2, 2) for t in range(5)]
    [(1, 0.0), (1, 0.5), (1, 1.0), (1, 0.5), (2, 0.0)]
    """
    total = up + down
    cycle = math.floor(1 + step / total)
    x = 1.0 + step / total - cycle
    ratio = up / total
    return cycle, x / ratio if x <= ratio else (x - 1) / (ratio - 1)


def annealed(strategy: str) -> Callable[[float, float, float], float]:
    """The way from start to end: a function of (start, end, part of the way)."""
    if strategy == "cos":
        return lambda start, end, part: cosine(part, start, 1.0, end)
    return lambda start, end, part: (end - start) * part + start


class OneCycle(NamedTuple):
    """The one-cycle policy (Smith and Topin 2019): up, down, and down once more.

    Rates are named ``"initial"``, ``"max"`` and ``"min"``; ``at`` says between which two a step
    lies.

    >>> OneCycle(total_steps=10, pct_start=0.3).at(2)
    ('initial', 'max', 1.0)
    """

    total_steps: int
    pct_start: float = 0.3
    three_phase: bool = False

    def at(self, step: int) -> tuple[str, str, float]:
        """Where the step lies: from, to, and how far between."""
        up = self.pct_start * self.total_steps - 1
        phases = [(up, "initial", "max"), (float(self.total_steps - 1), "max", "min")]
        if self.three_phase:
            down = 2 * self.pct_start * self.total_steps - 2
            phases[1:] = [
                (down, "max", "initial"),
                (float(self.total_steps - 1), "initial", "min"),
            ]
        start = 0.0
        for end, before, after in phases[:-1]:
            if step <= end:
                return before, after, (step - start) / (end - start) if end > start else 1.0
            start = end
        end, before, after = phases[-1]
        return before, after, (step - start) / (end - start)
