"""Layers that programs define for themselves, in graphs: what they are called with, and give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fovea import keras as fk

from .compare import data


def two_arguments(k: Any) -> Any:
    """Several tensors by place and by name, and a loss of their own."""

    class Gate(k.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any, gate: Any, shift: Any = None) -> Any:
            self.add_loss(k.ops.mean(k.ops.square(x - gate)))
            y = x * k.ops.expand_dims(gate[:, 0], -1)
            return y if shift is None else y + shift

    x, gate, shift = k.Input((3,)), k.Input((3,)), k.Input((3,))
    return k.Model([x, gate, shift], [Gate()(x, gate), Gate()(x, gate, shift=shift)])


def other_dtypes(k: Any) -> Any:
    """Outputs that are no floats, in a dictionary, beside what is no tensor."""

    class Parts(k.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return {"place": k.ops.argmax(x, -1), "above": x > 0, "half": k.ops.cast(x, "float16")}

    x = k.Input((3,))
    found = Parts()(x)
    return k.Model(x, [found["place"], found["above"], found["half"]])


def strided(k: Any) -> Any:
    """Sides that vary, halved until a small stand-in would be one pixel whatever it was."""

    class Stem(k.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            options = {"strides": 2, "padding": "same"}
            self.convs = [k.layers.Conv2D(4, 3, **options) for _ in range(3)]
            self.last = k.layers.Conv2D(2, 3)

        def call(self, x: Any) -> Any:
            for conv in self.convs:
                x = conv(x)
            return self.last(x)

    x = k.Input((None, None, 3))
    return k.Model(x, Stem()(x))


def short_table(k: Any) -> Any:
    """A length that varies, up to that of a table."""

    class Positions(k.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = k.layers.Embedding(8, 5)

        def call(self, x: Any) -> Any:
            return x + self.table(k.ops.arange(k.ops.shape(x)[1]))

    x = k.Input((None, 5))
    return k.Model(x, Positions()(x))


def windows(k: Any) -> Any:
    """Windows of images as samples, and back: no batch that stands in fits their number."""
    x = k.Input((8, 8, 3))
    y = k.ops.reshape(k.ops.roll(x, (-2, -2), (1, 2)), (-1, 2, 4, 2, 4, 3))
    y = k.ops.reshape(k.ops.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, 16, 3))
    y = k.layers.MultiHeadAttention(1, 4)(y, y)
    y = k.ops.transpose(k.ops.reshape(y, (-1, 2, 2, 4, 4, 3)), (0, 1, 3, 2, 4, 5))
    return k.Model(x, k.ops.reshape(y, (-1, 8, 8, 3)))


CASES = {
    windows: [data((2, 8, 8, 3))],
    two_arguments: [data((4, 3), seed=s) for s in range(3)],
    other_dtypes: [data((4, 3))],
    strided: [data((2, 40, 48, 3))],
    short_table: [data((2, 6, 5))],
}


@pytest.mark.parametrize("make", CASES)
def test_as_in_keras(keras: Any, make: Any) -> None:
    ours, theirs = make(fk), make(keras)
    assert [t.shape for t in ours.outputs] == [t.shape for t in theirs.outputs]
    if make is not other_dtypes:  # an index is int64 here, as in PyTorch, and int32 in Keras
        assert [t.dtype for t in ours.outputs] == [t.dtype for t in theirs.outputs]
    ours.set_weights(theirs.get_weights())
    inputs = CASES[make] if len(CASES[make]) > 1 else CASES[make][0]
    found, want = ours(inputs), theirs(inputs)
    for a, b in zip(fk.tree.flatten(found), fk.tree.flatten(want), strict=True):
        np.testing.assert_allclose(
            a.detach().numpy().astype("f"), b.detach().numpy().astype("f"), rtol=1e-4, atol=1e-5
        )
    assert [float(v) for v in ours.losses] == pytest.approx([float(v) for v in theirs.losses])


def test_finding_shapes_leaves_nothing_behind() -> None:
    """No statistics, no losses, of the layer or of those within."""

    class Block(fk.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.norm = fk.layers.BatchNormalization()
            self.penalty = fk.layers.ActivityRegularization(l2=1.0)

        def call(self, x: Any, training: bool | None = None) -> Any:
            return self.penalty(self.norm(x + 1, training=training))

    block = Block()
    block(fk.Input((3,)), training=True)
    assert block.losses == []
    np.testing.assert_array_equal(block.norm.moving_mean.numpy(), np.zeros(3))


def test_an_error_in_call_is_raised_as_it_is() -> None:
    class Broken(fk.layers.Layer):
        def call(self, x: Any) -> Any:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Broken()(fk.Input((3,)))
