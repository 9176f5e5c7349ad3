"""Layers and metrics as functions of their variables, beside Keras's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as ours
from fovea.errors import ArgumentError, InplaceError, ShapeError
from fovea.func.trees import flatten
from fovea.keras.layers.layer import as_tensor
from tests.keras.compare import as_array, close, copy_weights, data

Make = Any


def network(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.SpectralNormalization(layers.Conv2D(3, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activity_regularizer="l2"),
        ]
    )


@pytest.fixture
def two(keras: Any) -> tuple[Any, Any]:
    theirs, mine = network(keras), network(ours)
    copy_weights(theirs, mine)
    return theirs, mine


def test_calls(keras: Any, two: tuple[Any, Any]) -> None:
    import torch

    theirs, mine = two
    x = data((4, 8, 8, 2))
    before = mine.get_weights()
    values = [
        [np.asarray(as_array(v)) + np.float32(0.1) for v in theirs.trainable_variables],
        [np.asarray(as_array(v)) + np.float32(0.1) for v in theirs.non_trainable_variables],
    ]
    expected = theirs.stateless_call(
        *([torch.tensor(v) for v in part] for part in values),
        torch.tensor(x), training=True, return_losses=True,
    )  # fmt: skip
    found = mine.stateless_call(*values, x, training=True, return_losses=True)
    close(found[0], expected[0])
    assert len(found[1]) == len(mine.non_trainable_variables)
    for a, b in zip(found[1], expected[1], strict=True):
        close(a, b)
    np.testing.assert_allclose(
        sum(float(v) for v in found[2]), sum(float(v) for v in expected[2]), rtol=1e-5
    )
    for a, b in zip(mine.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_calls_leave_no_losses(two: tuple[Any, Any]) -> None:
    _, mine = two
    x = data((4, 8, 8, 2))
    mine(x)
    held = [float(v) for v in mine.losses]
    mine.stateless_call(mine.trainable_variables, mine.non_trainable_variables, x + 1)
    assert [float(v) for v in mine.losses] == held


def test_gradients_are_those_of_calls(two: tuple[Any, Any]) -> None:
    _, mine = two
    x, goal = as_tensor(data((4, 8, 8, 2))), as_tensor(data((4, 3), 1))

    def loss(trainable: Any, others: Any) -> Any:
        found, _ = mine.stateless_call(trainable, others, x, training=True)
        return ((found - goal) ** 2).mean()

    got = fovea.func.grad(loss)(mine.trainable_variables, mine.non_trainable_variables)
    ((mine(x, training=True) - goal) ** 2).mean().backward()
    for g, v in zip(got, mine.trainable_variables, strict=True):
        close(g, v.grad)


def test_backward_reaches_the_variables_themselves() -> None:
    dense = ours.layers.Dense(2)
    dense.build((None, 3))
    y, _ = dense.stateless_call(dense.trainable_variables, [], as_tensor(data((4, 3))))
    y.sum().backward()
    got = dense.kernel.grad.numpy().copy()
    dense.kernel.grad = None
    dense(as_tensor(data((4, 3)))).sum().backward()
    np.testing.assert_array_equal(got, dense.kernel.grad.numpy())


def test_many_models_at_once() -> None:
    layer = ours.Sequential(
        [
            ours.layers.Input((3,)),
            ours.layers.Dense(4, kernel_regularizer="l2"),
            ours.layers.BatchNormalization(),
        ]
    )
    x = as_tensor(data((5, 3)))
    trainable = [fovea.stack([v.detach(), v.detach() * 2 + 1]) for v in layer.trainable_variables]
    others = [fovea.stack([v, v + 1]) for v in layer.non_trainable_variables]

    def call(trainable: Any, others: Any) -> Any:
        y, others, losses = layer.stateless_call(
            trainable, others, x, training=True, return_losses=True
        )
        return y.square().mean() + sum(losses), others

    gradients, found = fovea.func.vmap(fovea.func.grad(call, has_aux=True))(trainable, others)
    for i in range(2):
        given = [v[i] for v in trainable], [v[i] for v in others]
        expected = fovea.func.grad(call, has_aux=True)(*given)
        for a, b in zip([*gradients, *found], [*expected[0], *expected[1]], strict=True):
            close(a[i], b, 1e-4, 1e-5)
    v = layer.trainable_variables[0]
    with pytest.raises(ArgumentError, match="vmap"):
        fovea.func.vmap(lambda w: _value_in_a_scope(v, w))(trainable[0])


def _value_in_a_scope(variable: Any, value: Any) -> Any:
    with ours.StatelessScope([(variable, value)]):
        return variable * 2


def test_frozen_weights_come_back_as_they_were_given() -> None:
    layer = ours.layers.Dense(2, trainable=False)
    layer.build((None, 3))
    given = [fovea.ones(3, 2), fovea.ones(2)]
    y, found = layer.stateless_call([], given, fovea.ones(1, 3))
    assert y.tolist() == [[4.0, 4.0]]
    assert all(a is b for a, b in zip(found, given, strict=True))


class Counting(ours.layers.Layer):
    """Weights in a list, and states that are assigned in the call."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = [self.add_weight(shape=(), initializer="ones") for _ in range(2)]
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.built = True

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        self.factors[1].assign(self.factors[1] * 2.0)
        return x * self.factors[0] * self.factors[1]


