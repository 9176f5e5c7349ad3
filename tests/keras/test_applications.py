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
from fovea.keras import Input, Model, applications, layers
from fovea.keras.applications import imagenet_utils, options
from fovea.keras.utils.downloads import DownloadError
from tests.keras.application_cases import (
    FILE,
    ROWS,
    Row,
    built,
    digest,
    pooling_layer,
    pretrained,
    published_file,
    structure,
    whole,
)
from tests.utils.server import serve

EXPECTED = json.loads(FILE.read_text(encoding="utf-8"))
SMALL = [row for row in ROWS if row.small is not None]
# Keras takes seconds for each step of these: they are compared with it once, whole.
HEAVY = {"InceptionV3", "InceptionResNetV2", "NASNetMobile", "Xception"}


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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files of weights that models ask for, which are not there: they keep what they have."""
    files: list[Any] = []

    def note(name: str, origin: str, cache_subdir: str, file_hash: str | None) -> None:
        assert cache_subdir == "models"
        files.append([name, origin, file_hash])

    monkeypatch.setattr(options, "get_file", note)
    return files


# -- structure ---------------------------------------------------------------------------------


def test_the_file_is_complete() -> None:
    assert [row.name for row in ROWS] == list(EXPECTED)
    assert {row.name for row in ROWS} == {n for n in applications.__all__ if n[0].isupper()}


@by_name(ROWS)
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined")
def test_structure_and_addresses(keras: Any, asked: list[Any], row: Row) -> None:
    model = whole(fovea.keras, row, weights="imagenet")
    expected = EXPECTED[row.name]
    if not digest(model).items() <= expected.items():
        assert structure(model) == structure(pretrained(keras, row))
        raise AssertionError(f"{FILE.name} is not what Keras builds: write it anew")
    whole(fovea.keras, row, weights="imagenet", include_top=False)
    assert asked == expected["files"]


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


def drawn(model: Any) -> list[Any]:
    """Weights for a model: kernels that keep sizes, statistics other than 0 and 1."""
    rng = np.random.default_rng(0)
    weights = []
    for w in model.get_weights():
        if w.ndim > 1:
            fan_in = math.prod(w.shape[:2] if w.shape[-1] == 1 else w.shape[:-1])
            weights.append(rng.standard_normal(w.shape, np.float32) / math.sqrt(fan_in))
        else:
            weights.append((w + 0.2 * rng.random(w.shape)).astype(w.dtype))
    return weights


def twins(keras: Any, row: Row, **more: Any) -> tuple[Any, Any]:
    """The small variant of ours and of Keras's, with the same weights, without dropout."""
    ours, theirs = (built(package, row, **more) for package in (fovea.keras, keras))
    for layer in ours.layers + theirs.layers:
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    weights = drawn(ours)
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def images(row: Row, count: int = 16) -> Any:
    pixels = np.random.default_rng(1).random((count, row.size, row.size, 3), np.float32)
    return pixels * 255 if row.preprocessing is None else 2 * pixels - 1


def close(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    scale = float(np.abs(expected).max())
    assert scale > 0
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@by_name(SMALL)
def test_values_and_a_training_step(keras: Any, row: Row) -> None:
    count = 8 if row.name in HEAVY else 16
    x, y = images(row, count), np.arange(count) % 5
    results: list[Any] = []
    for model in twins(keras, row, classes=5, classifier_activation=None):
        package = keras if model.__module__.startswith("keras") else fovea.keras
        scores = model.predict(x, verbose=0)
        if row.name == "InceptionResNetV2" and results:  # Keras takes longest
            close(results[0][0], scores)
            return
        loss = package.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer="sgd", loss=loss)
        before = [w.copy() for w in model.get_weights()]
        total = np.asarray(model.train_on_batch(x, y))
        changes = [w - b for w, b in zip(model.get_weights(), before, strict=True)]
        results.append((scores, total, changes))
    (ours, our_loss, our_changes), (theirs, their_loss, their_changes) = results
    close(ours, theirs)
    close(our_loss, their_loss)
    # Not number by number: where rounding takes one across a ReLU's kink, many gradients change.
    apart = [a - b for a, b in zip(our_changes, their_changes, strict=True)]
    assert length(apart) < 0.1 * length(their_changes)


