"""``fit``, ``evaluate`` and ``predict``: side by side with Keras, and on every kind of data."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.utils.data import DataLoader, TensorDataset

from .compare import data


def images(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Images whose class can be learned: a bright spot in one of ten places."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    x = rng.random((n, 28, 28, 1)).astype(np.float32) * 0.2
    for i, label in enumerate(labels):
        row, column = divmod(int(label), 5)
        x[i, 4 + row * 12 : 8 + row * 12, 2 + column * 5 : 6 + column * 5] += 0.8
    return x, labels


def first_network(k: Any) -> Any:
    layers = k.layers
    return k.models.Sequential(
        [
            layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def richer_network(k: Any) -> Any:
    """Batch normalization, branches, regularizers."""
    layers = k.layers
    i = k.Input(shape=(28, 28, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(i)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.BatchNormalization()(y)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    out = layers.Dense(10, kernel_regularizer=k.regularizers.L2(1e-3))(x)
    return k.Model(i, out)


def losses_of(k: Any, model: Any, x: Any, y: Any, batch: int, epochs: int = 1) -> list[float]:
    """The loss of each step."""
    seen: list[float] = []
    count = len(x) // batch

    for _ in range(epochs):
        for i in range(count):
            part = slice(i * batch, (i + 1) * batch)
            values = model.train_on_batch(x[part], y[part])
            seen.append(float(values[0] if isinstance(values, list) else values))
    return seen


@pytest.mark.parametrize(
    ("make", "loss", "optimizer"),
    [
        (first_network, "sparse_categorical_crossentropy", "adam"),
        (first_network, "sparse_categorical_crossentropy", "sgd"),
        (richer_network, "logits", "adam"),
    ],
)
def test_fifty_steps_follow_keras(keras: Any, make: Any, loss: str, optimizer: str) -> None:
    x, y = images(250)
    found = []
    weights = None
    for k in (keras, fk):
        model = make(k)
        chosen: Any = loss
        if loss == "logits":
            chosen = k.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=chosen, metrics=["accuracy"])
        if weights is None:
            weights = model.get_weights()
        model.set_weights([np.asarray(w) for w in weights])
        found.append((losses_of(k, model, x, y, 10, epochs=2), model))
    (theirs, their_model), (own, own_model) = found
    assert len(own) == 50
    np.testing.assert_allclose(own, theirs, rtol=1e-3)
    for a, b in zip(own_model.get_weights(), their_model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-4)
    np.testing.assert_allclose(
        own_model.predict(x[:20], verbose=0), their_model.predict(x[:20], verbose=0), atol=1e-3
    )


def test_history_follows_keras(keras: Any) -> None:
    """Epoch values, validation, weights of classes and samples."""
    x, y = images(90)
    histories = []
    weights = None
    for k in (keras, fk):
        model = first_network(k)
        weights = model.get_weights() if weights is None else weights
        model.set_weights(weights)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        first = model.fit(
            x,
            y,
            batch_size=32,
            epochs=2,
            validation_split=0.2,
            shuffle=False,
            verbose=0,
            class_weight={0: 2.0, 3: 0.5},
        ).history
        second = model.fit(
            x,
            y,
            epochs=1,
            validation_data=(x[:40], y[:40], np.arange(40.0)),
            shuffle=False,
            verbose=0,
            sample_weight=np.linspace(0, 1, 90),
        ).history
        histories.append((first, second))
    for own, theirs in zip(histories[1], histories[0], strict=True):
        assert set(own) == set(theirs)
        for name in theirs:
            np.testing.assert_allclose(own[name], theirs[name], rtol=2e-3, atol=1e-4, err_msg=name)


def small_model() -> Any:
    model = fk.Sequential([fk.layers.Input(shape=(4,)), fk.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


X, Y = data((20, 4)), np.arange(20) % 3


class MadeElsewhere(fk.utils.PyDataset):
    """Batches that neither this process (by processes) nor its main thread may make."""

    def __init__(self, here: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.here = here

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        if self.use_multiprocessing:
            assert os.getpid() != self.here[0]
        else:
            assert threading.get_ident() != self.here[1]
        if i == 0:
            time.sleep(0.05)  # the first is ready last, and comes first all the same
        return X[i * 5 : i * 5 + 5], Y[i * 5 : i * 5 + 5]


class TestData:
    """Whatever holds the samples, the same steps are taken."""

    @pytest.fixture
    def expected(self) -> Any:
        return self.weights_after(X, Y, batch_size=5)

    def weights_after(self, *args: Any, **kwargs: Any) -> Any:
        fk.utils.set_random_seed(1)
        model = small_model()
        model.fit(*args, shuffle=False, verbose=0, epochs=2, **kwargs)
        return model.get_weights()

    def same(self, found: Any, expected: Any) -> None:
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_float_types(self, dtype: str) -> None:
        x = X.astype(np.float16).astype(dtype)
        expected = self.weights_after(X.astype(np.float16).astype(np.float32), Y, batch_size=5)
        self.same(self.weights_after(x, Y, batch_size=5), expected)

    @pytest.mark.parametrize(
        "dtype", ["int8", "int32", "int64", "uint8", "uint16", "uint32", "float32"]
    )
    def test_label_types(self, expected: Any, dtype: str) -> None:
        self.same(self.weights_after(X, Y.astype(dtype), batch_size=5), expected)
        self.same(self.weights_after(X, Y.astype(dtype)[:, None], batch_size=5), expected)

    def test_tensors(self, expected: Any) -> None:
        found = self.weights_after(fovea.tensor(X), fovea.tensor(Y), batch_size=5)
        self.same(found, expected)

    def test_lists(self, expected: Any) -> None:
        self.same(self.weights_after(X.tolist(), Y.tolist(), batch_size=5), expected)

    def test_data_loader(self, expected: Any) -> None:
        loader = DataLoader(TensorDataset(fovea.tensor(X), fovea.tensor(Y)), batch_size=5)
        self.same(self.weights_after(loader), expected)

    def test_list_of_batches(self, expected: Any) -> None:
        batches = [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 20, 5)]
        self.same(self.weights_after(batches), expected)

    def test_generator(self, expected: Any) -> None:
        def forever() -> Iterator[Any]:
            while True:
                for i in range(0, 20, 5):
                    yield X[i : i + 5], Y[i : i + 5]

        self.same(self.weights_after(forever(), steps_per_epoch=4), expected)

    def test_py_dataset(self, expected: Any) -> None:
        class Parts(fk.utils.PyDataset):
            ends = 0

            def __len__(self) -> int:
                return 4

            def __getitem__(self, i: int) -> Any:
                return X[i * 5 : i * 5 + 5], Y[i * 5 : i * 5 + 5]

            def on_epoch_end(self) -> None:
                self.ends += 1

        parts = Parts()
        self.same(self.weights_after(parts), expected)
        assert parts.ends == 2

    @pytest.mark.parametrize(
        ("workers", "processes", "queue"),
        [(1, True, 1), (2, False, 1), (3, False, 10), (2, True, 4)],
    )
    def test_workers(self, expected: Any, workers: int, processes: bool, queue: int) -> None:
        parts = MadeElsewhere(
            (os.getpid(), threading.get_ident()),
            workers=workers,
            use_multiprocessing=processes,
            max_queue_size=queue,
        )
        self.same(self.weights_after(parts), expected)

    def test_workers_pass_errors_on(self) -> None:
        class Broken(fk.utils.PyDataset):
            def __len__(self) -> int:
                return 4

            def __getitem__(self, i: int) -> Any:
                raise KeyError("no such picture")

        with pytest.raises(KeyError, match="no such picture"):
            self.weights_after(Broken(workers=2))

    def test_sample_weights_in_batches(self) -> None:
        w = np.linspace(0, 2, 20)
        batches = [(X[i : i + 5], Y[i : i + 5], w[i : i + 5]) for i in range(0, 20, 5)]
        expected = self.weights_after(X, Y, batch_size=5, sample_weight=w)
        self.same(self.weights_after(batches), expected)

    def test_class_weights_in_batches(self) -> None:
        batches = [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 20, 5)]
        expected = self.weights_after(X, Y, batch_size=5, class_weight={0: 3.0})
        self.same(self.weights_after(batches, class_weight={0: 3.0}), expected)

    def test_shuffling(self) -> None:
        seen: list[Any] = []

        class Spy(fk.Sequential):
            def train_step(self, batch: Any) -> Any:
                seen.append(batch[1].tolist())
                return super().train_step(batch)

        model = Spy([fk.layers.Input(shape=(4,)), fk.layers.Dense(20)])
        model.compile("sgd", fk.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(X, np.arange(20), batch_size=8, epochs=2, verbose=0)
        first, second = (list(chain.from_iterable(part)) for part in (seen[:3], seen[3:]))
        assert sorted(first) == sorted(second) == list(range(20))
        assert first != second and first != list(range(20))
        assert [len(b) for b in seen] == [8, 8, 4] * 2

    def test_user_arrays_are_not_changed(self) -> None:
        x = X.copy()
        model = small_model()
        model.fit(x, Y, shuffle=False, verbose=0)
        assert (x == X).all()


class TestSteps:
    def test_steps_per_epoch_goes_on(self) -> None:
        seen = []
        model = small_model()
        watch = fk.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(batch)
        )
        history = model.fit(
            X, Y, batch_size=5, steps_per_epoch=3, epochs=2, verbose=0, callbacks=[watch]
        )
        assert seen == [0, 1, 2, 0, 1, 2] and history.epoch == [0, 1]

    def test_a_generator_that_ends(self) -> None:
        def short() -> Iterator[Any]:
            for _ in range(5):
                yield X[:5], Y[:5]

        with pytest.warns(UserWarning, match="ran out"):
            history = small_model().fit(short(), steps_per_epoch=4, epochs=3, verbose=0)
        assert history.epoch == [0, 1]

    def test_initial_epoch(self) -> None:
        assert small_model().fit(X, Y, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]

    def test_validation_frequency(self) -> None:
        h = (
            small_model()
            .fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=2, verbose=0)
            .history
        )
        assert len(h["loss"]) == 4 and len(h["val_loss"]) == 2
        h = (
            small_model()
            .fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=[1, 3, 4], verbose=0)
            .history
        )
        assert len(h["val_loss"]) == 3

    def test_validation_from_a_loader(self) -> None:
        loader = DataLoader(TensorDataset(fovea.tensor(X), fovea.tensor(Y)), batch_size=7)
        h = small_model().fit(X, Y, validation_data=loader, verbose=0).history
        assert "val_accuracy" in h

    def test_validation_steps(self) -> None:
        seen = []
        watch = fk.callbacks.LambdaCallback(
            on_test_batch_end=lambda batch, logs: seen.append(batch)
        )
        small_model().fit(
            X,
            Y,
            validation_data=(X, Y),
            validation_batch_size=5,
            validation_steps=2,
            verbose=0,
            callbacks=watch,
        )
        assert seen == [0, 1]


class TestEvaluate:
    def test_values_are_over_samples(self) -> None:
        """Uneven batches give the same as one batch."""
        model = small_model()
        one = model.evaluate(X, Y, batch_size=20, verbose=0)
        uneven = model.evaluate(X, Y, batch_size=7, verbose=0)
        np.testing.assert_allclose(one, uneven, rtol=1e-5)
        as_dict = model.evaluate(X, Y, verbose=0, return_dict=True)
        assert list(as_dict) == ["accuracy", "loss"] and as_dict["loss"] == pytest.approx(one[0])

    def test_only_a_loss_is_a_number(self) -> None:
        model = fk.Sequential([fk.layers.Dense(1)])
        model.compile("sgd", "mse")
        assert isinstance(model.evaluate(X, np.ones((20, 1)), verbose=0), float)

    def test_sample_weight(self, keras: Any) -> None:
        model = small_model()
        w = np.linspace(0, 1, 20)
        own = model.evaluate(X, Y, sample_weight=w, verbose=0)
        other = keras.Sequential([keras.layers.Input(shape=(4,)), keras.layers.Dense(3, "softmax")])
        other.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(own, other.evaluate(X, Y, sample_weight=w, verbose=0), rtol=1e-4)

    def test_on_batch(self) -> None:
        model = small_model()
        assert model.test_on_batch(X, Y) == pytest.approx(model.evaluate(X, Y, verbose=0))
        before = model.get_weights()
        logs = model.train_on_batch(X, Y, return_dict=True)
        assert set(logs) == {"loss", "accuracy"}
        assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))

    def test_no_gradients(self) -> None:
        model = small_model()
        model.evaluate(X, Y, verbose=0)
        assert all(w.grad is None for w in model.weights)


class TestPredict:
    def test_shapes_and_types(self) -> None:
        model = small_model()
        out = model.predict(X, batch_size=6, verbose=0)
        assert isinstance(out, np.ndarray) and out.shape == (20, 3) and out.dtype == np.float32
        np.testing.assert_allclose(out, model(X).detach().numpy(), rtol=1e-6)
        np.testing.assert_array_equal(model.predict_on_batch(X[:4]), out[:4])

    def test_without_compile(self) -> None:
        assert fk.Sequential([fk.layers.Dense(2)]).predict(X, verbose=0).shape == (20, 2)

    def test_iterables(self) -> None:
        model = small_model()
        loader = DataLoader(TensorDataset(fovea.tensor(X), fovea.tensor(Y)), batch_size=6)
        np.testing.assert_allclose(model.predict(loader, verbose=0), model.predict(X, verbose=0))
        parts = (X[i : i + 10] for i in (0, 10))
        np.testing.assert_allclose(model.predict(parts, verbose=0), model.predict(X, verbose=0))

    def test_dropout_is_off(self) -> None:
        model = fk.Sequential([fk.layers.Dropout(0.5)])
        np.testing.assert_array_equal(model.predict(X, verbose=0), X)


class TestCompile:
    def test_accuracy_is_chosen_by_shapes(self) -> None:
        kinds = {
            "sparse_categorical_accuracy": (3, Y),
            "categorical_accuracy": (3, np.eye(3)[Y]),
            "binary_accuracy": (1, (Y == 0).astype(float)[:, None]),
        }
        for expected, (units, target) in kinds.items():
            model = fk.Sequential([fk.layers.Dense(units)])
            model.compile("sgd", "mse" if units == 1 else None, metrics=["accuracy"])
            if units == 3:
                loss = fk.losses.CategoricalCrossentropy(from_logits=True)
                if target.ndim == 1:
                    loss = fk.losses.SparseCategoricalCrossentropy(from_logits=True)
                model.compile("sgd", loss, metrics=["accuracy"])
            model.fit(X, target, verbose=0)
            metric = model.metrics[1]
            assert metric.name == "accuracy"
            assert metric._fn.__name__ == expected

    def test_crossentropy_is_chosen_by_shapes(self) -> None:
        model = fk.Sequential([fk.layers.Dense(3, activation="softmax")])
        model.compile("sgd", "crossentropy", metrics=["crossentropy"])
        h = model.fit(X, Y, verbose=0).history
        assert h["loss"][0] == pytest.approx(h["crossentropy"][0], rel=1e-5)

    def test_functions(self) -> None:
        def loss(y_true: Any, y_pred: Any) -> Any:
            return (y_true - y_pred).abs()

        def worst(y_true: Any, y_pred: Any) -> Any:
            return (y_true - y_pred).abs().amax(-1)

        model = fk.Sequential([fk.layers.Dense(1)])
        model.compile("sgd", loss, metrics=[worst, "mae", fk.metrics.MeanSquaredError(name="m")])
        h = model.fit(X, np.ones((20, 1)), verbose=0).history
        assert set(h) == {"loss", "worst", "mae", "m"}
        assert h["loss"][0] == pytest.approx(h["mae"][0]) == pytest.approx(h["worst"][0])

    def test_optimizers_of_fovea(self) -> None:
        model = fk.Sequential([fk.layers.Input(shape=(4,)), fk.layers.Dense(1)])
        optimizer = fovea.optim.Adam(model.parameters(), lr=0.1)
        model.compile(optimizer, "mse")
        h = model.fit(X, X.sum(1, keepdims=True), epochs=30, verbose=0).history["loss"]
        assert h[-1] < h[0] * 0.5

    def test_weighted_metrics(self, keras: Any) -> None:
        found = []
        weights = None
        for k in (keras, fk):
            model = k.Sequential([k.layers.Input(shape=(4,)), k.layers.Dense(1)])
            weights = model.get_weights() if weights is None else weights
            model.set_weights(weights)
            model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mae", "mse"])
            found.append(
                model.evaluate(
                    X, np.ones((20, 1)), sample_weight=np.arange(20.0), verbose=0, return_dict=True
                )
            )
        assert set(found[0]) == set(found[1])
        for name, value in found[0].items():
            assert found[1][name] == pytest.approx(float(value), rel=1e-4), name

    def test_compile_anew(self) -> None:
        model = small_model()
        model.fit(X, Y, verbose=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
        assert set(model.fit(X, Y, verbose=0).history) == {"loss", "acc"}


class TestOutputs:
    def model(self, k: Any) -> Any:
        i = k.Input(shape=(4,), name="in")
        a = k.layers.Dense(2, name="a")(i)
        b = k.layers.Dense(3, activation="softmax", name="b")(i)
        return k.Model(i, [a, b])

    @pytest.mark.parametrize("form", ["list", "dict"])
    def test_several(self, keras: Any, form: str) -> None:
        found, lists = [], []
        weights = None
        for k in (keras, fk):
            model = self.model(k)
            weights = model.get_weights() if weights is None else weights
            model.set_weights(weights)
            loss: Any = ["mse", "sparse_categorical_crossentropy"]
            factors: Any = [1.0, 0.5]
            metrics: Any = [["mse", "mae"], ["accuracy"]]
            y: Any = [X[:, :2], Y]
            if form == "dict":
                loss, factors = (
                    dict(zip("ab", loss, strict=True)),
                    dict(zip("ab", factors, strict=True)),
                )
                metrics, y = dict(zip("ab", metrics, strict=True)), dict(zip("ab", y, strict=True))
            model.compile("sgd", loss, loss_weights=factors, metrics=metrics)
            found.append(model.fit(X, y, epochs=2, shuffle=False, verbose=0).history)
            outputs = model.predict(X, verbose=0)
            assert [o.shape for o in outputs] == [(20, 2), (20, 3)]
            lists.append(model.evaluate(X, y, verbose=0))
        assert set(found[0]) == set(found[1])
        for name in found[0]:
            np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-3, err_msg=name)
        np.testing.assert_allclose(lists[1], lists[0], rtol=1e-3)
        assert model.metrics_names[:3] == ["loss", "a_loss", "b_loss"]

    def test_one_loss_for_all(self) -> None:
        i = fk.Input(shape=(4,))
        model = fk.Model(i, [fk.layers.Dense(1)(i), fk.layers.Dense(1)(i)])
        model.compile("sgd", "mse")
        h = model.fit(X, [X[:, :1], X[:, 1:2]], verbose=0).history
        assert h["loss"][0] == pytest.approx(h["dense_loss"][0] + h["dense_1_loss"][0], rel=1e-5)

    def test_unknown_output(self) -> None:
        model = self.model(fk)
        model.compile("sgd", {"a": "mse", "c": "mse"})
        with pytest.raises(ValueError, match="no output 'c'"):
            model.fit(X, [X[:, :2], Y], verbose=0)


def guided(k: Any, no_grad: Any) -> Any:
    """A model with steps as Keras's guide writes them."""

    class Guided(k.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            x, y, weight = data if len(data) == 3 else (*data, None)
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=weight)
            loss.backward()
            weights = list(self.trainable_weights)
            with no_grad():
                self.optimizer.apply([w.value.grad for w in weights], weights)
            return self.told(loss, y, y_pred, weight)

        def test_step(self, data: Any) -> Any:
            x, y = data
            y_pred = self(x, training=False)
            return self.told(self.compute_loss(y=y, y_pred=y_pred), y, y_pred, None)

        def told(self, loss: Any, y: Any, y_pred: Any, weight: Any) -> Any:
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred, sample_weight=weight)
            return {m.name: m.result() for m in self.metrics}

    i = k.Input((4,))
    return Guided(i, k.layers.Dense(3, activation="softmax")(i))


