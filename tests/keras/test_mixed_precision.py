"""Dtype policies and loss scaling beside Keras's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.errors import ArgumentError
from fovea.keras.layers.layer import as_tensor

from .compare import copy_weights, data
from .test_fit import first_network, images, losses_of, richer_network

TOLERANCE = {"mixed_bfloat16": 3e-2, "mixed_float16": 4e-3}


@pytest.fixture(params=list(TOLERANCE))
def policy(request: pytest.FixtureRequest, keras: Any) -> Iterator[str]:
    """A global policy, set in both."""
    for k in (keras, fk):
        k.mixed_precision.set_global_policy(request.param)
    yield request.param
    for k in (keras, fk):
        k.mixed_precision.set_global_policy("float32")


def kind(t: Any) -> str:
    return str(t.dtype).rpartition(".")[2]


def wide(t: Any) -> Any:
    return t.detach().float().numpy()


IMAGE = data((2, 6, 6, 4))
LAYERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "Dense": (lambda la: la.Dense(3, activation="relu"), data((2, 4))),
    "Conv2D": (lambda la: la.Conv2D(5, 3, padding="same"), IMAGE),
    "Conv2D strided": (lambda la: la.Conv2D(5, 3, strides=2, padding="same"), IMAGE),
    "Conv1D": (lambda la: la.Conv1D(5, 3), data((2, 6, 4))),
    "DepthwiseConv2D": (lambda la: la.DepthwiseConv2D(3), IMAGE),
    "SeparableConv2D": (lambda la: la.SeparableConv2D(5, 3), IMAGE),
    "Conv2DTranspose": (lambda la: la.Conv2DTranspose(5, 3, strides=2), IMAGE),
    "BatchNormalization": (lambda la: la.BatchNormalization(), IMAGE),
    "LayerNormalization": (lambda la: la.LayerNormalization(), IMAGE),
    "GroupNormalization": (lambda la: la.GroupNormalization(2), IMAGE),
    "PReLU": (lambda la: la.PReLU(), data((2, 4))),
    "LeakyReLU": (lambda la: la.LeakyReLU(), data((2, 4))),
    "Softmax": (lambda la: la.Softmax(), data((2, 4))),
    "Activation": (lambda la: la.Activation("gelu"), data((2, 4))),
    "MaxPooling2D": (lambda la: la.MaxPooling2D(), IMAGE),
    "AveragePooling2D": (lambda la: la.AveragePooling2D(2), IMAGE),
    "GlobalAveragePooling2D": (lambda la: la.GlobalAveragePooling2D(), IMAGE),
    "Flatten": (lambda la: la.Flatten(), IMAGE),
    "ZeroPadding2D": (lambda la: la.ZeroPadding2D(), IMAGE),
    "UpSampling2D": (lambda la: la.UpSampling2D(), IMAGE),
    "Dropout": (lambda la: la.Dropout(0.0), IMAGE),
    "Rescaling": (lambda la: la.Rescaling(0.5, 1.0), IMAGE),
    "Add": (lambda la: la.Add(), [data((2, 4)), data((2, 4), 1)]),
    "Concatenate": (lambda la: la.Concatenate(), [data((2, 4)), data((2, 4), 1)]),
    "Embedding": (lambda la: la.Embedding(5, 3), np.array([[0, 4, 2]])),
}


def outputs(layer: Any, inputs: Any, tensor: Any, training: bool) -> tuple[Any, list[Any]]:
    """The output, and the gradients of a weighted sum of it for the weights."""
    given = [tensor(a) for a in inputs] if isinstance(inputs, list) else tensor(inputs)
    y = layer(given, training=training)
    total = (y * tensor(data(tuple(y.shape), 3))).sum()
    weights = [getattr(w, "value", w) for w in layer.trainable_weights]
    if weights:
        total.backward()
    return y, [w.grad for w in weights]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_layers(keras: Any, policy: str, name: str, training: bool) -> None:
    import torch

    make, inputs = LAYERS[name]
    theirs, own = make(keras.layers), make(fk.layers)
    shapes = [a.shape for a in inputs] if isinstance(inputs, list) else inputs.shape
    for layer in (theirs, own):
        if not layer.built:
            layer.build(shapes)
        assert layer.compute_dtype == policy.removeprefix("mixed_")
        assert layer.variable_dtype == layer.dtype == "float32"
        assert layer.dtype_policy.name == policy
    copy_weights(theirs, own)
    assert all(w.dtype is fovea.float32 for w in own.weights)
    expected, their_grads = outputs(theirs, inputs, torch.tensor, training)
    y, grads = outputs(own, inputs, as_tensor, training)
    assert kind(y) == kind(expected)
    limit = TOLERANCE[policy]
    np.testing.assert_allclose(wide(y), wide(expected), rtol=limit, atol=limit)
    assert len(grads) == len(their_grads)
    for g, t in zip(grads, their_grads, strict=True):
        assert g.dtype is fovea.float32
        scale = max(1.0, float(np.abs(wide(t)).max()))
        np.testing.assert_allclose(wide(g), wide(t), rtol=limit, atol=limit * scale)


def test_policies_are_keras_s(keras: Any) -> None:
    for name in ("float32", "float64", "bfloat16", "float16", "mixed_bfloat16", "mixed_float16"):
        own, theirs = fk.DTypePolicy(name), keras.DTypePolicy(name)
        assert repr(own) == repr(theirs)
        assert own.get_config() == theirs.get_config()
        assert (own.compute_dtype, own.variable_dtype) == (
            theirs.compute_dtype,
            theirs.variable_dtype,
        )
        assert own == fk.DTypePolicy.from_config(own.get_config())
        assert fk.dtype_policies.serialize(own) == keras.dtype_policies.serialize(theirs)
        assert fk.dtype_policies.get(fk.dtype_policies.serialize(own)) == own
    assert fk.DTypePolicy("float32") != fk.DTypePolicy("mixed_float16")
    assert fk.mixed_precision.Policy is fk.DTypePolicy
    for k in (fk, keras):
        with pytest.raises((ValueError, TypeError)):
            k.DTypePolicy("mixed_int8")
        with pytest.raises((ValueError, TypeError)):
            k.mixed_precision.set_global_policy(3)
        with pytest.raises((ValueError, TypeError)):
            k.DTypePolicy(3)
    with pytest.raises(ArgumentError, match="not available"):
        fk.dtype_policies.get({"class_name": "QuantizedDTypePolicy", "config": {}})


def test_global_policy(keras: Any) -> None:
    for k in (keras, fk):
        k.config.set_dtype_policy("mixed_bfloat16")
        assert k.mixed_precision.global_policy().name == "mixed_bfloat16"
        assert k.DTypePolicy().name == "mixed_bfloat16"
        assert k.Input((3,)).dtype == "float32"
        assert k.layers.Dense(3)(k.Input((3,))).dtype == "bfloat16"
        assert k.losses.MeanSquaredError().dtype == "float32"
        assert k.metrics.MeanSquaredError().dtype == "float32"
        assert k.losses.MeanSquaredError(dtype="mixed_bfloat16").dtype == "bfloat16"
        k.mixed_precision.set_dtype_policy(k.DTypePolicy("float32"))
        assert k.config.dtype_policy().name == "float32"
    fk.mixed_precision.set_global_policy("mixed_float16")
    fk.utils.clear_session()
    assert fk.mixed_precision.global_policy().name == "float32"


def test_a_layer_s_own_policy(policy: str) -> None:
    x = fovea.ones(2, 4)
    plain = fk.layers.Dense(3, dtype="float32")
    assert plain(x).dtype is fovea.float32
    narrow = fk.layers.Dense(3, dtype="bfloat16")
    assert narrow(x).dtype is fovea.bfloat16
    assert narrow.kernel.dtype is fovea.bfloat16
    given = fk.layers.Dense(3, dtype=fk.DTypePolicy("float32"))
    assert given.dtype_policy.name == "float32"
    given.dtype_policy = policy
    assert given(x).dtype.name == policy.removeprefix("mixed_")
    again = type(given).from_config(given.get_config())
    assert again.dtype_policy == given.dtype_policy


class Scale(fk.layers.Layer):
    """A layer as people write them."""

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        self.seen.assign_add(1.0)
        assert self.factor.dtype is x.dtype
        return x * self.factor


def test_weights_are_seen_in_the_dtype_of_computation(policy: str) -> None:
    layer = Scale()
    y = layer(fovea.ones(2, 3))
    assert y.dtype.name == policy.removeprefix("mixed_")
    y.sum().backward()
    assert layer.factor.dtype is fovea.float32  # outside of calls: the weight itself
    assert layer.factor.grad.dtype is fovea.float32
    assert layer.seen.item() == 1.0
    nested = fk.Sequential([Scale(), Scale(dtype="float32")])
    assert nested(fovea.ones(2, 3)).dtype is fovea.float32


def test_calls_from_threads_do_not_meet(policy: str) -> None:
    import threading

    layer = Scale()
    layer(fovea.ones(2, 3))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                layer(fovea.ones(2, 3))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert layer.factor.dtype is fovea.float32


def test_modules_inside(policy: str) -> None:
    """A module of the other door runs in autocast."""
    model = fk.Sequential([fk.layers.Dense(4), fovea.nn.Linear(4, 3), fovea.nn.ReLU()])
    y = model(fovea.ones(2, 5))
    assert y.dtype.name == policy.removeprefix("mixed_")
    y.sum().backward()
    assert all(w.grad.dtype is fovea.float32 for w in model.trainable_weights)


def test_arithmetic_on_symbolic_tensors(keras: Any, policy: str) -> None:
    for k in (keras, fk):
        i = k.Input((3,))
        x = k.layers.Dense(3)(i)
        assert (x + 1.0).dtype == x.dtype == policy.removeprefix("mixed_")
        assert (x + k.layers.Dense(3, dtype="float32")(i)).dtype == "float32"
    model = fk.Model(i, (x + 1.0) * x)
    assert model(fovea.ones(2, 3)).dtype.name == policy.removeprefix("mixed_")


@pytest.mark.parametrize("make", [first_network, richer_network])
def test_training_follows_keras(keras: Any, policy: str, make: Any) -> None:
    x, y = images(200)
    found, weights = [], None
    for k in (keras, fk):
        model = make(k)
        loss = k.losses.SparseCategoricalCrossentropy(from_logits=make is richer_network)
        model.compile(k.optimizers.SGD(0.05), loss=loss, metrics=["accuracy"])
        if weights is None:
            weights = model.get_weights()
        model.set_weights([np.asarray(w) for w in weights])
        scaled = isinstance(model.optimizer, k.mixed_precision.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
        found.append((losses_of(k, model, x, y, 10, epochs=2), model))
    (theirs, their_model), (own, own_model) = found
    assert own[-1] < own[0]
    np.testing.assert_allclose(own, theirs, rtol=0.1, atol=0.05)
    for a, b in zip(own_model.get_weights(), their_model.get_weights(), strict=True):
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.05)
    ours, expected = (m.predict(x[:20], verbose=0) for m in (own_model, their_model))
    assert ours.dtype == expected.dtype
    np.testing.assert_allclose(ours.astype(np.float32), expected.astype(np.float32), atol=0.1)


def test_metrics_of_half_predictions(policy: str) -> None:
    truth, wrong = np.zeros(1000, np.float32), np.full(1000, 3.01, np.float32)
    half = fovea.tensor(wrong).to(getattr(fovea, policy.removeprefix("mixed_")))
    metric = fk.metrics.MeanSquaredError()
    metric.update_state(truth, half)
    assert metric.value() == pytest.approx(float(half[0].item()) ** 2, rel=1e-6)


# -- loss scaling -----------------------------------------------------------------------------


def twin_optimizers(keras: Any, inner: str, **settings: Any) -> list[Any]:
    found = []
    for k in (keras, fk):
        optimizer = k.optimizers.get(inner)
        optimizer.learning_rate = 0.1
        scaled = k.optimizers.LossScaleOptimizer(optimizer, **settings)
        w = k.Variable(np.arange(3, dtype=np.float32))
        found.append((scaled, w))
    return found


@pytest.mark.parametrize("inner", ["sgd", "adam", "rmsprop", "adamw", "nadam", "adagrad", "adamax"])
def test_loss_scale_optimizer(keras: Any, inner: str) -> None:
    import torch

    settings = {"initial_scale": 64.0, "dynamic_growth_steps": 3}
    (theirs, v), (own, w) = twin_optimizers(keras, inner, **settings)
    assert float(own.scale_loss(fovea.ones(()))) == 64.0
    for step in range(12):
        g = data((3,), step) * 64
        if step in (4, 5, 10):
            g[step % 3] = [np.inf, np.nan, -np.inf][step % 3]
        theirs.apply([torch.tensor(g)], [v])
        own.apply([fovea.tensor(g)], [w])
        np.testing.assert_allclose(w.numpy(), np.asarray(v), rtol=1e-4, atol=1e-5)
        assert own.dynamic_scale.item() == float(theirs.dynamic_scale)
        assert own.step_counter.item() == int(theirs.step_counter)
        assert own.iterations.item() == int(theirs.iterations)
        assert float(own.scale_loss(fovea.ones(()))) == float(theirs.scale_loss(torch.ones(())))
    shapes = [tuple(np.shape(a)) for a in own.variables]
    if inner == "nadam":  # Keras lists its product of momenta, except within this optimizer
        assert shapes.pop() == ()
    assert shapes == [tuple(a.shape) for a in theirs.variables]
    mine, expected = own.get_config(), theirs.get_config()
    assert mine.keys() == expected.keys()
    assert mine["initial_scale"] == expected["initial_scale"]
    again = fk.optimizers.LossScaleOptimizer.from_config(mine)
    assert type(again.inner_optimizer) is type(own.inner_optimizer)
    again.build([w])
    again.set_weights(own.get_weights())
    assert again.dynamic_scale.item() == own.dynamic_scale.item()
    assert again.iterations.item() == own.iterations.item()


def test_what_loss_scale_optimizer_refuses() -> None:
    inner = fk.optimizers.SGD(0.1)
    with pytest.raises(ArgumentError, match="clipnorm"):
        fk.optimizers.LossScaleOptimizer(inner, clipnorm=1.0)
    with pytest.raises(ArgumentError, match="dynamic"):
        fk.optimizers.LossScaleOptimizer(inner, dynamic=False)
    with pytest.raises(ArgumentError):
        fk.optimizers.LossScaleOptimizer(inner, momentum=1.0)
    scaled = fk.optimizers.LossScaleOptimizer(inner)
    scaled.learning_rate = 0.25
    assert inner.learning_rate.item() == 0.25


class Overflowing(fk.losses.Loss):
    """A loss whose gradients overflow float16 where a label says so."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return (y_pred.square() * y_true).mean(-1)


