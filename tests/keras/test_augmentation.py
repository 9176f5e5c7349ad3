"""Layers that change images, against Keras: with draws that are the middle of their range in both,
and where there is nothing to draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.keras import Input, Model, Sequential, layers
from fovea.keras.layers.augmentation.base import RandomImageLayer

keras = pytest.importorskip("keras")

# Name, arguments, and whether the layer reads RGB.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("Resizing", {"height": 5, "width": 9}),
    ("Resizing", {"height": 12, "width": 4, "interpolation": "nearest"}),
    ("Resizing", {"height": 5, "width": 5, "interpolation": "bicubic", "antialias": True}),
    ("Resizing", {"height": 4, "width": 9, "crop_to_aspect_ratio": True}),
    ("Resizing", {"height": 4, "width": 9, "pad_to_aspect_ratio": True, "fill_value": 7.0}),
    ("CenterCrop", {"height": 4, "width": 5}),
    ("CenterCrop", {"height": 12, "width": 5}),
    ("RandomFlip", {"mode": "horizontal"}),
    ("RandomFlip", {"mode": "vertical"}),
    ("RandomFlip", {}),
    ("RandomRotation", {"factor": (0.1, 0.15)}),
    ("RandomRotation", {"factor": (-0.3, 0.1), "fill_mode": "constant", "fill_value": 3.0}),
    ("RandomRotation", {"factor": (0.2, 0.31), "interpolation": "nearest", "fill_mode": "nearest"}),
    ("RandomRotation", {"factor": (0.1, 0.2), "fill_mode": "wrap"}),
    ("RandomZoom", {"height_factor": (0.2, 0.4)}),
    ("RandomZoom", {"height_factor": (-0.4, -0.2), "width_factor": (0.1, 0.2)}),
    ("RandomTranslation", {"height_factor": (0.1, 0.3), "width_factor": (-0.4, 0.1)}),
    ("RandomTranslation", {"height_factor": (0.3, 0.6), "width_factor": 0.2, "fill_mode": "wrap"}),
    ("RandomShear", {"x_factor": (0.1, 0.3), "y_factor": (0.0, 0.2)}),
    ("RandomCrop", {"height": 3, "width": 4}),
    ("RandomCrop", {"height": 12, "width": 4}),
    ("RandomBrightness", {"factor": (0.1, 0.3)}),
    ("RandomBrightness", {"factor": (-0.9, -0.5), "value_range": (0, 1)}),
    ("RandomContrast", {"factor": (0.1, 0.5)}),
    ("RandomGrayscale", {"factor": 0.8}),
    ("RandomGrayscale", {"factor": 0.2}),
    ("RandomColorDegeneration", {"factor": (0.3, 0.6)}),
    ("RandomInvert", {"factor": (1.0, 1.0)}),
    ("RandomInvert", {"factor": (0.0, 0.2)}),
    ("RandomHue", {"factor": (0.3, 0.7)}),
    ("RandomSaturation", {"factor": (0.2, 0.4)}),
    ("RandomSaturation", {"factor": (0.6, 0.9)}),
    ("RandomSharpness", {"factor": (0.1, 0.2)}),
    ("RandomSharpness", {"factor": (0.7, 0.9)}),
    ("RandomPosterization", {"factor": (3, 3)}),
    ("Solarization", {"addition_factor": (0.1, 0.2), "threshold_factor": (0.3, 0.8)}),
    ("AutoContrast", {}),
    ("RandomGaussianBlur", {"factor": 1.0, "kernel_size": 3, "sigma": (0.4, 0.8)}),
    ("RandomErasing", {"factor": (1.0, 1.0), "scale": (0.1, 0.3), "fill_value": 9.0}),
    ("RandomColorJitter", {"brightness_factor": 0.3, "contrast_factor": (0.2, 0.4)}),
]  # fmt: skip


# Small images are cut to another ratio of sides than asked for; saturations above 1 leave the range.
DIFFER = ({"height": 12, "width": 4}, {"factor": (0.6, 0.9)})


@pytest.fixture
def middles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws that are the middle of their range, in both."""
    import torch

    def ours(self: Any, shape: Any, low: float, high: float, images: Any) -> Any:
        return fovea.full(tuple(shape), (low + high) / 2, dtype=fovea.float32)

    def theirs(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, **kwargs: Any) -> Any:
        return torch.full(tuple(shape), (minval + maxval) / 2, dtype=torch.float32)

    monkeypatch.setattr(RandomImageLayer, "uniform", ours)
    monkeypatch.setattr(keras.src.backend.random, "uniform", theirs)