def length(weights: list[Any]) -> float:
    """The Euclidean norm of all numbers together."""
    return math.hypot(*(float(np.linalg.norm(w)) for w in weights))


@by_name(SMALL)
def test_without_the_top(keras: Any, row: Row) -> None:
    x = images(row, 2)
    if row.name in HEAVY:
        ours = built(fovea.keras, row, include_top=False, pooling="max")
        ours.set_weights(drawn(ours))
    else:
        ours, theirs = twins(keras, row, include_top=False, pooling="max")
        assert structure(ours) == structure(theirs)
        close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    means = built(fovea.keras, row, include_top=False, pooling="avg")
    pool = pooling_layer(means)
    assert f"GlobalAveragePooling2D {pool.name}" == EXPECTED[row.name]["averaged"]
    means.set_weights(ours.get_weights())
    features, averages = Model(means.input, [pool.input, pool.output]).predict(x, verbose=0)
    close(averages, features.mean((1, 2)))
    bare = built(fovea.keras, row, include_top=False, pooling=None)
    assert bare.output_shape == (None, *features.shape[1:])
    assert bare.layers[-1].name == [m for m in means.layers if m is not pool][-1].name
    assert len(bare.layers) == len(means.layers) - 1


@by_name(SMALL)
def test_channels_first(keras: Any, row: Row) -> None:
    last = built(fovea.keras, row, include_top=False, pooling="avg")
    last.set_weights(drawn(last))
    x = images(row, 2)
    means = last.predict(x, verbose=0)
    packages = (fovea.keras, keras)
    try:
        for package in packages:
            package.config.set_image_data_format("channels_first")
        try:
            theirs = built(keras, row, include_top=False, pooling="avg")
        except ValueError:
            with pytest.raises(ArgumentError, match="channels_first"):
                built(fovea.keras, row)
            return
        first = built(fovea.keras, row, include_top=False, pooling="avg")
        assert structure(first) == structure(theirs)
        first.set_weights(last.get_weights())
        close(first.predict(x.transpose(0, 3, 1, 2), verbose=0), means)
    finally:
        for package in packages:
            package.config.set_image_data_format("channels_last")


# -- arguments ---------------------------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "no file": {"weights": "no such file"},
    "classes": {"weights": "imagenet", "classes": 10},
    "small": {"input_shape": (8, 8, 3), "include_top": False},
    "array": {"input_tensor": np.ones((1, 96, 96, 3), np.float32)},
    "activation": {"weights": str(FILE), "classifier_activation": "relu"},
}


@by_name(SMALL)
def test_what_is_refused(keras: Any, row: Row) -> None:
    shape = (row.size, row.size, 3)
    for name, arguments in REFUSED.items():
        given = {"weights": None, "input_shape": shape, **arguments}
        if row is SMALL[0]:
            with pytest.raises(ValueError, match="."):
                getattr(keras.applications, row.name)(**given)
        with pytest.raises(ArgumentError):
            getattr(applications, row.name)(**given)
            pytest.fail(name)
    with pytest.raises(ArgumentError, match="pooling"):  # Keras takes it for None
        built(fovea.keras, row, pooling="mean")


@by_name(SMALL)
def test_a_model_from_its_configuration(row: Row) -> None:
    model = built(fovea.keras, row)
    found = type(model).from_config(model.get_config())
    assert [(type(m), m.name) for m in found.layers] == [(type(m), m.name) for m in model.layers]
    assert [w.shape for w in found.weights] == [w.shape for w in model.weights]
    # As in Keras, what is around a layer when it is built anew is not in paths of its weights.
    ends = [
        [w.path.split("/")[-1].rstrip("_0123456789") for w in m.weights] for m in (found, model)
    ]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", ["InceptionResNetV2", "ConvNeXtTiny"])