def test_lists_of_weights_and_assigned_states() -> None:
    layer = Counting()
    given = [fovea.tensor(3.0), fovea.tensor(5.0)]
    y, (calls,) = layer.stateless_call(given, [fovea.tensor(7.0)], fovea.ones(1))
    assert (y.item(), calls.item()) == (30.0, 8.0)
    assert (layer.calls.item(), layer.factors[1].item(), given[1].item()) == (0.0, 1.0, 5.0)


def test_a_module_of_torchs_kind_within() -> None:
    class Mixed(ours.Model):
        def __init__(self) -> None:
            super().__init__()
            self.norm = fovea.nn.BatchNorm2d(2)
            self.built = True

        def call(self, x: Any) -> Any:
            return self.norm(x)

    model, x = Mixed(), as_tensor(data((4, 2, 3, 3)))
    _, found = model.stateless_call(
        model.trainable_variables, model.non_trainable_variables, x, training=True
    )
    assert model.norm.running_mean.tolist() == [0.0, 0.0]
    model(x, training=True)
    for a, b in zip(found, model.non_trainable_variables, strict=True):
        close(a, b)


def test_what_does_not_fit_is_refused() -> None:
    dense = ours.layers.Dense(2)
    with pytest.raises(ArgumentError, match="no variables yet"):
        dense.stateless_call([], [], fovea.ones(1, 3))
    dense.build((None, 3))
    with pytest.raises(ArgumentError, match="trainable_variables must be a list"):
        dense.stateless_call([], [], fovea.ones(1, 3))
    with pytest.raises(ShapeError, match="has shape"):
        dense.stateless_call([fovea.ones(2, 3), fovea.ones(2)], [], fovea.ones(1, 3))


# -- the scope ------------------------------------------------------------------------------------


