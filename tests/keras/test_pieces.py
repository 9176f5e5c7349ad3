"""Activations, initializers, regularizers, constraints, configuration and utilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk

from .compare import data

X = np.concatenate([data((6, 8)) * 3, np.array([[-8, -2, -1, -0.5, 0, 0.5, 1, 8]], "f")])
ACTIVATIONS = [
    *((n, {}) for n in ["linear", "relu", "relu6", "softmax", "log_softmax", "elu", "selu", "celu", "gelu", "sigmoid", "tanh", "exponential", "softplus", "softsign", "silu", "swish", "mish", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink", "log_sigmoid", "squareplus", "sparse_plus", "sparse_sigmoid", "leaky_relu", "glu"]),
    ("relu", {"negative_slope": 0.2}),
    ("relu", {"max_value": 2.0}),
    ("relu", {"negative_slope": 0.2, "max_value": 2.0, "threshold": 0.5}),
    ("relu", {"threshold": 0.5}),
    ("elu", {"alpha": 0.3}),
    ("gelu", {"approximate": True}),
    ("softmax", {"axis": 0}),
    ("leaky_relu", {"negative_slope": 0.05}),
    ("threshold", {"threshold": 0.3, "default_value": -1.0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS)
def test_activations(keras: Any, name: str, options: dict[str, Any]) -> None:
    import torch

    ours, theirs = fovea.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    out = getattr(fk.activations, name)(ours, **options)
    expected = getattr(keras.activations, name)(theirs, **options)
    np.testing.assert_allclose(
        out.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5
    )
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    grad = theirs.grad.numpy()
    kink = np.isin(np.abs(X), (0, 1, 0.5)) if name not in ("softmax", "log_softmax") else False
    scale = max(1.0, float(np.abs(grad).max()))
    np.testing.assert_allclose(
        np.where(kink, 0, ours.grad.numpy()), np.where(kink, 0, grad), rtol=1e-4, atol=1e-5 * scale
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sparsemax_is_the_nearest_point_of_the_simplex(axis: int) -> None:
    """By definition: Keras 3.15 adds up too much wherever two classes or more keep a share."""
    x = fovea.tensor(X, requires_grad=True)
    found = fk.activations.sparsemax(x, axis=axis)
    low, high = X.max(axis, keepdims=True) - 1.0, X.max(axis, keepdims=True)
    for _ in range(60):  # the threshold that leaves a sum of one, by bisection
        middle = (low + high) / 2
        too_much = np.maximum(X - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(too_much, middle, low), np.where(too_much, high, middle)
    kept = np.maximum(X - low, 0)
    np.testing.assert_allclose(found.detach().numpy(), kept, rtol=1e-5, atol=1e-5)
    g = data(X.shape, 1)
    (found * fovea.tensor(g)).sum().backward()
    inside = kept > 0
    mean = (g * inside).sum(axis, keepdims=True) / inside.sum(axis, keepdims=True)
    np.testing.assert_allclose(x.grad.numpy(), inside * (g - mean), rtol=1e-4, atol=1e-5)


def test_activation_names(keras: Any) -> None:
    for name in ("relu", "gelu", "swish", "linear"):
        assert fk.activations.serialize(fk.activations.get(name)) == keras.activations.serialize(
            keras.activations.get(name)
        )
        assert fk.activations.deserialize(name) is fk.activations.get(name)
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        fk.activations.get("sofmax")


SHAPES = [(300, 200), (3, 3, 40, 60)]
RANDOM = [
    ("GlorotUniform", {}),
    ("GlorotNormal", {}),
    ("HeUniform", {}),
    ("HeNormal", {}),
    ("LecunUniform", {}),
    ("LecunNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 2.0}),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}),
    ("TruncatedNormal", {"stddev": 0.5}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "uniform"}),
    ("Orthogonal", {"gain": 2.0}),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options"), RANDOM)
def test_random_initializers(keras: Any, name: str, options: dict[str, Any], shape: Any) -> None:
    """The same distribution: mean, deviation, and largest values."""
    own = getattr(fk.initializers, name)(seed=1, **options)
    theirs = getattr(keras.initializers, name)(seed=1, **options)
    a, b = own(shape).numpy(), theirs(shape).detach().numpy()
    assert a.shape == shape and a.dtype == np.float32
    assert abs(a.mean() - b.mean()) < 0.03 * b.std() + 1e-3
    assert a.std() == pytest.approx(b.std(), rel=0.02)
    if "Normal" not in name or "Truncated" in name:
        assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.15)
    assert own.get_config() == theirs.get_config()
    np.testing.assert_array_equal(a, own(shape).numpy())  # one seed, the same numbers


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("Zeros", {}, (2, 3)),
        ("Ones", {}, (2, 3)),
        ("Constant", {"value": 2.5}, (3,)),
        ("Identity", {"gain": 2.0}, (3, 4)),
    ],
)
def test_fixed_initializers(keras: Any, name: str, options: Any, shape: Any) -> None:
    own, theirs = (
        getattr(fk.initializers, name)(**options),
        getattr(keras.initializers, name)(**options),
    )
    np.testing.assert_array_equal(own(shape).numpy(), theirs(shape).detach().numpy())
    twin = fk.initializers.deserialize(fk.initializers.serialize(own))
    assert type(twin) is type(own) and twin.get_config() == own.get_config()


def test_orthogonal_is_orthogonal() -> None:
    for shape in ((6, 4), (4, 6), (2, 3, 4)):
        q = fk.initializers.Orthogonal()(shape).numpy().reshape(-1, shape[-1])
        product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


def test_truncated_normal_stays_within_two_deviations() -> None:
    values = fk.initializers.TruncatedNormal(1.0, 0.5)((10_000,)).numpy()
    assert np.abs(values - 1.0).max() <= 1.0


def test_initializers_follow_the_seed() -> None:
    found = []
    for seed in (1, 1, 2):
        fk.utils.set_random_seed(seed)
        found.append(fk.layers.Dense(3)(np.ones((1, 4), "f")).detach().numpy())
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()
    fovea.manual_seed(5)
    first = fk.initializers.get("glorot_uniform")((3, 3)).numpy()
    fovea.manual_seed(5)
    np.testing.assert_array_equal(first, fk.initializers.get("glorot_uniform")((3, 3)).numpy())


def test_two_layers_do_not_share_numbers() -> None:
    initializer = fk.initializers.GlorotUniform()
    a, b = (fk.layers.Dense(3, kernel_initializer=initializer) for _ in range(2))
    a(np.ones((1, 4), "f")), b(np.ones((1, 4), "f"))
    assert (a.kernel.numpy() != b.kernel.numpy()).any()


def test_fans(keras: Any) -> None:
    theirs = keras.src.initializers.random_initializers.compute_fans
    for shape in ((), (3,), (3, 4), (5, 3, 4), (3, 3, 8, 16)):
        assert fk.initializers.compute_fans(shape) == tuple(theirs(shape))


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.regularizers.L1(0.1),
        lambda k: k.regularizers.L2(0.2),
        lambda k: k.regularizers.L1L2(0.1, 0.3),
        lambda k: k.regularizers.OrthogonalRegularizer(0.5),
        lambda k: k.regularizers.OrthogonalRegularizer(0.5, mode="columns"),
        lambda k: k.regularizers.get("l2"),
        lambda k: k.regularizers.get("L1L2"),
    ],
)
def test_regularizers(keras: Any, make: Any) -> None:
    import torch

    w = data((5, 4))
    own, theirs = make(fk), make(keras)
    ours, torchs = fovea.tensor(w, requires_grad=True), torch.tensor(w, requires_grad=True)
    out, expected = own(ours), theirs(torchs)
    assert out.item() == pytest.approx(expected.item(), rel=1e-4)
    if out.requires_grad:
        out.backward()
        expected.backward()
        np.testing.assert_allclose(ours.grad.numpy(), torchs.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert own.get_config() == pytest.approx(theirs.get_config())
    twin = fk.regularizers.deserialize(fk.regularizers.serialize(own))
    assert float(twin(ours)) == float(out)


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.constraints.MaxNorm(1.0),
        lambda k: k.constraints.MaxNorm(0.5, axis=[0, 1]),
        lambda k: k.constraints.NonNeg(),
        lambda k: k.constraints.UnitNorm(axis=1),
        lambda k: k.constraints.MinMaxNorm(0.5, 1.0, rate=0.7),
    ],
)
def test_constraints(keras: Any, make: Any) -> None:
    w = data((5, 4))
    own, theirs = make(fk), make(keras)
    np.testing.assert_allclose(own(fovea.tensor(w)).numpy(), theirs(w).detach().numpy(), rtol=1e-5)
    assert own.get_config() == theirs.get_config()


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_bad_factors(bad: float) -> None:
    with pytest.raises(ValueError, match="factor"):
        fk.regularizers.L2(bad)


def test_variables_take_lists_and_arrays(keras: Any) -> None:
    for k in (fk, keras):
        v = k.Variable(np.arange(3, dtype="f"))
        v.assign([3.0, 4.0, 5.0])
        v.assign_add([1, 1, 1])
        v.assign_sub(np.array([0.5, 0.0, 1.0]))
        v.assign_add(2)
        assert np.asarray(k.ops.convert_to_numpy(v)).tolist() == [5.5, 7.0, 7.0]


def test_older_names(keras: Any) -> None:
    """Those that ``tensorflow.keras`` has beside Keras 3's."""
    for module in (fk.losses, fk.metrics):
        for short, name in {
            "mse": "mean_squared_error", "MAE": "mean_absolute_error", "logcosh": "log_cosh",
            "mape": "mean_absolute_percentage_error", "kullback_leibler_divergence": "kl_divergence",
            "MSLE": "mean_squared_logarithmic_error", "KLD": "kl_divergence",
        }.items():  # fmt: skip
            assert getattr(module, short) is getattr(fk.losses, name)
    each = fk.losses.MeanSquaredError(reduction=fk.losses.Reduction.NONE)
    assert each([[0.0], [2.0]], [[1.0], [0.0]]).tolist() == [1.0, 4.0]
    x = data((3, 4))
    layer = fk.layers.ThresholdedReLU(theta=0.4)
    np.testing.assert_array_equal(layer(x), np.where(x > 0.4, x, 0))
    assert type(layer).from_config(layer.get_config()).theta == 0.4
    with pytest.raises(ValueError, match="theta"):
        fk.layers.ThresholdedReLU(theta=-1)


