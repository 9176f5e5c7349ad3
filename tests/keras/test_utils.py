"""Keras's helpers: pictures, datasets from folders, downloads, drawings; against Keras's own."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, FileFormatError, MissingExtraError, ShapeError
from fovea.keras import Input, Model, Sequential, layers, utils
from fovea.keras.utils import Dataset
from fovea.keras.utils.downloads import DownloadError

keras = pytest.importorskip("keras")
PIL = pytest.importorskip("PIL.Image")


# -- pictures ------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    PIL.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("size", [None, (8, 9)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("keep", [False, True])
def test_load_img(picture: Path, mode: str, size: Any, interpolation: str, keep: bool) -> None:
    ours = utils.load_img(picture, mode, size, interpolation, keep)
    theirs = keras.utils.load_img(picture, mode, size, interpolation, keep)
    assert ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()


def test_load_img_refuses(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(FileFormatError, match=r"text\.png"):
        utils.load_img(tmp_path / "text.png")
    with pytest.raises(ArgumentError):
        utils.load_img(picture, color_mode="hsv")
    with pytest.raises(ArgumentError):
        utils.load_img(picture, target_size=(2, 2), interpolation="cubic")
    assert utils.load_img(io.BytesIO(picture.read_bytes())).size == (30, 20)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("scale", [True, False])
def test_arrays_and_images(channels: int, data_format: str, scale: bool) -> None:
    shape = (5, 6, channels) if data_format == "channels_last" else (channels, 5, 6)
    x = np.random.default_rng(1).uniform(0, 200, shape)
    ours = utils.array_to_img(x, data_format, scale)
    theirs = keras.utils.array_to_img(x, data_format, scale)
    assert ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()
    back, expected = (u.img_to_array(ours, data_format) for u in (utils, keras.utils))
    assert back.dtype == expected.dtype and (back == expected).all()
    with pytest.raises(ShapeError):
        utils.array_to_img(np.zeros((2, 2)))
    with pytest.raises(ShapeError):
        utils.array_to_img(np.zeros((2, 2, 2)))


def test_save_img(tmp_path: Path) -> None:
    x = np.random.default_rng(2).integers(0, 256, (4, 5, 3))
    utils.save_img(tmp_path / "a.png", fovea.tensor(x), scale=False)
    assert (utils.img_to_array(utils.load_img(tmp_path / "a.png")) == x).all()
    utils.save_img(tmp_path / "a.jpg", np.zeros((4, 5, 4)))
    assert PIL.open(tmp_path / "a.jpg").format == "JPEG"
    buffer = io.BytesIO()
    utils.save_img(buffer, x, file_format="bmp")
    assert buffer.getvalue()[:2] == b"BM"
    with pytest.raises(KeyError):
        utils.save_img(tmp_path / "b.unknown", x)
    assert sorted(os.listdir(tmp_path)) == ["a.jpg", "a.png"]


# -- folders -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for name, count in (("cats", 5), ("dogs", 4), ("owls", 3)):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in range(count):
            where = tmp_path / name / ("more" if i == 1 else "") / f"{i}.png"
            PIL.fromarray(rng.integers(0, 256, (9 + i, 12, 3)).astype(np.uint8)).save(where)
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    return tmp_path


CASES: list[dict[str, Any]] = [
    {},
    {"shuffle": False},
    {"shuffle": False, "class_names": ["owls", "cats"]},
    {"seed": 7, "validation_split": 0.3, "subset": "training"},
    {"seed": 7, "validation_split": 0.3, "subset": "validation"},
    {"shuffle": False, "labels": [i % 2 for i in range(12)]},
    {"shuffle": False, "labels": None, "label_mode": None},
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_files_are_those_that_keras_finds(folder: Path, case: dict[str, Any]) -> None:
    from keras.src.utils import dataset_utils

    given = {"labels": "inferred", "shuffle": True, "seed": 1, **case}
    split, subset = given.pop("validation_split", None), given.pop("subset", None)
    mode = given.pop("label_mode", "int")
    paths, labels, names = dataset_utils.index_directory(
        str(folder), formats=(".png",), verbose=False, **given
    )
    if split:
        paths, labels = dataset_utils.get_training_or_validation_split(paths, labels, split, subset)
    ours = utils.image_dataset_from_directory(
        folder, image_size=(6, 5), batch_size=4, verbose=False,
        **{"seed": 1, "label_mode": mode, **case},
    )  # fmt: skip
    assert [os.path.normpath(p) for p in paths] == ours.file_paths
    assert ours.class_names == (list(names) if names is not None else None)
    if not given["shuffle"] and mode:
        drawn = np.concatenate([y.numpy() for _, y in ours])
        assert drawn.tolist() == list(labels)


def test_images_and_labels(folder: Path) -> None:
    make = utils.image_dataset_from_directory
    ds = make(folder, image_size=(6, 5), batch_size=5, seed=0, label_mode="categorical")
    assert len(ds) == 3 and ds.class_names == ["cats", "dogs", "owls"]
    batches = list(ds)
    assert [b[0].shape[0] for b in batches] == [5, 5, 2]
    assert batches[0][0].shape == (5, 6, 5, 3) and batches[0][0].dtype is fovea.float32
    assert batches[0][1].shape == (5, 3)
    again = [y.tolist() for _, y in ds]
    assert again != [y.tolist() for _, y in batches]  # another order in each epoch
    plain = make(folder, image_size=(6, 5), shuffle=False, batch_size=None, verbose=False)
    image, label = next(iter(plain))
    pixels = keras.utils.img_to_array(keras.utils.load_img(plain.file_paths[0]))
    expected = keras.ops.image.resize(pixels, (6, 5)).numpy()
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-3)
    assert label.dtype is fovea.int32 and label.ndim == 0
    gray = make(folder, color_mode="grayscale", data_format="channels_first", verbose=False)
    assert next(iter(gray))[0].shape == (12, 1, 256, 256)
    both = make(folder, validation_split=0.25, subset="both", image_size=(4, 4), verbose=False)
    assert [len(d.file_paths) for d in both] == [9, 3]
    assert not set(both[0].file_paths) & set(both[1].file_paths)
    two = make(folder, class_names=["cats", "dogs"], label_mode="binary", image_size=(4, 4))
    assert next(iter(two))[1].shape == (9, 1)


def test_folders_in_fit(folder: Path) -> None:
    ds = utils.image_dataset_from_directory(folder, image_size=(6, 6), batch_size=4, seed=0)
    model = Sequential(
        [Input((6, 6, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)]
    )
    model.compile("sgd", "mse")
    history = model.fit(ds.map(lambda x, y: (x, x[:, 0, 0])), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    assert model.predict(ds, verbose=0).shape == (12, 3)


def test_what_folders_refuse(folder: Path, tmp_path: Path) -> None:
    make = utils.image_dataset_from_directory
    (tmp_path / "empty").mkdir()
    for wrong in (
        {"labels": [1, 2]},
        {"class_names": ["mice"]},
        {"label_mode": "other"},
        {"color_mode": "hsv"},
        {"validation_split": 0.2},
        {"subset": "training"},
        {"validation_split": 1.5, "subset": "both"},
        {"validation_split": 0.2, "subset": "training"},  # shuffled without a seed
        {"interpolation": "other"},
        {"label_mode": "binary"},
        {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True},
        {"labels": None, "class_names": ["cats"]},
    ):
        with pytest.raises(ArgumentError):
            make(folder, verbose=False, **wrong)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="no folder"):
        make(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="no picture"):
        make(tmp_path / "empty", labels=None)
    (folder / "cats" / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(FileFormatError, match=r"broken\.png"):
        list(make(folder, verbose=False))


# -- datasets ------------------------------------------------------------------------------------


def numbers(dataset: Dataset) -> list[Any]:
    return [x.tolist() for x in dataset]


def test_steps_of_a_dataset() -> None:
    ds = Dataset.from_tensor_slices(np.arange(10))
    assert numbers(ds.batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert numbers(ds.batch(4, drop_remainder=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert numbers(ds.batch(4).unbatch()) == list(range(10))
    assert numbers(ds.take(3)) == [0, 1, 2] and numbers(ds.skip(8)) == [8, 9]
    assert numbers(ds.filter(lambda x: x % 3 == 0)) == [0, 3, 6, 9]
    assert numbers(ds.take(2).repeat(2)) == [0, 1, 0, 1]
    assert numbers(ds.take(1).concatenate(ds.skip(9))) == [0, 9]
    for workers in (None, 1, 3, -1):
        assert numbers(ds.map(lambda x: x * 2, num_parallel_calls=workers)) == list(range(0, 20, 2))
    assert numbers(ds.prefetch(2)) == list(range(10)) == numbers(ds.with_options(None))
    assert [(i, int(x)) for i, x in ds.take(2).enumerate(5)] == [(5, 0), (6, 1)]
    assert next(ds.as_numpy_iterator()).dtype == np.int64
    lengths = [ds.batch(3), ds.batch(3, True), ds.take(4), ds.skip(4), ds.repeat(3), ds.prefetch()]
    assert [len(d) for d in lengths] == [4, 3, 4, 6, 30, 10]
    assert ds.filter(bool).cardinality() == -2 and ds.cardinality() == 10
    with pytest.raises(TypeError):
        len(ds.repeat())
    pairs = Dataset.from_tensor_slices((np.arange(3), {"a": np.arange(6).reshape(3, 2)}))
    x, y = next(iter(pairs.batch(2)))
    assert x.tolist() == [0, 1] and y["a"].shape == (2, 2)
    with pytest.raises(ArgumentError):
        Dataset.from_tensor_slices((np.arange(3), np.arange(2)))


def test_orders() -> None:
    ds = Dataset.from_tensor_slices(np.arange(50))
    mixed = ds.shuffle(20, seed=1)
    first, second = numbers(mixed), numbers(mixed)
    assert sorted(first) == list(range(50)) == sorted(second) and first != second
    assert numbers(ds.shuffle(20, seed=1)) == first
    same = ds.shuffle(50, seed=2, reshuffle_each_iteration=False)
    assert numbers(same) == numbers(same)
    assert max(first[:1]) < 20  # only the buffer can come first


def test_caches_and_threads() -> None:
    calls: list[int] = []

    def slow(x: Any) -> Any:
        calls.append(int(x))
        return x

    kept = Dataset.from_tensor_slices(np.arange(4)).map(slow).cache()
    assert numbers(kept) == numbers(kept) and len(calls) == 4
    before = threading.active_count()
    for _ in kept.prefetch(1):
        break
    assert threading.active_count() == before

    def fails(x: Any) -> Any:
        raise ValueError("no")

    for workers in (None, 2):
        with pytest.raises(ValueError, match="no"):
            list(Dataset.from_tensor_slices(np.arange(9)).map(fails, workers).prefetch(2))


@pytest.mark.parametrize(("left", "right"), [(0.8, None), (None, 3), (4, 0.2), (7, 3)])
def test_split_dataset(left: Any, right: Any) -> None:
    x, y = np.arange(10.0), np.arange(10)
    a, b = utils.split_dataset((x, y), left, right)
    assert len(a) == (7 if right == 3 else 8 if left == 0.8 else 4)
    assert [float(v) for v, _ in a] == list(range(len(a)))
    assert [int(v) for _, v in b] == list(range(10 - len(b), 10))
    mixed, rest = utils.split_dataset(list(a), 0.5, shuffle=True, seed=0)
    assert len(mixed) + len(rest) == len(a)
    for wrong in ((None, None), (8, 3), (1.5, None)):
        with pytest.raises(ArgumentError):
            utils.split_dataset(x, *wrong)


def test_windows_of_a_series() -> None:
    x = np.arange(20).reshape(10, 2)
    ds = utils.timeseries_dataset_from_array(x, np.arange(10), 3, 2, 2, batch_size=2)
    xs, ys = zip(*ds, strict=True)
    assert xs[0].tolist() == x[[[0, 2, 4], [2, 4, 6]]].tolist()
    assert np.concatenate([y.numpy() for y in ys]).tolist() == [0, 2, 4]
    part = utils.timeseries_dataset_from_array(x, None, 2, start_index=4, end_index=8)
    assert next(iter(part)).tolist() == x[[[4, 5], [5, 6], [6, 7]]].tolist()
    with pytest.raises(ArgumentError):
        utils.timeseries_dataset_from_array(x, None, 0)
    with pytest.raises(ArgumentError):
        utils.timeseries_dataset_from_array(x, None, 2, start_index=9, end_index=4)


SEQUENCES = [[1], [2, 3], [4, 5, 6, 7], []]


@pytest.mark.parametrize("maxlen", [None, 1, 3])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_pad_sequences(maxlen: Any, padding: str, truncating: str) -> None:
    args = (SEQUENCES, maxlen, "float32", padding, truncating, -1.0)
    ours, theirs = utils.pad_sequences(*args), keras.utils.pad_sequences(*args)
    assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()
    nested = utils.pad_sequences([np.ones((2, 3)), np.ones((1, 3))])
    assert nested.shape == (2, 2, 3)
    with pytest.raises(ArgumentError):
        utils.pad_sequences([1, 2])
    with pytest.raises(ArgumentError):
        utils.pad_sequences(SEQUENCES, padding="left")
    with pytest.raises(ArgumentError):
        utils.pad_sequences([np.ones((2, 3)), np.ones((2, 4))])


# -- downloads -----------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of a folder: its address, and the folder."""
    root = tmp_path / "served"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(root))

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}", root
        made.shutdown()