def images(*shape: int) -> np.ndarray[Any, Any]:
    found = np.random.default_rng(0).uniform(0, 255, shape)
    found[..., :2, :, :] = found[..., :2, :1, :]  # a flat part
    return found.astype(np.float32)


@pytest.mark.parametrize(("name", "config"), CASES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_values_are_keras_s(
    name: str, config: dict[str, Any], data_format: str, middles: None
) -> None:
    first = data_format == "channels_first"
    if first and name in ("RandomContrast", "RandomBrightness", "Solarization", "AutoContrast"):
        pytest.skip("Keras's takes no data_format")
    if first and name == "RandomColorJitter":
        pytest.skip("Keras's forgets the format in its parts")
    if config in DIFFER:
        pytest.skip("Keras does not what it says")
    if first and name == "RandomSharpness":
        pytest.skip("Keras exchanges height and channels")
    more = {"data_format": data_format} if first else {}
    ours, theirs = getattr(layers, name)(**config, **more), None
    theirs = getattr(keras.layers, name)(**config, **more)
    x = images(3, 8, 7, 3)
    if config.get("value_range") == (0, 1):
        x = x / 255
    x = x.transpose(0, 3, 1, 2).copy() if first else x
    expected = np.asarray(theirs(x.copy(), training=True).detach())
    found = ours(fovea.tensor(x), training=True)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=2e-3)
    assert ours.compute_output_shape(x.shape) == expected.shape


@pytest.mark.parametrize(("name", "config"), CASES)
def test_single_images_configs_and_inference(name: str, config: dict[str, Any]) -> None:
    layer = getattr(layers, name)(**config)
    x = images(8, 7, 3)
    fovea.manual_seed(1)
    one = layer(fovea.tensor(x), training=True)
    fovea.manual_seed(1)
    batch = layer(fovea.tensor(x[None]), training=True)
    assert one.tolist() == batch[0].tolist()
    idle = layer(fovea.tensor(x), training=False)
    if not layer.always:
        assert idle.tolist() == x.tolist()
    again = type(layer).from_config(layer.get_config())
    fovea.manual_seed(1)
    assert again(fovea.tensor(x), training=True).tolist() == one.tolist()
    theirs = getattr(keras.layers, name)(**config).get_config()
    missing = theirs.keys() - layer.get_config().keys() - {"bounding_box_format", "data_format"}
    assert missing <= {"factor"}, missing


RANDOM = sorted(
    {name for name, _ in CASES if name not in ("Resizing", "CenterCrop", "AutoContrast")}
)


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name: str) -> None:
    config = next(c for n, c in CASES if n == name)
    config = {**config, "factor": 1.0} if name in ("RandomInvert",) else config
    x = fovea.tensor(images(6, 8, 7, 3))
    a, b = (getattr(layers, name)(**config, seed=3) for _ in range(2))
    assert a(x).tolist() == b(x).tolist()
    if name not in ("RandomPosterization", "RandomInvert"):
        draws = [a(x).tolist() for _ in range(6)]
        assert any(d != draws[0] for d in draws)


def test_each_image_has_draws_of_its_own() -> None:
    x = fovea.tensor(images(1, 8, 7, 3)).expand(8, 8, 7, 3)
    for layer in (
        layers.RandomRotation(0.5),
        layers.RandomBrightness(0.5),
        layers.RandomFlip(),
        layers.RandomErasing(),
    ):
        assert len({str(image.tolist()) for image in layer(x)}) > 1


