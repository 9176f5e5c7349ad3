"""Learning rates as functions of the step. Names, arguments and defaults are Keras's."""

from __future__ import annotations

import bisect
import math
from typing import Any

from fovea import dtypes, watching
from fovea.errors import ArgumentError
from fovea.functions.pointwise import where
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.tensorbase import is_tensor

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


# Formulas below are of numbers; in a step that is captured, of tensors.


def _number(step: Any) -> Any:
    """A step as a float; while a call is captured, a tensor stays one."""
    if is_tensor(step) and watching.watcher is not None:
        return step.to(dtypes.float32)
    return float(step)


def _floor(x: Any) -> Any:
    return x.floor() if is_tensor(x) else math.floor(x)


def _at_most(x: Any, limit: float) -> Any:
    return x.clamp(max=limit) if is_tensor(x) else min(x, limit)


def _half_cosine(share: Any) -> Any:
    """From 1 to 0 for shares from 0 to 1."""
    angle = math.pi * share
    return 0.5 * (1.0 + (angle.cos() if is_tensor(angle) else math.cos(angle)))


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
        p = _number(step) / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (_floor(p) if self.staircase else p)


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
        p = _number(step) / self.decay_steps
        p = _floor(p) if self.staircase else p
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
        done = _number(step)
        if not is_tensor(done):
            return float(self.values[bisect.bisect_left(self.boundaries, done)])
        rate: Any = done * 0 + float(self.values[-1])
        for boundary, value in reversed(list(zip(self.boundaries, self.values, strict=False))):
            rate = where(done <= boundary, float(value), rate)
        return rate


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
        done, steps = _number(step), float(self.decay_steps)
        if self.cycle:
            rounds = -_floor(-done / steps)
            steps = steps * (rounds.clamp(min=1.0) if is_tensor(rounds) else max(1.0, rounds))
        else:
            done = _at_most(done, steps)
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
        done = _number(step)
        if self.warmup_target is None:
            return self._decayed(done, self.initial_learning_rate)
        after = self._decayed(done - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return after
        span = self.warmup_target - self.initial_learning_rate
        before = span * (done / self.warmup_steps) + self.initial_learning_rate
        if is_tensor(done):
            return where(done < self.warmup_steps, before, after)
        return before if done < self.warmup_steps else after

    def _decayed(self, done: Any, highest: float) -> Any:
        """The rate so many steps after the warm-up."""
        share = _at_most(done, self.decay_steps) / self.decay_steps
        return highest * ((1 - self.alpha) * _half_cosine(share) + self.alpha)


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
        p = _number(step) / self.first_decay_steps
        share, height = self._inside(p) if is_tensor(p) else self._place(p)
        cosine = height * _half_cosine(share)
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)

    def _place(self, p: float) -> tuple[float, float]:
        """How far into a cosine a step is, and how high that is; in lengths of the first."""
        length, height = 1.0, 1.0
        while p >= length:
            p, length, height = p - length, length * self.t_mul, height * self.m_mul
        return p / length, height

    def _inside(self, p: Any) -> tuple[Any, Any]:
        """`_place` for a tensor."""
        if self.t_mul == 1.0:
            restart = p.floor()
            return p - restart, self.m_mul**restart
        restart = ((1 + p * (self.t_mul - 1)).log() / math.log(self.t_mul) + 1e-6).floor()
        length = self.t_mul**restart
        begun = (length - 1) / (self.t_mul - 1)
        return (p - begun) / length, self.m_mul**restart


def serialize(learning_rate_schedule: Any) -> Any:
    """Plain data that describes a schedule."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The schedule that plain data describes."""
    return deserialize_keras_object(config, custom_objects)
