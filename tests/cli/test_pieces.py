"""The parts of the command line that are worth testing on their own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.cli.classifier import build_model
from fovea.cli.console import Console
from fovea.cli.images import ArrayImages, augmented, mean_and_deviation, shifted, warped
from fovea.cli.preprocess import Preprocess
from fovea.cli.progress import EpochTable
from fovea.cli.recipes import DATASETS, LEARNING_RATES, OPTIMIZERS, RECIPES, Augment
from fovea.cli.results import class_table, worst_confusions
from fovea.cli.splits import stratified_split
from fovea.errors import ArgumentError
from fovea.utils.data import DataLoader


def images(channels: int = 1, count: int = 5, size: tuple[int, int] = (6, 7)) -> np.ndarray:
    chance = np.random.default_rng(0)
    return chance.random((count, *size, channels), dtype=np.float32)


def repeated(matrix: Any, count: int = 5) -> np.ndarray:
    return np.tile(np.array(matrix, float), (count, 1, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_warping_by_simple_maps(channels: int) -> None:
    x, still = images(channels), np.zeros((5, 2))
    np.testing.assert_allclose(warped(x, repeated(np.eye(2)), still), x, atol=1e-6)
    mirrored = warped(x, repeated([[1, 0], [0, -1]]), still)
    np.testing.assert_allclose(mirrored, x[:, :, ::-1], atol=1e-6)
    square = images(channels, size=(6, 6))
    turned = warped(square, repeated([[0, -1], [1, 0]]), still)
    np.testing.assert_allclose(turned, np.rot90(square, -1, (1, 2)), atol=1e-6)
    half = warped(x, repeated(np.eye(2)), still + np.array([0.5, 0]))
    np.testing.assert_allclose(half[:, 1:], (x[:, 1:] + x[:, :-1]) / 2, atol=1e-6)
    np.testing.assert_allclose(half[:, 0], x[:, 0] / 2, atol=1e-6)
    far = warped(x, repeated(np.eye(2)), still + np.array([0, 100]))
    assert not far.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_shifting_is_warping_by_whole_pixels(channels: int) -> None:
    x = images(channels)
    shifts = np.array([[0, 0], [1, -2], [-3, 3], [2, 0], [0, -1]])
    mirrored = np.array([False, True, False, True, False])
    matrices = np.array([[[1, 0], [0, -1 if m else 1]] for m in mirrored], float)
    # Mirrored first and shifted then, so that the shift is to the right for all.
    expected = warped(x, matrices, shifts.astype(float))
    np.testing.assert_allclose(shifted(x, shifts, mirrored), expected, atol=1e-6)


def test_augmenting_depends_on_the_seed_alone() -> None:
    how = Augment(rotate=20, scale=0.2, shift=2, flip=True)
    fovea.manual_seed(3)
    one = augmented(images(), how)
    fovea.manual_seed(3)
    np.testing.assert_array_equal(one, augmented(images(), how))
    assert np.abs(one - augmented(images(), how)).max() > 0.1
    np.testing.assert_array_equal(augmented(images(), Augment(rotate=90, share=0.0)), images())


def test_array_images_are_normalized() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3)).astype(np.uint8)
    mean, std = mean_and_deviation(pixels)
    np.testing.assert_allclose(mean, (pixels / 255).mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(std, (pixels / 255).std((0, 1, 2)), atol=1e-5)
    data = ArrayImages(pixels, np.arange(50), mean, std)
    image, label = data[7]
    assert image.shape == (3, 4, 5) and label == 7
    batch, labels = next(iter(DataLoader(data, 50)))
    assert batch.shape == (50, 3, 4, 5) and labels.tolist() == list(range(50))
    values = batch.numpy()
    np.testing.assert_allclose(values.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(values.std((0, 2, 3)), 1, atol=1e-4)
    np.testing.assert_array_equal(values[7], image.numpy())
    assert mean_and_deviation(np.zeros((3, 2, 2, 1), np.uint8)) == ([0.0], [1.0])


def test_stratified_split() -> None:
    labels = [0] * 50 + [1] * 10 + [2] * 2 + [3]
    first, second = stratified_split(labels, 0.2, seed=1)
    assert sorted(first + second) == list(range(63))
    counts = np.bincount([labels[i] for i in second], minlength=4).tolist()
    assert counts == [10, 2, 1, 0]  # a class of one keeps it
    assert stratified_split(labels, 0.2, seed=1) == (first, second)
    assert stratified_split(labels, 0.2, seed=2) != (first, second)
    assert stratified_split(labels, 0.0, seed=1)[1] == []
    assert stratified_split([], 0.5, seed=1) == ([], [])


def test_every_dataset_has_a_recipe_that_can_be_followed() -> None:
    from fovea.vision.models import list_models

    assert set(RECIPES) == {*DATASETS, "folder"}
    assert set(LEARNING_RATES) == set(OPTIMIZERS)
    for recipe in RECIPES.values():
        assert recipe.model in list_models() and recipe.optimizer in OPTIMIZERS
        assert 0 < recipe.validation < 1


def test_a_model_that_must_know_the_size_of_images() -> None:
    def prepared(height: int, width: int) -> Preprocess:
        return Preprocess(1, height, width, "squash", (0.5,), (0.5,))

    model, options = build_model("vit_ti_16", 3, prepared(32, 32))
    assert options == {"in_channels": 1, "image_size": 32}
    assert model.seq_length == 5
    with pytest.raises(ArgumentError, match="takes square images, these are 32 × 48"):
        build_model("vit_ti_16", 3, prepared(32, 48))
    model, options = build_model("googlenet", 3, prepared(32, 48))
    assert options["aux_logits"] is False  # the loss is that of one classifier


def test_results_in_words() -> None:
    counts = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert worst_confusions(counts, ["cat", "dog", "eel"]) == [
        "cat taken for dog: 2",
        "dog taken for cat: 1",
    ]
    rows = class_table(counts, ["cat", "dog", "eel"]).splitlines()
    assert rows[1].split() == ["cat", "88.89%", "80.00%", "10"]
    assert rows[3].split() == ["eel", "0.00%", "0.00%", "0"]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    table = EpochTable(Console(), epochs=2, steps=4, validated=True)
    table.on_train_begin()
    table.on_epoch_begin(0)
    table.on_train_batch_end(0, {"loss": 2.0, "accuracy": 0.25})
    assert "━" in screen.getvalue() and "left" in screen.getvalue()
    table.on_epoch_end(0, {"loss": 1, "accuracy": 0.5, "val_loss": 2, "val_accuracy": 0.75})
    last = screen.getvalue().rpartition("\r")[2]
    assert last.split()[:5] == ["1/2", "1.0000", "50.00%", "2.0000", "75.00%"]


def test_a_quiet_console_shows_only_results(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("on the way")
    console.show("result")
    console.document({"a": 1})
    assert capsys.readouterr().out == "result\n"
    console = Console(as_json=True)
    console.show("result")
    console.document({"a": 1})
    captured = capsys.readouterr()
    assert captured.err == "result\n" and captured.out == '{\n  "a": 1\n}\n'


def test_mnist_sized_files_train(tmp_path: Path) -> None:
    """The path of the named datasets, on a small set of the same file format."""
    import json
    import struct

    from tests.cli.conftest import run_in

    chance = np.random.default_rng(0)
    for part, count in (("train", 120), ("t10k", 40)):
        labels = np.arange(count) % 10
        pixels = np.zeros((count, 28, 28), np.uint8)
        for i, label in enumerate(labels):
            pixels[i, 2 + 2 * label : 6 + 2 * label, 4:24] = chance.integers(150, 255)
        head = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        labels_file = tmp_path / f"{part}-labels-idx1-ubyte"
        labels_file.write_bytes(head + labels.astype(np.uint8).tobytes())
    words = ("train", "--dataset", "mnist", "--root", ".", "--epochs", 2, "--batch-size", 20)
    ran = run_in(tmp_path, *words, "--image-size", 14, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["test"]["images"] == 40
    assert ran.json["history"]["loss"][1] < ran.json["history"]["loss"][0]
    again = run_in(tmp_path, "evaluate", ran.json["checkpoint"], "--root", ".", "--json")
    assert json.loads(again.out)["accuracy"] == ran.json["test"]["accuracy"]


def test_statistics_are_taken_anew() -> None:
    from fovea import nn
    from fovea.training.statistics import refresh_statistics

    model = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5))
    values = np.random.default_rng(0).normal(3, 2, (4, 8, 2, 5, 5)).astype(np.float32)
    batches = [(fovea.from_numpy(batch), None) for batch in values]
    refresh_statistics(model, batches)
    norm = model[0]
    np.testing.assert_allclose(norm.running_mean.numpy(), values.mean((0, 1, 3, 4)), rtol=1e-4)
    expected = values.transpose(0, 2, 1, 3, 4).reshape(4, 2, -1).var(-1, ddof=1).mean(0)
    np.testing.assert_allclose(norm.running_var.numpy(), expected, rtol=1e-4)
    assert norm.momentum == 0.1
    assert not model[1].training
    refresh_statistics(nn.Linear(1, 1), [])


def test_few_images_get_small_batches_and_more_passes() -> None:
    from fovea.cli.recipes import fitted

    usual = RECIPES["folder"]
    assert fitted(usual, 512) is usual
    for count in (1, 9, 100, 500):
        recipe = fitted(usual, count)
        assert recipe.batch_size <= 16
        assert recipe.epochs * max(1, count // recipe.batch_size) >= 300 or count < 8
    assert fitted(usual, 1).epochs == 300
