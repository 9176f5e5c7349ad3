"""``ImageDataGenerator`` and what it is made of: the same seed gives Keras's batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.keras.preprocessing import image as ours

pytest.importorskip("scipy")
theirs = pytest.importorskip("keras.src.legacy.preprocessing.image")

RNG = np.random.default_rng(0)
IMAGES = (RNG.random((10, 9, 12, 3)) * 255).astype(np.float32)
LABELS = RNG.integers(0, 3, 10)
MODES = ("nearest", "constant", "reflect", "wrap")


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("last", [True, False])
def test_affine(mode: str, order: int, last: bool) -> None:
    axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2} if last else {}
    x = IMAGES[0] if last else IMAGES[0].transpose(2, 0, 1)
    for how in (
        {"theta": 37.0}, {"tx": 2.5, "ty": -3.25}, {"shear": 25.0}, {"zx": 0.7, "zy": 1.6}, {},
        {"theta": -80.0, "tx": 1.0, "shear": 9.0, "zx": 1.3, "zy": 0.9}, {"tx": 40.5},
    ):  # fmt: skip
        options = {**how, **axes, "fill_mode": mode, "cval": 7.0, "order": order}
        found = ours.apply_affine_transform(x, **options)
        want = theirs.apply_affine_transform(x, **options)
        assert found.shape == want.shape and found.dtype == want.dtype
        differ = np.abs(found - want) > 1e-2
        # A place that lies just between two pixels, or on the edge, may round to either.
        assert differ.mean() <= (0.03 if order == 0 or mode == "constant" else 0.0), how


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("random_rotation", (30,)),
        ("random_shift", (0.3, 0.2)),
        ("random_shear", (20,)),
        ("random_zoom", ((0.5, 1.5),)),
        ("random_channel_shift", (40.0,)),
        ("random_brightness", ((0.5, 1.5),)),
    ],
)
def test_functions(name: str, args: Any) -> None:
    found = []
    for module in (ours, theirs):
        np.random.seed(3)
        more = {} if "ness" in name or "channel" in name else {"row_axis": 0, "col_axis": 1}
        if "ness" not in name:
            more["channel_axis"] = 2
        found.append(getattr(module, name)(IMAGES[1], *args, **more))
    np.testing.assert_allclose(found[0], found[1], atol=1e-2)


OPTIONS: list[dict[str, Any]] = [
    {"rescale": 1 / 255},
    {"rotation_range": 20, "width_shift_range": 0.2, "height_shift_range": 0.1, "zoom_range": 0.2},
    {"shear_range": 10, "horizontal_flip": True, "vertical_flip": True, "fill_mode": "reflect"},
    {"width_shift_range": 3, "height_shift_range": [-2, 0, 2], "fill_mode": "wrap"},
    {"brightness_range": (0.5, 1.5), "channel_shift_range": 20.0},
    {"samplewise_center": True, "samplewise_std_normalization": True, "zoom_range": [0.8, 1.0]},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 0.5},
    {"preprocessing_function": lambda x: x / 127.5 - 1, "dtype": "float64"},
]


def batches(module: Any, options: dict[str, Any], count: int, **flow: Any) -> list[Any]:
    generator = module.ImageDataGenerator(**options)
    if generator.featurewise_center:
        generator.fit(IMAGES.copy())
    given = {"batch_size": 4, "seed": 11, **flow}
    iterator = generator.flow(IMAGES.copy(), LABELS, **given)
    return [next(iterator) for _ in range(count)] + [iterator[len(iterator) - 1]]


@pytest.mark.parametrize("options", OPTIONS, ids=[" ".join(o) for o in OPTIONS])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches(options: dict[str, Any], shuffle: bool) -> None:
    found, want = (batches(m, options, 5, shuffle=shuffle) for m in (ours, theirs))
    for (x, y), (their_x, their_y) in zip(found, want, strict=True):
        assert x.dtype == their_x.dtype and y.dtype == their_y.dtype
        np.testing.assert_allclose(x, their_x, rtol=1e-4, atol=2e-2)
        np.testing.assert_array_equal(y, their_y)


def test_zca_and_augmented_statistics() -> None:
    found = []
    for module in (ours, theirs):
        with pytest.warns(UserWarning, match="featurewise_center"):
            generator = module.ImageDataGenerator(zca_whitening=True, rotation_range=10)
        generator.fit(IMAGES[:, :4, :4], augment=True, rounds=2, seed=5)
        found.append((generator.mean, generator.standardize(IMAGES[0, :4, :4].copy())))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets_weights_and_further_inputs(subset: str) -> None:
    weight, extra = np.linspace(0, 1, 10), np.arange(20).reshape(10, 2)
    for y, more in ((None, {}), (LABELS, {"sample_weight": weight})):
        found = []
        for module in (ours, theirs):
            generator = module.ImageDataGenerator(validation_split=0.3, horizontal_flip=True)
            flow = generator.flow(
                (IMAGES, extra), y, batch_size=3, seed=1, subset=subset, ignore_class_split=True,
                **(more if subset == "validation" else {}),
            )  # fmt: skip
            found.append((len(flow), flow.n, flow[0]))
        assert found[0][:2] == found[1][:2]
        for a, b in zip(fk.tree.flatten(found[0][2]), fk.tree.flatten(found[1][2]), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of pictures of several sizes, one of them below, and what is no picture."""
    for number in range(7):
        name = ("cats", "dogs/young")[number % 2]
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (8 + number, 10, 3))
        fk.utils.save_img(tmp_path / name / f"{number}.png", pixels, scale=False)
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize("mode", ["categorical", "binary", "sparse", "input", None])
@pytest.mark.parametrize("color", ["rgb", "grayscale", "rgba"])
def test_folders(folder: Path, mode: str | None, color: str, capsys: Any) -> None:
    found, said = [], []
    for module in (ours, theirs):
        generator = module.ImageDataGenerator(rescale=1 / 255, validation_split=0.3)
        for subset in (None, "training", "validation"):
            flow = generator.flow_from_directory(
                str(folder), target_size=(6, 5), color_mode=color, class_mode=mode, batch_size=3,
                seed=2, subset=subset, interpolation="bilinear",
            )  # fmt: skip
            found.append(
                (
                    flow.class_indices,
                    flow.filenames,
                    flow.classes.tolist(),
                    flow.samples,
                    next(flow),
                )
            )
            said.append(capsys.readouterr().out.strip().splitlines()[-1])
    assert said[0] == "Found 7 images belonging to 2 classes."
    for a, b in zip(found[:3], found[3:], strict=True):
        assert a[:4] == b[:4]
        for mine, yours in zip(fk.tree.flatten(a[4]), fk.tree.flatten(b[4]), strict=True):
            assert mine.dtype == yours.dtype
            np.testing.assert_allclose(mine, yours, atol=1e-5)