def test_downloads(server: Any, tmp_path: Path) -> None:
    address, root = server
    (root / "data.bin").write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    kept = tmp_path / "cache"
    path = utils.get_file(origin=f"{address}/data.bin", cache_dir=kept, file_hash=digest)
    assert Path(path) == kept / "datasets" / "data.bin" and Path(path).read_bytes() == b"hello"
    (root / "data.bin").write_bytes(b"other")
    assert (
        Path(utils.get_file("data.bin", f"{address}/data.bin", cache_dir=kept)).read_bytes()
        == b"hello"
    )
    with pytest.raises(DownloadError, match="could not be fetched"):
        utils.get_file(
            "data.bin", f"{address}/data.bin", cache_dir=kept, file_hash=digest, force_download=True
        )
    assert Path(path).read_bytes() == b"hello"  # what was there stays
    with pytest.raises(DownloadError):
        utils.get_file(origin=f"{address}/missing.bin", cache_dir=kept)
    md5 = hashlib.md5(b"other").hexdigest()
    utils.get_file("b.bin", f"{address}/data.bin", cache_dir=kept, md5_hash=md5)
    assert sorted(os.listdir(kept / "datasets")) == ["b.bin", "data.bin"]
    with pytest.raises(ArgumentError, match="leads out"):
        utils.get_file("../../x.bin", f"{address}/data.bin", cache_dir=kept)
    with pytest.raises(ArgumentError):
        utils.get_file("x.bin")


