"""Models of keras.applications against Keras's: structure, values, a training step, arguments."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.keras import Input, Model, applications, config, layers
from fovea.keras.applications import imagenet_utils
from fovea.keras.utils.downloads import DownloadError
from tests.keras.application_cases import FILE, ROWS, Row, built, digest, structure
from tests.utils.server import serve

EXPECTED = json.loads(FILE.read_text(encoding="utf-8"))
SMALL = [row for row in ROWS if row.small is not None]


def by_name(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, keras: Any) -> None:
    """New kernels are zeros: random ones for hundreds of millions take their time."""
    for package in (fovea.keras, keras):

        def zeros(self: Any, shape: Any, dtype: Any = None, package: Any = package) -> Any:
            return package.ops.zeros(shape, dtype=dtype)

        monkeypatch.setattr(package.initializers.VarianceScaling, "__call__", zeros)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    kept = tmp_path / "cache"
    monkeypatch.setenv("KERAS_HOME", str(kept))
    return kept / "models"


@pytest.fixture(params=["channels_last", "channels_first"])
def data_format(request: pytest.FixtureRequest) -> Any:
    """The default data format, in Keras as well."""
    keras = request.getfixturevalue("keras")
    for settings in (config, keras.config):
        settings.set_image_data_format(request.param)
    yield request.param
    for settings in (config, keras.config):
        settings.set_image_data_format("channels_last")


# -- structure ---------------------------------------------------------------------------------


def test_the_file_is_complete() -> None:
    assert [row.name for row in ROWS] == list(EXPECTED)
    assert {row.name for row in ROWS} == {n for n in applications.__all__ if n[0].isupper()}


@by_name(ROWS)
def test_structure(keras: Any, row: Row) -> None:
    model = built(fovea.keras, row)
    if digest(model) != EXPECTED[row.name]:
        assert structure(model) == structure(built(keras, row))
        raise AssertionError(f"{FILE.name} is not what Keras builds: write it anew")


@by_name(ROWS)
def test_signatures(keras: Any, row: Row) -> None:
    ours, theirs = (
        [(p.name, p.default) for p in inspect.signature(getattr(a, row.name)).parameters.values()]
        for a in (applications, keras.applications)
    )
    assert ours == theirs


@pytest.mark.parametrize("name", [n for n in applications.__all__ if n[0].islower()])
def test_modules_have_keras_s_names(keras: Any, name: str) -> None:
    ours, theirs = (getattr(a, name) for a in (applications, keras.applications))
    public = {n for n in dir(theirs) if not n.startswith("_")}
    assert public <= set(dir(ours))
    for function in public:
        mine, other = (inspect.signature(getattr(m, function)) for m in (ours, theirs))
        assert list(mine.parameters) == list(other.parameters), function


# -- values ------------------------------------------------------------------------------------


def twins(keras: Any, row: Row, **more: Any) -> tuple[Any, Any]:
    """A small model of ours and Keras's with the same weights, statistics other than 0 and 1."""
    theirs, ours = (
        built(package, row, **{**row.small, **more}) for package in (keras, fovea.keras)
    )
    rng = np.random.default_rng(0)
    weights = []
    for w in theirs.get_weights():
        if w.ndim > 1:
            fan_in = math.prod(w.shape[:2] if w.shape[-1] == 1 else w.shape[:-1])
            weights.append(rng.standard_normal(w.shape, np.float32) * math.sqrt(2 / fan_in))
        else:
            weights.append((w + 0.2 * rng.random(w.shape)).astype(w.dtype))
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return ours, theirs


def images(row: Row, count: int = 2) -> Any:
    pixels = np.random.default_rng(1).random((count, row.size, row.size, 3), np.float32)
    return pixels * 255 if row.preprocessing is None else 2 * pixels - 1


