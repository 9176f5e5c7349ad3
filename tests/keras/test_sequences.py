"""Layers of sequences against Keras's: recurrent networks, what wraps them, and masks."""

from __future__ import annotations

import warnings
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
    run_here,
    run_keras,
)

Case = tuple[str, Callable[[Any], Any], Any]
ROW = data((3, 5, 4))
FRAMES = data((2, 3, 6, 5, 4))
KINDS = ("SimpleRNN", "LSTM", "GRU")


def network(kind: str, **given: Any) -> Callable[[Any], Any]:
    return lambda k: getattr(k, kind)(3, **given)


CASES: list[Case] = [
    *((kind, network(kind), ROW) for kind in KINDS),
    *((f"{kind} sequences", network(kind, return_sequences=True), ROW) for kind in KINDS),
    *(
        (f"{kind} states", network(kind, return_sequences=True, return_state=True), ROW)
        for kind in KINDS
    ),
    *(
        (f"{kind} backwards", network(kind, go_backwards=True, return_sequences=True), ROW)
        for kind in KINDS
    ),
    *((f"{kind} no bias", network(kind, use_bias=False), ROW) for kind in KINDS),
    *((f"{kind} relu", network(kind, activation="relu"), ROW) for kind in KINDS),
    *((f"{kind} linear", network(kind, activation=None), ROW) for kind in KINDS),
    ("LSTM gates", network("LSTM", recurrent_activation="hard_sigmoid"), ROW),
    ("LSTM forget", network("LSTM", unit_forget_bias=False), ROW),
    ("GRU reset before", network("GRU", reset_after=False), ROW),
    ("GRU reset before no bias", network("GRU", reset_after=False, use_bias=False), ROW),
    ("GRU implementation 1", network("GRU", implementation=1), ROW),
    ("LSTM unrolled", network("LSTM", unroll=True), ROW),
    ("RNN", lambda k: k.RNN(k.GRUCell(3), return_state=True), ROW),
    ("RNN of cells", lambda k: k.RNN([k.LSTMCell(3), k.GRUCell(2)], return_sequences=True), ROW),
    ("RNN backwards", lambda k: k.RNN(k.SimpleRNNCell(3), go_backwards=True), ROW),
    *(
        (f"bidirectional {kind}", _b, ROW)
        for kind, _b in (
            (kind, lambda k, kind=kind: k.Bidirectional(getattr(k, kind)(3))) for kind in KINDS
        )
    ),
    *(
        (
            f"bidirectional {mode}",
            lambda k, mode=mode: k.Bidirectional(k.LSTM(3, return_sequences=True), merge_mode=mode),
            ROW,
        )
        for mode in ("sum", "mul", "ave", None)
    ),
    (
        "bidirectional states",
        lambda k: k.Bidirectional(k.GRU(3, return_sequences=True, return_state=True)),
        ROW,
    ),
    (
        "bidirectional two layers",
        lambda k: k.Bidirectional(k.LSTM(3), backward_layer=k.LSTM(2, go_backwards=True)),
        ROW,
    ),
    ("conv lstm rows", lambda k: k.ConvLSTM1D(3, 2), FRAMES[:, :, 0]),
    ("conv lstm", lambda k: k.ConvLSTM2D(3, 3, padding="same", return_sequences=True), FRAMES),
    (
        "conv lstm states",
        lambda k: k.ConvLSTM2D(3, (2, 3), strides=2, return_state=True, go_backwards=True),
        FRAMES,
    ),
    (
        "conv lstm first",
        lambda k: k.ConvLSTM2D(
            3, 2, dilation_rate=2, use_bias=False, data_format="channels_first", activation="relu"
        ),
        data((2, 3, 4, 6, 5)),
    ),
    ("conv lstm volumes", lambda k: k.ConvLSTM3D(2, 2, padding="same"), data((1, 2, 3, 4, 3, 2))),
    (
        "bidirectional conv lstm",
        lambda k: k.Bidirectional(k.ConvLSTM2D(2, 3, return_sequences=True)),
        FRAMES,
    ),
    ("time distributed", lambda k: k.TimeDistributed(k.Dense(3, activation="relu")), ROW),
    ("time distributed images", lambda k: k.TimeDistributed(k.Conv2D(3, 3)), FRAMES),
    ("time distributed network", lambda k: k.TimeDistributed(k.LSTM(3)), FRAMES[:, :, 0]),
    ("time distributed statistics", lambda k: k.TimeDistributed(k.BatchNormalization()), FRAMES),
    ("dot", lambda k: k.Dot(axes=1), [data((3, 4), 1), data((3, 4), 2)]),
    ("dot axes", lambda k: k.Dot(axes=(2, 1)), [data((3, 5, 4), 1), data((3, 4, 6), 2)]),
    ("dot last", lambda k: k.Dot(axes=-1), [data((3, 5, 4), 1), data((3, 2, 6, 4), 2)]),
    ("dot vector", lambda k: k.Dot(axes=(1, 2)), [data((3, 4), 1), data((3, 2, 4), 2)]),
    ("dot cosine", lambda k: k.Dot(axes=2, normalize=True), [ROW, ROW[:, :2] * 3]),
    ("einsum", lambda k: k.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d"), ROW),
    ("einsum ellipsis", lambda k: k.EinsumDense("...x,xy->...y", 6, "relu", "y"), ROW),
    ("einsum behind", lambda k: k.EinsumDense("ab...,bc->ac...", 6, bias_axes="c"), ROW),
    ("einsum two", lambda k: k.EinsumDense("abc,bcde->ade", (2, 3), bias_axes="de"), ROW),
    ("einsum kept", lambda k: k.EinsumDense("abc,bc->abc", (5, 4), bias_axes="b"), ROW),
    ("repeat", lambda k: k.RepeatVector(3), data((2, 4))),
    ("masking", lambda k: k.Masking(), np.where(ROW > 0.5, 0, ROW).astype("f")),
    ("masking value", lambda k: k.Masking(1.5), np.full((2, 3, 4), 1.5, "f")),
]
MAKES = [c[1] for c in CASES]
NAMES = [c[0] for c in CASES]


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in CASES], ids=NAMES)
def test_values_and_gradients(keras: Any, make: Any, inputs: Any) -> None:
    check_layer(keras, make, inputs)


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in CASES], ids=NAMES)
def test_output_shapes(keras: Any, make: Any, inputs: Any) -> None:
    check_shapes(keras, make, inputs)


