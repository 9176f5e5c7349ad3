"""Files: written whole, read by Keras, and never trusted."""

from __future__ import annotations

import builtins
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.errors import FileFormatError, MissingExtraError
from fovea.keras import layers, saving

from .compare import data

h5py = pytest.importorskip("h5py")
X = data((6, 8, 8, 3))


def sequential(k: Any) -> Any:
    L = k.layers  # noqa: N806
    model = k.Sequential(
        [
            L.Input(shape=(8, 8, 3)),
            L.Conv2D(4, 3, activation="relu", kernel_initializer="he_normal"),
            L.BatchNormalization(),
            L.Dropout(0.3),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(3, activation="softmax", kernel_regularizer=k.regularizers.L2(1e-3)),
        ]
    )
    model.compile(k.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, np.arange(6) % 3, epochs=2, verbose=0)
    return model


def functional(k: Any) -> Any:
    L = k.layers  # noqa: N806
    inner = k.Sequential([L.Dense(6, activation="gelu"), L.Dense(4)])
    t = k.Input(shape=(4,))
    other = k.Model(t, L.Dense(4)(t))
    i = k.Input(shape=(8, 8, 3), name="image")
    x = L.SeparableConv2D(4, 3, padding="same", strides=2)(i)
    x = L.GroupNormalization(groups=2)(x)
    x = L.Conv2DTranspose(2, 2, strides=2)(x)
    x = L.DepthwiseConv2D(3)(x)
    x = L.PReLU(shared_axes=[1, 2])(x)
    x = L.Flatten()(x)
    x = other(inner(x))
    x = L.Concatenate()([x, other(x), L.LayerNormalization()(x)])
    model = k.Model(i, [L.Dense(2, name="a")(x), L.Dense(3, activation="softmax", name="b")(x)])
    model.compile(
        k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.1, 100), momentum=0.9),
        {"a": k.losses.Huber(0.5), "b": "sparse_categorical_crossentropy"},
        metrics={"a": ["mae"], "b": [k.metrics.SparseTopKCategoricalAccuracy(2, name="top")]},
    )
    model.fit(X, [np.ones((6, 2), "f"), np.arange(6) % 3], verbose=0)
    return model


MODELS = [sequential, functional]


def outputs(model: Any) -> list[Any]:
    out = model.predict(X, verbose=0)
    return list(out) if isinstance(out, list | tuple) else [out]