def test_a_scope_holds_values_and_keeps_changes(two: tuple[Any, Any]) -> None:
    _, mine = two
    x = as_tensor(data((4, 8, 8, 2)))
    before = mine.get_weights()
    mapping = [(v, v.detach() * 0.5) for v in mine.variables]
    with ours.StatelessScope(mapping) as scope:
        found = mine(x, training=True)
    state = [scope.get_current_value(v) for v in mine.variables]
    for a, b in zip(mine.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    mine.set_weights([as_array(v) for _, v in mapping])
    close(found, mine(x, training=True))
    for a, b in zip(state, mine.variables, strict=True):
        close(a, b)


def test_a_scope_without_a_mapping_changes_nothing() -> None:
    layer = ours.layers.BatchNormalization()
    layer.build((None, 3))
    with ours.StatelessScope() as scope:
        layer(as_tensor(data((4, 3))), training=True)
    assert layer.moving_mean.tolist() == [0.0] * 3
    assert any(scope.get_current_value(layer.moving_mean).tolist())
    assert scope.get_current_value(layer.gamma) is None


def test_gradients_within_a_scope() -> None:
    v = ours.Variable([1.0, 2.0])
    value = fovea.tensor([3.0, 4.0], requires_grad=True)
    with ours.StatelessScope([(v, value)]):
        (v * v).sum().backward()
    assert value.grad.tolist() == [6.0, 8.0]
    with ours.StatelessScope([(v, value)]):
        loss = (v * v).sum()
    with pytest.raises(InplaceError):
        loss.backward()


def test_a_scope_refuses_what_is_no_variable() -> None:
    with pytest.raises(ArgumentError, match="keys"):
        ours.StatelessScope([(1, 2)])
    v = ours.Variable([1.0])
    with pytest.raises(ShapeError), ours.StatelessScope([(v, [1.0, 2.0])]):
        pass
    v.assign([2.0])
    assert v.tolist() == [2.0]


# -- metrics --------------------------------------------------------------------------------------

LABELS, SCORES = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.3, 0.6], np.float32)
ROWS = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
GUESSES = np.abs(data((4, 3), 4)) / np.abs(data((4, 3), 4)).sum(1, keepdims=True)
METRICS: dict[str, tuple[Make, Any, Any]] = {
    "Mean": (lambda m: m.Mean(), SCORES, None),
    "Sum": (lambda m: m.Sum(), SCORES, None),
    "BinaryAccuracy": (lambda m: m.BinaryAccuracy(), LABELS, SCORES),
    "SparseCategoricalAccuracy": (
        lambda m: m.SparseCategoricalAccuracy(), ROWS.argmax(1), GUESSES,
    ),
    "RootMeanSquaredError": (lambda m: m.RootMeanSquaredError(), LABELS, SCORES),
    "TruePositives": (lambda m: m.TruePositives(), LABELS, SCORES),
    "FalseNegatives": (lambda m: m.FalseNegatives([0.2, 0.7]), LABELS, SCORES),
    "Precision": (lambda m: m.Precision(), LABELS, SCORES),
    "Recall": (lambda m: m.Recall(), LABELS, SCORES),
    "AUC": (lambda m: m.AUC(num_thresholds=20), LABELS, SCORES),
    "AUC of labels": (
        lambda m: m.AUC(num_thresholds=20, multi_label=True, num_labels=3), ROWS.astype(int), GUESSES,
    ),
    "PrecisionAtRecall": (lambda m: m.PrecisionAtRecall(0.5), LABELS, SCORES),
    "MeanIoU": (lambda m: m.MeanIoU(3), ROWS.argmax(1), GUESSES.argmax(1)),
    "R2Score": (lambda m: m.R2Score(), ROWS, GUESSES),
    "F1Score": (lambda m: m.F1Score(), ROWS, GUESSES),
}  # fmt: skip


@pytest.mark.parametrize("case", METRICS)
def test_metrics_as_functions(keras: Any, case: str) -> None:
    make, *batch = METRICS[case]
    batch = [b for b in batch if b is not None]
    mine, theirs, plain = make(ours.metrics), make(keras.metrics), make(ours.metrics)
    if case not in ("R2Score", "F1Score"):  # Keras makes its variables in the first call
        assert len(mine.variables) == len(theirs.variables)
        for a, b in zip(mine.variables, theirs.variables, strict=True):
            assert tuple(a.shape) == tuple(b.shape)
    state, other = mine.stateless_reset_state(), list[Any]()
    if case not in ("R2Score", "F1Score"):
        other = theirs.stateless_reset_state()
    for scale in (1.0, 0.5):
        given = [b * np.float32(scale) if b.dtype.kind == "f" else b for b in batch]
        state = mine.stateless_update_state(state, *given)
        plain.update_state(*given)
        if other:
            other = theirs.stateless_update_state(other, *given)
    fresh = make(ours.metrics)
    close(mine.stateless_result(state), plain.result())
    close(mine.result(), fresh.result())
    if not other:
        return
    close(mine.stateless_result(state), theirs.stateless_result(other), 1e-4)
    for v, value in zip(mine.variables, state, strict=True):
        v.assign(value)
    plain.update_state(*batch)
    mine.update_state(*batch)
    close(mine.result(), plain.result())


def test_areas_of_labels_need_to_know_how_many() -> None:
    metric = ours.metrics.AUC(multi_label=True)
    with pytest.raises(ArgumentError, match="num_labels"):
        metric.stateless_reset_state()
    metric.update_state(ROWS, GUESSES)
    with pytest.raises(ArgumentError, match="have 2 labels"):
        metric.update_state(ROWS[:, :2], GUESSES[:, :2])
    state = metric.stateless_update_state(metric.stateless_reset_state(), ROWS, GUESSES)
    close(metric.stateless_result(state), metric.result())


