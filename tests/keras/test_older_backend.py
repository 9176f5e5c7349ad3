"""``K.sum`` and its kin: the functions of Keras's older backend, beside NumPy and ``keras.ops``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.keras import backend as K

from .compare import data

X, Y = data((3, 4)), data((3, 4), 1)
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
ONE_HOT = np.eye(4, dtype="f")[[0, 3, 1]]
IMAGES = data((2, 6, 8, 3), 2)

# What K gives, and what it should be.
CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "sum": (lambda: K.sum(X, axis=-1, keepdims=True), X.sum(-1, keepdims=True)),
    "sum of all": (lambda: K.sum(X), X.sum()),
    "mean": (lambda: K.mean(X, axis=[0, 1]), X.mean()),
    "mean of booleans": (lambda: K.mean(K.equal([1, 2, 3, 4], [1, 0, 3, 4])), 0.75),
    "var": (lambda: K.var(X, axis=0), X.var(0)),
    "std": (lambda: K.std(X, axis=1), X.std(1)),
    "prod": (lambda: K.prod(X, axis=0), X.prod(0)),
    "max": (lambda: K.max(X, axis=1), X.max(1)),
    "min": (lambda: K.min(X), X.min()),
    "any": (lambda: K.any(X > 1, axis=0), (X > 1).any(0)),
    "all": (lambda: K.all(X > -1, axis=1), (X > -1).all(1)),
    "argmax": (lambda: K.argmax(X), X.argmax(-1)),
    "argmin": (lambda: K.argmin(X, axis=0), X.argmin(0)),
    "cumsum": (lambda: K.cumsum(X), X.cumsum(0)),
    "cumprod": (lambda: K.cumprod(X, axis=1), X.cumprod(1)),
    "sqrt": (lambda: K.sqrt([-4.0, 9.0]), [0.0, 3.0]),
    "clip": (lambda: K.clip(X, None, 0.5), np.minimum(X, 0.5)),
    "clip that crosses": (lambda: K.clip(X, 0.5, 0.0), np.full_like(X, 0.5)),
    "pow": (lambda: K.pow(K.abs(X), 1.5), np.abs(X) ** 1.5),
    "square": (lambda: K.square(X), X * X),
    "elementwise": (lambda: K.exp(K.sin(X)) + K.cos(X) * K.sign(X), np.exp(np.sin(X)) + np.cos(X) * np.sign(X)),
    "round": (lambda: K.round(X * 3), np.round(X * 3)),
    "maximum": (lambda: K.maximum(X, Y) - K.minimum(X, Y), np.abs(X - Y)),
    "comparisons": (
        lambda: K.cast(K.greater(X, Y), "float32") + K.cast(K.less_equal(X, 0.0), "float32"),
        (X > Y).astype("f") + (X <= 0),
    ),
    "flatten": (lambda: K.flatten(X), X.ravel()),
    "batch_flatten": (lambda: K.batch_flatten(IMAGES), IMAGES.reshape(2, -1)),
    "expand_dims": (lambda: K.squeeze(K.expand_dims(X), -1), X),
    "permute_dimensions": (lambda: K.permute_dimensions(IMAGES, (0, 3, 1, 2)), IMAGES.transpose(0, 3, 1, 2)),
    "transpose": (lambda: K.transpose(X), X.T),
    "reshape": (lambda: K.reshape(X, (-1, 2)), X.reshape(-1, 2)),
    "concatenate": (lambda: K.concatenate([X, Y]), np.concatenate([X, Y], -1)),
    "stack": (lambda: K.stack([X, Y], axis=1), np.stack([X, Y], 1)),
    "repeat": (lambda: K.repeat(X, 2), np.repeat(X[:, None], 2, 1)),
    "repeat_elements": (lambda: K.repeat_elements(X, 3, axis=1), np.repeat(X, 3, 1)),
    "tile": (lambda: K.tile(X, [1, 2]), np.tile(X, (1, 2))),
    "reverse": (lambda: K.reverse(X, 1), X[:, ::-1]),
    "gather": (lambda: K.gather(X, [2, 0]), X[[2, 0]]),
    "one_hot": (lambda: K.one_hot([0, 3, 1], 4), ONE_HOT),
    "dot": (lambda: K.dot(X, Y.T), X @ Y.T),
    "dot of more": (lambda: K.dot(IMAGES, data((3, 5))), IMAGES @ data((3, 5))),
    "batch_dot": (lambda: K.batch_dot(X, Y, axes=1), (X * Y).sum(1, keepdims=True)),
    "batch_dot of matrices": (
        lambda: K.batch_dot(data((2, 3, 4)), data((2, 4, 5), 1)), data((2, 3, 4)) @ data((2, 4, 5), 1)
    ),
    "batch_dot over others": (
        lambda: K.batch_dot(data((2, 3, 4)), data((2, 3, 5), 1), axes=(1, 1)),
        np.einsum("bac,bad->bcd", data((2, 3, 4)), data((2, 3, 5), 1)),
    ),
    "batch_dot with a vector": (
        lambda: K.batch_dot(data((2, 3, 4)), data((2, 4), 1)),
        np.einsum("bca,ba->bc", data((2, 3, 4)), data((2, 4), 1)),
    ),
    "arange": (lambda: K.arange(2, 8, 2), np.array([2, 4, 6], "int32")),
    "constant": (lambda: K.constant(3, shape=(2, 2)), np.full((2, 2), 3.0)),
    "zeros": (lambda: K.zeros((2,)) + K.ones_like(K.zeros_like([1.0, 2.0])), np.ones(2)),
    "eye": (lambda: K.eye(3), np.eye(3)),
    "map_fn": (lambda: K.map_fn(lambda r: r * 2, X), X * 2),
    "foldl": (lambda: K.foldl(lambda a, r: a * 2 + r, [1.0, 2.0, 3.0]), 11.0),
    "foldr": (lambda: K.foldr(lambda a, r: a * 2 + r, [1.0, 2.0, 3.0], 0.5), 21.0),
    "switch": (lambda: K.switch(X > 0, lambda: X, Y), np.where(X > 0, X, Y)),
    "switch of rows": (lambda: K.switch(np.array([True, False, True]), X, Y), np.stack([X[0], Y[1], X[2]])),
    "switch of one": (lambda: K.switch(K.constant(0.0), X, lambda: Y), Y),
    "relu": (lambda: K.relu(X, alpha=0.1, max_value=0.5), np.where(X > 0, np.minimum(X, 0.5), 0.1 * X)),
    "hard_sigmoid": (lambda: K.hard_sigmoid(X * 4), np.clip(0.8 * X + 0.5, 0, 1)),
    "softmax": (lambda: K.softmax(X), P),
    "sigmoid": (lambda: K.sigmoid(X) + K.tanh(X), 1 / (1 + np.exp(-X)) + np.tanh(X)),
    "softplus": (lambda: K.softplus(X) + K.softsign(X), np.log1p(np.exp(X)) + X / (1 + np.abs(X))),
    "elu": (lambda: K.elu(X, 0.5), np.where(X > 0, X, 0.5 * np.expm1(X))),
    "l2_normalize": (lambda: K.l2_normalize(X, axis=1), X / np.linalg.norm(X, axis=1, keepdims=True)),
    "bias_add": (lambda: K.bias_add(IMAGES, data((3,))), IMAGES + data((3,))),
    "bias_add of places": (lambda: K.bias_add(IMAGES, data((6, 8, 3))), IMAGES + data((6, 8, 3))),
    "bias_add in front": (
        lambda: K.bias_add(IMAGES, data((6,)), "channels_first"), IMAGES + data((6,))[:, None, None]
    ),
    "batch_normalization": (
        lambda: K.batch_normalization(X, X.mean(0), X.var(0), Y[0], Y[1]),
        (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-3) * Y[1] + Y[0],
    ),
    "binary_crossentropy": (
        lambda: K.binary_crossentropy(ONE_HOT, P), -(ONE_HOT * np.log(P) + (1 - ONE_HOT) * np.log(1 - P))
    ),
    "binary_focal_crossentropy": (
        lambda: K.binary_focal_crossentropy(ONE_HOT, P, True),
        np.where(ONE_HOT > 0, -0.25 * (1 - P) ** 2 * np.log(P), -0.75 * P**2 * np.log(1 - P)),
    ),
    "categorical_crossentropy": (lambda: K.categorical_crossentropy(ONE_HOT, X, True), -np.log((P * ONE_HOT).sum(1))),
    "categorical_focal_crossentropy": (
        lambda: K.categorical_focal_crossentropy(ONE_HOT, P),
        (-0.25 * (1 - P) ** 2 * np.log(P) * ONE_HOT).sum(1),
    ),
    "sparse_categorical_crossentropy": (
        lambda: K.sparse_categorical_crossentropy([[0], [3], [1]], P), -np.log((P * ONE_HOT).sum(1))
    ),
    "ignored classes": (
        lambda: K.sparse_categorical_crossentropy([0, 255, 1], P, ignore_class=255),
        -np.log((P * ONE_HOT).sum(1)) * [1, 0, 1],
    ),
    "in_top_k": (lambda: K.in_top_k(X, X.argmax(1), 1), [True] * 3),
    "temporal_padding": (lambda: K.temporal_padding(IMAGES[0], (2, 1)), np.pad(IMAGES[0], [(0, 0), (2, 1), (0, 0)])),
    "spatial_2d_padding": (
        lambda: K.spatial_2d_padding(IMAGES, ((1, 0), (2, 3))), np.pad(IMAGES, [(0, 0), (1, 0), (2, 3), (0, 0)])
    ),
    "spatial_3d_padding": (
        lambda: K.spatial_3d_padding(IMAGES[None], data_format="channels_first"),
        np.pad(IMAGES[None], [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1)]),
    ),
    "resize_images": (lambda: K.resize_images(IMAGES, 2, 3, "channels_last"), IMAGES.repeat(2, 1).repeat(3, 2)),
    "resize_volumes": (
        lambda: K.resize_volumes(IMAGES[None], 2, 1, 2, "channels_last"), IMAGES[None].repeat(2, 1).repeat(2, 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    found, want = CASES[name][0](), np.asarray(CASES[name][1])
    assert tuple(found.shape) == want.shape
    np.testing.assert_allclose(K.get_value(found), want, rtol=2e-4, atol=1e-5)


def test_names_are_kerass(keras: Any) -> None:
    """All of them but those of TensorFlow's graphs."""
    import ast
    from pathlib import Path

    path = Path(keras.__file__).parent / "_tf_keras" / "keras" / "backend" / "__init__.py"
    tree = ast.parse(path.read_text())
    names = {a.asname for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    missing = {n for n in names if n and not n.startswith("_") and not hasattr(K, n)}
    assert missing == {"gradients", "rnn", "ctc_label_dense_to_sparse"}


def test_shapes_and_types() -> None:
    assert K.int_shape(fk.Input((4, 2))) == (None, 4, 2) and K.ndim(X) == 2
    assert K.count_params(X) == 12 and K.dtype(K.ones(2, "int32")) == "int32"
    assert K.cast_to_floatx([1, 2]).dtype == np.float32
    assert K.dtype(K.cast_to_floatx(K.ones(2, "int32"))) == "float32"
    assert not K.is_sparse(X) and K.to_dense(X) is X and list(K.shape(X)) == [3, 4]


def test_variables() -> None:
    v = K.variable(np.ones((2, 2)), name="mine")
    assert v.name == "mine" and K.dtype(v) == "float32"
    K.update_add(v, K.ones((2, 2)))
    K.update_sub(v, 0.5)
    K.moving_average_update(v, K.zeros((2, 2)), 0.5)
    np.testing.assert_allclose(K.eval(v), np.full((2, 2), 0.75))
    K.update(v, K.zeros((2, 2)))
    K.batch_set_value([(v, [[1, 2], [3, 4]])])
    assert K.batch_get_value([v, v])[1].tolist() == [[1, 2], [3, 4]]
    model = fk.Sequential([fk.Input((2,)), fk.layers.Dense(1)])
    model.compile("adam", "mse")
    K.set_value(model.optimizer.learning_rate, 0.25)
    assert float(K.get_value(model.optimizer.learning_rate)) == 0.25


def test_random_numbers() -> None:
    fk.utils.set_random_seed(0)
    assert abs(float(K.mean(K.random_normal((4000,), 2.0, 0.5))) - 2.0) < 0.05
    uniform = K.get_value(K.random_uniform((4000,), 1.0, 3.0))
    assert uniform.min() >= 1.0 and uniform.max() < 3.0
    assert np.abs(K.get_value(K.truncated_normal((500,)))).max() <= 2.0
    assert abs(float(K.mean(K.random_bernoulli((4000,), 0.3))) - 0.3) < 0.05
    dropped = K.get_value(K.dropout(K.ones((4000,)), 0.25))
    assert set(np.unique(dropped).round(4)) == {0.0, np.float32(4 / 3).round(4)}
    assert K.random_normal_variable((2, 3), 0.0, 1.0).shape == (2, 3)
    assert K.random_uniform_variable((2,), 0.0, 1.0).shape == (2,)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("form", ["channels_last", "channels_first"])
def test_convolutions_and_pools(keras: Any, padding: str, form: str) -> None:
    x = IMAGES if form == "channels_last" else IMAGES.transpose(0, 3, 1, 2)
    ops, how = keras.ops, {"padding": padding, "data_format": form}
    kernel, depth, point = data((3, 3, 3, 5)), data((3, 3, 3, 2)), data((1, 1, 6, 4))
    t = keras.ops.convert_to_tensor
    pairs = [
        (K.conv2d(x, kernel, (2, 1), **how), ops.conv(t(x), t(kernel), (2, 1), **how)),
        (K.depthwise_conv2d(x, depth, **how), ops.depthwise_conv(t(x), t(depth), **how)),
        (
            K.separable_conv2d(x, depth, point, **how),
            ops.separable_conv(t(x), t(depth), t(point), **how),
        ),
        (
            K.pool2d(x, (2, 3), (1, 2), **how),
            ops.max_pool(t(x), (2, 3), (1, 2), **how),
        ),
        (
            K.conv3d(x[None], data((2, 3, 2, x.shape[-1], 2)), padding=padding),
            ops.conv(t(x[None]), t(data((2, 3, 2, x.shape[-1], 2))), padding=padding),
        ),
    ]
    if padding == "valid":
        pairs.append((
            K.pool2d(x, (2, 2), (2, 2), **how, pool_mode="avg"),
            ops.average_pool(t(x), (2, 2), (2, 2), **how),
        ))  # fmt: skip
    for found, want in pairs:
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-4, atol=1e-4)


