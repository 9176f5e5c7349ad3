"""Every layer against Keras's: values, gradients, states, shapes and configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk

from .compare import check_config, check_layer, check_shapes, data

Case = tuple[str, Callable[[Any], Any], Any]
IMAGE = data((2, 7, 6, 4))
FIRST = data((2, 4, 7, 6))
ROW = data((3, 8, 4))
FLAT = data((5, 6))
PAIR = [data((3, 4), 1), data((3, 4), 2)]

CASES: list[Case] = [
    ("dense", lambda k: k.Dense(3), FLAT),
    ("dense relu no bias", lambda k: k.Dense(3, activation="relu", use_bias=False), FLAT),
    ("dense softmax", lambda k: k.Dense(3, activation="softmax"), FLAT),
    ("dense 3d", lambda k: k.Dense(3), ROW),
    ("conv2d", lambda k: k.Conv2D(5, 3), IMAGE),
    ("conv2d relu", lambda k: k.Conv2D(5, (3, 2), activation="relu"), IMAGE),
    ("conv2d softmax", lambda k: k.Conv2D(5, 3, activation="softmax"), IMAGE),
    ("conv2d same", lambda k: k.Conv2D(5, 3, padding="same"), IMAGE),
    ("conv2d same even kernel", lambda k: k.Conv2D(5, (2, 4), padding="same"), IMAGE),
    ("conv2d same stride", lambda k: k.Conv2D(5, 3, strides=2, padding="same"), IMAGE),
    ("conv2d same stride 3", lambda k: k.Conv2D(5, 3, strides=(3, 2), padding="same"), IMAGE),
    ("conv2d dilated", lambda k: k.Conv2D(5, 3, dilation_rate=2), IMAGE),
    ("conv2d same dilated", lambda k: k.Conv2D(5, 3, dilation_rate=(2, 1), padding="same"), IMAGE),
    ("conv2d groups", lambda k: k.Conv2D(6, 3, groups=2), IMAGE),
    ("conv2d first", lambda k: k.Conv2D(5, 3, data_format="channels_first"), FIRST),
    ("conv1d", lambda k: k.Conv1D(5, 3), ROW),
    ("conv1d same stride", lambda k: k.Conv1D(5, 3, strides=2, padding="same"), ROW),
    ("conv1d causal", lambda k: k.Conv1D(5, 3, padding="causal"), ROW),
    ("conv1d causal dilated", lambda k: k.Conv1D(5, 3, padding="causal", dilation_rate=2), ROW),
    ("depthwise", lambda k: k.DepthwiseConv2D(3), IMAGE),
    ("depthwise 2", lambda k: k.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), IMAGE),
    ("depthwise stride", lambda k: k.DepthwiseConv2D(3, strides=2, padding="same"), IMAGE),
    ("separable", lambda k: k.SeparableConv2D(5, 3), IMAGE),
    ("separable 2", lambda k: k.SeparableConv2D(5, 3, padding="same", depth_multiplier=2), IMAGE),
    ("transpose", lambda k: k.Conv2DTranspose(5, 3), IMAGE),
    ("transpose stride", lambda k: k.Conv2DTranspose(5, 3, strides=2), IMAGE),
    ("transpose same", lambda k: k.Conv2DTranspose(5, 3, strides=2, padding="same"), IMAGE),
    ("transpose same even", lambda k: k.Conv2DTranspose(5, 4, strides=2, padding="same"), IMAGE),
    ("transpose stride > kernel", lambda k: k.Conv2DTranspose(5, 2, strides=3), IMAGE),
    (
        "transpose output padding",
        lambda k: k.Conv2DTranspose(5, 3, strides=2, padding="same", output_padding=1),
        IMAGE,
    ),
    (
        "transpose valid output padding",
        lambda k: k.Conv2DTranspose(5, 3, strides=2, output_padding=1),
        IMAGE,
    ),
    ("max pool", lambda k: k.MaxPooling2D(), IMAGE),
    ("max pool 3 stride 2", lambda k: k.MaxPooling2D(3, 2), IMAGE),
    ("max pool same", lambda k: k.MaxPooling2D(3, 2, padding="same"), IMAGE),
    ("max pool first", lambda k: k.MaxPooling2D(2, data_format="channels_first"), FIRST),
    ("max pool 1d", lambda k: k.MaxPooling1D(), ROW),
    ("max pool 1d same", lambda k: k.MaxPooling1D(3, 2, padding="same"), ROW),
    ("average pool", lambda k: k.AveragePooling2D(2), IMAGE),
    ("average pool same", lambda k: k.AveragePooling2D(3, 1, padding="same"), IMAGE),
    ("global average", lambda k: k.GlobalAveragePooling2D(), IMAGE),
    ("global average kept", lambda k: k.GlobalAveragePooling2D(keepdims=True), IMAGE),
    ("global max", lambda k: k.GlobalMaxPooling2D(), IMAGE),
    ("global max first", lambda k: k.GlobalMaxPooling2D(data_format="channels_first"), FIRST),
    ("flatten", lambda k: k.Flatten(), IMAGE),
    ("flatten first", lambda k: k.Flatten(data_format="channels_first"), FIRST),
    ("flatten flat", lambda k: k.Flatten(), FLAT),
    ("reshape", lambda k: k.Reshape((-1, 2)), IMAGE),
    ("permute", lambda k: k.Permute((2, 3, 1)), IMAGE),
    ("batch norm", lambda k: k.BatchNormalization(), IMAGE),
    ("batch norm flat", lambda k: k.BatchNormalization(), FLAT),
    ("batch norm axis", lambda k: k.BatchNormalization(axis=1), FIRST),
    ("batch norm plain", lambda k: k.BatchNormalization(center=False, scale=False), IMAGE),
    ("layer norm", lambda k: k.LayerNormalization(), IMAGE),
    ("layer norm axes", lambda k: k.LayerNormalization(axis=[-2, -1]), IMAGE),
    ("group norm", lambda k: k.GroupNormalization(groups=2), IMAGE),
    ("group norm -1", lambda k: k.GroupNormalization(groups=-1), IMAGE),
    ("activation", lambda k: k.Activation("tanh"), FLAT),
    ("relu", lambda k: k.ReLU(), FLAT),
    ("relu capped", lambda k: k.ReLU(max_value=0.8, negative_slope=0.1, threshold=0.2), FLAT),
    ("relu6", lambda k: k.ReLU(max_value=6), FLAT * 5),
    ("leaky relu", lambda k: k.LeakyReLU(), FLAT),
    ("prelu", lambda k: k.PReLU(), FLAT),
    ("prelu shared", lambda k: k.PReLU(shared_axes=[1, 2]), IMAGE),
    ("elu", lambda k: k.ELU(0.7), FLAT),
    ("softmax", lambda k: k.Softmax(), FLAT),
    ("softmax axis", lambda k: k.Softmax(axis=1), IMAGE),
    ("softmax axes", lambda k: k.Softmax(axis=(1, 2)), IMAGE),
    ("add", lambda k: k.Add(), PAIR),
    ("subtract", lambda k: k.Subtract(), PAIR),
    ("multiply", lambda k: k.Multiply(), PAIR),
    ("average", lambda k: k.Average(), PAIR),
    ("maximum", lambda k: k.Maximum(), PAIR),
    ("minimum", lambda k: k.Minimum(), PAIR),
    ("concatenate", lambda k: k.Concatenate(), PAIR),
    ("concatenate axis", lambda k: k.Concatenate(axis=1), [IMAGE, IMAGE[:, :3]]),
    ("zero padding", lambda k: k.ZeroPadding2D(), IMAGE),
    ("zero padding uneven", lambda k: k.ZeroPadding2D(((1, 0), (2, 3))), IMAGE),
    ("cropping", lambda k: k.Cropping2D(((1, 0), (2, 1))), IMAGE),
    ("cropping first", lambda k: k.Cropping2D(1, data_format="channels_first"), FIRST),
    ("upsampling", lambda k: k.UpSampling2D((2, 3)), IMAGE),
    ("upsampling bilinear", lambda k: k.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    ("embedding", lambda k: k.Embedding(10, 3), np.array([[1, 2], [9, 0]])),
    ("rescaling", lambda k: k.Rescaling(1 / 255, -1.0), IMAGE),
    ("rescaling vector", lambda k: k.Rescaling([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]), IMAGE),
    ("normalization", lambda k: k.Normalization(mean=[1.0] * 4, variance=[2.0] * 4), IMAGE),
    ("normalization all", lambda k: k.Normalization(axis=None, mean=1.0, variance=4.0), IMAGE),
    ("normalization back", lambda k: k.Normalization(mean=1.0, variance=2.0, invert=True), IMAGE),
    ("lambda", lambda k: k.Lambda(lambda x: x * 2 + 1), FLAT),
    ("identity", lambda k: k.Identity(), FLAT),
    ("dropout in inference", lambda k: k.Dropout(0.5), FLAT),
    ("spatial dropout in inference", lambda k: k.SpatialDropout2D(0.5), IMAGE),
    ("rms norm", lambda k: k.RMSNormalization(), IMAGE),
    ("rms norm axes", lambda k: k.RMSNormalization(axis=[2, 3], epsilon=1e-3), IMAGE),
    ("unit norm", lambda k: k.UnitNormalization(), IMAGE),
    ("unit norm axes", lambda k: k.UnitNormalization(axis=[1, 3]), IMAGE),
    ("activity", lambda k: k.ActivityRegularization(l1=0.1, l2=0.2), FLAT),
    ("alpha dropout in inference", lambda k: k.AlphaDropout(0.5), FLAT),
    ("gaussian dropout in inference", lambda k: k.GaussianDropout(0.5), FLAT),
    ("spatial dropout of rows", lambda k: k.SpatialDropout1D(0.5), ROW),
    ("spatial dropout of volumes", lambda k: k.SpatialDropout3D(0.5), data((2, 3, 3, 3, 4))),
    ("spectral", lambda k: k.SpectralNormalization(k.Conv2D(5, 3)), IMAGE),
    ("reversible", lambda k: k.ReversibleEmbedding(10, 3, False), np.array([[1, 2], [9, 0]])),
    ("noise in inference", lambda k: k.GaussianNoise(0.5), FLAT),
]
TRAINED = [c for c in CASES if "batch norm" in c[0]]


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_values_and_gradients(keras: Any, make: Any, inputs: Any) -> None:
    check_layer(keras, make, inputs)


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in TRAINED], ids=[c[0] for c in TRAINED])
def test_batch_normalization_in_training(keras: Any, make: Any, inputs: Any) -> None:
    own, theirs = check_layer(keras, make, inputs, training=True)
    check_layer(keras, lambda k: own if k is fk.layers else theirs, inputs)


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_output_shapes(keras: Any, make: Any, inputs: Any) -> None:
    check_shapes(keras, make, inputs)


@pytest.mark.parametrize("make", [c[1] for c in CASES], ids=[c[0] for c in CASES])
def test_configurations(keras: Any, make: Any) -> None:
    if type(make(fk.layers)).__name__ == "Lambda":
        pytest.skip("a lambda is not written down")
    check_config(keras, make)


@pytest.mark.parametrize("float_type", ["float64", "bfloat16"])
def test_dtypes(float_type: str) -> None:
    layer = fk.layers.Conv2D(3, 3, dtype=float_type)
    out = layer(IMAGE)
    assert out.dtype.name == layer.kernel.dtype.name == float_type


class TestDropout:
    def test_statistics(self) -> None:
        layer = fk.layers.Dropout(0.25, seed=1)
        x = np.ones((100, 200), np.float32)
        y = layer(x, training=True).numpy()
        assert abs((y == 0).mean() - 0.25) < 0.01
        np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-6)

    def test_seed(self) -> None:
        x = np.ones((4, 50), np.float32)
        a, b = (fk.layers.Dropout(0.5, seed=3)(x, training=True).numpy() for _ in range(2))
        assert (a == b).all()
        layer = fk.layers.Dropout(0.5, seed=3)
        assert (layer(x, training=True).numpy() != layer(x, training=True).numpy()).any()

    def test_noise_shape(self) -> None:
        y = fk.layers.Dropout(0.5, noise_shape=(None, 1))(
            np.ones((50, 6), np.float32), training=True
        )
        rows = y.numpy()
        assert ((rows == rows[:, :1]).all(1)).all()

    def test_spatial(self) -> None:
        y = fk.layers.SpatialDropout2D(0.5)(
            np.ones((8, 3, 3, 10), np.float32), training=True
        ).numpy()
        assert (y == y[:, :1, :1]).all() and 0 < (y == 0).mean() < 1

    @pytest.mark.parametrize("rank", [1, 3])
    def test_spatial_ranks(self, rank: int) -> None:
        x = np.ones((8, *(3,) * rank, 10), np.float32)
        y = getattr(fk.layers, f"SpatialDropout{rank}D")(0.5)(x, training=True).numpy()
        first = (slice(None), *(slice(1),) * rank)
        assert (y == y[first]).all() and 0 < (y == 0).mean() < 1
        if rank == 3:
            layer = fk.layers.SpatialDropout3D(0.5, data_format="channels_first")
            y = layer(np.ones((8, 10, 3, 3, 3), np.float32), training=True).numpy()
            assert (y == y[:, :, :1, :1, :1]).all() and 0 < (y == 0).mean() < 1

    @pytest.mark.parametrize("rate", [0.1, 0.5])
    def test_alpha(self, rate: float) -> None:
        x = data((400, 400))
        selu = fk.activations.selu(fk.ops.convert_to_tensor(x))
        y = fk.layers.AlphaDropout(rate, seed=2)(selu, training=True).numpy()
        assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
        assert abs((y == y.min()).mean() - rate) < 0.01
        rows = fk.layers.AlphaDropout(rate, noise_shape=(None, 1))(x * 0, training=True).numpy()
        assert ((rows == rows[:, :1]).all(1)).all() and (rows != rows[0]).any()

    def test_gaussian(self) -> None:
        layer = fk.layers.GaussianDropout(0.2, seed=1)
        y = layer(np.full((300, 300), 3.0, np.float32), training=True).numpy()
        assert abs(y.mean() - 3) < 0.02 and abs(y.std() - 1.5) < 0.02
        with pytest.raises(ValueError, match="rate must lie"):
            fk.layers.GaussianDropout(1.0)

    def test_noise(self) -> None:
        y = fk.layers.GaussianNoise(2.0)(np.zeros((100, 100), np.float32), training=True).numpy()
        assert abs(y.std() - 2.0) < 0.05 and abs(y.mean()) < 0.1

    @pytest.mark.parametrize("rate", [-0.1, 1.5])
    def test_bad_rate(self, rate: float) -> None:
        with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\]"):
            fk.layers.Dropout(rate)


@pytest.mark.parametrize("axis", [1, (1, 2), [2]])
def test_layer_normalization_of_inner_axes(axis: Any) -> None:
    """Keras on PyTorch only does the last dimensions; the meaning is NumPy's."""
    layer = fk.layers.LayerNormalization(axis=axis, epsilon=1e-3)
    layer.build(IMAGE.shape)
    dims = (axis,) if isinstance(axis, int) else tuple(axis)
    sizes = [IMAGE.shape[d] if d in dims else 1 for d in range(4)]
    gamma = data(layer.gamma.shape, 4)
    layer.gamma.assign(gamma)
    mean, var = IMAGE.mean(dims, keepdims=True), IMAGE.var(dims, keepdims=True)
    expected = (IMAGE - mean) / np.sqrt(var + 1e-3) * gamma.reshape(sizes)
    np.testing.assert_allclose(layer(IMAGE).detach().numpy(), expected, atol=1e-5)


