"""Optimizers against Keras's: ten steps of each, with every option."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk

from .compare import data

OPTIONS = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True}),
    ("Adam", {"learning_rate": 0.05, "weight_decay": 0.1}),
    ("AdamW", {"learning_rate": 0.05}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.05, "momentum": 0.9}),
    ("RMSprop", {"learning_rate": 0.05, "centered": True, "rho": 0.5}),
    ("Adagrad", {"learning_rate": 0.1}),
    ("Adamax", {"learning_rate": 0.1}),
    ("Nadam", {"learning_rate": 0.1}),
    ("Adadelta", {"learning_rate": 0.5}),
    ("Adadelta", {"learning_rate": 1.0, "rho": 0.5, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Lion", {"learning_rate": 0.05}),
    ("Lion", {"learning_rate": 0.05, "beta_1": 0.5, "beta_2": 0.7, "weight_decay": 0.1}),
    ("Ftrl", {"learning_rate": 0.1}),
    ("Ftrl", {"learning_rate": 0.1, "l1_regularization_strength": 0.1, "beta": 0.3}),
    (
        "Ftrl",
        {"learning_rate": 0.1, "l2_regularization_strength": 0.1, "learning_rate_power": -0.3},
    ),
    ("Ftrl", {"learning_rate": 0.1, "l2_shrinkage_regularization_strength": 0.1}),
    ("Lamb", {"learning_rate": 0.05}),
    ("Lamb", {"learning_rate": 0.05, "beta_1": 0.5, "weight_decay": 0.1}),
    ("Adafactor", {"learning_rate": 0.5}),
    ("Adafactor", {"learning_rate": 0.5, "clip_threshold": 2.0, "beta_2_decay": -0.5}),
    ("Muon", {"learning_rate": 0.05}),
    ("Muon", {"learning_rate": 0.05, "nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.5}),
    ("Lamb", {"learning_rate": 0.1, "clipnorm": 0.5, "gradient_accumulation_steps": 2}),
    ("Adam", {"learning_rate": 0.1, "clipnorm": 0.5}),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.3}),
    ("SGD", {"learning_rate": 0.1, "global_clipnorm": 0.7}),
    ("SGD", {"learning_rate": 0.1, "loss_scale_factor": 4.0}),
    ("Adam", {"learning_rate": 0.1, "gradient_accumulation_steps": 3}),
    ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.7}),
    ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_overwrite_frequency": 4}),
]
SHAPES = [(3, 4), (4,), (2, 3, 3, 5)]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_trajectories(keras: Any, name: str, options: dict[str, Any]) -> None:
    import torch

    own, theirs = (
        getattr(fk.optimizers, name)(**options),
        getattr(keras.optimizers, name)(**options),
    )
    start = [data(s, i) for i, s in enumerate(SHAPES)]
    ours = [fk.Variable(a, name=f"w{i}") for i, a in enumerate(start)]
    keras_vars = [keras.Variable(a, name=f"w{i}") for i, a in enumerate(start)]
    for step in range(10):
        grads = [data(s, 100 + 10 * step + i) * (step + 1) for i, s in enumerate(SHAPES)]
        own.apply([fovea.tensor(g) for g in grads], ours)
        with torch.no_grad():
            theirs.apply([torch.tensor(g) for g in grads], keras_vars)
        for a, b in zip(ours, keras_vars, strict=True):
            np.testing.assert_allclose(
                a.numpy(), b.value.detach().numpy(), rtol=2e-5, atol=2e-5, err_msg=f"step {step}"
            )
    own.finalize_variable_values(ours)
    theirs.finalize_variable_values(keras_vars)
    for a, b in zip(ours, keras_vars, strict=True):
        np.testing.assert_allclose(a.numpy(), b.value.detach().numpy(), rtol=2e-5, atol=2e-5)
    if name != "Nadam" and "use_ema" not in options:  # the states, in the order of Keras's files
        expected = [np.asarray(v.value.detach()) for v in theirs.variables]
        assert [v.shape for v in own.get_weights()] == [v.shape for v in expected]
        for a, b in zip(own.get_weights(), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_configurations(keras: Any, name: str, options: dict[str, Any]) -> None:
    own = getattr(fk.optimizers, name)(**options)
    config = own.get_config()
    theirs = getattr(keras.optimizers, name)(**options).get_config()
    assert set(config) == set(theirs)
    for key, value in theirs.items():
        if key != "name":
            assert config[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    twin = fk.optimizers.deserialize(fk.optimizers.serialize(own))
    assert type(twin) is type(own) and twin.get_config() == config


SCHEDULES = [
    ("ExponentialDecay", (0.1, 10, 0.5), {}),
    ("ExponentialDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([5, 20], [0.1, 0.05, 0.01]), {}),
    ("PolynomialDecay", (0.1, 20), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 20), {"cycle": True}),
    ("CosineDecay", (0.1, 30), {"alpha": 0.1}),
    ("CosineDecay", (0.0, 30), {"warmup_target": 0.1, "warmup_steps": 10}),
    ("CosineDecayRestarts", (0.1, 10), {}),
    ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.0, "m_mul": 0.5, "alpha": 0.2}),
    ("CosineDecayRestarts", (0.1, 5), {"t_mul": 1.5, "m_mul": 0.9}),
]


@pytest.mark.parametrize(("name", "args", "options"), SCHEDULES)
def test_schedules(keras: Any, name: str, args: Any, options: dict[str, Any]) -> None:
    own = getattr(fk.optimizers.schedules, name)(*args, **options)
    theirs = getattr(keras.optimizers.schedules, name)(*args, **options)
    for step in (0, 1, 3, 5, 6, 10, 11, 19, 20, 21, 35, 50):
        assert own(step) == pytest.approx(float(theirs(step)), rel=1e-4, abs=1e-7), step
    assert own.get_config() == theirs.get_config()
    twin = fk.optimizers.schedules.deserialize(fk.optimizers.schedules.serialize(own))
    assert twin(7) == own(7)


class TestLearningRate:
    def test_is_a_tensor_that_can_be_set(self) -> None:
        opt = fk.optimizers.SGD(0.5)
        w = fk.Variable([1.0])
        opt.apply([fovea.ones(1)], [w])
        opt.learning_rate = 0.25
        opt.apply([fovea.ones(1)], [w])
        opt.learning_rate.assign(0.125)
        opt.apply([fovea.ones(1)], [w])
        assert w.numpy()[0] == 0.125 and float(opt.learning_rate) == 0.125

    def test_schedule(self, keras: Any) -> None:
        schedule = fk.optimizers.schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.5, 0.25])
        opt, w = fk.optimizers.SGD(schedule), fk.Variable([4.0])
        seen = []
        for _ in range(4):
            opt.apply([fovea.ones(1)], [w])
            seen.append(w.numpy()[0])
        assert seen == [3.0, 2.5, 2.25, 2.0]
        with pytest.raises(ValueError, match="follows a schedule"):
            opt.learning_rate = 0.1

    def test_function(self) -> None:
        opt, w = fk.optimizers.SGD(lambda: 0.5), fk.Variable([1.0])
        opt.apply([fovea.ones(1)], [w])
        assert w.numpy()[0] == 0.5

    def test_bad_value(self) -> None:
        with pytest.raises(ValueError, match="must be a number or a schedule"):
            fk.optimizers.SGD("fast")


def test_iterations_and_state() -> None:
    a, b = fk.Variable([1.0, 2.0]), fk.Variable([1.0, 2.0])
    one, two = fk.optimizers.Adam(0.1), fk.optimizers.Adam(0.1)
    for _ in range(3):
        one.apply([fovea.ones(2)], [a])
    assert int(one.iterations) == 3
    two.build([b])
    two.set_weights(one.get_weights())
    b.assign(a.numpy())
    for opt, w in ((one, a), (two, b)):
        opt.apply([fovea.full((2,), -1.0)], [w])
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_exclude_from_weight_decay(keras: Any) -> None:
    w, bias = fk.Variable([1.0], name="kernel"), fk.Variable([1.0], name="bias")
    opt = fk.optimizers.AdamW(0.1, weight_decay=0.5)
    opt.exclude_from_weight_decay(var_names=["bias"])
    opt.apply([fovea.zeros(1), fovea.zeros(1)], [w, bias])
    assert w.numpy()[0] == pytest.approx(0.95) and bias.numpy()[0] == 1.0


def test_missing_gradient_leaves_a_weight() -> None:
    w, v = fk.Variable([1.0]), fk.Variable([1.0])
    fk.optimizers.SGD(0.5).apply_gradients([(fovea.ones(1), w), (None, v)])
    assert w.numpy()[0] == 0.5 and v.numpy()[0] == 1.0


def test_constraints_are_applied() -> None:
    w = fk.Variable([1.0, -1.0])
    w.constraint = fk.constraints.NonNeg()
    fk.optimizers.SGD(0.5).apply([fovea.ones(2)], [w])
    assert w.numpy().tolist() == [0.5, 0.0]


@pytest.mark.parametrize("name", ["adam", "Adam", "sgd", "rmsprop", "adamw", "nadam"])
def test_names(name: str) -> None:
    assert type(fk.optimizers.get(name)).__name__.lower() == name.lower()


class TestErrors:
    def test_unknown_argument(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'learning_rate'"):
            fk.optimizers.Adam(lr=0.1)
        with pytest.raises(ValueError, match="did you mean 'clipnorm'"):
            fk.optimizers.Adam(clip_norm=1.0)

    def test_two_clips(self) -> None:
        with pytest.raises(ValueError, match="one of clipnorm"):
            fk.optimizers.SGD(clipnorm=1.0, clipvalue=1.0)

    def test_unknown_name(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'adam"):
            fk.optimizers.get("adamm")

    def test_unknown_weight(self) -> None:
        opt = fk.optimizers.SGD()
        opt.build([fk.Variable([1.0])])
        with pytest.raises(ValueError, match="not built with the weight"):
            opt.apply([fovea.ones(1)], [fk.Variable([1.0], name="other")])

    def test_state_that_does_not_fit(self) -> None:
        opt = fk.optimizers.Adam()
        opt.build([fk.Variable([1.0])])
        with pytest.raises(ValueError, match="do not take these"):
            opt.set_weights([np.zeros(())])


@pytest.mark.parametrize("warmup", [0, 4])
def test_schedule_free_is_the_papers(keras: Any, warmup: int) -> None:
    """Keras's own on PyTorch takes z after the step for z before it."""
    options = {"learning_rate": 0.05, "beta_2": 0.9, "warmup_steps": warmup, "weight_decay": 0.1}
    optimizer = fk.optimizers.ScheduleFreeAdamW(**options)
    start = data((3, 4), 0)
    w = fk.Variable(start)
    x, z, square = start.astype("f8"), start.astype("f8"), np.zeros((3, 4))
    for t in range(1, 9):
        g = data((3, 4), t)
        optimizer.apply([fovea.tensor(g)], [w])
        rate = 0.05 * (min(t / warmup, 1) if warmup else 1)
        y = 0.9 * x + 0.1 * z
        x = (y * (1 - 0.05 * 0.1) - 0.1 * z) / 0.9  # decay shrinks y, as Keras does it
        square = 0.9 * square + 0.1 * g * g
        z = z - rate * g / (np.sqrt(square / (1 - 0.9**t)) + 1e-8)
        x = x + (z - x) / t
        np.testing.assert_allclose(w.numpy(), 0.9 * x + 0.1 * z, rtol=2e-5, atol=2e-6)
    theirs = keras.optimizers.ScheduleFreeAdamW(**options).get_config()
    assert {**optimizer.get_config(), "name": theirs["name"]} == theirs