def close(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    scale = float(np.abs(expected).max())
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@by_name(SMALL)
def test_values_and_a_training_step(keras: Any, row: Row) -> None:
    x, y = images(row), np.array([1, 3])
    results = []
    for model in twins(keras, row, classes=5, classifier_activation=None):
        scores = model.predict(x, verbose=0)
        loss = keras if model.__module__.startswith("keras") else fovea.keras
        loss = loss.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer="sgd", loss=loss)
        results.append((scores, model.train_on_batch(x, y), model.get_weights()))
    (ours, our_loss, our_weights), (theirs, their_loss, their_weights) = results
    close(ours, theirs)
    close(np.asarray(our_loss), np.asarray(their_loss), 1e-3)
    for found, expected in zip(our_weights, their_weights, strict=True):
        close(found, expected, 1e-3)


@by_name(SMALL)
def test_without_the_top(keras: Any, row: Row) -> None:
    ours, theirs = twins(keras, row, include_top=False)
    assert structure(ours) == structure(theirs)
    assert ours.output_shape == theirs.output_shape
    x = images(row)
    features = ours.predict(x, verbose=0)
    close(features, theirs.predict(x, verbose=0))
    for pooling in ("avg", "max"):
        pooled = [
            built(a, row, **row.small, include_top=False, pooling=pooling)
            for a in (fovea.keras, keras)
        ]
        assert structure(pooled[0]) == structure(pooled[1])
        pooled[0].set_weights(ours.get_weights())
        by_hand = features.mean((1, 2)) if pooling == "avg" else features.max((1, 2))
        close(pooled[0].predict(x, verbose=0), by_hand)


# -- arguments ---------------------------------------------------------------------------------


REFUSED: dict[str, dict[str, Any]] = {
    "no file": {"weights": "no such file"},
    "classes": {"weights": "imagenet", "classes": 10},
    "small": {"input_shape": (8, 8, 3), "include_top": False},
    "array": {"input_tensor": np.ones((1, 96, 96, 3), np.float32)},
    "activation": {"weights": str(FILE), "classifier_activation": "relu"},
}


@by_name(SMALL)
@pytest.mark.parametrize("what", REFUSED)
def test_refusals_are_keras_s(keras: Any, row: Row, what: str) -> None:
    with pytest.raises(ValueError, match="."):
        built(keras, row, **REFUSED[what])
    with pytest.raises(ArgumentError):
        built(fovea.keras, row, **REFUSED[what])


def test_what_the_arguments_do() -> None:
    row = SMALL[0]
    assert row.small is not None
    source = Input((row.size, row.size, 4), name="source")
    rgb = layers.Conv2D(3, 1)(source)
    model = built(fovea.keras, row, input_tensor=rgb, include_top=False, name="upon", **row.small)
    assert model.name == "upon"
    assert [t.name for t in model.inputs] == ["source"]
    assert model(fovea.zeros(1, row.size, row.size, 4)).shape == (1, *model.output_shape[1:])
    with pytest.warns(UserWarning, match="4 input channels"):
        built(fovea.keras, row, include_top=False, input_shape=(row.size, row.size, 4))


# -- helpers -----------------------------------------------------------------------------------

SHAPES = [
    (given, default, least, form, top, weights)
    for given in (None, (224, 224, 3), (64, 64, 1), (8, 64, 3), (3, 64, 64), (64, None, 3), (32, 32), (64, 64, 7))
    for default, least in ((224, 32),)
    for form in ("channels_last", "channels_first")
    for top in (False, True)
    for weights in (None, "imagenet")
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:This model usually")
def test_shapes_of_images(keras: Any) -> None:
    theirs = pytest.importorskip("keras.src.applications.imagenet_utils")
    refused = 0
    for case in SHAPES:
        try:
            expected = theirs.obtain_input_shape(*case)
        except ValueError as error:
            refused += 1
            with pytest.raises(ArgumentError) as found:
                imagenet_utils.obtain_input_shape(*case)
            assert str(found.value)[:30] == str(error)[:30], case
        else:
            assert imagenet_utils.obtain_input_shape(*case) == expected, case
    assert 0 < refused < len(SHAPES)


def test_padding_before_strides(keras: Any) -> None:
    theirs = pytest.importorskip("keras.src.applications.imagenet_utils")
    for shape in ((32, 31, 3), (5, 8, 3), (None, None, 3)):
        for kernel in (3, 5, 7):
            expected = theirs.correct_pad(keras.Input(shape), kernel)
            assert imagenet_utils.correct_pad(Input(shape), kernel) == expected


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (4, 3, 5), (2, 4, 5, 3), (4, 5, 3)])
def test_preprocessing(keras: Any, mode: str, dtype: str, shape: tuple[int, ...]) -> None:
    first = "channels_last" if shape[-1] == 3 else "channels_first"
    if first == "channels_first" and len(shape) == 3:
        shape = (3, 4, 5)
    elif first == "channels_first":
        shape = (2, 3, 4, 5)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    theirs = keras.applications.imagenet_utils.preprocess_input
    expected = theirs(pixels.copy(), first, mode)
    found = imagenet_utils.preprocess_input(pixels.copy(), first, mode)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)
    of_tensor = imagenet_utils.preprocess_input(fovea.tensor(pixels), first, mode)
    assert of_tensor.dtype.name == str(expected.dtype)
    np.testing.assert_allclose(of_tensor.numpy(), expected, rtol=1e-5, atol=1e-4)
    symbol = Input(shape[1:] if len(shape) == 4 else shape, dtype=dtype)
    model = Model(symbol, imagenet_utils.preprocess_input(symbol, first, mode))
    batch = pixels if len(shape) == 4 else pixels[None]
    by_graph = model(batch).numpy().reshape(expected.shape)
    np.testing.assert_allclose(by_graph, expected, rtol=1e-5, atol=1e-4)