def test_a_list_of_one_input(keras: Any) -> None:
    """As older programs pass it; here, also to chains that are not built yet."""
    for k in (fk, keras):
        for first in ([k.Input((4,))], *([[]] if k is fk else [])):
            model = k.Sequential([*first, k.layers.Dense(3, activation="softmax")])
            model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
            assert len(model.fit([X], Y, verbose=0).history["loss"]) == 1
            assert model.predict([X], verbose=0).shape == (20, 3)
            assert tuple(model([X]).shape) == (20, 3)
            assert len(model.evaluate([X], Y, verbose=0)) == 2


class TestCustom:
    @pytest.mark.parametrize("weighted", [False, True])
    def test_steps_of_the_guide(self, keras: Any, weighted: bool) -> None:
        """The compiled metrics are one among ``metrics``, from the first batch on."""
        import torch

        found = []
        models = guided(keras, torch.no_grad), guided(fk, fovea.no_grad)
        models[1].set_weights(models[0].get_weights())
        for model in models:
            model.compile(
                "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"],
                weighted_metrics=["sparse_categorical_crossentropy"],
            )  # fmt: skip
            w = np.linspace(0, 1, 20) if weighted else None
            options = {"epochs": 2, "batch_size": 5, "shuffle": False, "verbose": 0}
            history = model.fit(X, Y, sample_weight=w, validation_data=(X, Y), **options).history
            found.append((history, model.evaluate(X, Y, verbose=0)))
            assert [m.name for m in model.metrics] == ["loss", "compile_metrics"]
        (theirs, their_list), (ours, our_list) = found
        assert set(ours) == set(theirs)
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[name], values, rtol=1e-3, err_msg=name)
        np.testing.assert_allclose(our_list, their_list, rtol=1e-3)

    def test_train_step(self) -> None:
        class Mine(fk.Model):
            def __init__(self) -> None:
                super().__init__()
                self.dense = fk.layers.Dense(1)
                self.seen = fk.metrics.Mean(name="seen")

            def call(self, x: Any) -> Any:
                return self.dense(x)

            def train_step(self, batch: Any) -> Any:
                x, y = batch
                self.zero_grad()
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
                loss.backward()
                weights = self.trainable_weights
                self.optimizer.apply([w.grad for w in weights], weights)
                self.seen.update_state(loss)
                return {"seen": self.seen.result()}

        model = Mine()
        model.compile("sgd", "mse")
        h = model.fit(X, X.sum(1, keepdims=True), epochs=20, verbose=0).history["seen"]
        assert h[-1] < h[0] * 0.5

    def test_compute_loss(self) -> None:
        class Mine(fk.Sequential):
            def compute_loss(
                self, x: Any = None, y: Any = None, y_pred: Any = None, **_: Any
            ) -> Any:
                return ((y - y_pred) ** 2).mean() * 10

        model = Mine([fk.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mse"])
        h = model.fit(X, np.ones((20, 1)), batch_size=20, verbose=0).history
        assert h["loss"][0] == pytest.approx(10 * h["mse"][0], rel=1e-5)

    def test_add_loss(self) -> None:
        class Penalty(fk.layers.Layer):
            def call(self, x: Any) -> Any:
                self.add_loss((x * x).mean())
                return x

        model = fk.Sequential([fk.layers.Dense(1, kernel_initializer="ones"), Penalty()])
        model.compile(fk.optimizers.SGD(0.0), "mse", metrics=["mse"])
        h = model.fit(X, np.ones((20, 1)), batch_size=20, epochs=2, verbose=0).history
        out = X.sum(1)
        assert h["loss"][0] == pytest.approx(h["mse"][0] + (out**2).mean(), rel=1e-4)
        assert h["loss"][1] == pytest.approx(h["loss"][0], rel=1e-5)

    def test_regularizers(self, keras: Any) -> None:
        found = []
        weights = None
        for k in (keras, fk):
            model = k.Sequential(
                [
                    k.layers.Input(shape=(4,)),
                    k.layers.Dense(
                        3,
                        kernel_regularizer=k.regularizers.L1L2(0.01, 0.02),
                        bias_regularizer="l2",
                        activity_regularizer=k.regularizers.L2(0.1),
                    ),
                ]
            )
            weights = model.get_weights() if weights is None else weights
            model.set_weights(weights)
            model.compile("sgd", "mse")
            found.append(losses_of(k, model, X, X[:, :3], 5, epochs=3))
        np.testing.assert_allclose(found[1], found[0], rtol=1e-4)

    def test_constraints(self) -> None:
        layer = fk.layers.Dense(3, kernel_constraint=fk.constraints.MaxNorm(0.5))
        model = fk.Sequential([layer])
        model.compile(fk.optimizers.SGD(1.0), "mse")
        model.fit(X, X[:, :3] * 10, verbose=0)
        assert (np.linalg.norm(layer.kernel.numpy(), axis=0) <= 0.5001).all()


class TestErrors:
    def test_not_compiled(self) -> None:
        with pytest.raises(ValueError, match="not compiled"):
            fk.Sequential([fk.layers.Dense(1)]).fit(X, Y)

    def test_different_numbers_of_samples(self) -> None:
        with pytest.raises(ValueError, match="same number of samples"):
            small_model().fit(X, Y[:10], verbose=0)

    def test_wrong_image_shape(self) -> None:
        model = first_network(fk)
        model.compile("adam", "sparse_categorical_crossentropy")
        with pytest.raises(ValueError, match=r'does not fit the model "sequential"'):
            model.fit(np.zeros((4, 28, 20, 1)), np.zeros(4), verbose=0)

    def test_missing_channel_is_added(self) -> None:
        model = first_network(fk)
        assert model.predict(np.zeros((4, 28, 28)), verbose=0).shape == (4, 10)

    def test_target_of_another_shape(self) -> None:
        model = fk.Sequential([fk.layers.Dense(3)])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="must have the same shape"):
            model.fit(X, np.ones((20, 2)), verbose=0)

    def test_label_out_of_range(self) -> None:
        with pytest.raises(IndexError, match="label"):
            small_model().fit(X, Y + 1, verbose=0)

    def test_no_loss(self) -> None:
        model = fk.Sequential([fk.layers.Dense(3)])
        model.compile("sgd")
        with pytest.raises(ValueError, match="no loss to compute"):
            model.fit(X, Y, verbose=0)

    def test_no_targets(self) -> None:
        with pytest.raises(ValueError, match="no targets"):
            small_model().fit(X, verbose=0)

    def test_unknown_loss(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'mse'"):
            fk.Sequential([fk.layers.Dense(3)]).compile("sgd", "mze")

    def test_bad_split(self) -> None:
        for split in (1.5, 0.99):
            with pytest.raises(ValueError, match="validation_split"):
                small_model().fit(X, Y, validation_split=split, verbose=0)

    def test_iterable_with_targets(self) -> None:
        with pytest.raises(ValueError, match="must not be given"):
            small_model().fit(((X, Y) for _ in range(1)), Y, verbose=0)

    def test_no_data(self) -> None:
        with pytest.raises(ValueError, match="no batch"):
            small_model().fit([], verbose=0)
        with pytest.raises(ValueError, match="x is None"):
            small_model().fit(verbose=0)

    def test_objects(self) -> None:
        with pytest.raises(ValueError, match="numbers"):
            small_model().fit(np.array([["a", "b"]] * 20), Y, verbose=0)

    def test_class_and_sample_weight(self) -> None:
        with pytest.raises(ValueError, match="together"):
            small_model().fit(X, Y, class_weight={0: 1.0}, sample_weight=np.ones(20), verbose=0)

    def test_metrics_that_are_no_list(self) -> None:
        with pytest.raises(ValueError, match=r"metrics=\['accuracy'\]"):
            small_model().compile("sgd", "mse", metrics="accuracy")

    def test_a_model_without_weights(self) -> None:
        model = fk.Sequential([fk.layers.Flatten()])
        model.compile("sgd", "mse")
        with pytest.warns(UserWarning, match="no weights"):
            model.fit(X, X, verbose=0)
