"""Layers of sequences (N, L, C) and volumes (N, D, H, W, C) against Keras's: convolutions, pools,
borders, enlargement.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.keras.layers.layer import as_tensor

from .compare import assert_same, check_config, check_layer, check_shapes, data

Case = tuple[str, Callable[[Any], Any], Any]
ROW, ROW_FIRST = data((3, 8, 4)), data((3, 4, 8))
CUBE, CUBE_FIRST = data((2, 5, 6, 7, 4)), data((2, 4, 5, 6, 7))
FIRST = {"data_format": "channels_first"}


def case(name: str, x: Any, *args: Any, **kwargs: Any) -> Case:
    """A layer by its name and arguments."""
    label = " ".join([name, *map(str, args), *(f"{k}={v}" for k, v in kwargs.items())])
    return label, lambda k: getattr(k, name)(*args, **kwargs), x


CASES: list[Case] = [
    case("Conv1D", ROW_FIRST, 5, 3, **FIRST),
    case("Conv1D", ROW_FIRST, 5, 3, padding="causal", groups=1, **FIRST),
    case("Conv3D", CUBE, 5, 3),
    case("Conv3D", CUBE, 5, (1, 2, 3), activation="relu"),
    case("Conv3D", CUBE, 5, 3, padding="same"),
    case("Conv3D", CUBE, 5, (2, 3, 4), padding="same", use_bias=False),
    case("Conv3D", CUBE, 5, 3, strides=2, padding="same"),
    case("Conv3D", CUBE, 5, 3, strides=(1, 2, 3)),
    case("Conv3D", CUBE, 5, 2, dilation_rate=(2, 1, 3)),
    case("Conv3D", CUBE, 6, 2, groups=2, padding="same"),
    case("Conv3D", CUBE_FIRST, 5, 3, padding="same", **FIRST),
    case("DepthwiseConv1D", ROW, 3),
    case("DepthwiseConv1D", ROW, 3, strides=2, padding="same", depth_multiplier=2),
    case("DepthwiseConv1D", ROW_FIRST, 3, dilation_rate=2, **FIRST),
    case("SeparableConv1D", ROW, 5, 3),
    case("SeparableConv1D", ROW, 5, 3, padding="same", depth_multiplier=2, strides=2),
    case("SeparableConv1D", ROW_FIRST, 5, 3, activation="tanh", **FIRST),
    case("Conv1DTranspose", ROW, 5, 3),
    case("Conv1DTranspose", ROW, 5, 3, strides=2),
    case("Conv1DTranspose", ROW, 5, 3, strides=2, padding="same"),
    case("Conv1DTranspose", ROW, 5, 4, strides=2, padding="same"),
    case("Conv1DTranspose", ROW, 5, 2, strides=3),
    case("Conv1DTranspose", ROW, 5, 3, strides=2, padding="same", output_padding=1),
    case("Conv1DTranspose", ROW_FIRST, 5, 3, dilation_rate=2, **FIRST),
    case("Conv3DTranspose", CUBE, 5, 3),
    case("Conv3DTranspose", CUBE, 5, 3, strides=2, padding="same"),
    case("Conv3DTranspose", CUBE, 5, (2, 3, 4), strides=(2, 1, 3), use_bias=False),
    case("Conv3DTranspose", CUBE, 5, 3, strides=2, padding="same", output_padding=1),
    case("Conv3DTranspose", CUBE_FIRST, 5, 2, activation="relu", **FIRST),
    case("MaxPooling1D", ROW_FIRST, 3, 2, "same", **FIRST),
    case("AveragePooling1D", ROW, 2),
    case("AveragePooling1D", ROW, 3, 1, "same"),
    case("AveragePooling1D", ROW_FIRST, 3, 1, **FIRST),
    case("MaxPooling3D", CUBE),
    case("MaxPooling3D", CUBE, 3, 2),
    case("MaxPooling3D", CUBE, 3, 2, "same"),
    case("MaxPooling3D", CUBE, (1, 2, 3), padding="same"),
    case("MaxPooling3D", CUBE_FIRST, 2, **FIRST),
    case("AveragePooling3D", CUBE, 2),
    case("AveragePooling3D", CUBE, 3, 1, "same"),
    case("AveragePooling3D", CUBE, (3, 3, 1), (2, 1, 1), "same"),
    case("AveragePooling3D", CUBE_FIRST, (1, 2, 3), **FIRST),
    *(
        case(f"Global{kind}Pooling{rank}D", x, **how)
        for kind in ("Average", "Max")
        for rank, x, first in ((1, ROW, ROW_FIRST), (3, CUBE, CUBE_FIRST))
        for x, how in ((x, {}), (x, {"keepdims": True}), (first, FIRST))
    ),
    *(
        case(f"Adaptive{kind}Pooling{rank}D", x, size, **how)
        for kind in ("Average", "Max")
        for rank, x, size, how in (
            (1, ROW, 3, {}),
            (1, ROW_FIRST, 4, FIRST),
            (2, data((2, 7, 6, 4)), 3, {}),
            (2, data((2, 7, 6, 4)), (2, 4), {}),
            (2, data((2, 4, 7, 6)), (7, 1), FIRST),
            (3, CUBE, 2, {}),
            (3, CUBE_FIRST, (2, 3, 4), FIRST),
        )
    ),
    case("ZeroPadding1D", ROW),
    case("ZeroPadding1D", ROW, (1, 2)),
    case("ZeroPadding1D", ROW_FIRST, 2, **FIRST),
    case("ZeroPadding3D", CUBE),
    case("ZeroPadding3D", CUBE, (1, 0, 2)),
    case("ZeroPadding3D", CUBE_FIRST, ((1, 0), (0, 2), (3, 1)), **FIRST),
    case("Cropping1D", ROW),
    case("Cropping1D", ROW, (0, 3)),
    case("Cropping3D", CUBE),
    case("Cropping3D", CUBE, 2),
    case("Cropping3D", CUBE_FIRST, ((1, 0), (0, 2), (3, 1)), **FIRST),
    case("UpSampling1D", ROW),
    case("UpSampling1D", ROW, 3),
    case("UpSampling3D", CUBE),
    case("UpSampling3D", CUBE_FIRST, (1, 2, 3), **FIRST),
]
NAMES = [c[0] for c in CASES]


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in CASES], ids=NAMES)
def test_values_and_gradients(keras: Any, make: Any, inputs: Any) -> None:
    check_layer(keras, make, inputs)


@pytest.mark.parametrize(("make", "inputs"), [c[1:] for c in CASES], ids=NAMES)
def test_output_shapes(keras: Any, make: Any, inputs: Any) -> None:
    check_shapes(keras, make, inputs)


@pytest.mark.parametrize("make", [c[1] for c in CASES], ids=NAMES)
def test_configurations(keras: Any, make: Any) -> None:
    check_config(keras, make)


@pytest.mark.parametrize("rank", [1, 3])
def test_uneven_padding_is_not_counted(rank: int) -> None:
    """As in TensorFlow and JAX; Keras on PyTorch repeats the border instead."""
    x = ROW if rank == 1 else CUBE
    layer = getattr(fk.layers, f"AveragePooling{rank}D")(3, 2, "same")
    y = layer(x).numpy()
    for place in np.ndindex(*y.shape[1:-1]):
        window = []
        for at, size in zip(place, x.shape[1:-1], strict=True):
            before = max((-(-size // 2) - 1) * 2 + 3 - size, 0) // 2
            window.append(slice(max(2 * at - before, 0), 2 * at - before + 3))
        seen = x[(slice(None), *window)].reshape(x.shape[0], -1, x.shape[-1])
        np.testing.assert_allclose(y[(slice(None), *place)], seen.mean(1), atol=1e-6)


def test_causal_separable() -> None:
    """Keras takes the word and fails; here no output sees a later input."""
    layer = fk.layers.SeparableConv1D(3, 3, padding="causal")
    x = ROW.copy()
    before = layer(x).detach().numpy()
    x[:, 5:] += 1
    after = layer(x).detach().numpy()
    np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert before.shape == (3, 8, 3) and not np.allclose(before[:, 5], after[:, 5])


def test_masked_mean(keras: Any) -> None:
    mask = np.arange(24).reshape(3, 8) % 3 > 0
    for how, x in (({}, ROW), ({"keepdims": True}, ROW), (FIRST, ROW_FIRST)):
        own = fk.layers.GlobalAveragePooling1D(**how)
        theirs = keras.layers.GlobalAveragePooling1D(**how)
        found = own(as_tensor(x), mask=as_tensor(mask)).numpy()
        assert_same([found], [theirs(x, mask=mask).numpy()])


def test_aliases(keras: Any) -> None:
    for name in dir(keras.layers):
        theirs = getattr(keras.layers, name)
        if isinstance(theirs, type) and theirs.__name__ != name and hasattr(fk.layers, name):
            own = getattr(fk.layers, name)
            assert own.__name__ == theirs.__name__, name


def model(k: Any) -> Any:
    L = k.layers  # noqa: N806
    i = k.Input((6, 6, 6, 2))
    x = L.Conv3D(4, 3, padding="same", activation="relu")(i)
    x = L.AveragePooling3D(2)(L.ZeroPadding3D(1)(x))
    x = L.Conv3DTranspose(3, 2, strides=2)(x)
    x = L.GlobalMaxPooling3D()(L.Cropping3D(1)(x))
    x = L.RepeatVector(8)(x)
    x = L.SeparableConv1D(4, 3, padding="same")(L.DepthwiseConv1D(3)(x))
    x = L.UpSampling1D()(L.Conv1DTranspose(4, 3, strides=2)(x))
    x = L.AdaptiveAveragePooling1D(2)(x)
    made = k.Model(i, L.Dense(2)(L.GlobalAveragePooling1D()(x)))
    made.compile(k.optimizers.SGD(0.01), "mse")
    return made


X, Y = data((4, 6, 6, 6, 2)), data((4, 2))


def test_files(keras: Any, tmp_path: Path) -> None:
    own, theirs = model(fk), model(keras)
    own.fit(X, Y, verbose=0)
    theirs.fit(X, Y, verbose=0)
    for made, name in ((own, "own"), (theirs, "theirs")):
        made.save(tmp_path / f"{name}.keras")
        made.save_weights(tmp_path / f"{name}.weights.h5")
        expected = made.predict(X, verbose=0)
        for k in (fk, keras):
            read = k.models.load_model(tmp_path / f"{name}.keras")
            np.testing.assert_allclose(read.predict(X, verbose=0), expected, atol=1e-5)
            fresh = model(k)
            fresh.load_weights(tmp_path / f"{name}.weights.h5")
            np.testing.assert_allclose(fresh.predict(X, verbose=0), expected, atol=1e-5)


def test_compiled_steps_are_eager_steps() -> None:
    def train(eagerly: bool) -> list[Any]:
        fk.utils.set_random_seed(1)
        made = model(fk)
        made.compile(fk.optimizers.SGD(0.01), "mse", run_eagerly=eagerly)
        made.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        return made.get_weights()

    assert_same(train(True), train(False), 1e-5)


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_dtypes(policy: str) -> None:
    for name, x in (("Conv3D", CUBE), ("DepthwiseConv1D", ROW), ("Conv1DTranspose", ROW)):
        args = (3,) if name.startswith("Depth") else (4, 3)
        layer = getattr(fk.layers, name)(*args, dtype=policy)
        y = layer(x)
        assert y.dtype.name == policy.removeprefix("mixed_")
        plain = getattr(fk.layers, name)(*args)
        plain.build(x.shape)
        plain.set_weights(layer.get_weights())
        np.testing.assert_allclose(y.detach().float().numpy(), plain(x).detach().numpy(), atol=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k: k.Conv3D(4, (3, 3)), "kernel_size must be"),
        (lambda k: k.Conv3D(4, 3, padding="causal"), "padding must be"),
        (lambda k: k.Conv3D(4, 9)(CUBE), "does not fit"),
        (lambda k: k.Conv3D(4, 3)(ROW), "expected min_ndim=5"),
        (lambda k: k.DepthwiseConv1D(3, padding="causal"), "padding must be"),
        (lambda k: k.MaxPooling3D(9)(CUBE), "window"),
        (lambda k: k.Cropping1D(4)(ROW), "nothing would be left"),
        (lambda k: k.Cropping3D((1, 2)), "cropping must be"),
        (lambda k: k.ZeroPadding1D((1, 2, 3)), "padding must be"),
        (lambda k: k.UpSampling1D(0), "size must be"),
        (lambda k: k.AdaptiveMaxPooling3D(0), "output_size must be"),
        (lambda k: k.GlobalAveragePooling3D()(ROW), "expected ndim=5"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(fk.layers)