class Momentum(fk.optimizers.Optimizer):
    """A user's own, as Keras's guide writes one."""

    def __init__(self, learning_rate: Any = 0.1, momentum: float = 0.5, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.sums = self.add_optimizer_variables(variables, "sum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        held = self.sums[self._get_variable_index(variable)]
        self.assign(held, self.momentum * held - learning_rate * gradient)
        self.assign_add(variable, held)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}


STEPWISE = {
    "own": lambda rate: Momentum(rate),
    "own with clipping": lambda rate: Momentum(rate, clipnorm=0.1, weight_decay=0.01),
    "lamb": lambda rate: fk.optimizers.Lamb(rate),
    "adafactor": lambda rate: fk.optimizers.Adafactor(rate),
    "muon": lambda rate: fk.optimizers.Muon(rate),
    "schedule free": lambda rate: fk.optimizers.ScheduleFreeAdamW(rate),
    "ftrl": lambda rate: fk.optimizers.Ftrl(rate, beta=0.1),
}


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize("scaled", [False, True])
def test_compiled_fit_follows_the_schedule(name: str, scaled: bool) -> None:
    x, y = data((40, 6), 0), np.arange(40) % 3
    weights = []
    for jit in (False, True):
        fk.utils.set_random_seed(0)
        layers = [fk.layers.Dense(8, "tanh"), fk.layers.Dense(3, activation="softmax")]
        model = fk.Sequential([fk.layers.Input((6,)), *layers])
        rate = fk.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)
        optimizer = STEPWISE[name](rate)
        if scaled:
            optimizer = fk.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
        assert int(optimizer.iterations) == 10
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