def test_normalization_adapts(keras: Any) -> None:
    x = data((50, 3)) * 4 + 2
    own, theirs = fk.layers.Normalization(), keras.layers.Normalization()
    own.adapt(x)
    theirs.adapt(x)
    np.testing.assert_allclose(own(x).numpy(), theirs(x).detach().numpy(), atol=1e-5)


def test_frozen_batch_normalization_is_in_inference(keras: Any) -> None:
    def make(k: Any) -> Any:
        layer = k.BatchNormalization()
        layer.trainable = False
        return layer

    own, _ = check_layer(keras, make, IMAGE, training=True)
    assert own.trainable_weights == [] and len(own.non_trainable_weights) == 4


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda k: k.SpectralNormalization(k.Dense(3), 3), FLAT),
        (lambda k: k.SpectralNormalization(k.Conv2D(5, 3, use_bias=False)), IMAGE),
        (lambda k: k.SpectralNormalization(k.Embedding(10, 3)), np.array([[1, 2], [9, 0]])),
    ],
)
def test_spectral_normalization_in_training(keras: Any, make: Any, inputs: Any) -> None:
    own, theirs = make(fk.layers), make(keras.layers)
    own.build(inputs.shape)
    theirs.build(inputs.shape)
    theirs.set_weights([data(w.shape, i) for i, w in enumerate(theirs.get_weights())])
    own.set_weights(theirs.get_weights())
    for _ in range(3):
        found, expected = own(inputs, training=True), theirs(inputs, training=True)
        if inputs.dtype.kind == "f":  # Keras makes integers of rows
            np.testing.assert_allclose(
                found.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5
            )
        for a, b in zip(own.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    kernel = own.get_weights()[0].reshape(-1, own.kernel.shape[-1])
    for _ in range(50):
        own(inputs, training=True)
    kernel = own.get_weights()[0].reshape(-1, own.kernel.shape[-1])
    assert abs(np.linalg.svd(kernel)[1][0] - 1) < 1e-3
    own.kernel.assign(own.kernel * 0)
    own(inputs, training=True)
    assert (own.get_weights()[0] == 0).all()


def test_spectral_normalization_needs_a_kernel() -> None:
    with pytest.raises(ValueError, match="neither a kernel nor embeddings"):
        fk.layers.SpectralNormalization(fk.layers.ReLU()).build((None, 3))


def test_activity_regularization(keras: Any) -> None:
    own, theirs = (k.layers.ActivityRegularization(0.1, 0.2) for k in (fk, keras))
    own(FLAT)
    theirs(FLAT)
    assert abs(float(own.losses[0]) - float(theirs.losses[0])) < 1e-5


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cap", [None, 2.0])
def test_reversible_embedding(keras: Any, tied: bool, cap: float | None) -> None:
    ids, features = np.array([[1, 2, 0], [9, 0, 4]]), data((2, 3, 4))
    own, theirs = (
        k.layers.ReversibleEmbedding(10, 4, tied, mask_zero=True, logit_soft_cap=cap)
        for k in (fk, keras)
    )
    own.build((None, 3))
    theirs.build((None, 3))
    own.set_weights(theirs.get_weights())
    rows = own(ids)
    np.testing.assert_allclose(rows.detach().numpy(), theirs(ids).detach().numpy(), atol=1e-6)
    assert (rows._keras_mask.numpy() == (ids != 0)).all()
    found, expected = own(features, reverse=True), theirs(features, reverse=True)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-5)
    i = fk.Input((3,), dtype="int32")
    model = fk.Model(i, own(own(i), reverse=True))
    assert model.output_shape == (None, 3, 10) and model(ids).shape == (2, 3, 10)
    twin = fk.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(ids).detach().numpy(), model(ids).detach().numpy())