def test_masks_and_labels_go_along(middles: None) -> None:
    x, masks = images(2, 8, 8, 3), np.zeros((2, 8, 8, 1), np.float32)
    masks[:, 2:5, 1:6] = 4
    batch = {"images": fovea.tensor(x), "segmentation_masks": fovea.tensor(masks)}
    for layer in (layers.RandomRotation((0.1, 0.2)), layers.RandomZoom((0.2, 0.3))):
        found = layer(dict(batch), training=True)["segmentation_masks"]
        assert set(np.unique(found.numpy())) <= {0.0, 4.0}
    flipped = layers.RandomFlip("horizontal")(dict(batch), training=True)
    assert flipped["segmentation_masks"].tolist() == masks[:, :, ::-1].tolist()
    assert layers.Resizing(4, 4)(dict(batch))["segmentation_masks"].shape == (2, 4, 4, 1)
    still = layers.RandomContrast(0.3)(dict(batch), training=True)
    assert still["segmentation_masks"].tolist() == masks.tolist()
    with pytest.raises(ArgumentError, match="bounding boxes"):
        layers.RandomFlip()({**batch, "bounding_boxes": {}}, training=True)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixtures(name: str) -> None:
    """Labels are mixed as much as images are."""
    fovea.manual_seed(0)
    n = 16
    x = fovea.arange(float(n)).reshape(n, 1, 1, 1).expand(n, 8, 8, 1)
    labels = fovea.eye(n)
    found = getattr(layers, name)()({"images": x, "labels": labels}, training=True)
    mean = found["images"].mean((1, 2, 3))
    by_label = (found["labels"] * fovea.arange(float(n))).sum(1)
    # A block of pixels covers whole pixels only.
    np.testing.assert_allclose(mean.numpy(), by_label.numpy(), atol=1e-4 if name == "MixUp" else 3)
    np.testing.assert_allclose(found["labels"].sum(1).numpy(), 1, atol=1e-5)
    idle = getattr(layers, name)()({"images": x, "labels": labels}, training=False)
    assert idle["labels"].tolist() == labels.tolist()


def test_in_models() -> None:
    """In front of a network: active in fit, idle in predict, the same compiled and not."""
    model = Sequential(
        [
            Input((8, 8, 3)),
            layers.Resizing(6, 6),
            layers.RandomFlip("horizontal", seed=0),
            layers.RandomRotation(0.1, seed=0),
            layers.RandomZoom(0.2),
            layers.RandomContrast(0.2),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model.compile("sgd", "mse")
    x, y = images(8, 8, 8, 3) / 255, np.zeros((8, 2), np.float32)
    history = model.fit(x, y, epochs=2, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.predict(x, verbose=0).tolist() == model.predict(x, verbose=0).tolist()
    inputs = Input((8, 8, 3))
    functional = Model(inputs, layers.RandomCrop(4, 5)(inputs))
    assert functional.output_shape == (None, 4, 5, 3)
    assert functional(fovea.tensor(x)).shape == (8, 4, 5, 3)


def test_what_is_refused() -> None:
    for make in (
        lambda: layers.RandomFlip("diagonal"),
        lambda: layers.RandomRotation(2.0),
        lambda: layers.RandomRotation(0.1, fill_mode="other"),
        lambda: layers.RandomZoom("big"),
        lambda: layers.RandomContrast((0.5, 0.1)),
        lambda: layers.RandomGaussianBlur(kernel_size=4),
        lambda: layers.RandomBrightness(0.1, value_range=3),
        lambda: layers.RandomGrayscale(1.5),
        lambda: layers.Resizing(2, 2, interpolation="lanczos3"),
        lambda: layers.Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True),
    ):
        with pytest.raises(ArgumentError):
            make()
    with pytest.raises(ShapeError):
        layers.CenterCrop(2, 2)(fovea.zeros(2, 2))


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1)])
@pytest.mark.parametrize("bins", [256, 16])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_equalization_is_keras_s(value_range: Any, bins: int, data_format: str) -> None:
    """Image by image: Keras counts the values of the whole batch."""
    options = {"value_range": value_range, "bins": bins, "data_format": data_format}
    ours, theirs = layers.Equalization(**options), keras.layers.Equalization(**options)
    x = np.round(images(3, 8, 7, 3)) * (value_range[1] / 255)
    x[1, :, :, 2] = 0.4 * value_range[1]  # one value only
    x = x.transpose(0, 3, 1, 2).copy() if data_format == "channels_first" else x
    expected = [np.asarray(theirs(x[i : i + 1], training=True)) for i in range(3)]
    found = ours(fovea.tensor(x), training=True)
    np.testing.assert_allclose(found.numpy(), np.concatenate(expected), rtol=1e-5, atol=1e-4)
    assert ours(fovea.tensor(x), training=False).tolist() == x.tolist()


