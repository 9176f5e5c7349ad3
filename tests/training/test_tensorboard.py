"""What TensorBoard reads of the files that ``SummaryWriter`` and the callback write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as fk
from fovea.errors import ArgumentError, ShapeError
from fovea.training import TensorBoard
from fovea.utils.tensorboard import SummaryWriter

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder: Path) -> Any:
    found = EventAccumulator(
        str(folder), size_guidance={"images": 0, "histograms": 0, "tensors": 0}
    )
    found.Reload()
    return found


def pixels(entry: Any) -> np.ndarray[Any, Any]:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(entry.encoded_image_string)))


def test_numbers(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for step in range(3):
            writer.add_scalar("a/loss", fovea.tensor(step / 2), step, walltime=7.0 + step)
        writer.add_scalar("a/loss", np.array([9.0]), 3)
        writer.add_scalars("both", {"one": 1, "two": fovea.tensor([2.0])}, 5)
    found = read(tmp_path).Scalars("a/loss")
    assert [(e.step, e.value) for e in found] == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 9.0)]
    assert found[1].wall_time == 8.0
    assert read(tmp_path / "both_two").Scalars("both")[0].value == 2.0
    with pytest.raises(ShapeError, match="one element"):
        SummaryWriter(tmp_path).add_scalar("x", [1.0, 2.0])


def test_histograms(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=1000)
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("w", fovea.tensor(values), 2)
        writer.add_histogram("few", values, 0, bins="auto", max_bins=4)
        with pytest.raises(ShapeError, match="no values"):
            writer.add_histogram("none", fovea.zeros(0))
    found = read(tmp_path)
    held = found.Histograms("w")[0].histogram_value
    assert held.num == 1000 and sum(held.bucket) == 1000 and held.min == pytest.approx(values.min())
    assert held.sum == pytest.approx(values.sum()) and len(held.bucket) == 64
    assert len(found.Histograms("few")[0].histogram_value.bucket) == 4


def test_pictures(tmp_path: Path) -> None:
    x = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("chw", fovea.tensor(x), 1)
        writer.add_image("hwc", x.transpose(1, 2, 0), dataformats="HWC")
        writer.add_image("gray", fovea.tensor([[0.0, 2.0]]), dataformats="HW")
        writer.add_images("many", fovea.zeros(9, 1, 2, 3) + 1)
        with pytest.raises(ArgumentError, match="HWC"):
            writer.add_image("wrong", x[0], dataformats="HWC")
        with pytest.raises(ArgumentError, match="NCHW"):
            writer.add_images("wrong", x)
    found = read(tmp_path)
    for tag in ("chw", "hwc"):
        np.testing.assert_array_equal(pixels(found.Images(tag)[0]), x.transpose(1, 2, 0))
    assert pixels(found.Images("gray")[0]).tolist() == [[0, 255]]
    many = pixels(found.Images("many")[0])
    assert many.shape == (4, 24) and (many[2:, 3:] == 0).all() and (many[:2] == 255).all()


def test_figures_and_text(tmp_path: Path) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    figure = plt.figure(figsize=(2, 1), dpi=50)
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("plot", figure, 4)
        writer.add_text("note", "**hello**", 1)
    found = read(tmp_path)
    assert pixels(found.Images("plot")[0]).shape == (50, 100, 3)
    assert not plt.fignum_exists(figure.number)
    (entry,) = found.Tensors("note/text_summary")
    assert entry.tensor_proto.string_val[0] == b"**hello**"


def test_choices(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1, "net": "small"}, {"accuracy": 0.5}, run_name="first")
    found = read(tmp_path / "first")
    assert found.Scalars("accuracy")[0].value == 0.5
    assert found.PluginTagToContent("hparams")


def test_graphs_have_the_modules_scopes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    nn = fovea.nn
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(model, fovea.zeros(1, 1, 6, 6), verbose=True)
    definition: Any = GraphDef()
    definition.ParseFromString(read(tmp_path)._graph)
    names = {node.name for node in definition.node}
    assert len(names) == len(definition.node)
    assert {"0/weight", "3/bias"} <= names and any(n.startswith("3/") for n in names)
    assert all(i in names for node in definition.node for i in node.input)
    assert "conv2d" in capsys.readouterr().out


def test_purged_steps(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path, purge_step=2) as writer:
        writer.add_scalar("x", 1.0, 2)
    assert read(tmp_path).Scalars("x")[0].step == 2


def network() -> Any:
    fk.utils.set_random_seed(0)
    model = fk.Sequential([fk.layers.Input((4,)), fk.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_callback(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(20, 4)).astype("f4"), np.arange(20) % 3
    model = network()
    log = TensorBoard(
        tmp_path, histogram_freq=1, write_images=True, write_steps_per_second=True, update_freq=2
    )
    history = model.fit(
        x, y, batch_size=5, epochs=2, validation_data=(x, y), verbose=0, callbacks=[log]
    ).history
    train, validation = read(tmp_path / "train"), read(tmp_path / "validation")
    found = [e.value for e in train.Scalars("epoch_loss")]
    np.testing.assert_allclose(found, history["loss"], rtol=1e-6)
    found = [e.value for e in validation.Scalars("epoch_accuracy")]
    np.testing.assert_allclose(found, history["val_accuracy"], rtol=1e-6)
    assert [e.step for e in train.Scalars("batch_loss")] == [1, 3, 5, 7]
    assert train.Scalars("epoch_learning_rate")[0].value == pytest.approx(0.01)
    assert train.Scalars("epoch_steps_per_second")[0].value > 0
    assert train.Tags()["histograms"] and train.Tags()["images"] and train.Tags()["graph"]
    model.evaluate(x, y, verbose=0, callbacks=[log])
    with pytest.raises(ArgumentError, match="update_freq"):
        TensorBoard(tmp_path, update_freq="never")
