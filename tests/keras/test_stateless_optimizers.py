"""Optimizers and schedules as functions of their variables, beside Keras's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as ours
from fovea.errors import ArgumentError
from fovea.keras.layers.layer import as_tensor
from tests.keras.compare import close, data

Make = Any
OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda o: o.SGD(0.1),
    "SGD with momentum": lambda o: o.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda o: o.Adam(0.1, amsgrad=True),
    "AdamW": lambda o: o.AdamW(0.1, clipnorm=0.5),
    "Nadam": lambda o: o.Nadam(0.1),
    "Adamax": lambda o: o.Adamax(0.1, global_clipnorm=0.5),
    "RMSprop": lambda o: o.RMSprop(0.1, centered=True, momentum=0.5),
    "Adagrad": lambda o: o.Adagrad(0.1),
    "Adadelta": lambda o: o.Adadelta(0.1),
    "Adafactor": lambda o: o.Adafactor(0.1),
    "Lion": lambda o: o.Lion(0.1),
    "Ftrl": lambda o: o.Ftrl(0.1),
    "Lamb": lambda o: o.Lamb(0.1),
    "a schedule": lambda o: o.Adam(o.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "averages": lambda o: o.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "accumulation": lambda o: o.SGD(0.1, gradient_accumulation_steps=2),
    "scaled": lambda o: o.LossScaleOptimizer(o.SGD(0.1, momentum=0.9), initial_scale=4.0),
}
EVERYTHING = {
    "use_ema": True, "ema_overwrite_frequency": 2, "ema_momentum": 0.5, "clipnorm": 0.5,
    "gradient_accumulation_steps": 2,
}  # fmt: skip
# Keras's stateless steps in PyTorch change averages that were put into the weights with them.
MORE: dict[str, Make] = {
    **OPTIMIZERS,
    "averages put back": lambda o: o.SGD(0.1, use_ema=True, ema_overwrite_frequency=2),
    "everything": lambda o: o.Adam(o.schedules.ExponentialDecay(0.1, 2, 0.5), **EVERYTHING),
    "everything by steps": lambda o: o.Lamb(0.1, **EVERYTHING),
    "everything, scaled": lambda o: o.LossScaleOptimizer(o.SGD(0.1, **EVERYTHING), 4.0, 2),
    "several": lambda o: o.MultiOptimizer(
        o.OptimizerMap(o.SGD(0.1, momentum=0.9), {".*bias": o.Adam(0.1, use_ema=True)})
    ),
}
W = [data((3, 2), 1), data((2,), 2)]


def weights_of(k: Any) -> list[Any]:
    return [k.Variable(w, name=name) for w, name in zip(W, ("kernel", "bias"), strict=True)]


def gradients(step: int) -> list[Any]:
    return [data((3, 2), 10 + step), data((2,), 20 + step)]


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_steps_are_keras_steps(keras: Any, case: str) -> None:
    import torch

    theirs, mine = OPTIMIZERS[case](keras.optimizers), OPTIMIZERS[case](ours.optimizers)
    own = [ours.Variable(w) for w in W]
    theirs.build([keras.Variable(w) for w in W])
    mine.build(own)
    weights, state = list(own), mine.variables
    others, other_state = [torch.tensor(w) for w in W], [v.value for v in theirs.variables]
    assert len(state) == len(other_state)
    for step in range(4):
        given = gradients(step)
        weights, state = mine.stateless_apply(state, [as_tensor(g) for g in given], weights)
        others, other_state = theirs.stateless_apply(
            other_state, [torch.tensor(g) for g in given], others
        )
        for a, b in zip(weights, others, strict=True):
            close(a, b, 1e-4, 1e-5)
    for v, w in zip(own, W, strict=True):
        np.testing.assert_array_equal(v.numpy(), w)
    assert int(np.asarray(mine.iterations)) == 0


@pytest.mark.parametrize("case", ["averages", "averages put back", "everything"])
def test_averages_are_keras_averages(keras: Any, case: str) -> None:
    import torch

    theirs, mine = MORE[case](keras.optimizers), MORE[case](ours.optimizers)
    others, own = weights_of(keras), weights_of(ours)
    theirs.build(others)
    mine.build(own)
    for step in range(7):
        mine.apply([as_tensor(g) for g in gradients(step)])
        theirs.apply([torch.tensor(g) for g in gradients(step)])
        held = [*mine._averages, *mine._accumulated, *own]
        expected = [*theirs._model_variables_moving_average, *others]
        if mine.gradient_accumulation_steps:
            expected[2:2] = theirs._accumulated_gradients
        for a, b in zip(held, expected, strict=True):
            close(a, b.value, 1e-4, 1e-5)


@pytest.mark.parametrize("case", MORE)
def test_steps_are_those_of_apply_and_go_on_from_what_is_assigned(case: str) -> None:
    one, two = MORE[case](ours.optimizers), MORE[case](ours.optimizers)
    own, plain = weights_of(ours), weights_of(ours)
    one.build(own)
    two.build(plain)
    weights, state = list(own), one.variables
    for step in range(3):
        given = [as_tensor(g) for g in gradients(step)]
        weights, state = one.stateless_apply(state, given, weights)
        two.apply(given, plain)
    for a, b in zip(weights, plain, strict=True):
        close(a, b)
    for v, value in zip([*own, *one.variables], [*weights, *state], strict=True):
        v.assign(value)
    given = [as_tensor(g) for g in gradients(5)]
    one.apply(given, own)
    two.apply(given, plain)
    for a, b in zip(own, plain, strict=True):
        close(a, b)


@pytest.mark.parametrize("case", MORE)
def test_compiled_steps(case: str) -> None:
    optimizer, own = MORE[case](ours.optimizers), weights_of(ours)
    optimizer.build(own)
    compiled = fovea.compile(optimizer.stateless_apply, strict=True)
    found = []
    for step in (optimizer.stateless_apply, compiled):
        weights = [v.detach().clone() for v in own]
        state = [v.detach().clone() for v in optimizer.variables]
        for number in range(5):
            given = [as_tensor(g) for g in gradients(number)]
            if "scaled" in case and number == 2:
                given[0] = given[0] * float("inf")
            weights, state = step(state, given, weights)
        found.append([*weights, *state])
    for a, b in zip(*found, strict=True):
        close(a, b)
    assert len(compiled.programs) == 1


SCHEDULES: dict[str, Make] = {
    "exponential": lambda s: s.ExponentialDecay(0.1, 3, 0.5),
    "staircase": lambda s: s.ExponentialDecay(0.1, 3, 0.5, staircase=True),
    "inverse": lambda s: s.InverseTimeDecay(0.1, 3, 0.5, staircase=True),
    "pieces": lambda s: s.PiecewiseConstantDecay([2, 5], [0.3, 0.2, 0.1]),
    "polynomial": lambda s: s.PolynomialDecay(0.1, 4, power=2.0),
    "cycles": lambda s: s.PolynomialDecay(0.1, 3, cycle=True),
    "cosine": lambda s: s.CosineDecay(0.1, 5),
    "warm-up": lambda s: s.CosineDecay(0.0, 5, warmup_target=0.1, warmup_steps=3, alpha=0.1),
    "restarts": lambda s: s.CosineDecayRestarts(0.1, 2, m_mul=0.5),
    "even restarts": lambda s: s.CosineDecayRestarts(0.1, 3, t_mul=1.0, m_mul=0.5),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules_in_programs(case: str) -> None:
    schedule = SCHEDULES[case](ours.optimizers.schedules)
    compiled = fovea.compile(schedule, strict=True)
    for step in range(14):
        rate = compiled(fovea.tensor(step, dtype="int32"))
        assert float(rate) == pytest.approx(schedule(step), rel=1e-5, abs=1e-8)
    assert len(compiled.programs) == 1


def test_a_learning_rate_that_is_given_is_used() -> None:
    optimizer, w = ours.optimizers.SGD(0.1), ours.Variable([1.0])
    optimizer.build([w])
    steps, _ = optimizer.variables
    (found,), (count, rate) = optimizer.stateless_apply(
        [steps, fovea.tensor(0.5)], [fovea.ones(1)], [w]
    )
    assert (found.item(), int(count.item()), rate.item()) == (0.5, 1, 0.5)
    with pytest.raises(ArgumentError, match="optimizer_variables"):
        optimizer.stateless_apply([steps], [fovea.ones(1)], [w])
    with pytest.raises(ArgumentError, match="no variables yet"):
        ours.optimizers.SGD(0.1).stateless_apply([], [], [])