class TestPipeline:
    def make(self, k: Any) -> Any:
        layers = [k.Rescaling(2.0), k.Rescaling(0.5, 1.0), k.GaussianNoise(0.1)]
        return k.Pipeline(layers)

    def test_is_in_training(self, keras: Any) -> None:
        own, theirs = self.make(fk.layers), self.make(keras.layers)
        quiet = own(FLAT, training=False).numpy()
        np.testing.assert_allclose(quiet, theirs(FLAT, training=False).numpy(), atol=1e-5)
        noise = own(FLAT).numpy() - quiet
        assert 0.05 < noise.std() < 0.2
        assert [type(a).__name__ for a in own.layers] == [type(b).__name__ for b in theirs.layers]

    def test_configuration(self, keras: Any) -> None:
        own, theirs = self.make(fk.layers), self.make(keras.layers)
        config = own.get_config()
        assert set(config) == set(theirs.get_config())
        twin = fk.layers.Pipeline.from_config(config)
        assert len(twin.layers) == 3 and twin.name == own.name
        assert len(keras.layers.Pipeline.from_config(config).layers) == 3

    def test_in_models(self) -> None:
        inner = fk.layers.Pipeline([fk.layers.Flatten(), fk.layers.Dense(3)])
        model = fk.Sequential([fk.Input((4, 2)), inner, fk.layers.Dense(1)])
        assert model.output_shape == (None, 1) and len(model.trainable_weights) == 4
        model.compile("sgd", "mse")
        before = model.get_weights()[0].copy()
        model.fit(data((6, 4, 2)), data((6, 1)), verbose=0)
        assert not np.array_equal(before, model.get_weights()[0])

    def test_needs_layers(self) -> None:
        with pytest.raises(ValueError, match="a list of layers"):
            fk.layers.Pipeline([abs])