class TestConfig:
    def test_names_of_the_package(self, keras: Any) -> None:
        assert fk.version() == fk.__version__ and fk.version().split(".")[0] == "3"
        assert fk.Initializer is fk.initializers.Initializer
        assert fk.Regularizer is fk.regularizers.Regularizer
        with fk.device("cpu:0"):
            assert str(fk.ops.ones(2).device) == "cpu"
        with pytest.raises(fovea.errors.DeviceError), fk.device("gpu"):
            pass
        assert keras.config.is_traceback_filtering_enabled()
        fk.config.disable_traceback_filtering()
        assert not fk.config.is_traceback_filtering_enabled()
        fk.config.enable_traceback_filtering()
        assert fk.config.is_traceback_filtering_enabled()

    def test_layers_as_data(self, keras: Any) -> None:
        layer = fk.layers.Conv2D(3, 2, name="conv")
        described = fk.layers.serialize(layer)
        assert sorted(described) == sorted(keras.layers.serialize(keras.layers.Dense(1)))
        assert fk.layers.deserialize(described).get_config() == layer.get_config()
        assert keras.layers.deserialize(described).name == "conv"
        with pytest.raises(ValueError, match="no layer"):
            fk.layers.deserialize(fk.losses.serialize(fk.losses.Huber()))

    def test_values(self) -> None:
        assert (fk.config.floatx(), fk.config.epsilon()) == ("float32", 1e-7)
        assert fk.config.image_data_format() == "channels_last"

    def test_floatx(self) -> None:
        fk.config.set_floatx("float64")
        try:
            assert fk.layers.Dense(2)(np.ones((1, 3), "f")).dtype.name == "float64"
        finally:
            fk.config.set_floatx("float32")
        with pytest.raises(ValueError, match="unknown float type"):
            fk.config.set_floatx("float8")

    def test_epsilon(self) -> None:
        fk.config.set_epsilon(1e-3)
        try:
            loss = fk.losses.binary_crossentropy([[1.0]], [[0.0]])
            assert float(loss) == pytest.approx(-math.log(1e-3), rel=1e-4)
        finally:
            fk.config.set_epsilon(1e-7)

    def test_image_data_format(self) -> None:
        fk.config.set_image_data_format("channels_first")
        try:
            assert fk.layers.Conv2D(2, 3)(np.ones((1, 3, 8, 8), "f")).shape == (1, 2, 6, 6)
        finally:
            fk.config.set_image_data_format("channels_last")