@pytest.mark.parametrize("value_range", [(0, 255), (-1, 1)])
@pytest.mark.parametrize(("grid", "pixels"), [((5, 7), 8), ((2, 3), 50), ((1, 1), 266)])
@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_clahe_is_keras_s(
    value_range: Any, grid: Any, pixels: int, most: int, data_format: str
) -> None:
    """On PyTorch, Keras rounds down what a bin may hold, and fills up more than a row unlike what
    it says: here a bin holds whole numbers, and at most a row is missing.
    """
    clip_limit = most * 256 / pixels
    config = {"value_range": value_range, "tile_grid_size": grid, "clip_limit": clip_limit}
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    ours, theirs = (
        getattr(room, name)(**config, data_format=data_format) for room in (layers, keras.layers)
    )
    x = images(2, 19, 14, 3)
    x = np.floor(x) if value_range == (0, 255) else np.floor(x) * (2 / 255) - 1 + 1e-4
    x = x.astype(np.float32)
    x = x.transpose(0, 3, 1, 2).copy() if data_format == "channels_first" else x
    expected = np.asarray(theirs(x))
    found = ours(x, training=False).numpy()
    scale = 255 if value_range == (0, 255) else 2
    np.testing.assert_allclose(found, expected, atol=1e-4 * scale)
    np.testing.assert_allclose(ours(x[0]).numpy(), expected[0], atol=1e-4 * scale)
    assert ours.from_config(ours.get_config()).tile_grid_size == grid


def test_elastic_transforms() -> None:
    """Pixels come from near by, neighbors from alike places; what is not hit stays."""
    h, w = 32, 40
    places = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), -1).astype("float32")
    x = fovea.tensor(np.stack([places] * 3))
    layer = layers.RandomElasticTransform(scale=(0.6, 0.6), fill_mode="nearest", seed=2)
    found = layer(x, training=True)
    moves = (found - x).numpy()
    # White noise of width s, smoothed by a bell of width s, has deviation 1 / (2 sqrt(pi)).
    expected = 0.1 * 0.6 * w / (2 * np.sqrt(np.pi))
    assert 0.5 * expected < moves[:, 8:-8, 8:-8].std() < 1.5 * expected
    apart = np.abs(np.diff(moves[:, 4:-4, 4:-4], axis=1))
    assert apart.max() < 2.5  # no folds, no tears
    assert (moves[0] != moves[1]).any()
    assert layers.RandomElasticTransform(factor=0.0)(x, training=True).tolist() == x.tolist()
    assert layer(x, training=False).tolist() == x.tolist()
    a, b = (layers.RandomElasticTransform(seed=3)(x, training=True) for _ in range(2))
    assert a.tolist() == b.tolist()
    masks = {"images": x, "segmentation_masks": (x[..., :1] > 16).float() * 3}
    bent = layer(masks, training=True)["segmentation_masks"]
    assert set(np.unique(bent.numpy())) == {0.0, 3.0}
    theirs = keras.layers.RandomElasticTransform(factor=0.3, scale=(0.1, 0.2)).get_config()
    ours = layers.RandomElasticTransform(factor=0.3, scale=(0.1, 0.2)).get_config()
    assert theirs.keys() <= ours.keys()
    for key in ("scale", "fill_mode", "interpolation", "fill_value", "value_range"):
        assert list(np.ravel(ours[key])) == list(np.ravel(theirs[key]))


