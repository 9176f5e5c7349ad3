"""Layers that make pictures of signals: Keras's values, gradients, shapes and configurations."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.signal

import fovea
from fovea import keras as ours
from fovea.errors import ArgumentError
from fovea.keras.window_shapes import get_window
from tests.keras.compare import data, run_here

WINDOWS = [
    "boxcar",
    "hann",
    "hamming",
    "blackman",
    "nuttall",
    "blackmanharris",
    "flattop",
    "bartlett",
    "barthann",
    "bohman",
    "cosine",
    "lanczos",
    "parzen",
    "triang",
]
MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
# With a quiet hum, magnitudes stay away from what logarithms are cut off at.
SIGNAL = data((2, 500, 2)) + 3


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("periodic", [False, True])
def test_windows_are_scipys(name: str, periodic: bool) -> None:
    for n in (0, 1, 2, 3, 8, 9):
        wanted = scipy.signal.get_window(name, n, periodic) if n else np.ones(0)
        np.testing.assert_allclose(get_window(name, n, periodic), wanted, atol=1e-14)


@pytest.mark.parametrize(
    "window",
    ["hann", "blackman", None, list(range(1, 65))],
    ids=["hann", "blackman", "none", "own"],
)
@pytest.mark.parametrize("scaling", [None, "density", "spectrum"])
@pytest.mark.parametrize("side", ["real", "imag"])
def test_kernels_are_kerass(side: str, scaling: str | None, window: Any) -> None:
    args = (side, window, scaling, True)
    mine, theirs = (k.initializers.STFT(*args) for k in (ours, keras))
    a, b = mine((64, 1, 65)), theirs((64, 1, 65)).cpu().numpy()
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-5 * np.abs(b).max())
    assert mine.get_config() == theirs.get_config()
    assert mine((64, 1, 65), "float64").dtype is fovea.float64
    again = ours.initializers.get(ours.initializers.serialize(mine))
    np.testing.assert_array_equal(again((64, 1, 65)), a)


def test_mistakes_in_kernels() -> None:
    stft = ours.initializers.STFT
    for args in (("both",), ("real", "square"), ("real", "hann", "loud")):
        with pytest.raises(ArgumentError):
            stft(*args)
    with pytest.raises(ArgumentError, match="must have 4 weights"):
        stft("real", [1.0, 2.0])((4, 1, 3))
    assert ours.initializers.get("stft").get_config()["side"] == "real"


VARIANTS: list[dict[str, Any]] = [
    {},
    {"padding": "same", "frame_step": 20, "scaling": "spectrum"},
    {"expand_dims": True, "fft_length": 128, "window": "hamming", "periodic": True},
    {"data_format": "channels_first", "scaling": None, "window": None},
    {"data_format": "channels_first", "expand_dims": True, "padding": "same"},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_spectra_are_kerass(mode: str, options: dict[str, Any]) -> None:
    options = {"mode": mode, "frame_length": 50, **options}
    x = SIGNAL.transpose(0, 2, 1).copy() if "data_format" in options else SIGNAL
    mine, theirs = (k.layers.STFTSpectrogram(**options) for k in (ours, keras))
    a, b = mine(fovea.tensor(x)), theirs(x).detach().cpu().numpy()
    assert [tuple(w.shape) for w in mine.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [w.name for w in mine.weights] == [w.name for w in theirs.weights]
    mine.set_weights(theirs.get_weights())
    a = mine(fovea.tensor(x)).detach().numpy()
    assert a.shape == b.shape == tuple(mine.compute_output_shape(x.shape))
    kept = {**theirs.get_config(), "name": mine.name, "dtype": mine.get_config()["dtype"]}
    assert mine.get_config() == kept
    difference = np.abs(a - b)
    if mode == "angle":  # where the sign of what should be zero is open
        difference = np.abs(np.exp(1j * a.astype(complex)) - np.exp(1j * b.astype(complex)))
        assert np.median(difference) < 1e-4
    else:
        assert difference.max() < (2e-2 if mode == "log" else 1e-3)
        assert np.median(difference) < 1e-4


@pytest.mark.parametrize("mode", ["magnitude", "psd", "stft"])
def test_gradients_are_kerass(mode: str) -> None:
    mine, theirs = (k.layers.STFTSpectrogram(mode, frame_length=32) for k in (ours, keras))
    mine(fovea.tensor(SIGNAL))
    x = keras.ops.convert_to_tensor(SIGNAL).detach().clone().requires_grad_()
    y = theirs(x)
    mine.set_weights(theirs.get_weights())
    given = fovea.tensor(SIGNAL, requires_grad=True)
    weight = data(tuple(y.shape), 3)
    (mine(given) * fovea.tensor(weight)).sum().backward()
    (y * keras.ops.convert_to_tensor(weight)).sum().backward()
    np.testing.assert_allclose(given.grad, x.grad.cpu().numpy(), rtol=1e-3, atol=1e-3)
    for w, other in zip(mine.trainable_weights, theirs.trainable_weights, strict=True):
        theirs_grad = other.value.grad.cpu().numpy()
        scale = np.abs(theirs_grad).max()
        np.testing.assert_allclose(w.grad.numpy() / scale, theirs_grad / scale, atol=1e-4)


def test_a_layer_that_is_not_trained_has_no_trainable_weights() -> None:
    layer = ours.layers.STFTSpectrogram(frame_length=16, trainable=False)
    outputs, _ = run_here(layer, data((1, 40, 1)), False)
    assert outputs[0].shape == (1, 4, 9)
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == 2


def test_mistakes_in_spectra() -> None:
    layer = ours.layers.STFTSpectrogram
    for options in (
        {"mode": "loud"}, {"frame_step": 300}, {"frame_step": 0}, {"fft_length": 100},
        {"scaling": "x"}, {"padding": "causal"}, {"window": "square"},
    ):  # fmt: skip
        with pytest.raises(ArgumentError):
            layer(**options)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="no power of two"):
        layer(fft_length=300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(fft_length=512)


MEL: list[dict[str, Any]] = [
    {},
    {"power_to_db": False, "mag_exp": 1.0, "window": "hamming"},
    {"fft_length": 256, "sequence_length": 200, "sequence_stride": 50, "num_mel_bins": 20},
    {"sampling_rate": 8000, "min_freq": 100.0, "max_freq": 3000.0, "ref_power": 5.0, "top_db": 9.0},
    {"fft_length": 128, "window": None, "mag_exp": 3.0, "min_power": 1e-3},
]


@pytest.mark.parametrize("options", MEL, ids=str)
@pytest.mark.parametrize("shape", [(3000,), (2, 3000)], ids=str)
def test_mel_spectrograms_are_kerass(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    x = data(shape, 2)
    mine, theirs = (k.layers.MelSpectrogram(**options) for k in (ours, keras))
    a, b = mine(x), theirs(x).cpu().numpy()
    assert tuple(a.shape) == b.shape == tuple(mine.compute_output_shape(shape))
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3 * np.abs(b).max())
    kept = {**theirs.get_config(), "name": mine.name, "dtype": mine.get_config()["dtype"]}
    assert mine.get_config() == kept
    again = ours.layers.MelSpectrogram.from_config(mine.get_config())
    np.testing.assert_array_equal(again(x), a)


def test_filters_are_kerass() -> None:
    args = (12, 65, 8000, 100.0, 3900.0)
    mine, theirs = (k.layers.MelSpectrogram() for k in (ours, keras))
    wanted = theirs.linear_to_mel_weight_matrix(*args).cpu().numpy()
    np.testing.assert_allclose(mine.linear_to_mel_weight_matrix(*args), wanted, atol=1e-5)


def test_silence_has_a_gradient() -> None:
    x = fovea.zeros(3000, requires_grad=True)
    ours.layers.MelSpectrogram()(x).sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_mistakes_in_mel_spectrograms() -> None:
    with pytest.raises(ArgumentError, match="sequence_length is at most fft_length"):
        ours.layers.MelSpectrogram(fft_length=100, sequence_length=200)
    with pytest.raises(ArgumentError):
        ours.layers.MelSpectrogram(window="square")


@pytest.mark.parametrize("dtype", ["float64", "float16", "mixed_float16"])
def test_precisions(dtype: str) -> None:
    wanted = fovea.float64 if dtype == "float64" else fovea.float16
    x = fovea.tensor(data((1, 3000))).to(wanted)
    assert ours.layers.MelSpectrogram(dtype=dtype)(x).dtype is wanted
    y = ours.layers.STFTSpectrogram(frame_length=16, dtype=dtype)(x.unsqueeze(-1))
    assert y.dtype is wanted


@pytest.mark.parametrize("name", ["STFTSpectrogram", "MelSpectrogram"])
def test_signatures_are_kerass(name: str) -> None:
    def parameters(kind: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(kind.__init__).parameters.values()]

    assert parameters(getattr(ours.layers, name)) == parameters(getattr(keras.layers, name))


def test_a_model_of_signals_trains_and_is_read_by_keras(tmp_path: Path) -> None:
    def model(k: Any) -> Any:
        inputs = k.Input((400, 1))
        x = k.layers.STFTSpectrogram("magnitude", 32, expand_dims=True)(inputs)
        x = k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(3, 3)(x))
        return k.Model(inputs, k.layers.Dense(1)(x))

    mine = model(ours)
    mine.compile("sgd", "mse")
    before = [w.copy() for w in mine.get_weights()]
    x = data((8, 400, 1))
    mine.fit(x, np.ones((8, 1)), batch_size=4, verbose=0)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, mine.get_weights(), strict=True))
    mine.save(str(tmp_path / "m.keras"))
    theirs = keras.models.load_model(tmp_path / "m.keras")
    wanted = mine.predict(x, verbose=0)
    np.testing.assert_allclose(theirs.predict(x, verbose=0), wanted, atol=1e-4)
    theirs.save(tmp_path / "n.keras")
    again = ours.models.load_model(str(tmp_path / "n.keras"))
    np.testing.assert_allclose(again.predict(x, verbose=0), wanted, atol=1e-5)


def test_a_symbolic_signal_becomes_a_symbolic_picture() -> None:
    inputs = ours.Input((3000,))
    outputs = ours.layers.MelSpectrogram()(inputs)
    assert outputs.shape == (None, 128, 6)
    x = data((2, 3000))
    found = ours.Model(inputs, outputs).predict(x, verbose=0)
    np.testing.assert_allclose(found, ours.layers.MelSpectrogram()(x), atol=1e-4)
    unknown = ours.layers.STFTSpectrogram(frame_length=16)(ours.Input((None, 1)))
    assert unknown.shape == (None, None, 9)
