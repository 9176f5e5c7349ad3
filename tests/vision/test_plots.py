"""Pictures of training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import ArgumentError, MissingExtraError
from fovea.vision.plots import plot_confusion_matrix, plot_training_curves

HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.2, 0.6, 0.9],
    "val_loss": [1.9, 1.2, 0.8],
    "val_accuracy": [0.3, 0.5, 0.8],
}


@pytest.fixture(autouse=True)
def matplotlib() -> Any:
    return pytest.importorskip("matplotlib")


def lines(axis: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in axis.get_lines()}


def test_curves_show_every_value() -> None:
    figure = plot_training_curves(HISTORY, title="a run")
    loss, accuracy = figure.axes
    assert lines(loss) == {
        "training  0.5000": HISTORY["loss"],
        "validation  0.8000": HISTORY["val_loss"],
    }
    assert lines(accuracy) == {
        "training  90.00%": HISTORY["accuracy"],
        "validation  80.00%": HISTORY["val_accuracy"],
    }
    assert loss.get_lines()[0].get_xdata().tolist() == [1, 2, 3]
    assert loss.get_ylim()[0] == 0


def test_curves_without_validation_and_of_one_epoch() -> None:
    figure = plot_training_curves({"loss": [1.5]})
    assert len(figure.axes) == 1
    assert lines(figure.axes[0]) == {"training  1.5000": [1.5]}
    with pytest.raises(ArgumentError, match="neither loss nor accuracy"):
        plot_training_curves({"mae": [1.0]})


def test_a_confusion_matrix_shows_counts_and_shares() -> None:
    counts = np.array([[30, 10], [0, 5]])
    figure = plot_confusion_matrix(counts, ["cat", "dog"], title="t")
    axis = figure.axes[0]
    assert sorted(text.get_text() for text in axis.texts) == ["10", "30", "5"]
    shown = axis.images[0].get_array()
    np.testing.assert_allclose(shown, [[0.75, 0.25], [0.0, 1.0]])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["cat", "dog"]


def test_many_classes_and_empty_ones() -> None:
    figure = plot_confusion_matrix(np.zeros((100, 100), int), [f"class {i}" for i in range(100)])
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_xticklabels()) == 50
    long = plot_confusion_matrix([[1]], ["a name that goes on and on and on"])
    assert long.axes[0].get_yticklabels()[0].get_text() == "a name that goes …"


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (4,), (0, 0)])
def test_counts_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="counts of shape"):
        plot_confusion_matrix(np.zeros(shape), ["a", "b"] if shape != (0, 0) else [])


@pytest.mark.parametrize(
    ("suffix", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_files_are_written_whole(suffix: str, head: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"curves.{suffix}"
    path.write_text("an older file")
    plot_training_curves(HISTORY, path)
    assert path.read_bytes().startswith(head)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ArgumentError, match=r"\.png, \.svg or \.pdf"):
        plot_training_curves(HISTORY, tmp_path / "curves.bmp")


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"fovea\[vision\]"):
        plot_training_curves(HISTORY)
