"""Attention layers against Keras's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.keras.layers.layer import as_tensor
from fovea.keras.masking import mask_of

from .compare import (
    assert_same,
    check_config,
    check_layer,
    check_shapes,
    copy_weights,
    data,
    leaves,
)

QUERY, VALUE, KEY = data((2, 4, 6), 1), data((2, 5, 3), 2), data((2, 5, 6), 3)
SIMPLE: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("dot", lambda k: k.Attention(), [QUERY, KEY]),
    ("dot scaled", lambda k: k.Attention(use_scale=True), [QUERY, VALUE, KEY]),
    ("concat", lambda k: k.Attention(score_mode="concat"), [QUERY, VALUE, KEY]),
    ("concat scaled", lambda k: k.Attention(True, "concat"), [QUERY, VALUE, KEY]),
    ("additive", lambda k: k.AdditiveAttention(), [QUERY, VALUE, KEY]),
    ("additive plain", lambda k: k.AdditiveAttention(use_scale=False), [QUERY, KEY]),
]
HEADED: list[tuple[str, Callable[[Any], Any]]] = [
    ("heads", lambda k: k.MultiHeadAttention(2, 3)),
    ("values", lambda k: k.MultiHeadAttention(2, 3, value_dim=5)),
    ("no bias", lambda k: k.MultiHeadAttention(3, 2, use_bias=False)),
    ("output", lambda k: k.MultiHeadAttention(2, 3, output_shape=7)),
    ("outputs", lambda k: k.MultiHeadAttention(2, 3, output_shape=(2, 4))),
    ("window", lambda k: k.MultiHeadAttention(2, 3, sliding_window=2)),
    ("gate", lambda k: k.MultiHeadAttention(2, 3, value_dim=4, use_gate=True)),
    ("dropout", lambda k: k.MultiHeadAttention(2, 3, dropout=0.3)),
    ("group", lambda k: k.GroupQueryAttention(3, 4, 2)),
    ("group gate", lambda k: k.GroupQueryAttention(3, 4, 1, use_gate=True, sliding_window=3)),
]
MAKES, NAMES = [c[1] for c in HEADED], [c[0] for c in HEADED]


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in SIMPLE], ids=[c[0] for c in SIMPLE])
class TestSimple:
    def test_values_and_gradients(self, keras: Any, make: Any, inputs: Any) -> None:
        check_layer(keras, make, inputs)

    def test_shapes(self, keras: Any, make: Any, inputs: Any) -> None:
        check_shapes(keras, make, inputs)

    def test_configurations(self, keras: Any, make: Any, inputs: Any) -> None:
        check_config(keras, make)

    @pytest.mark.parametrize("causal", [False, True])
    def test_masks(self, keras: Any, make: Any, inputs: Any, causal: bool) -> None:
        own, theirs = make(fk.layers), make(keras.layers)
        shapes = [a.shape for a in inputs]
        own.build(shapes)
        theirs.build(shapes)
        copy_weights(theirs, own)
        mask = [np.arange(8).reshape(2, 4) % 3 > 0, np.arange(10).reshape(2, 5) % 4 < 2]
        how = {"use_causal_mask": causal, "return_attention_scores": True}
        found = own(inputs, mask=[as_tensor(m) for m in mask], **how)
        import torch

        expected = theirs(
            [torch.tensor(a) for a in inputs], mask=[torch.tensor(m) for m in mask], **how
        )
        assert_same(*([t.detach().numpy() for t in out] for out in (found, expected)))


def pair_of(keras: Any, make: Any, *shapes: Any) -> tuple[Any, Any]:
    own, theirs = make(fk.layers), make(keras.layers)
    own.build(*shapes)
    theirs.build(*shapes)
    assert [tuple(w.shape) for w in own.weights] == [tuple(w.shape) for w in theirs.weights]
    copy_weights(theirs, own)
    return own, theirs


def compare(own: Any, theirs: Any, inputs: list[Any], **kwargs: Any) -> None:
    """Outputs, and gradients of inputs and weights."""
    import torch

    sides = []
    for layer, tensor in ((own, as_tensor), (theirs, torch.tensor)):
        given = [tensor(a) for a in inputs]
        for t in given:
            t.requires_grad_()
        named = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
        out = leaves(layer(*given, **named))
        sum((o * tensor(data(tuple(o.shape), 9))).sum() for o in out).backward()
        weights = [getattr(w, "value", w) for w in layer.trainable_weights]
        grads = [
            np.zeros(tuple(t.shape), "f") if t.grad is None else t.grad.numpy()
            for t in [*given, *weights]
        ]
        sides.append([*(o.detach().numpy() for o in out), *grads])
    assert_same(sides[0], sides[1])


@pytest.mark.parametrize("make", MAKES, ids=NAMES)
class TestHeads:
    def test_values_and_gradients(self, keras: Any, make: Any) -> None:
        own, theirs = pair_of(keras, make, QUERY.shape, KEY.shape)
        compare(own, theirs, [QUERY, KEY])
        compare(own, theirs, [QUERY, KEY], return_attention_scores=True)

    def test_causal(self, keras: Any, make: Any) -> None:
        own, theirs = pair_of(keras, make, QUERY.shape, QUERY.shape)
        compare(own, theirs, [QUERY, QUERY], use_causal_mask=True)

    def test_masks(self, keras: Any, make: Any) -> None:
        own, theirs = pair_of(keras, make, QUERY.shape, KEY.shape)
        mask = np.arange(40).reshape(2, 4, 5) % 3 > 0
        mask[1, 2] = False
        compare(own, theirs, [QUERY, KEY], attention_mask=mask, return_attention_scores=True)
        values = np.arange(10).reshape(2, 5) % 4 < 3
        compare(own, theirs, [QUERY, KEY], value_mask=values, use_causal_mask=True)
        # Where nothing is seen, gradients of PyTorch's kernel are too large: values alone.
        values[0, 0] = False
        inputs = [as_tensor(QUERY), as_tensor(KEY)]
        found = own(*inputs, value_mask=as_tensor(values), use_causal_mask=True)
        expected = theirs(QUERY, KEY, value_mask=values, use_causal_mask=True)
        assert_same([found.detach().numpy()], [expected.detach().numpy()])

    def test_configurations(self, keras: Any, make: Any) -> None:
        check_config(keras, make)

    def test_shapes(self, keras: Any, make: Any) -> None:
        own, theirs = make(fk.layers), make(keras.layers)
        symbols = [[k.Input(a.shape[1:]) for a in (QUERY, KEY)] for k in (fk, keras)]
        assert own(*symbols[0]).shape == tuple(theirs(*symbols[1]).shape)
        found = own(*symbols[0], return_attention_scores=True)
        real = own(QUERY, KEY, return_attention_scores=True)
        for symbol, t in zip(found, real, strict=True):
            assert symbol.shape == (None, *t.shape[1:])

    def test_files(self, keras: Any, make: Any, tmp_path: Path) -> None:
        def model(k: Any) -> Any:
            a, b = k.Input(QUERY.shape[1:]), k.Input(KEY.shape[1:])
            return k.Model([a, b], make(k.layers)(a, b))

        own, theirs = model(fk), model(keras)
        inputs = [QUERY, KEY]
        theirs.save_weights(tmp_path / "a.weights.h5")
        own.load_weights(tmp_path / "a.weights.h5")
        expected = theirs.predict(inputs, verbose=0)
        np.testing.assert_allclose(own.predict(inputs, verbose=0), expected, atol=1e-5)
        theirs.save(tmp_path / "theirs.keras")
        own.save(tmp_path / "own.keras")
        for k, name in ((fk, "theirs"), (keras, "own"), (fk, "own")):
            read = k.models.load_model(tmp_path / f"{name}.keras")
            np.testing.assert_allclose(read.predict(inputs, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("axes", [None, (1,), (2,), (1, 2), -2])
def test_axes(keras: Any, axes: Any) -> None:
    x, y = data((2, 3, 4, 5), 1), data((2, 3, 4, 6), 2)
    own, theirs = pair_of(
        keras, lambda k: k.MultiHeadAttention(2, 3, attention_axes=axes), x.shape, y.shape
    )
    compare(own, theirs, [x, y], return_attention_scores=True)
    if axes in (None, (1, 2)):
        mask = np.arange(288).reshape(2, 3, 4, 3, 4) % 5 > 1
        compare(own, theirs, [x, y], attention_mask=mask)


def test_key_of_its_own(keras: Any) -> None:
    own, theirs = pair_of(
        keras, lambda k: k.MultiHeadAttention(2, 3), QUERY.shape, VALUE.shape, KEY.shape
    )
    compare(own, theirs, [QUERY, VALUE, KEY])
    with pytest.raises(ValueError, match="must agree"):
        fk.layers.MultiHeadAttention(2, 3).build(QUERY.shape, VALUE.shape, QUERY.shape)


@pytest.mark.parametrize(
    "make",
    [
        lambda k, x: k.MultiHeadAttention(2, 3)(x, x),
        lambda k, x: k.Add()([x, k.MultiHeadAttention(2, 3)(x, x)]),
        lambda k, x: k.GRU(3)(k.GroupQueryAttention(3, 2, 1)(x, x)),
        lambda k, x: k.LSTM(3)(k.Attention()([x, x])),
    ],
)
def test_carried_masks(keras: Any, make: Any) -> None:
    ids = np.array([[3, 1, 0, 0], [0, 2, 0, 4], [0, 0, 0, 0]])

    def model(k: Any) -> Any:
        i = k.Input(shape=(4,), dtype="int32")
        return k.Model(i, make(k.layers, k.layers.Embedding(5, 4, mask_zero=True)(i)))

    own, theirs = model(fk), model(keras)
    copy_weights(theirs, own)
    found, expected = own(ids), theirs(ids)
    assert_same([found.detach().numpy()], [expected.detach().numpy()])
    carried = getattr(expected, "_keras_mask", None)
    assert (mask_of(found) is None) == (carried is None)


def test_dropout() -> None:
    for layer in (
        fk.layers.MultiHeadAttention(2, 3, dropout=0.5),
        fk.layers.Attention(dropout=0.5),
    ):
        given = (QUERY, KEY) if "multi" in layer.name else ([QUERY, KEY],)
        quiet = [layer(*given).detach().numpy() for _ in range(2)]
        loud = [layer(*given, training=True).detach().numpy() for _ in range(2)]
        assert (quiet[0] == quiet[1]).all() and not np.allclose(loud[0], loud[1])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_dtypes(policy: str) -> None:
    layer = fk.layers.MultiHeadAttention(2, 3, dtype=policy)
    y = layer(QUERY, KEY)
    assert y.dtype.name == policy.removeprefix("mixed_")
    plain = fk.layers.MultiHeadAttention(2, 3)
    plain.build(QUERY.shape, KEY.shape)
    plain.set_weights(layer.get_weights())
    reference = plain(QUERY, KEY).detach().numpy()
    np.testing.assert_allclose(y.detach().float().numpy(), reference, atol=0.05)


def test_compiled_steps_are_eager_steps() -> None:
    def train(eagerly: bool) -> list[Any]:
        fk.utils.set_random_seed(1)
        i = fk.Input((4, 6))
        x = fk.layers.MultiHeadAttention(2, 3)(i, i, use_causal_mask=True)
        model = fk.Model(i, fk.layers.Flatten()(x))
        model.compile("adam", "mse", run_eagerly=eagerly)
        model.fit(QUERY, data((2, 24)), epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    assert_same(train(True), train(False), 1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k.MultiHeadAttention(0, 3), "num_heads must be"),
        (lambda k: k.GroupQueryAttention(3, 3, 2), "no multiple"),
        (lambda k: k.MultiHeadAttention(2, 3, sliding_window=0), "sliding_window must be"),
        (lambda k: k.Attention(score_mode="sum"), "score_mode must be"),
        (lambda k: k.Attention()(QUERY), "a list"),
        (lambda k: k.Attention()([QUERY, KEY], mask=as_tensor(QUERY[..., 0] > 0)), "in a list"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(fk.layers)
