"""Names of blocks in paths of weights: ``name_scope``."""

from __future__ import annotations

from typing import Any

import pytest

from fovea import keras as fk
from fovea.errors import ArgumentError
from fovea.keras.naming import open_scopes


def paths(keras: Any) -> list[str]:
    """The paths of weights that layers made in blocks, blocks in layers, and both."""

    class Nested(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, input_shape: Any) -> None:
            with keras.name_scope("inside"):
                self.dense = keras.layers.Dense(2, name="dense")
                self.dense.build(input_shape)
            self.own = self.add_weight(name="own", shape=(1,))

    keras.utils.clear_session()
    layers = [keras.layers.Dense(1, name="plain"), Nested(name="nested")]
    x = keras.Input((3,))
    with keras.name_scope("outer"):
        with keras.name_scope("inner"):
            y = layers[0](x)
        layers[1].build((None, 3))
    after = keras.layers.Dense(1, name="after")
    after(y)
    unnamed = keras.layers.Layer(name="unnamed")
    weights = [w for layer in [*layers, after] for w in layer.weights]
    weights += [unnamed.add_weight(shape=(1,)), unnamed.add_weight(shape=(1,))]
    return [w.path for w in weights]


def test_paths(keras: Any) -> None:
    expected = paths(keras)
    assert "outer/nested/inside/dense/kernel" in expected
    assert paths(fk) == expected
    assert open_scopes() == []


def test_what_is_refused() -> None:
    for wrong in ("a/b", 3):
        with pytest.raises(ArgumentError, match="name_scope"):
            fk.name_scope(wrong)  # type: ignore[arg-type]