class TestUtils:
    @pytest.mark.parametrize("labels", [[0, 2, 1], [[0], [3]], [[0, 1], [2, 0]], []])
    def test_to_categorical(self, keras: Any, labels: Any) -> None:
        own = fk.utils.to_categorical(np.array(labels, dtype=int), 4)
        expected = keras.utils.to_categorical(np.array(labels, dtype=int), 4)
        np.testing.assert_array_equal(own, expected)
        assert own.shape == expected.shape

    def test_to_categorical_of_tensors(self) -> None:
        assert fovea.is_tensor(fk.utils.to_categorical(fovea.tensor([0, 1])))

    @pytest.mark.parametrize("label", [-1, 3])
    def test_bad_labels(self, label: int) -> None:
        with pytest.raises(ValueError, match=f"label {label} is outside"):
            fk.utils.to_categorical([label], 3)

    def test_seed(self) -> None:
        values = []
        for _ in range(2):
            fk.utils.set_random_seed(3)
            values.append((np.random.rand(), float(fovea.rand(1))))
        assert values[0] == values[1]
        with pytest.raises(ValueError, match="must be an integer"):
            fk.utils.set_random_seed("x")  # type: ignore[arg-type]

    def test_names(self, keras: Any) -> None:
        names = ["MaxPooling2D", "Conv2DTranspose", "ReLU", "PReLU", "ELU", "LSTMCell", "MyNet2b"]
        theirs = keras.src.utils.naming.to_snake_case
        for name in names:
            assert fk.naming.snake_case(name) == theirs(name)  # type: ignore[attr-defined]

    def test_packing(self) -> None:
        pack, unpack = fk.utils.pack_x_y_sample_weight, fk.utils.unpack_x_y_sample_weight
        assert unpack(pack(1, 2, 3)) == (1, 2, 3)
        assert unpack(pack(1)) == (1, None, None)
        with pytest.raises(ValueError, match="a tuple of 4"):
            unpack((1, 2, 3, 4))

    def test_normalize(self, keras: Any) -> None:
        x = data((3, 4))
        np.testing.assert_allclose(fk.utils.normalize(x), keras.utils.normalize(x), rtol=1e-6)