class TestTables:
    def table(self, folder: Path) -> dict[str, list[Any]]:
        files = [f"cats/{n}.png" for n in (0, 2, 4, 6)] + ["dogs/young/1.png", "gone.png"]
        labels = ["cat", "cat", "cat", "tom", "dog", "cat"]
        return {"file": files, "kind": labels, "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}

    def flow(self, folder: Path, **how: Any) -> Any:
        generator = ours.ImageDataGenerator(validation_split=0.4)
        options = {"x_col": "file", "y_col": "kind", "target_size": (4, 4), "shuffle": False}
        with pytest.warns(UserWarning, match="1 file names"):
            return generator.flow_from_dataframe(
                self.table(folder), str(folder), **{**options, **how}
            )

    def test_classes(self, folder: Path, capsys: Any) -> None:
        flow = self.flow(folder)
        assert "5 validated image filenames belonging to 3 classes" in capsys.readouterr().out
        x, y = flow[0]
        assert x.shape == (5, 4, 4, 3) and flow.class_indices == {"cat": 0, "dog": 1, "tom": 2}
        assert y.argmax(1).tolist() == [0, 0, 0, 2, 1]
        flow = self.flow(folder, classes=["dog", "cat"], class_mode="binary")
        assert flow[0][1].tolist() == [1, 1, 1, 0]

    def test_other_targets(self, folder: Path) -> None:
        flow = self.flow(folder, y_col="size", class_mode="raw", weight_col="size")
        assert [a.tolist() for a in flow[0][1:]] == [[1, 2, 3, 4, 5]] * 2
        x, (a, b) = self.flow(folder, y_col=["size", "kind"], class_mode="multi_output")[0]
        assert a.tolist() == [1, 2, 3, 4, 5] and b[3] == "tom" and len(x) == 5
        assert self.flow(folder, class_mode=None)[0].shape == (5, 4, 4, 3)
        assert self.flow(folder, class_mode="raw", y_col="size", subset="validation").n == 2

    def test_what_is_refused(self, folder: Path) -> None:
        generator = ours.ImageDataGenerator()
        table = self.table(folder)
        for message, how in {
            "2 classes, not 3": {"class_mode": "binary", "y_col": "kind"},
            "labels are strings": {"class_mode": "sparse", "y_col": "size"},
            "must be a list": {"class_mode": "multi_output", "y_col": "size"},
            "class_mode is one of": {"class_mode": "none"},
            "must be strings": {"x_col": "size", "y_col": "kind"},
            "unknown arguments": {"colour": 1},
        }.items():
            with pytest.raises(ValueError, match=message), np.testing.suppress_warnings() as quiet:
                quiet.filter(UserWarning)
                generator.flow_from_dataframe(
                    table, str(folder), **{"x_col": "file", "validate_filenames": False, **how}
                )


def test_training_from_folders(folder: Path) -> None:
    generator = ours.ImageDataGenerator(rescale=1 / 255, horizontal_flip=True)
    options = {"target_size": (8, 8), "batch_size": 2, "class_mode": "binary", "seed": 1}
    flow = generator.flow_from_directory(folder, **options)
    layers = fk.layers
    model = fk.Sequential(
        [fk.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(flow, epochs=2, validation_data=flow, steps_per_epoch=2, verbose=0)
    assert len(history.history["val_accuracy"]) == 2
    assert model.predict(flow, verbose=0).shape == (7, 1)


def test_pictures_are_kept(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    flow = ours.ImageDataGenerator().flow(
        IMAGES, batch_size=4, save_to_dir=kept, save_prefix="a", save_format="jpeg"
    )
    next(flow)
    names = os.listdir(kept)
    assert len(names) == 4 and all(n.startswith("a_") and n.endswith(".jpeg") for n in names)


def test_what_is_refused() -> None:
    make = ours.ImageDataGenerator
    for message, f in {
        "zoom_range": lambda: make(zoom_range="x"),
        "brightness_range": lambda: make(brightness_range=1.0),
        "validation_split": lambda: make(validation_split=1.5),
        "order is 0 or 1": lambda: ours.apply_affine_transform(IMAGES[0], theta=1, order=3),
        "fill_mode is one of": lambda: ours.apply_affine_transform(IMAGES[0], fill_mode="mirror"),
        "3 dimensions": lambda: ours.apply_affine_transform(IMAGES),
        "in some order": lambda: ours.apply_affine_transform(IMAGES[0], row_axis=0),
        "4 dimensions": lambda: make().flow(IMAGES[0]),
        "same length": lambda: make().flow(IMAGES, LABELS[:3]),
        "different classes": lambda: make(validation_split=0.5).flow(
            IMAGES, np.arange(10), subset="training"
        ),
        "subset is": lambda: make().flow(IMAGES, subset="test"),
        "there is no folder": lambda: make().flow_from_directory("nowhere"),
    }.items():
        with pytest.raises((ValueError, OSError), match=message):
            f()
    with pytest.warns(UserWarning, match="before fit"):
        make(featurewise_center=True).standardize(IMAGES[0].copy())
