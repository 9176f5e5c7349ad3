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