def archives(root: Path) -> None:
    (root / "a.txt").write_text("inside")
    with tarfile.open(root / "good.tar.gz", "w:gz") as tar:
        tar.add(root / "a.txt", "folder/a.txt")
    with zipfile.ZipFile(root / "good.zip", "w") as file:
        file.write(root / "a.txt", "folder/a.txt")
    with tarfile.open(root / "climbs.tar", "w") as tar:
        tar.add(root / "a.txt", "../../a.txt")
    with zipfile.ZipFile(root / "climbs.zip", "w") as file:
        file.write(root / "a.txt", "../../evil.txt")
    with zipfile.ZipFile(root / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(4 << 20))
    (root / "broken.zip").write_bytes((root / "good.zip").read_bytes()[:60])


def test_archives(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, root = server
    archives(root)
    kept = tmp_path / "cache"
    for name in ("good.tar.gz", "good.zip"):
        folder = utils.get_file(origin=f"{address}/{name}", cache_dir=kept, extract=True)
        assert (Path(folder) / "folder" / "a.txt").read_text() == "inside"
    monkeypatch.setattr("fovea.utils.archive.MOST_UNPACKED", 1 << 20)
    for name in ("climbs.tar", "climbs.zip", "bomb.zip", "broken.zip"):
        with pytest.raises(FileFormatError):
            utils.get_file(origin=f"{address}/{name}", cache_dir=kept, extract=True)
    (root / "unnamed").write_bytes((root / "good.tar.gz").read_bytes())
    for kind in ("zip", ["zip"]):
        with pytest.raises(FileFormatError, match="kind"):
            utils.get_file(
                origin=f"{address}/unnamed", cache_dir=kept, extract=True, archive_format=kind
            )
    assert not list(tmp_path.rglob("evil.txt"))
    left = [p.name for p in (kept / "datasets").iterdir() if p.is_dir()]
    assert sorted(left) == ["good.tar.gz_extracted", "good.zip_extracted"]


# -- drawings ------------------------------------------------------------------------------------


def test_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = Input((4,), name="a")
    left, right = (
        layers.Dense(3, activation="relu", name="left")(a),
        layers.Dense(3, name="right")(a),
    )
    inner = Sequential([Input((3,)), layers.Dense(2, name="deep")], name="inner")
    model = Model(a, inner(layers.Add(name="sum")([left, right])), name='quoted "name"')
    text = str(utils.model_to_dot(model, show_shapes=True, show_layer_activations=True))
    for edge in ('"a" -> "left"', '"a" -> "right"', '"left" -> "sum"', '"sum" -> "inner"'):
        assert edge in text
    assert 'quoted \\"name\\"' in text and "(None, 3)" in text and "activation: relu" in text
    nested = str(utils.model_to_dot(model, expand_nested=True))
    assert "cluster_inner" in nested and '"sum" -> "inner/deep"' in nested
    utils.plot_model(model, tmp_path / "model.dot", show_dtype=True, show_trainable=True)
    assert (tmp_path / "model.dot").read_text().startswith("digraph")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="Graphviz"):
        utils.plot_model(model, tmp_path / "model.png")
    assert not (tmp_path / "model.png").exists()
    utils.plot_model(model, tmp_path / "model.svg", True, False, True, expand_nested=True)
    svg = (tmp_path / "model.svg").read_text()
    assert svg.startswith("<svg") and svg.count('class="arrow"') == 5
    assert all(f">{line}</text>" in svg for line in ("deep (Dense)", "output: (None, 2)"))
    assert utils.model_to_dot(model)._repr_svg_().startswith("<svg")