@pytest.mark.parametrize("make", MAKES, ids=NAMES)
def test_configurations(keras: Any, make: Any) -> None:
    # Keras 3.15 leaves out seeds of SimpleRNN.
    absent = ("seed",) if type(make(fk.layers)).__name__ == "SimpleRNN" else ()
    check_config(keras, make, absent)


def both(keras: Any, make: Any, shape: Any) -> tuple[Any, Any]:
    """The layer in both, built, with the same weights."""
    own, theirs = make(fk.layers), make(keras.layers)
    theirs.build(shape)
    own.build(shape)
    copy_weights(theirs, own)
    return own, theirs


def same_outputs(own: Any, theirs: Any, *args: Any, **kwargs: Any) -> None:
    found = [t.detach().numpy() for t in leaves(own(*args, **kwargs))]
    assert_same(found, [t.detach().numpy() for t in leaves(theirs(*args, **kwargs))])


MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]], bool)


class TestMasks:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("sequences", [False, True])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_networks(self, keras: Any, kind: str, sequences: bool, backwards: bool) -> None:
        make = network(kind, return_sequences=sequences, return_state=True, go_backwards=backwards)
        own, theirs = both(keras, make, ROW.shape)
        same_outputs(own, theirs, ROW, mask=MASK)

    @pytest.mark.parametrize("sequences", [False, True])
    def test_zero_output(self, keras: Any, sequences: bool) -> None:
        make = network("GRU", return_sequences=sequences, zero_output_for_mask=True)
        own, theirs = both(keras, make, ROW.shape)
        same_outputs(own, theirs, ROW, mask=MASK)

    @pytest.mark.parametrize("sequences", [False, True])
    def test_bidirectional(self, keras: Any, sequences: bool) -> None:
        own, theirs = both(
            keras,
            lambda k: k.Bidirectional(k.LSTM(3, return_sequences=sequences)),
            ROW.shape,
        )
        same_outputs(own, theirs, ROW, mask=MASK)

    def test_cells(self, keras: Any) -> None:
        own, theirs = both(keras, lambda k: k.RNN([k.LSTMCell(3), k.GRUCell(2)]), ROW.shape)
        same_outputs(own, theirs, ROW, mask=MASK)

    def test_conv_lstm(self, keras: Any) -> None:
        make = lambda k: k.ConvLSTM2D(3, 3, return_sequences=True, return_state=True)  # noqa: E731
        own, theirs = both(keras, make, FRAMES.shape)
        same_outputs(own, theirs, FRAMES, mask=np.array([[1, 0, 1], [0, 1, 0]], bool))

    def test_time_distributed(self, keras: Any) -> None:
        x, mask = FRAMES[:, :, 0], np.arange(30).reshape(2, 3, 5) % 3 > 0
        own, theirs = both(keras, lambda k: k.TimeDistributed(k.GRU(3)), x.shape)
        same_outputs(own, theirs, x, mask=mask)
        with pytest.raises(ValueError, match="does not fit"):
            own(x, mask=mask[:, :2])

    def test_batch_normalization(self, keras: Any) -> None:
        own, theirs = both(keras, lambda k: k.BatchNormalization(), ROW.shape)
        same_outputs(own, theirs, ROW, mask=MASK, training=True)
        assert_same(own.get_weights(), theirs.get_weights())

    def test_softmax(self, keras: Any) -> None:
        own, theirs = fk.layers.Softmax(), keras.layers.Softmax()
        same_outputs(own, theirs, ROW[:, 0], mask=np.array([[1, 0, 1, 1]] * 2 + [[0] * 4], bool))

    @pytest.mark.parametrize(
        "make",
        [
            lambda k, x: k.LSTM(3)(x),
            lambda k, x: k.Dense(2)(k.GRU(3, return_sequences=True)(x)),
            lambda k, x: k.Bidirectional(k.SimpleRNN(3))(k.Dropout(0.5)(k.Activation("tanh")(x))),
            lambda k, x: k.LSTM(3)(k.TimeDistributed(k.Dense(4))(x)),
            lambda k, x: k.LSTM(3)(k.Add()([x, x])),
            lambda k, x: k.LSTM(3)(k.Concatenate()([x, x])),
            lambda k, x: k.GRU(3)(k.Concatenate(axis=1)([x, k.Dense(4)(x)])),
            lambda k, x: k.GRU(3)(k.LayerNormalization()(k.BatchNormalization()(x))),
            lambda k, x: k.GRU(2)(k.RNN(k.GRUCell(3), return_sequences=True)(x)),
        ],
    )
    def test_travel_through_models(self, keras: Any, make: Any) -> None:
        ids = np.array([[3, 1, 0, 0], [0, 2, 0, 4], [0, 0, 0, 0]])

        def model(k: Any) -> Any:
            i = k.Input(shape=(4,), dtype="int32")
            return k.Model(i, make(k.layers, k.layers.Embedding(5, 4, mask_zero=True)(i)))

        own, theirs = model(fk), model(keras)
        copy_weights(theirs, own)
        same_outputs(own, theirs, ids)
        found, expected = mask_of(own(ids)), getattr(theirs(ids), "_keras_mask", None)
        assert (found is None) == (expected is None)
        if found is not None:
            assert (found.numpy() == expected.numpy()).all()

    def test_layers_that_lose_masks_say_so(self) -> None:
        x = fk.layers.Masking()(ROW)
        with pytest.warns(UserWarning, match="does not hand on"):
            fk.layers.Reshape((-1,))(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fk.layers.LSTM(2)(x)

    def test_of_ones_own(self) -> None:
        class Keep(fk.layers.Layer):
            def __init__(self) -> None:
                super().__init__()
                self.supports_masking = True

            def call(self, x: Any, mask: Any = None) -> Any:
                self.seen = mask
                return x * 2

        class Shift(fk.layers.Layer):
            def call(self, x: Any) -> Any:
                return x[:, 1:]

            def compute_mask(self, x: Any, mask: Any = None) -> Any:
                return mask[:, 1:]

        keep = Keep()
        x = fk.layers.Masking()(np.where(MASK[..., None], ROW, 0).astype("f"))
        y = Shift()(keep(x))
        assert (keep.seen.numpy() == MASK).all()
        assert (mask_of(y).numpy() == MASK[:, 1:]).all()

    @pytest.mark.parametrize("weighted", [False, True])
    def test_in_losses_and_metrics(self, keras: Any, weighted: bool) -> None:
        ids = np.array([[3, 1, 0, 0], [1, 2, 0, 4], [2, 2, 2, 0], [1, 0, 0, 0]])
        y = ids % 3
        weight = data((4, 4), low=0.5) if weighted else None

        def model(k: Any) -> Any:
            L = k.layers  # noqa: N806
            made = k.Sequential(
                [
                    L.Input((4,), dtype="int32"),
                    L.Embedding(5, 4, mask_zero=True),
                    L.GRU(3, return_sequences=True),
                    L.Dense(3, activation="softmax"),
                ]
            )
            made.compile(
                k.optimizers.SGD(0.5),
                "sparse_categorical_crossentropy",
                metrics=["accuracy"],
                weighted_metrics=[k.metrics.SparseCategoricalCrossentropy(name="ce")],
            )
            return made

        own, theirs = model(fk), model(keras)
        copy_weights(theirs, own)
        for _ in range(2):
            ours = own.fit(ids, y, epochs=2, shuffle=False, verbose=0, sample_weight=weight)
            expected = theirs.fit(ids, y, epochs=2, shuffle=False, verbose=0, sample_weight=weight)
            for name, values in expected.history.items():
                np.testing.assert_allclose(ours.history[name], values, rtol=2e-4, err_msg=name)
        assert_same(own.get_weights(), theirs.get_weights())
        np.testing.assert_allclose(
            own.evaluate(ids, y, verbose=0), theirs.evaluate(ids, y, verbose=0), rtol=2e-4
        )


class TestStates:
    @pytest.mark.parametrize("kind", KINDS)
    def test_initial(self, keras: Any, kind: str) -> None:
        own, theirs = both(keras, network(kind, return_state=True), ROW.shape)
        states = [data((3, 3), i) for i in range(1 + (kind == "LSTM"))]
        same_outputs(own, theirs, ROW, initial_state=states)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("zeros", [False, True])
    def test_initial_under_a_mask(self, keras: Any, kind: str, zeros: bool) -> None:
        given = {"return_state": True, "return_sequences": True, "zero_output_for_mask": zeros}
        own, theirs = both(keras, network(kind, **given), ROW.shape)
        states = [data((3, 3), i) for i in range(1 + (kind == "LSTM"))]
        same_outputs(own, theirs, ROW, initial_state=states, mask=MASK)

    def test_cells_of_ones_own_run_step_by_step(self) -> None:
        class Doubled(fk.layers.GRUCell):  # type: ignore[misc]
            def advance(self, z: Any, states: Any, recurrence: Any) -> Any:
                return tuple(2 * t for t in super().advance(z, states, recurrence))

        plain, doubled = fk.layers.RNN(fk.layers.GRUCell(3)), fk.layers.RNN(Doubled(3))
        plain.build(ROW.shape)
        doubled.build(ROW.shape)
        doubled.set_weights(plain.get_weights())
        one = ROW[:, :1]
        np.testing.assert_allclose(
            doubled(one).detach().numpy(), 2 * plain(one).detach().numpy(), 1e-6, 1e-7
        )

    def test_initial_of_both_directions(self, keras: Any) -> None:
        own, theirs = both(keras, lambda k: k.Bidirectional(k.LSTM(3)), ROW.shape)
        same_outputs(own, theirs, ROW, initial_state=[data((3, 3), i) for i in range(4)])

    def test_encoder_and_decoder(self, keras: Any) -> None:
        def model(k: Any) -> Any:
            a, b = k.Input((5, 4)), k.Input((2, 6))
            _, *states = k.layers.LSTM(3, return_state=True)(a)
            return k.Model([a, b], k.layers.LSTM(3)(b, initial_state=states))

        own, theirs = model(fk), model(keras)
        copy_weights(theirs, own)
        inputs = [ROW, data((3, 2, 6))]
        assert_same(run_here(own, inputs, True)[0], run_keras(theirs, inputs, True)[0])
        twin = fk.Model.from_config(own.get_config())
        twin.set_weights(own.get_weights())
        np.testing.assert_array_equal(
            twin.predict(inputs, verbose=0), own.predict(inputs, verbose=0)
        )

    @pytest.mark.parametrize("kind", KINDS)
    def test_stateful(self, keras: Any, kind: str) -> None:
        own, theirs = both(keras, network(kind, stateful=True, return_state=True), ROW.shape)
        for _ in range(3):
            same_outputs(own, theirs, ROW)
        own.reset_state()
        theirs.reset_state()
        same_outputs(own, theirs, ROW)
        with pytest.raises(ValueError, match="the batch has 2 sequences"):
            own(ROW[:2])

    def test_stateful_needs_a_batch_size(self) -> None:
        with pytest.raises(ValueError, match="needs a fixed batch size"):
            fk.layers.LSTM(3, stateful=True).build((None, 5, 4))

    def test_stateful_in_training(self) -> None:
        """Compiled as in eager mode; the state is what the last batch left (Keras on PyTorch
        changes states that its gradients need, and fails).
        """

        def train(eagerly: bool) -> list[Any]:
            fk.utils.set_random_seed(1)
            network = fk.layers.GRU(3, stateful=True)
            model = fk.Sequential([fk.Input(batch_shape=(3, 5, 4)), network, fk.layers.Dense(2)])
            model.compile(fk.optimizers.SGD(0.1), "mse", run_eagerly=eagerly)
            model.fit(ROW, data((3, 2), 5), batch_size=3, epochs=4, shuffle=False, verbose=0)
            return [*model.get_weights(), *(s.numpy() for s in network.states)]

        found = train(True)
        assert_same(train(False), found, 1e-6)
        assert np.abs(found[-1]).max() > 0


class TestDropout:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5), (0.3, 0.4)])
    def test_in_training_alone(self, kind: str, rates: tuple[float, float]) -> None:
        layer = getattr(fk.layers, kind)(8, dropout=rates[0], recurrent_dropout=rates[1])
        x = np.ones((2, 6, 4), "f")
        quiet = [layer(x).detach().numpy() for _ in range(2)]
        loud = [layer(x, training=True).detach().numpy() for _ in range(2)]
        assert (quiet[0] == quiet[1]).all()
        assert not np.allclose(loud[0], loud[1]) and not np.allclose(loud[0], quiet[0])

    @pytest.mark.parametrize("rates", [(0.5, 0.0), (0.3, 0.4)])
    @pytest.mark.parametrize("first", [False, True])
    def test_conv_lstm(self, rates: tuple[float, float], first: bool) -> None:
        how: Any = {"data_format": "channels_first"} if first else {}
        layer = fk.layers.ConvLSTM2D(
            3, 3, padding="same", dropout=rates[0], recurrent_dropout=rates[1], **how
        )
        x = np.ones((2, 4, 5, 5, 5), "f")
        quiet = [layer(x).detach().numpy() for _ in range(2)]
        loud = [layer(x, training=True).detach().numpy() for _ in range(2)]
        assert (quiet[0] == quiet[1]).all() and loud[0].shape == quiet[0].shape
        assert not np.allclose(loud[0], loud[1]) and not np.allclose(loud[0], quiet[0])

    def test_the_same_in_all_steps(self) -> None:
        """What is dropped of a constant input stays so: a linear sum grows evenly."""
        layer = fk.layers.SimpleRNN(
            4,
            activation=None,
            dropout=0.5,
            kernel_initializer="ones",
            recurrent_initializer="identity",
            return_sequences=True,
        )
        y = layer(np.ones((5, 6, 7), "f"), training=True).detach().numpy()
        np.testing.assert_allclose(y, y[:, :1] * np.arange(1, 7)[:, None], rtol=1e-5)

    def test_seed(self) -> None:
        x = np.ones((2, 3, 4), "f")
        weights = fk.layers.LSTM(8)
        weights.build(x.shape)

        def run() -> Any:
            layer = fk.layers.LSTM(8, dropout=0.5, recurrent_dropout=0.5, seed=3)
            layer.build(x.shape)
            layer.set_weights(weights.get_weights())
            return layer(x, training=True).detach().numpy()

        np.testing.assert_array_equal(run(), run())