def test_arrays_of_floats_are_overwritten_as_by_keras() -> None:
    pixels = np.full((1, 2, 2, 3), 255.0, np.float32)
    assert imagenet_utils.preprocess_input(pixels, mode="tf") is pixels
    assert (pixels == 1).all()
    with pytest.raises(ArgumentError, match="caffe"):
        imagenet_utils.preprocess_input(pixels, mode="pytorch")
    with pytest.raises(ArgumentError, match="channels_last"):
        imagenet_utils.preprocess_input(pixels, data_format="NCHW")


@by_name(SMALL)
def test_preprocessing_of_a_family(keras: Any, row: Row) -> None:
    ours, theirs = (getattr(a, row.module) for a in (applications, keras.applications))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 2, 3, 3)).astype(np.float32)
    found = ours.preprocess_input(pixels.copy())
    np.testing.assert_allclose(found, theirs.preprocess_input(pixels.copy()), rtol=1e-6, atol=1e-4)
    if row.preprocessing is None:
        np.testing.assert_array_equal(found, pixels)
    else:
        known = imagenet_utils.preprocess_input(pixels.copy(), mode=row.preprocessing)
        np.testing.assert_array_equal(found, known)
    assert ours.decode_predictions is imagenet_utils.decode_predictions


def test_names_of_classes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.dumps({str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}).encode()
    scores = np.random.default_rng(0).random((2, 1000), np.float32)
    with serve() as server:
        server.content["names.json"] = listed
        monkeypatch.setattr(imagenet_utils, "CLASSES", (server.url("names.json"), "0" * 32))
        with pytest.raises(DownloadError):
            imagenet_utils.decode_predictions(scores)
        right = (server.url("names.json"), hashlib.md5(listed).hexdigest())
        monkeypatch.setattr(imagenet_utils, "CLASSES", right)
        found = imagenet_utils.decode_predictions(scores, top=3)
    assert (cache / "imagenet_class_index.json").exists()
    order = np.argsort(-scores)[:, :3]
    assert found == [
        [(f"n{i:08}", f"thing_{i}", s[i]) for i in best]
        for best, s in zip(order, scores, strict=True)
    ]
    assert imagenet_utils.decode_predictions(fovea.tensor(scores), top=3) == found  # from the cache
    with pytest.raises(ShapeError, match="samples, 1000"):
        imagenet_utils.decode_predictions(scores[:, :10])
    for broken in (b"no json", b"[]", b'{"0": 3}'):
        (cache / "imagenet_class_index.json").write_bytes(broken)
        wrong = ("http://127.0.0.1:9/", hashlib.md5(broken).hexdigest())
        monkeypatch.setattr(imagenet_utils, "CLASSES", wrong)
        with pytest.raises(FileFormatError, match="ImageNet"):
            imagenet_utils.decode_predictions(scores)