def test_metrics_of_ones_own() -> None:
    class Largest(ours.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="largest")
            self.seen = self.add_variable(shape=(), initializer="zeros", name="seen")

        def update_state(self, values: Any, sample_weight: Any = None) -> None:
            self.seen.assign(fovea.maximum(self.seen, values.max()))

        def result(self) -> Any:
            return self.seen * 1.0

    metric = Largest()
    update = fovea.compile(metric.stateless_update_state, strict=True)
    state = metric.stateless_reset_state()
    for value in (2.0, 1.0, 5.0, 3.0):
        state = update(state, fovea.tensor([value, 0.5]))
    assert metric.stateless_result(state).item() == 5.0
    assert metric.result().item() == 0.0
    with pytest.raises(ArgumentError, match="metric_variables"):
        metric.stateless_result([])


# -- the program of Keras's guides ----------------------------------------------------------------


def train(compiled: bool) -> tuple[list[float], float, Any]:
    """Keras's guide "Writing a training loop from scratch in JAX", with JAX's names exchanged."""
    keras = ours
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape=(6,), name="digits")
    x = keras.layers.Dense(8, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="predictions")(x))
    optimizer = keras.optimizers.Adam(learning_rate=1e-2)
    loss_fn = keras.losses.CategoricalCrossentropy(from_logits=True)
    train_acc_metric = keras.metrics.CategoricalAccuracy()

    def compute_loss_and_updates(
        trainable_variables: Any,
        non_trainable_variables: Any,
        metric_variables: Any,
        x: Any,
        y: Any,
    ) -> Any:
        y_pred, non_trainable_variables = model.stateless_call(
            trainable_variables, non_trainable_variables, x, training=True
        )
        loss = loss_fn(y, y_pred)
        metric_variables = train_acc_metric.stateless_update_state(metric_variables, y, y_pred)
        return loss, (non_trainable_variables, metric_variables)

    grad_fn = fovea.func.value_and_grad(compute_loss_and_updates, has_aux=True)

    def train_step(state: Any, data: Any) -> Any:
        trainable_variables, non_trainable_variables, optimizer_variables, metric_variables = state
        x, y = data
        (loss, (non_trainable_variables, metric_variables)), grads = grad_fn(
            trainable_variables, non_trainable_variables, metric_variables, x, y
        )
        trainable_variables, optimizer_variables = optimizer.stateless_apply(
            optimizer_variables, grads, trainable_variables
        )
        return loss, (
            trainable_variables, non_trainable_variables, optimizer_variables, metric_variables,
        )  # fmt: skip

    if compiled:
        train_step = fovea.compile(train_step, strict=True)
    optimizer.build(model.trainable_variables)
    state: Any = (
        model.trainable_variables, model.non_trainable_variables, optimizer.variables,
        train_acc_metric.variables,
    )  # fmt: skip
    losses = []
    for number in range(6):
        batch = (
            data((16, 6), number),
            np.eye(3, dtype=np.float32)[data((16, 6), number).argmax(1) % 3],
        )
        loss, state = train_step(state, tuple(as_tensor(b) for b in batch))
        losses.append(float(loss))
    accuracy = float(train_acc_metric.stateless_result(state[3]))
    trainable_variables, non_trainable_variables, optimizer_variables, metric_variables = state
    for variable, value in zip(model.trainable_variables, trainable_variables, strict=True):
        variable.assign(value)
    for variable, value in zip(model.non_trainable_variables, non_trainable_variables, strict=True):
        variable.assign(value)
    for variable, value in zip(optimizer.variables, optimizer_variables, strict=True):
        variable.assign(value)
    for variable, value in zip(train_acc_metric.variables, metric_variables, strict=True):
        variable.assign(value)
    assert float(train_acc_metric.result()) == pytest.approx(accuracy)
    assert int(optimizer.iterations) == 6
    return losses, accuracy, model


@pytest.mark.parametrize("compiled", [False, True])
def test_the_training_loop_of_the_guide(compiled: bool) -> None:
    losses, _, model = train(compiled)
    ours.utils.set_random_seed(0)
    reference = train(False)
    np.testing.assert_allclose(losses, reference[0], rtol=1e-5)
    assert losses[-1] < losses[0]
    for a, b in zip(flatten(model.get_weights())[0], reference[2].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