class Counter(fk.layers.Layer):
    """A cell of one's own, which adds the features up."""

    state_size = 1

    def call(self, x: Any, states: Any) -> Any:
        total = states[0] + x.sum(-1, keepdim=True)
        return total, [total]


def test_a_cell_of_ones_own() -> None:
    layer = fk.layers.RNN(Counter(), return_sequences=True)
    expected = ROW.sum(-1, keepdims=True).cumsum(1)
    np.testing.assert_allclose(layer(ROW).numpy(), expected, rtol=1e-5, atol=1e-6)
    both_ways = fk.layers.Bidirectional(fk.layers.RNN(Counter()))(ROW).numpy()
    np.testing.assert_allclose(both_ways, expected[:, -1].repeat(2, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(kind: str, policy: str) -> None:
    layer = getattr(fk.layers, kind)(3, dtype=policy)
    y = layer(ROW)
    assert y.dtype.name == policy.removeprefix("mixed_")
    assert layer.cell.kernel.dtype.name == ("float32" if "mixed" in policy else policy)
    reference = getattr(fk.layers, kind)(3)
    reference.build(ROW.shape)
    reference.set_weights(layer.get_weights())
    loose = 0.05 if "bfloat16" in policy else 1e-5
    np.testing.assert_allclose(
        y.detach().float().numpy(), reference(ROW).detach().numpy(), atol=loose
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k.LSTM(0), "units must be an integer"),
        (lambda k: k.LSTM(3)(ROW[:, 0]), "expected ndim=3"),
        (lambda k: k.GRU(3)(ROW[:, :0]), "have no steps"),
        (lambda k: k.GRU(3, use_cudnn=True), "no cuDNN"),
        (lambda k: k.RNN(k.Dense(3)), "a cell has a call method"),
        (lambda k: k.StackedRNNCells([3]), "a cell has a call method"),
        (lambda k: k.Bidirectional(3), "a layer is needed"),
        (lambda k: k.Bidirectional(k.LSTM(2), merge_mode="max"), "merge_mode must be"),
        (lambda k: k.Bidirectional(k.LSTM(2), backward_layer=k.LSTM(2)), "exactly one"),
        (
            lambda k: k.Bidirectional(
                k.LSTM(2), backward_layer=k.LSTM(2, go_backwards=True, return_sequences=True)
            ),
            "return_sequences is False",
        ),
        (lambda k: k.TimeDistributed(abs), "a layer is needed"),
        (lambda k: k.TimeDistributed(k.Dense(2))(ROW[:, 0]), "at least 3 dimensions"),
        (lambda k: k.Dot(axes=0)([ROW, ROW]), "name no dimension"),
        (lambda k: k.Dot(axes=(1, 2))([ROW, ROW]), "cannot be multiplied"),
        (lambda k: k.Dot(axes="a"), "axes must be"),
        (lambda k: k.EinsumDense("ab->a", 3)(ROW), "no equation of the form"),
        (lambda k: k.EinsumDense("ab,bc->ac", 3)(ROW), "does not fit"),
        (lambda k: k.EinsumDense("abc,cd->abe", (5, 3))(ROW), "nothing says what"),
        (lambda k: k.EinsumDense("abc,cd->abd", (4, 3))(ROW), "has 5 values in the input"),
        (lambda k: k.ConvLSTM2D(3, 3, padding="causal"), "padding must be"),
        (lambda k: k.ConvLSTM2D(3, 9)(FRAMES), "does not fit"),
        (lambda k: k.ConvLSTM2D(3, 3)(ROW), "expected ndim=5"),
        (lambda k: k.RepeatVector(0), "n must be an integer"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(fk.layers)


def network_model(k: Any) -> Any:
    L = k.layers  # noqa: N806
    i = k.Input((6,), dtype="int32")
    x = L.Embedding(7, 4, mask_zero=True)(i)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True, dropout=0.2))(x)
    x = L.RNN([L.GRUCell(3), L.SimpleRNNCell(4)], return_sequences=True)(x)
    x = L.TimeDistributed(L.Dense(3, activation="tanh"))(x)
    x = L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x)
    x, h = L.GRU(3, return_state=True)(x)
    y = L.Dot(axes=1)([x, h])
    model = k.Model(i, L.Dense(2)(L.Concatenate()([y, x])))
    model.compile(k.optimizers.Adam(1e-2), "mse")
    return model


