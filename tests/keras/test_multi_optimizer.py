"""Several optimizers as one, and the paths of weights that they are told apart by, against Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.errors import ArgumentError, ShapeError

keras = pytest.importorskip("keras")

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32)
OPTIONS: list[dict[str, Any]] = [{}, {"loss_scale_factor": 8.0}]


def network(room: Any) -> Any:
    x = room.Input((4,))
    y = room.layers.Dense(5, "tanh", name="stem")(x)
    y = room.layers.BatchNormalization(name="norm")(y)
    model = room.Model(x, room.layers.Dense(2, name="head")(y), name="net")
    rng = np.random.default_rng(2)
    model.set_weights([0.1 + 0.5 * rng.random(w.shape) for w in model.get_weights()])
    return model


def several(room: Any, **options: Any) -> Any:
    optimizers = room.optimizers.OptimizerMap(
        room.optimizers.SGD(0.01, momentum=0.9), {"stem/.*": room.optimizers.Adam(0.01)}
    )
    optimizers["head/bias"] = room.optimizers.RMSprop(0.02, clipnorm=0.3)
    return room.optimizers.MultiOptimizer(optimizers, **options)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("jit", [False, True])
def test_fit_is_keras_s(options: dict[str, Any], jit: bool) -> None:
    results = []
    for room in (fk, keras):
        model = network(room)
        more = {"jit_compile": jit} if room is fk else {"jit_compile": False}
        model.compile(several(room, **options), "mse", **more)
        history = model.fit(X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0)
        results.append((history.history["loss"], model.get_weights(), model.optimizer))
    (losses, weights, ours), (expected, theirs, peer) = results
    np.testing.assert_allclose(losses, expected, rtol=2e-4)
    for a, b in zip(weights, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)
    assert int(ours.iterations) == int(peer.iterations) == 12
    found = [v.numpy() for v in ours.variables]
    states = [keras.ops.convert_to_numpy(v) for v in peer.variables]
    assert [v.shape for v in found] == [v.shape for v in states]
    for a, b in zip(found, states, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)


def test_within_scaled_losses() -> None:
    """A loss scale around them: a step that overflows changes nothing anywhere."""
    model = network(fk)
    optimizer = fk.optimizers.LossScaleOptimizer(several(fk), initial_scale=4.0)
    optimizer.build(model.trainable_weights)
    before = model.get_weights()
    grads = [fovea.ones(*w.shape) for w in model.trainable_weights]
    optimizer.apply([*grads[:-1], grads[-1] * float("inf")])
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert int(optimizer.iterations) == 0
    optimizer.apply(grads)
    assert int(optimizer.iterations) == 1
    assert not (before[0] == model.get_weights()[0]).all()


def test_files_and_configurations(tmp_path: Path) -> None:
    model = network(fk)
    model.compile(several(fk), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = fk.models.load_model(tmp_path / "model.keras")
    model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    again.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    peer = keras.models.load_model(tmp_path / "model.keras")
    assert type(peer.optimizer).__name__ == "MultiOptimizer"
    config = fk.optimizers.serialize(again.optimizer)
    copy = fk.optimizers.deserialize(config)
    assert [o.name for o in copy.optimizers] == [o.name for o in model.optimizer.optimizers]
    read = fk.optimizers.deserialize(keras.optimizers.serialize(several(keras)))
    assert float(read.optimizers[0].learning_rate) == pytest.approx(0.01)


def test_functions_choose_too() -> None:
    model, slow, fast = network(fk), fk.optimizers.SGD(0.0), fk.optimizers.SGD(0.5)
    optimizer = fk.optimizers.MultiOptimizer(lambda w: fast if "head" in w.path else slow)
    before = model.get_weights()
    model.compile(optimizer, "mse")
    model.fit(X, Y, verbose=0)
    changed = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    moving = [w.path.startswith("norm/moving") for w in model.weights]
    assert changed == ["head" in w.path or m for w, m in zip(model.weights, moving, strict=True)]
    assert optimizer.optimizers == [slow, fast]


def test_refusals() -> None:
    sgd, chosen_by, multi = (
        fk.optimizers.SGD,
        fk.optimizers.OptimizerMap,
        fk.optimizers.MultiOptimizer,
    )
    chosen = chosen_by(sgd(), {"a/.*": sgd()})
    chosen[".*/kernel"] = sgd()
    assert len(chosen) == 2 and set(chosen) == {"a/.*", ".*/kernel"}
    for wrong in (
        lambda: chosen_by("sgd"),
        lambda: chosen_by(sgd(), [sgd()]),
        lambda: chosen["a/kernel"],  # both fit
        lambda: chosen.__setitem__("a/.*", sgd()),
        lambda: chosen.__setitem__(3, sgd()),
        lambda: chosen.__setitem__("b", multi(chosen_by(sgd()))),
        lambda: chosen.__setitem__("b", fk.optimizers.LossScaleOptimizer(sgd())),
        lambda: multi(lambda w: "sgd").build(network(fk).trainable_weights),
        lambda: multi(chosen_by(sgd())).build([]),
    ):
        with pytest.raises(ArgumentError):
            wrong()
    optimizer = multi(chosen_by(sgd()))
    with pytest.raises(AttributeError, match="its own"):
        optimizer.learning_rate  # noqa: B018
    with pytest.raises(AttributeError, match="set those"):
        optimizer.learning_rate = 0.1
    with pytest.raises(ShapeError):
        optimizer.set_weights([])
    del chosen["a/.*"]
    assert chosen["a/bias"] is chosen.default_optimizer


def _paths(room: Any) -> list[list[str]]:
    """The paths of weights that are made in all the ways that there are."""
    kinds, found, one = room.layers, [], np.ones((2, 2), np.float32)

    class Block(kinds.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.dense = kinds.Dense(2, name="d")
            self.own = self.add_weight(shape=(2,), name="own")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    class Net(room.Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.block = Block(name="b")
            self.chain = room.Sequential(
                [kinds.Dense(2, name="q"), kinds.PReLU(name="p")], name="s"
            )

        def call(self, x: Any) -> Any:
            return self.chain(self.block(x))

    inner = room.Sequential([kinds.Dense(2, name="d")], name="inner")
    made = room.Sequential([room.Input((2,)), kinds.Dense(3, name="head"), inner], name="net")
    found.append([w.path for w in made.weights])
    lazy = room.Sequential([kinds.Dense(3, name="head")], name="lazy")
    lazy(one)
    found.append([w.path for w in lazy.weights])
    called, fitted = Net(name="m"), Net(name="f")
    called(one)
    fitted.compile("sgd", "mse")
    fitted.fit(one, one, verbose=0)
    found += [[w.path for w in model.weights] for model in (called, fitted)]
    x = room.Input((5, 4))
    y = kinds.Bidirectional(kinds.LSTM(2, return_sequences=True, name="l"), name="bi")(x)
    y = kinds.MultiHeadAttention(2, 2, name="mha")(y, x)
    y = kinds.TimeDistributed(kinds.Dense(2, name="t"), name="td")(y)
    found.append([w.path for w in room.Model(x, y, name="g").weights])
    return found


def test_paths_are_keras_s() -> None:
    assert _paths(fk) == _paths(keras)
