"""Files that Keras and fovea exchange: every weight and every state of an optimizer, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk

from .compare import data

pytest.importorskip("h5py")
X = data((8, 6, 6, 3))
Y = np.arange(8) % 3


def normalized(k: Any, optimizer: Any, policy: str | None = None) -> Any:
    """A convolution and a batch normalization that have been trained."""
    L, how = k.layers, {} if policy is None else {"dtype": policy}  # noqa: N806
    model = k.Sequential(
        [
            L.Input((6, 6, 3)),
            L.Conv2D(4, 3, **how),
            L.BatchNormalization(**how),
            L.Flatten(**how),
            L.Dense(3, **how),
        ]
    )
    return trained(k, model, optimizer)


def nested(k: Any, optimizer: Any, policy: str | None = None) -> Any:
    """Models within models, one of them twice; a layer that is called twice; an operation."""
    L, how = k.layers, {} if policy is None else {"dtype": policy}  # noqa: N806
    inner = k.Sequential([L.Conv2D(3, 1, **how), L.BatchNormalization(**how)])
    t = k.Input((6, 6, 3))
    deep = k.Model(t, inner(inner(t)))
    i = k.Input((6, 6, 3))
    shared, x = L.Dense(4, **how), L.Flatten(**how)(deep(i))
    model = k.Model(i, L.Dense(3, **how)(shared(x) + shared(k.ops.tanh(x))))
    return trained(k, model, optimizer)


def trained(k: Any, model: Any, optimizer: Any) -> Any:
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(k.optimizers), loss)
    model.fit(X, Y, epochs=2, batch_size=4, verbose=0)
    return model


def values(variables: Any) -> list[Any]:
    """All variables as arrays; 16-bit ones, which not all have, exactly in float32."""
    found = []
    for v in variables:
        t = getattr(v, "value", v)
        short = any(kind in str(v.dtype) for kind in ("bfloat16", "float16"))
        found.append(np.asarray((t.detach().float() if short else t.detach()).numpy()))
    return found


def same(a: Any, b: Any) -> None:
    for one, two in ((a.weights, b.weights), (a.optimizer.variables, b.optimizer.variables)):
        for v, w in zip(one, two, strict=True):
            # Adafactor's empty places have types of their own in Keras.
            assert not v.shape or str(v.dtype).split(".")[-1] == str(w.dtype).split(".")[-1]
        for v, w in zip(values(one), values(two), strict=True):
            np.testing.assert_array_equal(v, w)


def exchange(keras: Any, folder: Path, make: Any, optimizer: Any, policy: Any = None) -> None:
    """Write and read in both directions, and here alone."""
    ours, theirs = make(fk, optimizer, policy), make(keras, optimizer, policy)
    ours.save(folder / "ours.keras")
    theirs.save(folder / "theirs.keras")
    same(ours, keras.models.load_model(folder / "ours.keras"))
    same(theirs, fk.models.load_model(folder / "theirs.keras"))
    same(ours, fk.models.load_model(folder / "ours.keras"))
    ours.save_weights(folder / "ours.weights.h5")
    theirs.load_weights(folder / "ours.weights.h5")
    same(ours, theirs)
    again = make(fk, optimizer, policy)
    theirs.save_weights(folder / "theirs.weights.h5")
    again.load_weights(folder / "theirs.weights.h5")
    same(again, theirs)


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda o: o.SGD(0.01),
    "momentum": lambda o: o.SGD(0.01, momentum=0.9, nesterov=True),
    "RMSprop": lambda o: o.RMSprop(momentum=0.9, centered=True),
    "Adam": lambda o: o.Adam(amsgrad=True),
    "schedule": lambda o: o.AdamW(o.schedules.ExponentialDecay(0.01, 10, 0.9)),
    "averages": lambda o: o.Adam(use_ema=True, gradient_accumulation_steps=2),
    **{
        name: (lambda o, name=name: getattr(o, name)())
        for name in ["Adamax", "Nadam", "Adagrad", "Adadelta", "Ftrl", "Lion", "Adafactor", "Lamb"]
    },
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(keras: Any, name: str, tmp_path: Path) -> None:
    exchange(keras, tmp_path, normalized, OPTIMIZERS[name])


@pytest.mark.parametrize("make", [normalized, nested])
@pytest.mark.parametrize(
    "policy",
    [None, "bfloat16", "float16", "mixed_bfloat16", "mixed_float16", "float64"],
)
def test_dtypes(keras: Any, make: Any, policy: str | None, tmp_path: Path) -> None:
    exchange(keras, tmp_path, make, OPTIMIZERS["Adam"], policy)


@pytest.mark.parametrize("name", ["Nadam", "Adam", "averages"])
def test_training_goes_on(name: str, tmp_path: Path) -> None:
    """Saved, read and trained on: the same as trained on without a stop."""
    model = normalized(fk, OPTIMIZERS[name])
    model.save(tmp_path / "m.keras")
    read = fk.models.load_model(tmp_path / "m.keras")
    for m in (model, read):
        m.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    same(model, read)


def test_an_optimizer_that_does_not_fit_is_told(tmp_path: Path) -> None:
    model = normalized(fk, OPTIMIZERS["Adam"])
    model.save_weights(tmp_path / "m.weights.h5")
    other = normalized(fk, OPTIMIZERS["SGD"])
    with pytest.warns(UserWarning, match=r"2 variables, the file 20"):
        other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def held_by_attributes(k: Any) -> Any:
    """A subclass: Keras finds its layers by attributes before "layers", else by that list."""
    L = k.layers  # noqa: N806

    class Part(L.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.proj, self._out, self.blocks = L.Dense(5), L.Dense(3), [L.Dense(4)]

        def call(self, x: Any) -> Any:
            return self._out(self.blocks[0](self.proj(x)))

    class Net(k.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = L.Dense(6), L.Dense(7)
            self._hidden, self.head = L.Dense(5), k.Sequential([L.Dense(4), L.Dense(3)])
            self.stages, self.kinds = [Part(), Part()], {"z": L.Dense(2), "a": L.Dense(2)}
            self.table = self.add_weight(shape=(2,), initializer="ones", name="table")

        def call(self, x: Any) -> Any:
            x = self._hidden(self.conv(self.stem(x)))
            for stage in self.stages:
                x = stage(x)
            x = self.kinds["z"](x) + self.kinds["a"](x) + self.table
            return self.head(x)

    model = Net()
    model.compile("adam", "mse")
    model.fit(X[:, 0, 0], np.ones((8, 3), "f"), verbose=0)
    return model


def test_attributes_of_any_name(keras: Any, tmp_path: Path) -> None:
    ours, theirs = held_by_attributes(fk), held_by_attributes(keras)
    x = X[:, 0, 0]
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    want, there = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    ours.load_weights(tmp_path / "theirs.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    np.testing.assert_allclose(ours.predict(x, verbose=0), there, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(theirs.predict(x, verbose=0), want, rtol=1e-4, atol=1e-5)


def test_files_by_attributes_alone(tmp_path: Path) -> None:
    """As fovea wrote them at first."""
    from fovea.keras.saving.stores import H5Store
    from fovea.keras.saving.weights import weight_entries

    ours, other = held_by_attributes(fk), held_by_attributes(fk)
    path = tmp_path / "ours.weights.h5"
    H5Store.write(path, weight_entries(ours, by_layers=False))
    other.load_weights(path)
    for a, b in zip(values(ours.variables), values(other.variables), strict=True):
        np.testing.assert_array_equal(a, b)