IDS = np.arange(24).reshape(4, 6) % 7


class TestFiles:
    def test_models(self, keras: Any, tmp_path: Path) -> None:
        own, theirs = network_model(fk), network_model(keras)
        y = data((4, 2))
        own.fit(IDS, y, verbose=0)
        theirs.fit(IDS, y, verbose=0)
        own.save(tmp_path / "own.keras")
        theirs.save(tmp_path / "theirs.keras")
        for ours, file in ((own, "own.keras"), (theirs, "theirs.keras")):
            expected = ours.predict(IDS, verbose=0)
            for k in (fk, keras):
                read = k.models.load_model(tmp_path / file)
                np.testing.assert_allclose(read.predict(IDS, verbose=0), expected, atol=1e-5)

    def test_weights(self, keras: Any, tmp_path: Path) -> None:
        own, theirs = network_model(fk), network_model(keras)
        theirs.save_weights(tmp_path / "a.weights.h5")
        own.load_weights(tmp_path / "a.weights.h5")
        assert_same(own.get_weights(), theirs.get_weights(), 0)
        other = network_model(keras)
        own.save_weights(tmp_path / "b.weights.h5")
        other.load_weights(tmp_path / "b.weights.h5")
        assert_same(other.get_weights(), theirs.get_weights(), 0)