@pytest.mark.parametrize("eagerly", [True, False])
def test_steps_that_overflow_are_left_out(eagerly: bool) -> None:
    fk.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = fk.Sequential([fk.Input((3,)), fk.layers.Dense(2, kernel_initializer="ones")])
    finally:
        fk.mixed_precision.set_global_policy("float32")
    scaled = fk.optimizers.LossScaleOptimizer(fk.optimizers.Adam(0.01), initial_scale=256.0)
    model.compile(scaled, loss=Overflowing(), run_eagerly=eagerly)
    optimizer = model.optimizer
    x = np.ones((4, 3), np.float32)
    for number, factor in enumerate([1.0, 1.0, 1e9, 1.0, 1e9, 1.0]):
        before, scale = model.get_weights(), float(optimizer.scale_loss(fovea.ones(())))
        model.train_on_batch(x, np.full((4, 2), factor, np.float32))
        moved = any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
        overflowed = factor > 1
        assert moved is not overflowed, number
        assert optimizer.dynamic_scale.item() == (scale / 2 if overflowed else scale)
    assert optimizer.iterations.item() == 4


# -- files ------------------------------------------------------------------------------------


def test_policies_survive_files(keras: Any, policy: str, tmp_path: Path) -> None:
    model = first_network(fk)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = images(20)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "own.keras")
    again = fk.saving.load_model(tmp_path / "own.keras")
    assert [la.dtype_policy.name for la in again.layers] == [policy] * len(model.layers)
    assert type(again.optimizer) is type(model.optimizer)
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    theirs = keras.saving.load_model(tmp_path / "own.keras")
    assert [la.dtype_policy.name for la in theirs.layers] == [policy] * len(model.layers)
    np.testing.assert_allclose(
        theirs.predict(x, verbose=0).astype(np.float32), expected.astype(np.float32), atol=2e-2
    )
    theirs.save(tmp_path / "theirs.keras")
    back = fk.saving.load_model(tmp_path / "theirs.keras")
    np.testing.assert_array_equal(back.predict(x, verbose=0), expected)
    if policy == "mixed_float16":
        assert back.optimizer.dynamic_scale.item() == model.optimizer.dynamic_scale.item()
