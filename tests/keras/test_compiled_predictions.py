"""`predict` and `evaluate` run programs where that pays; nobody can tell by the results."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras
from fovea.keras import layers, metrics, models

Array = np.ndarray[Any, Any]
QUIET: dict[str, Any] = {"verbose": 0, "batch_size": 4}


def images(count: int = 22, size: int = 12, channels: int = 3) -> Array:
    return np.random.default_rng(0).random((count, size, size, channels), np.float32)


def drawn(model: Any) -> Any:
    """The model with weights that are neither 0 nor 1."""
    rng = np.random.default_rng(1)
    for v in model.weights:
        if v.dtype.is_floating_point and len(v.shape) == 1:
            v.assign(rng.uniform(0.3, 1.5, tuple(v.shape)))
    return model


def convolutional(head: int = 3) -> Any:
    fovea.manual_seed(0)
    x = i = layers.Input((12, 12, 3))
    for filters, how in ((8, {}), (16, {"strides": 2}), (16, {"use_bias": False})):
        y = layers.Conv2D(filters, 3, padding="same", **how)(x)
        y = layers.Activation("swish")(layers.BatchNormalization()(y))
        x = layers.Add()([x, y]) if x.shape == y.shape else y
    x = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x)))
    x = layers.Dense(head, activation="softmax")(layers.Flatten()(x))
    return drawn(models.Model(i, x))


def pooled() -> Any:
    fovea.manual_seed(0)
    parts: list[Any] = []
    for filters in (8, 16):
        parts += [layers.Conv2D(filters, 3, activation="relu", groups=filters // 8)]
        parts += [layers.MaxPooling2D()]
    parts = [layers.Input((12, 12, 3)), *parts, layers.Flatten(), layers.Dense(3)]
    return models.Sequential(parts)


def channels_first() -> Any:
    """A flattened image whose elements lie in memory in another order."""
    fovea.manual_seed(0)
    parts = [layers.Permute((3, 1, 2)), layers.Conv2D(8, 3, data_format="channels_first")]
    return models.Sequential([layers.Input((12, 12, 3)), *parts, layers.Flatten(), layers.Dense(3)])


def several_outputs() -> Any:
    fovea.manual_seed(0)
    i = layers.Input((12, 12, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="gelu")(i))
    x = layers.LayerNormalization()(x)
    return models.Model(i, {"a": layers.Dense(2)(x), "b": layers.Dense(1, activation="tanh")(x)})


def recurrent() -> Any:
    """Rows of images as a sequence, some of them masked."""
    fovea.manual_seed(0)
    parts = [layers.Reshape((12, 36)), layers.Masking(0.5), layers.LSTM(5), layers.Dense(3)]
    return models.Sequential([layers.Input((12, 12, 3)), *parts])


def attentive() -> Any:
    fovea.manual_seed(0)
    i = layers.Input((12, 12, 3))
    x = layers.Dense(16)(layers.Reshape((12, 36))(i))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    return models.Model(i, layers.Dense(3)(layers.GlobalMaxPooling1D()(x)))


def half() -> Any:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        return convolutional()
    finally:
        keras.mixed_precision.set_dtype_policy(before)


MODELS: dict[str, Callable[[], Any]] = {
    f.__name__: f
    for f in (convolutional, pooled, channels_first, several_outputs, recurrent, attentive, half)
}


def same(found: Any, wanted: Any) -> None:
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_programs_give_the_same_bits(name: str) -> None:
    model = MODELS[name]()
    model.compile(run_eagerly=True)
    wanted = model.predict(images(), **QUIET)
    assert model._predict_program is None
    model.compile()
    for _ in range(4):
        same(model.predict(images(), **QUIET), wanted)
    # of whole batches at once, of the smaller last one when it had come four times
    assert len(model._predict_program.programs) == 2
    same(model.predict_on_batch(images(4)), keras.tree.map_structure(lambda a: a[:4], wanted))


@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2", "DenseNet121", "EfficientNetB0"])
def test_networks_give_the_same_bits(name: str) -> None:
    make = getattr(keras.applications, name)
    model = drawn(make(weights=None, include_top=False, input_shape=(32, 32, 3)))
    x = images(8, 32)
    wanted = np.concatenate([model.predict_on_batch(x[n : n + 2]) for n in (0, 2, 4)])
    assert not model._predict_program.programs
    found = model.predict(x, batch_size=2, verbose=0)
    assert model._predict_program.programs
    same(found[:6], wanted)


def test_only_where_it_pays() -> None:
    """From the fourth batch of a kind on, counted over calls, or where so many are to come."""
    model = convolutional()
    for batches, made in ((1, 0), (1, 0), (1, 0), (1, 1), (1, 1)):
        model.predict(images(4 * batches), **QUIET)
        assert len(model._predict_program.programs) == made
    model = convolutional()
    model.predict(images(12), **QUIET)
    assert not model._predict_program.programs
    model = convolutional()
    model.predict(images(16), **QUIET)
    assert len(model._predict_program.programs) == 1


@pytest.mark.parametrize("how", [{"jit_compile": False}, {"run_eagerly": True}])
def test_not_where_it_is_not_wanted(how: dict[str, Any]) -> None:
    model = convolutional()
    model.compile(loss="mse", **how)
    model.predict(images(), **QUIET)
    model.evaluate(images(), np.zeros((22, 3)), **QUIET)
    assert model._predict_program is None and model._look_program is None


def test_changed_weights_are_seen() -> None:
    model, x = convolutional(), images()
    y = np.random.default_rng(2).integers(0, 3, len(x))
    model.compile("sgd", "sparse_categorical_crossentropy")

    def check() -> Array:
        found: Array = model.predict(x, **QUIET)
        model.run_eagerly = True
        same(found, model.predict(x, **QUIET))
        losses = [model.evaluate(x, y, **QUIET)]
        model.run_eagerly = False
        assert model.evaluate(x, y, **QUIET) == losses[0]
        return found

    seen = [check()]
    model.fit(x, y, epochs=1, **QUIET)
    seen.append(check())
    model.set_weights([w * 0.5 for w in model.get_weights()])
    seen.append(check())
    model.layers[1].kernel.assign(model.layers[1].kernel * 2)
    seen.append(check())
    model.layers[2].moving_mean.assign(model.layers[2].moving_mean + 1)
    seen.append(check())
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(seen, 2))
    for program in (model._predict_program, model._look_program):
        assert len(program.programs) == 2  # for whole batches and the smaller last one
    model.layers[1].trainable = False
    check()


def test_changed_layers_are_seen() -> None:
    model = models.Sequential([layers.Input((4,)), layers.Dense(3)])
    x = np.ones((40, 4), np.float32)
    before = model.predict(x, **QUIET)
    model.add(layers.Rescaling(2.0))
    same(model.predict(x, **QUIET), before * 2)
    model.layers[-1].scale = 3.0
    same(model.predict(x, **QUIET), before * 3)
    model.pop()
    same(model.predict(x, **QUIET), before)


def test_evaluation_gives_the_same_numbers() -> None:
    """Losses, metrics, weights of samples, masks, what layers add; validation within `fit`."""
    x = images()
    y = np.random.default_rng(2).integers(0, 3, len(x))
    weight = np.random.default_rng(3).random(len(x))
    for make in (convolutional, recurrent):
        found = []
        for eager in (True, False):
            model = make()
            model.layers[-1].kernel_regularizer = keras.regularizers.L2(0.1)
            model.compile(
                "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"],
                weighted_metrics=["accuracy"], run_eagerly=eager,
            )  # fmt: skip
            values = [model.evaluate(x, y, sample_weight=weight, **QUIET) for _ in range(4)]
            assert values[0] == values[3]
            found.append(values[0])
            if not eager:
                assert len(model._look_program.programs) == 2
        assert found[0] == found[1]


def test_validation_is_a_program() -> None:
    """One batch after each epoch is enough; training steps are captured once all the while."""
    model, x = convolutional(), images(8)
    y = np.zeros(8, np.int64)
    model.compile("sgd", "sparse_categorical_crossentropy")
    options: dict[str, Any] = {"epochs": 4, "batch_size": 8, "verbose": 0}
    model.fit(x, y, validation_data=(x, y), **options)
    assert len(model._look_program.programs) == len(model._learn_program.programs) == 1
    model.predict(x, **QUIET)
    model.evaluate(x, y, **QUIET)
    model.fit(x, y, validation_data=(x, y), initial_epoch=1, **options)
    assert len(model._learn_program.programs) == 1


class Counts(layers.Layer):
    """How often Python runs; a number of the layer's own would be guarded."""

    def call(self, x: Any) -> Any:
        next(runs)
        return x