def test_sources_of_a_tensor() -> None:
    from fovea.keras import Input, layers, utils

    a, b, c = Input((4,)), Input((4,)), Input((4,))
    x = layers.Add()([a, layers.Dense(4)(b)])
    y = layers.Concatenate()([layers.Multiply()([x, x]), a])
    found = utils.get_source_inputs(y)
    assert [id(t) for t in found] == [id(a), id(b)]
    assert utils.get_source_inputs(c)[0] is c
    assert utils.get_source_inputs(3) == 3


@pytest.mark.parametrize("size", [(4, 4), (9, 3), (12, 20)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_smart_resize(size: Any, data_format: str) -> None:
    from fovea.keras.preprocessing.image import smart_resize

    x = np.random.default_rng(0).uniform(0, 255, (2, 10, 13, 3)).astype(np.float32)
    x = x.transpose(0, 3, 1, 2).copy() if data_format == "channels_first" else x
    theirs = keras.preprocessing.image.smart_resize
    for given in (x, x[0]):
        found = smart_resize(given, size, data_format=data_format)
        assert isinstance(found, np.ndarray)
        if data_format == "channels_last" or given.ndim == 4:
            expected = np.asarray(theirs(given, size, data_format=data_format))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)
    with pytest.raises(ArgumentError):
        smart_resize(x, (3,))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [-1, 1])
def test_tensors_and_symbols_are_normalized_as_kerass(axis: int, order: int) -> None:
    x = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32)
    wanted = keras.utils.normalize(keras.ops.convert_to_tensor(x), axis, order).cpu().numpy()
    found = utils.normalize(fovea.tensor(x), axis, order)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    inputs = Input((3, 4))
    outputs = utils.normalize(inputs, axis, order)
    assert outputs.shape == (None, 3, 4)
    model = Model(inputs, outputs)
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5)
    given = fovea.tensor(x, requires_grad=True)
    utils.normalize(given, axis, order).sum().backward()
    assert given.grad is not None