def test_layers_of_their_own_in_files_of_keras(keras: Any, name: str) -> None:
    """Few layers around one: the whole models take long."""
    inner = layers.Input((2, 2, 3))
    if name == "ConvNeXtTiny":
        own = applications.convnext
        x = own.StochasticDepth(0.5, name="depth")(own.LayerScale(0.5, 3, name="scale")(inner))
    else:
        x = applications.inception_resnet_v2.CustomScaleLayer(0.5, name="scale")([inner, inner])
    model = Model(inner, x)
    described = fovea.keras.saving.serialize_keras_object(model)
    theirs = keras.saving.deserialize_keras_object(described)
    theirs.set_weights(model.get_weights())
    values = np.random.default_rng(0).random((2, 2, 2, 3), np.float32)
    close(model.predict(values, verbose=0), theirs.predict(values, verbose=0))
    written = keras.saving.serialize_keras_object(theirs)
    back = fovea.keras.saving.deserialize_keras_object(written)
    back.set_weights(model.get_weights())
    close(back.predict(values, verbose=0), theirs.predict(values, verbose=0))


def test_stochastic_depth() -> None:
    layer = applications.convnext.StochasticDepth(0.25)
    fovea.manual_seed(0)
    y = layer(fovea.ones(4000, 2, 3), training=True).numpy().reshape(4000, 6)
    kept = y[:, 0] > 0
    assert abs(kept.mean() - 0.75) < 0.03
    np.testing.assert_allclose(y, np.where(kept, 1 / 0.75, 0)[:, None].repeat(6, 1), rtol=1e-6)
    assert (layer(fovea.ones(2, 3)).numpy() == 1).all()
    for rate in (-0.1, 1.0):
        with pytest.raises(ArgumentError, match="drop_path_rate"):
            applications.convnext.StochasticDepth(rate)


def test_without_preprocessing(keras: Any) -> None:
    for row in SMALL:
        if row.module in ("convnext", "efficientnet_v2"):
            arguments: dict[str, Any] = {"include_top": False, "include_preprocessing": False}
            ours, theirs = (built(k, row, **arguments) for k in (fovea.keras, keras))
            assert structure(ours) == structure(theirs)


def test_names_change_neither_networks_nor_files(asked: list[Any]) -> None:
    for row in SMALL:
        if row.module in ("convnext", "efficientnet", "efficientnet_v2"):
            model = whole(fovea.keras, row, weights="imagenet", name="own")
            assert model.name == "own"
            assert len(model.layers) == EXPECTED[row.name]["layers"]
            assert asked.pop() == EXPECTED[row.name]["files"][0]


def test_sizes_that_nasnet_must_know() -> None:
    make = applications.NASNetMobile
    with pytest.raises(ArgumentError, match="must be static"):
        make(weights=None, include_top=False, input_shape=(None, None, 3))
    with pytest.raises(ArgumentError, match="must be static"):
        make(weights=None, include_top=False, input_tensor=Input((None, None, 3)))
    upon = Input((64, 48, 3))
    assert make(weights=None, include_top=False, input_tensor=upon).output_shape == (
        None, 2, 2, 1056,
    )  # fmt: skip


def test_documentation_tells_all_arguments() -> None:
    for row in ROWS:
        make = getattr(applications, row.name)
        text = inspect.getdoc(make)
        assert text is not None
        assert [p for p in inspect.signature(make).parameters if p not in text] == []
        assert "Raises:" in text


