"""Learning rates as functions of the step. Names, arguments and defaults are Keras's."""

from __future__ import annotations

import bisect
import math
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base of schedules: ``schedule(step)`` is the learning rate of a step (from 0)."""

    keras_module = "keras.optimizers.schedules"

    def __call__(self, step: Any) -> float:
        """The learning rate of a step."""
        raise TypeError(f"{type(self).__name__} must define __call__.")

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """One with these arguments."""
        return cls(**config)


def _positive(name: str, what: str, value: float) -> None:
    if value <= 0:
        raise ArgumentError(f"{name}: {what} must be positive, got {value}.")


class ExponentialDecay(LearningRateSchedule):
    """``initial * decay_rate ** (step / decay_steps)``.

    Args:
        staircase: round ``step / decay_steps`` down.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        _positive("ExponentialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: Any) -> float:
        p = float(step) / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (
            math.floor(p) if self.staircase else p
        )


class InverseTimeDecay(LearningRateSchedule):
    """``initial / (1 + decay_rate * step / decay_steps)``.

    Args:
        staircase: round ``step / decay_steps`` down.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        _positive("InverseTimeDecay", "decay_steps", decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase, self.name = decay_rate, staircase, name

    def __call__(self, step: Any) -> float:
        p = float(step) / self.decay_steps
        p = math.floor(p) if self.staircase else p
        return self.initial_learning_rate / (1 + self.decay_rate * p)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and including ``boundaries[i]``, the last value after.

    Raises:
        ArgumentError: not one value more than boundaries.

    >>> schedule = PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])
    >>> schedule(10), schedule(11), schedule(99)
    (1.0, 0.5, 0.1)
    """

    def __init__(self, boundaries: Any, values: Any, name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise ArgumentError(
                "PiecewiseConstantDecay: one value more than boundaries is needed, got "
                f"{len(values)} values and {len(boundaries)} boundaries."
            )
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: Any) -> float:
        return float(self.values[bisect.bisect_left(self.boundaries, float(step))])


class PolynomialDecay(LearningRateSchedule):
    """From ``initial`` to ``end`` as ``(1 - step / decay_steps) ** power``.

    Args:
        cycle: start again, over ever more steps, when the end is reached.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        _positive("PolynomialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.end_learning_rate, self.power = end_learning_rate, power
        self.cycle, self.name = cycle, name

    def __call__(self, step: Any) -> float:
        done, steps = float(step), float(self.decay_steps)
        if self.cycle:
            steps *= max(1.0, math.ceil(done / steps)) if done else 1.0
        else:
            done = min(done, steps)
        left = (1 - done / steps) ** self.power
        span = self.initial_learning_rate - self.end_learning_rate
        return span * left + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine from ``initial`` to ``alpha`` times that, after a linear warm-up.

    Args:
        decay_steps: steps of the cosine.
        alpha: the last rate, as a share of the highest.
        warmup_target: the rate after the warm-up, where the cosine begins; None for no warm-up.
        warmup_steps: steps of the warm-up.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        _positive("CosineDecay", "decay_steps", decay_steps)
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.alpha, self.name = alpha, name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> float:
        done, highest = float(step), self.initial_learning_rate
        if self.warmup_target is not None:
            if done < self.warmup_steps:
                span = self.warmup_target - self.initial_learning_rate
                return span * (done / self.warmup_steps) + self.initial_learning_rate
            done, highest = done - self.warmup_steps, self.warmup_target
        p = min(done, self.decay_steps) / self.decay_steps
        cosine = 0.5 * (1.0 + math.cos(math.pi * p))
        return highest * ((1 - self.alpha) * cosine + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines, one after another.

    Args:
        first_decay_steps: steps of the first.
        t_mul: how much longer each next one is.
        m_mul: how high each next one starts, as a share of the one before.
        alpha: the last rate, as a share of ``initial``.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        _positive("CosineDecayRestarts", "first_decay_steps", first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: Any) -> float:
        p, restart = float(step) / self.first_decay_steps, 0
        length = 1.0
        while p >= length:
            p -= length
            length *= self.t_mul
            restart += 1
        cosine = 0.5 * self.m_mul**restart * (1.0 + math.cos(math.pi * p / length))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


def serialize(learning_rate_schedule: Any) -> Any:
    """Plain data that describes a schedule."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The schedule that plain data describes."""
    return deserialize_keras_object(config, custom_objects)