def frames_model(k: Any) -> Any:
    L = k.layers  # noqa: N806
    i = k.Input((3, 6, 6, 2))
    x = L.ConvLSTM2D(3, 3, return_sequences=True, padding="same")(i)
    x = L.TimeDistributed(L.Conv2D(2, 3))(x)
    x = L.Bidirectional(L.ConvLSTM2D(2, 2))(x)
    x = L.RMSNormalization()(L.SpectralNormalization(L.Dense(4))(L.Flatten()(x)))
    made = k.Model(i, L.Dense(2)(x))
    made.compile(k.optimizers.SGD(0.01), "mse")
    return made


def test_files_of_frames(keras: Any, tmp_path: Path) -> None:
    x, y = data((4, 3, 6, 6, 2)), data((4, 2))
    for k, other in ((fk, keras), (keras, fk)):
        made = frames_model(k)
        made.fit(x, y, verbose=0)
        made.save(tmp_path / "m.keras")
        made.save_weights(tmp_path / "m.weights.h5")
        expected = made.predict(x, verbose=0)
        for reader in (k, other):
            read = reader.models.load_model(tmp_path / "m.keras")
            np.testing.assert_allclose(read.predict(x, verbose=0), expected, atol=1e-5)
        fresh = frames_model(other)
        fresh.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_allclose(fresh.predict(x, verbose=0), expected, atol=1e-5)