def test_what_the_arguments_do() -> None:
    row = SMALL[0]
    source = Input((row.size, row.size, 4), name="source")
    rgb = layers.Conv2D(3, 1)(source)
    model = built(fovea.keras, row, input_tensor=rgb, include_top=False, name="upon")
    assert model.name == "upon"
    assert [t.name for t in model.inputs] == ["source"]
    assert model(fovea.zeros(1, row.size, row.size, 4)).shape == (1, *model.output_shape[1:])
    with pytest.warns(UserWarning, match="4 input channels"):
        built(fovea.keras, row, include_top=False, input_shape=(row.size, row.size, 4))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MobileNet", {"alpha": 0.25, "input_shape": (128, 128, 3)}),
        ("MobileNetV2", {"alpha": 0.35, "input_shape": (96, 96, 3)}),
        ("MobileNetV3Small", {"alpha": 0.75, "input_shape": (224, 224, 3)}),
        ("MobileNetV3Large", {"minimalistic": True, "input_shape": (224, 224, 3)}),
    ],
)
def test_addresses_of_variants(
    keras: Any, asked: list[Any], name: str, arguments: dict[str, Any]
) -> None:
    row = next(row for row in ROWS if row.name == name)
    whole(fovea.keras, row, weights="imagenet", include_top=False, **arguments)
    assert asked == [published_file(keras, row, include_top=False, **arguments)]
    for wrong in ({"alpha": 0.6}, {"depth_multiplier": 2}, {"minimalistic": True, "alpha": 0.75}):
        if wrong.keys() <= inspect.signature(getattr(applications, name)).parameters.keys():
            with pytest.raises(ArgumentError, match="imagenet weights"):
                whole(fovea.keras, row, weights="imagenet", **{**arguments, **wrong})


def test_minimalistic(keras: Any) -> None:
    row = next(row for row in ROWS if row.name == "MobileNetV3Large")
    ours, theirs = (whole(k, row, minimalistic=True, alpha=1.25) for k in (fovea.keras, keras))
    assert structure(ours) == structure(theirs)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small"])
def test_an_input_of_another_size(name: str) -> None:
    make = getattr(applications, name)
    upon = Input((64, 64, 3))
    with pytest.raises(ArgumentError, match="different sizes"):
        make(weights=None, input_tensor=upon, input_shape=(96, 96, 3))
    assert make(weights=None, input_tensor=upon, input_shape=(64, 64, 3)).inputs[0] is upon


def test_weights_from_a_file(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    row = next(row for row in ROWS if row.name == "MobileNetV2")
    model = built(fovea.keras, row, classes=3)
    model.set_weights(drawn(model))
    path = tmp_path / "own.weights.h5"
    model.save_weights(path)
    for weights in (path, str(path)):
        found = built(fovea.keras, row, classes=3, weights=weights)
        for w, expected in zip(found.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(w, expected)
    with pytest.raises((ShapeError, FileFormatError)):
        built(fovea.keras, row, classes=4, weights=path)


@pytest.mark.parametrize("top", [True, False])
def test_published_weights(
    keras: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: bool
) -> None:
    h5py = pytest.importorskip("h5py")
    legacy = pytest.importorskip("keras.src.legacy.saving.legacy_h5_format")
    row = next(row for row in ROWS if row.name == "MobileNetV2")
    arguments = {"alpha": 0.35, "input_shape": (96, 96, 3), "include_top": top}
    theirs = whole(keras, row, **arguments)
    theirs.set_weights(drawn(theirs))
    with h5py.File(tmp_path / "file.h5", "w") as file:
        legacy.save_weights_to_hdf5_group(file, theirs)
    end = "" if top else "_no_top"
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96{end}.h5"
    with serve() as server:
        server.content[f"mobilenet_v2/{name}"] = (tmp_path / "file.h5").read_bytes()
        monkeypatch.setattr(options, "STORE", server.url(""))
        ours = whole(fovea.keras, row, weights="imagenet", **arguments)
    assert [path.name for path in cache.iterdir()] == [name]
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


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