def test_sequences_and_transposed_convolutions(keras: Any) -> None:
    x, kernel = data((2, 7, 3)), data((3, 3, 4))
    layer = keras.layers.Conv1D(4, 3, padding="causal", dilation_rate=2, use_bias=False)
    layer.build(x.shape)
    layer.set_weights([kernel])
    found = K.conv1d(x, kernel, padding="causal", dilation_rate=2)
    np.testing.assert_allclose(found.numpy(), layer(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    t = keras.ops.convert_to_tensor
    for size, padding in ((4, "same"), (3, "same"), (3, "valid")):
        kernel = data((size, size, 2, 3))
        want = keras.ops.conv_transpose(t(IMAGES), t(kernel), 2, padding)
        found = K.conv2d_transpose(IMAGES, kernel, tuple(want.shape), (2, 2), padding)
        np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-4, atol=1e-4)
    kernel = data((3, 3, 2, 3))
    assert K.conv2d_transpose(IMAGES, kernel, (2, 11, 15, 2), (2, 2), "same").shape[1:3] == (11, 15)
    with pytest.raises(ValueError, match="cannot become"):
        K.conv2d_transpose(IMAGES, kernel, (2, 30, 15, 2), (2, 2), "same")


def test_ctc(keras: Any) -> None:
    """Probabilities with the blank last, as programs that read text have them."""
    logits = data((2, 9, 5))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = np.array([[0, 1, 1], [3, 2, 0]])
    steps, lengths = np.array([[9], [8]]), np.array([[3], [2]])
    found = K.ctc_batch_cost(labels, p, steps, lengths)
    t = keras.ops.convert_to_tensor
    want = keras.ops.ctc_loss(
        t(labels.astype("int32")), t(logits), t(np.array([3, 2], "int32")),
        t(np.array([9, 8], "int32")), mask_index=4,
    )  # fmt: skip
    assert found.shape == (2, 1)
    np.testing.assert_allclose(found.numpy()[:, 0], want.numpy(), rtol=1e-3)
    sure = np.full((1, 6, 4), 0.01, "f")
    sure[0, range(6), [0, 0, 3, 0, 2, 2]] = 0.97
    for greedy in (True, False):
        decoded, score = K.ctc_decode(sure, [6], greedy=greedy, beam_width=4)
        row = K.get_value(decoded[0])[0]
        assert row[row >= 0].tolist() == [0, 0, 2] and len(score) == 1


def test_losses_of_old_programs() -> None:
    """Dice and focal losses as notebooks write them train a model, in a graph's Lambda, too."""

    def dice(y_true: Any, y_pred: Any, smooth: float = 1.0) -> Any:
        t, p = K.flatten(K.cast(y_true, "float32")), K.flatten(y_pred)
        return 1 - (2.0 * K.sum(t * p) + smooth) / (K.sum(t) + K.sum(p) + smooth)

    def score(y_true: Any, y_pred: Any) -> Any:
        return K.mean(K.equal(y_true, K.round(y_pred)))

    layers = fk.layers
    i = fk.Input((6, 8, 3))
    x = layers.Lambda(lambda t: K.l2_normalize(t, axis=-1))(i)
    x = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(K.relu(x))
    model = fk.Model(i, x)
    model.compile("adam", dice, metrics=[score])
    y = (IMAGES[..., :1] > 0).astype("f")
    history = model.fit(IMAGES, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and 0 <= history["score"][0] <= 1


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("two dimensions", lambda: K.batch_dot(X[0], Y[0])),
        ("that of the samples", lambda: K.batch_dot(X, Y, axes=0)),
        ("two dimensions", lambda: K.repeat(X[0], 2)),
        ("the condition has 2", lambda: K.switch(X > 0, X[0], X[0])),
        ("pool_mode", lambda: K.pool2d(IMAGES, (2, 2), pool_mode="sum")),
        ("the bias has 1 or 3", lambda: K.bias_add(IMAGES, X)),
    ],
)
def test_what_is_refused(message: str, make: Any) -> None:
    with pytest.raises(ValueError, match=message):
        make()