def test_perspective_is_keras_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws from a table, the same in both."""
    import torch

    table = np.random.default_rng(3).uniform(size=(2, 4, 2))

    def numbers(shape: Any, low: float, high: float) -> Any:
        share = np.full(shape, 0.5) if len(shape) == 1 else table
        return (low + (high - low) * share).astype(np.float32)

    monkeypatch.setattr(
        RandomImageLayer,
        "uniform",
        lambda self, shape, low, high, images: fovea.tensor(numbers(tuple(shape), low, high)),
    )
    monkeypatch.setattr(
        keras.src.backend.random,
        "uniform",
        lambda shape, minval=0.0, maxval=1.0, **kwargs: torch.tensor(
            numbers(tuple(shape), minval, maxval)
        ),
    )
    x = images(2, 8, 7, 3)
    for options in (
        {"factor": (0.9, 1.0), "scale": 0.6},
        {"factor": (0.9, 1.0), "interpolation": "nearest", "fill_value": 4.0},
        {"factor": (0.0, 0.5)},
    ):
        expected = keras.layers.RandomPerspective(**options)(x, training=True)
        found = layers.RandomPerspective(**options)(fovea.tensor(x), training=True)
        np.testing.assert_allclose(found.numpy(), np.asarray(expected), rtol=1e-3, atol=2e-2)


class TestPolicies:
    """RandAugment and AugMix: each image has its own changes, and each change is the layer's."""

    def test_one_step_is_one_of_the_layers(self) -> None:
        layer = layers.RandAugment(num_ops=1, factor=(0.3, 0.3), seed=2)
        x = fovea.tensor(images(24, 8, 7, 3))
        drawn = layer.draw(x)
        found, step = layer.change(x, drawn), drawn["steps"][0]
        which = step["which"].flatten().tolist()
        assert len(set(which)) > 5
        for i, index in enumerate(which):
            part, numbers = layer._parts[int(index)], step["parts"][int(index)]
            assert found[i].tolist() == part.change(x, numbers)[i].tolist()

    def test_masks_move_as_images_do(self) -> None:
        layer = layers.RandAugment(num_ops=3, factor=(0.3, 0.3), interpolation="nearest", seed=2)
        masks = np.random.default_rng(0).integers(0, 5, (16, 8, 8, 1)).astype(np.float32)
        batch = {"images": fovea.zeros(16, 8, 8, 3), "segmentation_masks": fovea.tensor(masks)}
        found = layer(batch, training=True)["segmentation_masks"].numpy()
        assert set(np.unique(found)) <= set(range(5))
        same = (found == masks).all((1, 2, 3))
        assert same.any() and not same.all()

    def test_no_change_mixes_into_itself(self) -> None:
        x = fovea.tensor(images(4, 8, 7, 3))
        found = layers.AugMix(chain_depth=0)(x, training=True)
        np.testing.assert_allclose(found.numpy(), x.numpy(), rtol=1e-5)

    def test_mixtures_are_the_layers(self) -> None:
        layer = layers.AugMix(num_chains=2, chain_depth=2, factor=(0.2, 0.4), seed=5)
        x = fovea.tensor(images(4, 8, 7, 3))
        drawn = layer.draw(x)
        np.testing.assert_allclose(drawn["shares"].sum(0).numpy(), 1, rtol=1e-5)
        ends = [layer.step(layer.step(x, a), b) for a, b in drawn["chains"]]
        mixed = sum(s * e for s, e in zip(drawn["shares"], ends, strict=True))
        expected = drawn["kept"] * x + (1 - drawn["kept"]) * mixed
        np.testing.assert_allclose(
            layer.change(x, drawn).numpy(), expected.numpy().clip(0, 255), rtol=1e-5, atol=1e-3
        )

    @pytest.mark.parametrize("name", ["RandAugment", "AugMix"])
    def test_compiled(self, name: str) -> None:
        layer = getattr(layers, name)(value_range=(0, 1))
        step = fovea.compile(lambda x: layer(x, training=True))
        x = fovea.tensor(images(4, 8, 7, 3) / 255)
        results = [step(x) for _ in range(5)]
        assert all(bool(((r >= -1e-3) & (r <= 1.001)).all()) for r in results)
        assert any(r.tolist() != results[0].tolist() for r in results[1:])
        theirs = getattr(keras.layers, name)(value_range=(0, 1)).get_config()
        assert theirs.keys() - layer.get_config().keys() <= {"data_format", "bounding_box_format"}
        twin = type(layer).from_config({**layer.get_config(), "seed": 4})
        again = type(layer).from_config(twin.get_config())
        assert twin(x).tolist() == again(x).tolist()