def same(a: Any, b: Any) -> None:
    for one, two in zip(outputs(a), outputs(b), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
class TestRoundTrips:
    def test_here(self, tmp_path: Path, make: Any) -> None:
        model = make(fk)
        model.save(tmp_path / "m.keras")
        twin = fk.models.load_model(tmp_path / "m.keras")
        same(model, twin)
        assert twin.get_config() == model.get_config()
        assert int(twin.optimizer.iterations) == int(model.optimizer.iterations) > 0
        for a, b in zip(model.optimizer.get_weights(), twin.optimizer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_training_goes_on(self, tmp_path: Path, make: Any) -> None:
        model = make(fk)
        model.save(tmp_path / "m.keras")
        twin = fk.models.load_model(tmp_path / "m.keras")
        y: Any = np.arange(6) % 3
        y = [np.ones((6, 2), "f"), y] if make is functional else y
        for m in (model, twin):
            fk.utils.set_random_seed(3)
            m.fit(X, y, shuffle=False, verbose=0)
        same(model, twin)

    def test_keras_reads_ours(self, keras: Any, tmp_path: Path, make: Any) -> None:
        model = make(fk)
        model.save(tmp_path / "m.keras")
        theirs = keras.models.load_model(tmp_path / "m.keras")
        same(model, theirs)
        assert int(theirs.optimizer.iterations) == int(model.optimizer.iterations)

    def test_we_read_keras(self, keras: Any, tmp_path: Path, make: Any) -> None:
        theirs = make(keras)
        theirs.save(tmp_path / "m.keras")
        model = fk.models.load_model(tmp_path / "m.keras")
        same(model, theirs)
        assert int(theirs.optimizer.iterations) == int(model.optimizer.iterations)
        assert model.count_params() == theirs.count_params()

    def test_weights(self, keras: Any, tmp_path: Path, make: Any) -> None:
        theirs, own, other = make(keras), make(fk), make(fk)
        theirs.save_weights(tmp_path / "a.weights.h5")
        own.load_weights(tmp_path / "a.weights.h5")
        same(own, theirs)
        own.save_weights(tmp_path / "b.weights.h5")
        other.load_weights(tmp_path / "b.weights.h5")
        same(own, other)
        fresh = make(keras)
        fresh.load_weights(tmp_path / "b.weights.h5")
        same(fresh, own)

    def test_without_h5py(self, tmp_path: Path, monkeypatch: Any, make: Any) -> None:
        monkeypatch.setattr("fovea.interop.hdf5.h5py_or_none", lambda: None)
        monkeypatch.setattr("fovea.keras.saving.archive.h5py_or_none", lambda: None)
        model = make(fk)
        model.save(tmp_path / "m.keras")
        names = zipfile.ZipFile(tmp_path / "m.keras").namelist()
        assert "model.weights.npz" in names
        same(model, fk.models.load_model(tmp_path / "m.keras"))
        with pytest.raises(MissingExtraError, match="needs h5py"):
            model.save_weights(tmp_path / "m.weights.h5")
        with pytest.raises(MissingExtraError, match="needs h5py"):
            (tmp_path / "m.weights.h5").touch()
            model.load_weights(tmp_path / "m.weights.h5")


class Net(fk.Model):
    def __init__(self, width: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [layers.Dense(width), layers.Dense(width)]
        self.head = layers.Dense(2)

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


class TestSubclassed:
    def test_weights(self, tmp_path: Path) -> None:
        one, two = Net(), Net()
        one(X), two(X)
        one.save_weights(tmp_path / "n.weights.h5")
        two.load_weights(tmp_path / "n.weights.h5")
        np.testing.assert_array_equal(one(X).detach().numpy(), two(X).detach().numpy())

    def test_paths_are_keras_s(self, keras: Any, tmp_path: Path) -> None:
        class TheirNet(keras.Model):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.blocks = [keras.layers.Dense(3), keras.layers.Dense(3)]
                self.head = keras.layers.Dense(2)

            def call(self, x: Any) -> Any:
                for block in self.blocks:
                    x = block(x)
                return self.head(x)

        theirs, own = TheirNet(), Net()
        theirs(X), own(X)
        theirs.save_weights(tmp_path / "n.weights.h5")
        own.load_weights(tmp_path / "n.weights.h5")
        np.testing.assert_allclose(own(X).detach().numpy(), theirs(X).detach().numpy(), atol=1e-5)

    def test_whole(self, tmp_path: Path) -> None:
        model = Net(5)
        model(X)
        model.save(tmp_path / "n.keras")
        with pytest.raises(ValueError, match="'Net'.*not known"):
            fk.models.load_model(tmp_path / "n.keras")
        twin = fk.models.load_model(tmp_path / "n.keras", custom_objects={"Net": Net})
        assert twin.width == 5
        np.testing.assert_array_equal(model(X).detach().numpy(), twin(X).detach().numpy())


class TestObjects:
    def test_registered(self, tmp_path: Path) -> None:
        @saving.register_keras_serializable("tests")
        class Twice(layers.Layer):
            def call(self, x: Any) -> Any:
                return x * 2

        @saving.register_keras_serializable("tests")
        def shifted(x: Any) -> Any:
            return x + 1

        model = fk.Sequential([fk.Input(shape=(4,)), Twice(), layers.Dense(2, activation=shifted)])
        model.save(tmp_path / "m.keras")
        text = zipfile.ZipFile(tmp_path / "m.keras").read("config.json").decode()
        assert "tests>Twice" in text and "tests>shifted" in text
        twin = fk.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(
            model(X[:, 0, :4, 0]).detach().numpy(), twin(X[:, 0, :4, 0]).detach().numpy()
        )

    def test_lambdas_are_not_written(self, tmp_path: Path) -> None:
        model = fk.Sequential([fk.Input(shape=(4,)), layers.Lambda(lambda x: x)])
        with pytest.raises(ValueError, match="a lambda cannot be written"):
            model.save(tmp_path / "m.keras")
        assert not list(tmp_path.iterdir())

    def test_lambdas_are_not_read(self) -> None:
        config = {"class_name": "__lambda__", "config": {"value": "x"}}
        with pytest.raises(ValueError, match="runs none from files"):
            saving.deserialize_keras_object(config)

    @pytest.mark.parametrize(
        ("module", "name"),
        [
            ("os", "system"),
            ("builtins", "eval"),
            ("fovea.keras.saving.archive", "load_model"),
            ("keras.layers", "as_layer"),
            ("subprocess", "Popen"),
            ("keras.utils", "set_random_seed"),
        ],
    )
    def test_only_known_classes_are_made(self, module: str, name: str) -> None:
        for kind in (
            {"class_name": name, "config": {}},
            {"class_name": "function", "config": name},
        ):
            with pytest.raises(ValueError, match="not known|no from_config"):
                saving.deserialize_keras_object({**kind, "module": module, "registered_name": None})

    def test_scopes(self) -> None:
        config = saving.serialize_keras_object(Net(4))
        with saving.custom_object_scope({"Net": Net}):
            assert saving.deserialize_keras_object(config).width == 4
        with pytest.raises(ValueError, match="not known"):
            saving.deserialize_keras_object(config)

    def test_plain_values(self) -> None:
        value = {"a": [1, 2.5, None, True], "b": ("x", slice(1, 3), ...), "c": b"bytes"}
        back = saving.deserialize_keras_object(saving.serialize_keras_object(value))
        assert back["b"][1] == slice(1, 3) and back["b"][2] is ... and back["c"] == b"bytes"
        array = saving.deserialize_keras_object(saving.serialize_keras_object(np.arange(3)))
        assert array.tolist() == [0, 1, 2]


class TestWriting:
    def test_suffixes(self, tmp_path: Path) -> None:
        model = fk.Sequential([fk.Input(shape=(4,)), layers.Dense(2)])
        for name in ("m", "m.weights.h5", "m.pkl"):
            with pytest.raises(ValueError, match=r"to a \.keras file"):
                model.save(tmp_path / name)
        with pytest.raises(ValueError, match=r"to a \.weights\.h5 file"):
            model.save_weights(tmp_path / "w.keras")

    def test_overwrite(self, tmp_path: Path) -> None:
        model = fk.Sequential([fk.Input(shape=(4,)), layers.Dense(2)])
        model.save(tmp_path / "m.keras")
        with pytest.raises(ValueError, match="exists"):
            model.save(tmp_path / "m.keras", overwrite=False)

    def test_a_failure_leaves_the_old_file(self, tmp_path: Path, monkeypatch: Any) -> None:
        model = fk.Sequential([fk.Input(shape=(4,)), layers.Dense(2)])
        path = tmp_path / "m.keras"
        model.save(path)
        before = path.read_bytes()

        def fail(*args: Any) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            model.save(path)
        assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


class TestHostileFiles:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        model = fk.Sequential([fk.Input(shape=(4,)), layers.Dense(2)])
        model.save(tmp_path / "m.keras")
        return tmp_path / "m.keras"

    def members(self, path: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(path) as archive:
            return {n: archive.read(n) for n in archive.namelist()}

    def write(self, path: Path, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileFormatError, match="there is no file"):
            fk.models.load_model(tmp_path / "none.keras")
        with pytest.raises(FileNotFoundError, match="there is no file"):
            fk.models.load_model(tmp_path / "none.h5")
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            fk.utils.image_dataset_from_directory(tmp_path / "none")
        with pytest.raises(FileNotFoundError, match="there is no file"):
            Net().load_weights(tmp_path / "none.weights.h5")

    def test_no_archive(self, tmp_path: Path) -> None:
        (tmp_path / "m.keras").write_bytes(b"not a zip")
        with pytest.raises(FileFormatError, match=r"no \.keras file"):
            fk.models.load_model(tmp_path / "m.keras")

    def test_cut_at_every_place(self, saved: Path) -> None:
        whole = saved.read_bytes()
        for size in range(0, len(whole), max(1, len(whole) // 40)):
            saved.write_bytes(whole[:size])
            with pytest.raises((FileFormatError, ValueError)):
                fk.models.load_model(saved)

    @pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
    def test_missing_member(self, saved: Path, missing: str) -> None:
        parts = self.members(saved)
        del parts[missing]
        self.write(saved, parts)
        with pytest.raises(FileFormatError, match="holds 0 members"):
            fk.models.load_model(saved)

    def test_bad_json(self, saved: Path) -> None:
        for text in (b"{", b"\xff\xfe", b"[" * 100_000, b"3", b"[]", b"null"):
            self.write(saved, {**self.members(saved), "config.json": text})
            with pytest.raises((FileFormatError, ValueError)):
                fk.models.load_model(saved)

    def test_bomb(self, saved: Path) -> None:
        bomb = b"\0" * (200 << 20)
        self.write(saved, {**self.members(saved), "model.weights.h5": bomb})
        assert saved.stat().st_size < 1 << 20
        with pytest.raises(FileFormatError, match="would unpack to"):
            fk.models.load_model(saved)

    def test_other_members_are_left_alone(self, saved: Path, tmp_path: Path) -> None:
        self.write(saved, {**self.members(saved), "../evil.txt": b"x", "/tmp/evil_fovea": b"x"})
        fk.models.load_model(saved)
        assert not (tmp_path.parent / "evil.txt").exists()
        assert not Path("/tmp/evil_fovea").exists()

    def test_random_bytes_in_the_weights(self, saved: Path) -> None:
        parts = self.members(saved)
        rng = np.random.default_rng(0)
        for _ in range(30):
            weights = bytearray(parts["model.weights.h5"])
            for place in rng.integers(0, len(weights), 20):
                weights[place] = int(rng.integers(0, 256))
            self.write(saved, {**parts, "model.weights.h5": bytes(weights)})
            try:
                fk.models.load_model(saved)
            except (ValueError, OSError, RuntimeError, KeyError):
                continue  # damage may also lie where nothing is read

    def h5(self, fill: Any) -> bytes:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            fill(file)
        return buffer.getvalue()

    def test_links_out_of_the_file(self, saved: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret.h5"
        with h5py.File(secret, "w") as file:
            file["0"] = np.ones((4, 2), "f")
            file["1"] = np.ones(2, "f")

        def link(file: Any) -> None:
            file.require_group("layers/dense")
            file["layers/dense/vars"] = h5py.ExternalLink(str(secret), "/")

        def external(file: Any) -> None:
            group = file.require_group("layers/dense/vars")
            group.create_dataset("0", (4, 2), "f", external=[(str(secret), 0, 32)])
            group["1"] = np.ones(2, "f")

        def soft(file: Any) -> None:
            file["x/0"], file["x/1"] = np.ones((4, 2), "f"), np.ones(2, "f")
            file.require_group("layers/dense")
            file["layers/dense/vars"] = h5py.SoftLink("/x")

        for fill in (link, external, soft):
            self.write(saved, {**self.members(saved), "model.weights.h5": self.h5(fill)})
            with pytest.raises(FileFormatError, match="links|of its own"):
                fk.models.load_model(saved)

    def test_huge_shapes_are_not_read(self, saved: Path) -> None:
        def fill(file: Any) -> None:
            group = file.require_group("layers/dense/vars")
            group.create_dataset("0", (10**6, 10**6), "f", chunks=(1024, 1024))
            group["1"] = np.ones(2, "f")

        self.write(saved, {**self.members(saved), "model.weights.h5": self.h5(fill)})
        with pytest.raises(ValueError, match="do not fit"):
            fk.models.load_model(saved)

    def test_pickles_are_not_read(self, saved: Path) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **{"layers/dense/vars/0": np.array([print], dtype=object)})
        parts = self.members(saved)
        del parts["model.weights.h5"]
        self.write(saved, {**parts, "model.weights.npz": buffer.getvalue()})
        with pytest.raises((FileFormatError, ValueError)):
            fk.models.load_model(saved)

    def test_hostile_configurations(self, saved: Path) -> None:
        parts = self.members(saved)
        config = json.loads(parts["config.json"])
        called: list[str] = []
        before = builtins.exec
        for entry in (
            {"module": "os", "class_name": "system", "config": {"command": "true"}},
            {"module": "builtins", "class_name": "function", "config": "eval"},
            {"module": "fovea.cli", "class_name": "main", "config": {}},
            {"class_name": "Dense", "config": []},
            {"class_name": "Dense", "config": {"units": "x"}},
            {"class_name": "Dense", "config": {"unitz": 3}, "module": "keras.layers"},
            {"class_name": 3, "config": {}},
        ):
            config["config"]["layers"] = [entry]
            self.write(saved, {**parts, "config.json": json.dumps(config).encode()})
            with pytest.raises((ValueError, TypeError)):
                fk.models.load_model(saved)
        assert builtins.exec is before and not called

    def test_models_larger_than_their_weights(self, saved: Path) -> None:
        parts = self.members(saved)
        text = parts["config.json"].decode().replace('"units": 2', f'"units": {10**12}')
        self.write(saved, {**parts, "config.json": text.encode()})
        with pytest.raises(FileFormatError, match="far more than the weights"):
            fk.models.load_model(saved)

    def test_weights_that_do_not_fit(self, tmp_path: Path) -> None:
        one = fk.Sequential([fk.Input(shape=(4,)), layers.Dense(2), layers.Dense(3)])
        two = fk.Sequential([fk.Input(shape=(4,)), layers.Dense(2), layers.Dense(5)])
        one.save_weights(tmp_path / "w.weights.h5")
        before = two.get_weights()
        with pytest.raises(ValueError, match="do not fit"):
            two.load_weights(tmp_path / "w.weights.h5")
        assert all((a == b).all() for a, b in zip(before, two.get_weights(), strict=True))
        two.load_weights(tmp_path / "w.weights.h5", skip_mismatch=True)
        np.testing.assert_array_equal(two.get_weights()[0], one.get_weights()[0])
        np.testing.assert_array_equal(two.get_weights()[2], before[2])