runs = itertools.count()


def test_batches_of_many_sizes() -> None:
    """Sizes that come but once make no programs; those that come again need no Python."""
    model = models.Sequential([layers.Input((6,)), layers.Dense(4), Counts(), layers.Dense(2)])
    x = np.random.default_rng(0).random((20, 6)).astype(np.float32)
    wanted = [model.predict_on_batch(x[:n]) for n in range(2, 20)]
    assert not model._predict_program.programs
    for _ in range(3):
        for n in range(2, 20):
            same(model.predict_on_batch(x[:n]), wanted[n - 2])
    before = next(runs)
    for n in range(2, 20):
        same(model.predict_on_batch(x[:n]), wanted[n - 2])
    assert next(runs) == before + 1
    assert len(model._predict_program.programs) == 18


def test_steps_of_ones_own() -> None:
    class Own(models.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.seen = layers.Dense(3), metrics.Mean(name="seen")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def predict_step(self, data: Any) -> Any:
            return super().predict_step(data) + 1

        def test_step(self, data: Any) -> Any:
            x, _ = data
            self.seen.update_state(self(x, training=False).sum())
            return {"seen": self.seen.result()}

    model, x = Own(), np.ones((40, 4), np.float32)
    model.compile("sgd", "mse")
    same(model.predict(x, **QUIET), model(x).detach().numpy() + 1)
    assert model._predict_program.programs
    found = model.evaluate(x, x[:, :3], return_dict=True, **QUIET)
    assert found["seen"] == pytest.approx(float(model(x[:4]).sum()), rel=1e-6)


def test_branches_on_values() -> None:
    """They run eagerly, and nobody is told: no program was asked for."""

    class Branches(models.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3, kernel_initializer="ones")

        def call(self, x: Any) -> Any:
            y = self.dense(x)
            return y * 2 if float(y.sum()) > 0 else y

    model = Branches()
    model.compile("sgd", "mse")
    x = np.repeat([[1.0], [-1.0]], 20, 0).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            same(model.predict(x, **QUIET), np.where(x > 0, 2.0, -1.0).repeat(3, 1))
            model.evaluate(x, x.repeat(3, 1), **QUIET)
    assert not model._predict_program.programs and not model._look_program.programs


def test_a_state_that_goes_on() -> None:
    """Of a recurrent layer, from batch to batch, and of a generator of random numbers."""
    model = models.Sequential([layers.Input((5, 2), 4), layers.LSTM(3, stateful=True)])
    x = np.random.default_rng(0).random((24, 5, 2)).astype(np.float32)
    found = model.predict(x, **QUIET)
    model.reset_states() if hasattr(model, "reset_states") else model.layers[0].reset_states()
    model.run_eagerly = True
    same(found, model.predict(x, **QUIET))
    noise = models.Sequential(
        [layers.Input((3,)), layers.Lambda(lambda t: t + keras.random.normal(t.shape))]
    )
    drawn_ones = noise.predict(np.zeros((40, 3)), **QUIET)
    assert len(np.unique(drawn_ones)) == drawn_ones.size


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "clone"])
def test_copies_have_programs_of_their_own(how: str) -> None:
    model, x = convolutional(), images()
    model.compile("sgd", "sparse_categorical_crossentropy")
    wanted = model.predict(x, **QUIET)
    if how == "clone":
        twin = models.clone_model(model)
        twin.set_weights(model.get_weights())
    else:
        twin = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
    twin.layers[1].kernel.assign(twin.layers[1].kernel * 2)
    changed = twin.predict(x, **QUIET)
    same(model.predict(x, **QUIET), wanted)
    assert not np.array_equal(changed, wanted)
    twin.run_eagerly = True
    same(twin.predict(x, **QUIET), changed)
