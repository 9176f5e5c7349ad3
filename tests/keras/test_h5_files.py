"""``.h5`` files that Keras 3 and fovea exchange: descriptions, weights and compilation."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.errors import FileFormatError, FoveaError, MissingExtraError

from .compare import data

h5py = pytest.importorskip("h5py")
X, Y = data((6, 6, 6, 3)), np.arange(6) % 2


def sequential(k: Any) -> Any:
    L = k.layers  # noqa: N806
    layers = [L.Conv2D(4, 3, kernel_regularizer="l2"), L.BatchNormalization(), L.LeakyReLU(0.1)]
    return k.Sequential([L.Input((6, 6, 3)), *layers, L.Flatten(), L.Dense(2, "softmax")])


def residual(k: Any) -> Any:
    L = k.layers  # noqa: N806
    x = k.Input((6, 6, 3))
    y = L.SeparableConv2D(4, 3, padding="same", use_bias=False)(x)
    y = L.Activation("relu")(L.BatchNormalization()(y))
    y = L.Add()([y, L.Conv2D(4, 1)(x)])
    y = L.DepthwiseConv2D(3, 2)(y)
    return k.Model(x, L.Dense(2, activation="softmax")(L.GlobalAveragePooling2D()(y)))


def recurrent(k: Any) -> Any:
    L = k.layers  # noqa: N806
    layers = [L.Reshape((18, 6)), L.Bidirectional(L.GRU(3, return_sequences=True)), L.LSTM(4)]
    return k.Sequential([L.Input((6, 6, 3)), *layers, L.Dense(2, "softmax")])


def nested(k: Any) -> Any:
    """A model within, called twice; a shared layer; a frozen one."""
    L = k.layers  # noqa: N806
    t = k.Input((6, 6, 3))
    z = L.BatchNormalization(trainable=False)(L.Conv2D(3, 3, padding="same")(t))
    inner = k.Model(t, L.Add()([z, t]), name="inner")
    head = k.Sequential([L.Input((108,)), L.Dense(5, "relu"), L.Dense(4)])
    x = k.Input((6, 6, 3))
    shared = L.Dense(2, activation="softmax")
    y = head(L.Flatten()(inner(inner(x))))
    return k.Model(x, L.Average()([shared(y), shared(L.ReLU()(y))]))


def wrapped(k: Any) -> Any:
    """A model within a wrapper."""
    L = k.layers  # noqa: N806
    inner = k.Sequential([L.Input((6, 3)), L.Conv1D(2, 3), L.Flatten()])
    return k.Sequential(
        [L.Input((6, 6, 3)), L.TimeDistributed(inner), L.GRU(2, activation="relu"), L.Softmax()]
    )


MODELS = [sequential, residual, recurrent, nested, wrapped]


def trained(k: Any, make: Any, seed: int = 0) -> Any:
    k.utils.set_random_seed(seed)
    model = make(k)
    loss = k.losses.SparseCategoricalCrossentropy()
    model.compile(k.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(X, Y, epochs=2, batch_size=3, verbose=0)
    return model


def same(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.predict(X, verbose=0), b.predict(X, verbose=0), atol=1e-6)


@pytest.mark.parametrize("make", MODELS)
def test_models(keras: Any, tmp_path: Path, make: Any) -> None:
    theirs, ours = trained(keras, make), trained(fk, make, 1)
    theirs.save(tmp_path / "theirs.h5")
    read = fk.models.load_model(tmp_path / "theirs.h5")
    same(read, theirs)
    scores = [m.evaluate(X, Y, verbose=0) for m in (read, theirs)]
    np.testing.assert_allclose(*scores, atol=1e-6)
    for own, value in zip(read.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_allclose(own._array(), np.asarray(value.value.detach()), atol=1e-7)
    ours.save(tmp_path / "ours.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(ours, keras.models.load_model(tmp_path / "ours.h5"))
    again = fk.models.load_model(tmp_path / "ours.h5")
    same(ours, again)
    for a, b in zip(ours.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a._array(), b._array())
    theirs.load_weights(tmp_path / "ours.h5")
    same(ours, theirs)


@pytest.mark.parametrize("make", MODELS)
def test_weights_alone(keras: Any, tmp_path: Path, make: Any) -> None:
    theirs, ours = trained(keras, make), make(fk)
    ours.save_weights(tmp_path / "ours.h5")
    theirs.load_weights(tmp_path / "ours.h5")
    same(ours, theirs)
    theirs = trained(keras, make, 2)
    theirs.save(tmp_path / "theirs.hdf5")
    ours.load_weights(tmp_path / "theirs.hdf5")
    same(ours, theirs)
    ours.save_weights(tmp_path / "by_name.h5")
    theirs.load_weights(tmp_path / "by_name.h5")
    copy = fk.models.clone_model(ours)
    copy.load_weights(tmp_path / "by_name.h5", by_name=True)
    same(ours, copy)


def test_operations_in_graphs(keras: Any, tmp_path: Path) -> None:
    """Keras 3 writes them without their module, and does not read them itself."""
    x = keras.Input((3,))
    y = keras.layers.Dense(4)(x)
    model = keras.Model(x, keras.ops.mean(keras.ops.concatenate([y * 2, y + 1], 1), axis=1))
    model.save(tmp_path / "m.h5")
    found = fk.models.load_model(tmp_path / "m.h5", compile=False)
    given = data((4, 3))
    wanted = model.predict(given, verbose=0)
    np.testing.assert_allclose(found.predict(given, verbose=0), wanted, atol=1e-6)


def test_no_optimizer(tmp_path: Path) -> None:
    trained(fk, sequential).save(tmp_path / "m.h5", include_optimizer=False)
    with pytest.warns(UserWarning, match="does not say how its model is compiled"):
        assert not fk.models.load_model(tmp_path / "m.h5").compiled


def test_many_layers(keras: Any, tmp_path: Path) -> None:
    """Lists of names that are longer than HDF5's attributes are cut into several."""
    from fovea.keras.saving.legacy.weights import WeightsGroup, write_names

    names = [f"layer_{i:04}_{'x' * 60}" for i in range(2000)]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        write_names(file, "layer_names", names)
        assert "layer_names" not in file.attrs and len(file.attrs) == 3
    from fovea.interop.hdf5 import H5File

    with H5File.open(tmp_path / "m.h5") as read:
        assert WeightsGroup.of(read).layers() == names
    from keras.src.legacy.saving.legacy_h5_format import load_attributes_from_hdf5_group

    with h5py.File(tmp_path / "m.h5") as file:
        assert load_attributes_from_hdf5_group(file, "layer_names") == names