def test_compiled_steps_with_frames() -> None:
    def train(eagerly: bool) -> list[Any]:
        fk.utils.set_random_seed(1)
        made = frames_model(fk)
        made.compile(fk.optimizers.SGD(0.01), "mse", run_eagerly=eagerly)
        x, y = data((4, 3, 6, 6, 2)), data((4, 2))
        made.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        return made.get_weights()

    assert_same(train(True), train(False), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_steps_are_eager_steps(kind: str) -> None:
    def train(eagerly: bool) -> list[Any]:
        fk.utils.set_random_seed(1)
        layers = [fk.Input((5, 4)), fk.layers.Masking(), getattr(fk.layers, kind)(3)]
        model = fk.Sequential([*layers, fk.layers.Dense(2)])
        model.compile("adam", "mse", run_eagerly=eagerly)
        x = np.where(MASK[..., None], ROW, 0).astype("f")
        model.fit(x, data((3, 2)), epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    assert_same(train(True), train(False), 1e-6)


def test_float64_gradients() -> None:
    """Against differences, where Keras itself is not asked."""
    for kind in KINDS:
        layer = getattr(fk.layers, kind)(2, dtype="float64", return_sequences=True)
        x = as_tensor(ROW[:2, :3, :2]).double().requires_grad_()
        layer.build(x.shape)
        weight = layer.cell.recurrent_kernel
        layer(x).square().sum().backward()
        step, value = 1e-6, weight.numpy()
        for place in ((0, 0), (1, 1)):
            totals = []
            for sign in (1, -1):
                moved = value.copy()
                moved[place] += sign * step
                weight.assign(moved)
                totals.append(float(layer(x).square().sum()))
            weight.assign(value)
            slope = (totals[0] - totals[1]) / (2 * step)
            assert abs(slope - float(weight.grad.numpy()[place])) < 1e-6 * max(1, abs(slope))