class WarmUp(fk.optimizers.schedules.LearningRateSchedule):
    """A schedule as users write them, with a schedule of Keras's within."""

    def __init__(self, steps: int) -> None:
        self.steps, self.seen = steps, []
        self.then = fk.optimizers.schedules.CosineDecay(0.1, 10)

    def __call__(self, step: Any) -> Any:
        self.seen.append(step)
        rising = 0.1 * fk.ops.cast(step, "float32") / self.steps
        return fk.ops.where(step < self.steps, rising, self.then(step - self.steps))


@pytest.mark.parametrize("name", ["sgd", "own"])
@pytest.mark.parametrize("function", [False, True])
def test_rates_computed_with_tensors_are_no_part_of_the_program(name: str, function: bool) -> None:
    x, y = data((40, 6), 0), np.arange(40) % 3
    weights = []
    for jit in (False, True):
        fk.utils.set_random_seed(0)
        model = fk.Sequential([fk.layers.Input((6,)), fk.layers.Dense(3, activation="softmax")])
        schedule = WarmUp(4)
        rate = (lambda: fk.ops.exp(fk.ops.cast(-1, "float32"))) if function else schedule
        optimizer = fk.optimizers.SGD(rate) if name == "sgd" else Momentum(rate)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a step that cannot be captured warns
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
        if not function:
            assert sorted({int(step) for step in schedule.seen}) == list(range(10))
            assert all(isinstance(step, fovea.Tensor) for step in schedule.seen)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_own_optimizer_follows_sgd_and_survives_its_configuration() -> None:
    own, sgd = Momentum(0.1), fk.optimizers.SGD(0.1, momentum=0.5)
    a, b = fk.Variable(data((3, 4), 0)), fk.Variable(data((3, 4), 0))
    for step in range(4):
        g = fovea.tensor(data((3, 4), 10 + step))
        own.apply([g], [a])
        sgd.apply([g], [b])
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)
    assert Momentum.from_config(own.get_config()).momentum == 0.5
    saved = own.get_weights()
    other = Momentum(0.1)
    other.build([a])
    other.set_weights(saved)
    np.testing.assert_array_equal(other.sums[0].numpy(), own.sums[0].numpy())
    assert int(other.iterations) == 4


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_decay_of_older_programs_is_ignored(keras: Any, name: str) -> None:
    for k in (fk, keras):
        with pytest.warns(UserWarning, match="`decay` is no longer supported"):
            optimizer = getattr(k.optimizers, name)(0.1, decay=1e-6)
        assert "decay" not in optimizer.get_config()