def test_a_wrong_name_does_not_matter(tmp_path: Path) -> None:
    """Keras 2 wrote this form whatever ends the name before ``.h5``."""
    model = sequential(fk)
    model.save(tmp_path / "a.h5")
    (tmp_path / "a.h5").rename(tmp_path / "a.weights.h5")
    other = sequential(fk)
    other.load_weights(tmp_path / "a.weights.h5")
    same(model, other)


def test_arrays_by_their_paths(tmp_path: Path) -> None:
    model = sequential(fk)
    model.save(tmp_path / "m.h5")
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    conv = model.layers[0]
    kernel = conv.get_weights()[0]
    keys = {
        "m.h5": f"model_weights/{conv.name}/{model.name}/{conv.name}/kernel",
        "m.keras": "layers/conv2d/vars/0",
        "m.weights.h5": "layers/conv2d/vars/0",
    }
    for name, key in keys.items():
        np.testing.assert_array_equal(fovea.load(tmp_path / name)[key].numpy(), kernel)
    with open(tmp_path / "m.h5", "rb") as file:
        assert keys["m.h5"] in fovea.load(file)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sequential(fk)
    model.save(tmp_path / "m.h5")
    monkeypatch.setattr("fovea.interop.hdf5.h5py_or_none", lambda: None)
    for call in (
        model.save,
        model.save_weights,
        fk.models.load_model,
        model.load_weights,
        fovea.load,
    ):
        with pytest.raises(MissingExtraError, match="needs h5py"):
            call(tmp_path / "m.h5")