def test_integers_become_floats() -> None:
    pixels = np.full((1, 4, 4, 1), 255, np.uint8)
    assert fk.layers.Rescaling(1 / 255)(pixels).numpy().max() == 1.0
    assert fk.layers.Conv2D(2, 3)(pixels).dtype.name == "float32"


def test_float64_input_is_cast() -> None:
    assert fk.layers.Dense(2)(np.ones((1, 3))).dtype.name == "float32"


def test_kernels_lie_as_the_op_wants_them() -> None:
    layer = fk.layers.Conv2D(8, 3)
    layer.build((None, 5, 5, 4))
    assert layer.kernel.shape == (3, 3, 4, 8)
    assert layer.kernel.permute(3, 2, 0, 1).is_contiguous()


def test_each_call_forgets_the_losses_of_the_one_before() -> None:
    """As loops of one's own rely on: ``loss + sum(model.losses)``."""
    keras = pytest.importorskip("keras")
    counts: list[list[int]] = []
    for k in (fk, keras):

        class Penalty(k.layers.Layer):  # type: ignore[name-defined,misc]
            def call(self, x: Any) -> Any:
                self.add_loss((x * x).mean())
                return x

        inner = k.Sequential([k.Input((3,)), k.layers.Dense(3, kernel_regularizer="l2"), Penalty()])
        model = k.Sequential([k.Input((3,)), inner, Penalty()])
        alone, x = Penalty(), np.ones((2, 3), "float32")
        found = []
        for called in (model, model, inner, model, alone, alone):
            called(x, training=True) if called is not alone else called(k.ops.convert_to_tensor(x))
            found += [len(model.losses), len(inner.losses), len(alone.losses)]
        model.compile("sgd", "mse")
        model.fit(x, x, verbose=0)
        model.evaluate(x, x, verbose=0)
        model(x)
        counts.append([*found, len(model.losses)])
    assert counts[0] == counts[1]