# -- files that are not what they say ---------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trained(fk, sequential).save(tmp_path / "m.h5")
    return tmp_path / "m.h5"


def change(path: Path, do: Any) -> None:
    with h5py.File(path, "r+") as file:
        do(file)


def kernel_of(file: Any) -> tuple[Any, str]:
    group = file["model_weights"]["dense"]
    name = group.attrs["weight_names"][0]
    return group, name.decode() if isinstance(name, bytes) else name


def refused(path: Path, match: str) -> None:
    with pytest.raises(FileFormatError, match=match):
        fk.models.load_model(path)


def test_links_elsewhere(saved: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.ones((64, 2), np.float32)

    def external(file: Any) -> None:
        group, name = kernel_of(file)
        del group[name]
        group[name] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/kernel")

    change(saved, external)
    refused(saved, "to another place")
    with pytest.raises(FileFormatError, match="to another place"):
        fovea.load(saved)


def test_claims_of_size(saved: Path) -> None:
    def huge(file: Any) -> None:
        group, name = kernel_of(file)
        del group[name]
        group.create_dataset(name, (2**20, 2**20), np.float32, chunks=(64, 64))

    change(saved, huge)
    refused(saved, "claims 4,398,046,511,104 bytes and holds 0")
    with pytest.raises(FileFormatError, match="claims"):
        fovea.load(saved)


def test_models_larger_than_their_weights(saved: Path) -> None:
    def units(file: Any) -> None:
        text = str(file.attrs["model_config"])
        file.attrs["model_config"] = text.replace('"units": 2', f'"units": {10**12}')

    change(saved, units)
    refused(saved, "describes a layer 'dense' with a weight of .* far more")


def test_texts_named_again_and_again(tmp_path: Path) -> None:
    """2,000 references to one text: reading them would take that much for each."""
    text = b"x" * (1 << 20)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs.create("big", text.decode())
        file.attrs["layer_names"] = np.array([b"a"] * 2000, dtype=object)
    content = (tmp_path / "m.h5").read_bytes()
    heap = content.index(text) - 32
    assert content[heap : heap + 4] == b"GCOL"
    reference = len(text).to_bytes(4, "little") + heap.to_bytes(8, "little") + b"\1\0\0\0"
    assert reference in content
    (tmp_path / "m.h5").write_bytes(content + reference * 2000)
    with pytest.raises(FileFormatError, match="again and again"):
        fk.models.load_model(tmp_path / "m.h5")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ("[", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("3", "without saying its class"),
        ('{"class_name": "Model"}', "without its arguments"),
        ('{"class_name": "Model", "config": {"layers": 3}}', "without layers"),
        ('{"class_name": "Sequential", "config": 3}', "without layers"),
        ('{"class_name": "Sequential", "config": [{"class_name": "InputLayer", "config": {}}]}', "give either"),
        ('{"class_name": "Model", "config": {"layers": [{"name": "a", "class_name": "Dense", '
         '"config": {"units": 1}, "inbound_nodes": [[["b", 0, 0]]]}], "output_layers": [["a", 0, 0]], '
         '"input_layers": []}}', "'b', which is not there"),
    ],
)  # fmt: skip
def test_wrong_descriptions(saved: Path, config: str, match: str) -> None:
    change(saved, lambda file: file.attrs.__setitem__("model_config", config))
    with pytest.raises(FoveaError, match=match):
        fk.models.load_model(saved)


def damaged(content: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    found = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8])):
        found[chance.randrange(len(found))] = chance.choice([0, 1, 255, chance.randrange(256)])
    return bytes(found)


def test_damaged_files_never_crash(saved: Path) -> None:
    content, chance, refusals = saved.read_bytes(), random.Random(0), 0
    for _ in range(150):
        saved.write_bytes(damaged(content, chance))
        for read in (fk.models.load_model, fovea.load):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(saved)
            except FoveaError:
                refusals += 1
    assert refusals > 60
