"""Pictures of results: what they show is what scikit-learn computes, and what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea import nn
from fovea.errors import ArgumentError, ShapeError
from fovea.metrics.functional import confusion_matrix
from fovea.vision import plots
from tests.nn.oracle import rng


@pytest.fixture(autouse=True)
def sk() -> Any:
    pytest.importorskip("matplotlib")
    return pytest.importorskip("sklearn.metrics")


def scored(classes: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that say something of their labels."""
    labels = rng().integers(0, classes, count)
    logits = rng(1).normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    raised = np.exp(logits)
    return (raised / raised.sum(1, keepdims=True)).round(2), labels


def lines(figure: Any) -> list[Any]:
    return [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 2]


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def area(x: Any, y: Any) -> float:
    x, y = np.asarray(x), np.asarray(y)
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)


def test_roc_is_scikit_learn_s(sk: Any) -> None:
    scores, labels = scored(2)
    figure = plots.plot_roc(fovea.from_numpy(scores[:, 1]), fovea.from_numpy(labels), title="t")
    (line,) = lines(figure)
    x, y, _ = sk.roc_curve(labels, scores[:, 1], drop_intermediate=False)
    np.testing.assert_allclose(line.get_xydata(), np.stack([x, y], 1), atol=1e-6)
    assert legend(figure) == [f"area {sk.roc_auc_score(labels, scores[:, 1]):.3f}"]
    assert figure.axes[0].get_title(loc="left") == "t"


def test_precision_and_recall_are_scikit_learn_s(sk: Any) -> None:
    scores, labels = scored(2)
    figure = plots.plot_precision_recall(scores[:, 1], labels)
    precision, recall, _ = sk.precision_recall_curve(labels, scores[:, 1])
    (line,) = lines(figure)
    np.testing.assert_allclose(line.get_xydata(), np.stack([recall, precision], 1), atol=1e-6)
    assert line.get_drawstyle() == "steps-post"
    assert legend(figure) == [f"AP {sk.average_precision_score(labels, scores[:, 1]):.3f}"]


def test_a_curve_for_each_class_that_there_is(sk: Any) -> None:
    scores, labels = scored(4)
    scores, labels = scores[labels != 2], labels[labels != 2]
    names = ["ant", "bee", "cat", "dog"]
    one = [labels == n for n in range(4)]
    expected = [sk.roc_auc_score(one[n], scores[:, n]) for n in (0, 1, 3)]
    figure = plots.plot_roc(scores, labels, names)
    assert legend(figure) == [
        f"mean area {np.mean(expected):.3f}",
        *(f"{names[n]}  {a:.3f}" for n, a in zip((0, 1, 3), expected, strict=True)),
    ]
    figure = plots.plot_precision_recall(scores, labels)
    found = [sk.average_precision_score(one[n], scores[:, n]) for n in (0, 1, 3)]
    assert legend(figure)[1:] == [f"{n}  {a:.3f}" for n, a in zip((0, 1, 3), found, strict=True)]


def test_of_many_classes_the_worst_are_named(sk: Any) -> None:
    scores, labels = scored(12, 400)
    figure = plots.plot_roc(scores, labels)
    areas = {str(n): sk.roc_auc_score(labels == n, scores[:, n]) for n in range(12)}
    worst = sorted(areas, key=lambda n: areas[n])[:5]
    assert [text.split()[0] for text in legend(figure)[1:]] == worst
    assert len(lines(figure)) == 12


@pytest.mark.parametrize("classes", [2, 5])
def test_calibration_is_scikit_learn_s(sk: Any, classes: int) -> None:
    from sklearn.calibration import calibration_curve

    scores, labels = scored(classes)
    scores = scores * 0.98 + 1e-3  # no score stands on the border of two bins
    binary = classes == 2
    sure = scores[:, 1] if binary else scores.max(1)
    right = labels if binary else scores.argmax(1) == labels
    figure = plots.plot_calibration(sure if binary else scores, labels, n_bins=8)
    true, said = calibration_curve(right, sure, n_bins=8)
    bars, gaps, shares = (c.patches for c in figure.axes[0].containers)
    np.testing.assert_allclose([b.get_height() for b in bars], true, atol=1e-6)
    np.testing.assert_allclose([b.get_height() for b in gaps], said - true, atol=1e-6)
    counts = np.histogram(sure, np.linspace(0, 1, 9))[0]
    found = [b.get_height() * len(labels) for b in shares]
    np.testing.assert_allclose(found, counts[counts > 0])
    error = (np.abs(said - true) * counts[counts > 0]).sum() / len(labels)
    assert legend(figure)[0] == f"accuracy, ECE {error:.3f}"


def test_they_draw_into_axes_and_files(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    scores, labels = scored(3)
    axes = Figure().subplots(2, 2).reshape(-1)
    counts = confusion_matrix(
        fovea.from_numpy(scores), fovea.from_numpy(labels), "multiclass", num_classes=3
    )
    for axis, draw in zip(
        axes,
        (plots.plot_roc, plots.plot_precision_recall, plots.plot_calibration),
        strict=False,
    ):
        assert draw(scores, labels, ax=axis) is axis.figure and axis.has_data()
    plots.plot_confusion_matrix(counts, ["a", "b", "c"], ax=axes[3])
    assert axes[3].images
    plots.plot_roc(scores, labels, path=tmp_path / "roc.png")
    assert Image.open(tmp_path / "roc.png").size[0] > 200


def test_scores_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"got \(3,\) and \(2,\)"):
        plots.plot_roc([0.1, 0.2, 0.3], [0, 1])
    with pytest.raises(ShapeError, match="scores are"):
        plots.plot_calibration(np.zeros((2, 2, 2)), [0, 1])
    with pytest.raises(ArgumentError, match="2 names for 3 classes"):
        plots.plot_precision_recall(np.zeros((2, 3)), [0, 1], ["a", "b"])


def test_a_table_of_classes_is_scikit_learn_s(sk: Any) -> None:
    scores, labels = scored(4)
    said = scores.argmax(1)
    table = plots.class_table(sk.confusion_matrix(labels, said), ["ant", "bee", "cat", "dog"])
    expected = sk.precision_recall_fscore_support(labels, said)
    found = (table.precision, table.recall, table.f1, table.samples)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs)
    assert table.accuracy == pytest.approx(sk.accuracy_score(labels, said))
    assert table._repr_html_().count("<tr>") == 6 and len(str(table).splitlines()) == 6
    bars = table.plot().axes[0].patches
    np.testing.assert_allclose([b.get_width() for b in bars], np.sort(table.f1))
    with pytest.raises(ArgumentError, match="counts of shape"):
        plots.class_table(np.zeros((2, 3)), ["a", "b"])
    empty = plots.class_table(np.zeros((2, 2), int), ["<a>", "b"])
    assert empty.accuracy == 0 and "&lt;a&gt;" in empty._repr_html_()


def test_classes_above_images() -> None:
    images = [fovea.rand(1, 6, 6), rng().random((6, 6, 3)), Image.new("L", (6, 6))]
    figure = plots.plot_predictions(images, [1, "dog", fovea.tensor([2.0, 0.0])], [1, 0, 0],
                                    ["cat", "dog"])  # fmt: skip
    assert [a.get_title() for a in figure.axes] == ["dog", "dog, is cat", "cat 88%"]
    right, wrong, _ = (a.title.get_color() for a in figure.axes)
    assert right != wrong
    figure = plots.plot_predictions(images, fovea.tensor([1, 0, 7]), classes={7: "owl"}, columns=2)
    assert [a.get_title() for a in figure.axes] == ["1", "0", "owl"]


def test_images_of_any_range_are_shown() -> None:
    from fovea.vision.plots.gallery import show_image

    x = rng().normal(size=(3, 4, 5)).astype(np.float32)
    shown = show_image(fovea.from_numpy(x))
    assert shown.shape == (4, 5, 3) and shown.min() == 0 and shown.max() == 1
    whole = rng().integers(0, 256, (4, 5, 1)).astype(np.uint8)
    np.testing.assert_allclose(show_image(whole), whole[..., 0] / 255)
    plain = rng().random((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(show_image(plain), plain)
    with pytest.raises(ShapeError, match="an image is"):
        show_image(np.zeros(3))


def test_objects_of_images() -> None:
    from matplotlib.patches import Rectangle

    found = {
        "boxes": fovea.tensor([[1.0, 1, 5, 6], [2, 2, 4, 4], [0, 0, 3, 3]]),
        "labels": fovea.tensor([1, 2, 1]),
        "scores": fovea.tensor([0.9, 0.6, 0.3]),
        "masks": fovea.rand(3, 1, 8, 8),
        "keypoints": fovea.tensor([[[1.0, 2, 1], [3, 3, 0]]] * 3),
    }
    truth = {"boxes": fovea.tensor([[1.0, 1, 5, 5]]), "labels": fovea.tensor([1])}
    figure = plots.plot_predictions(
        fovea.rand(1, 3, 8, 8), [found], [truth], ["", "cat", "dog"], connectivity=[(0, 1)]
    )
    axis = figure.axes[0]
    assert sorted(text.get_text() for text in axis.texts) == ["cat 90%", "dog 60%"]
    boxes = [p for p in axis.patches if isinstance(p, Rectangle)]
    assert sorted(p.get_bbox().extents.tolist() for p in boxes) == [
        [1, 1, 5, 5], [1, 1, 5, 5], [1, 1, 5, 6], [2, 2, 4, 4],
    ]  # fmt: skip
    assert len(axis.images) == 3  # the image and two masks
    assert [len(c.get_offsets()) for c in axis.collections] == [1, 1]  # points that can be seen
    empty = {"boxes": fovea.zeros(0, 4), "labels": fovea.zeros(0), "scores": fovea.zeros(0)}
    assert not plots.plot_predictions(fovea.rand(1, 3, 8, 8), [empty]).axes[0].patches


def test_classes_of_pixels() -> None:
    true = np.zeros((8, 8), np.int64)
    true[2:5, 2:5] = 3
    said = true.copy()
    said[4] = 0
    figure = plots.plot_predictions(fovea.rand(1, 3, 8, 8), said[None], true[None], {3: "star"})
    axis = figure.axes[0]
    layer = axis.images[1].get_array()
    np.testing.assert_array_equal(layer[..., 3] > 0, said == 3)
    assert axis.get_title() == f"{61 / 64:.1%} of pixels"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["star"]
    scores = fovea.from_numpy(np.eye(4, dtype=np.float32)[said].transpose(2, 0, 1)[None])
    again = plots.plot_predictions(fovea.rand(1, 3, 8, 8), scores).axes[0].images[1].get_array()
    np.testing.assert_array_equal(again, layer)


def test_what_cannot_be_shown() -> None:
    with pytest.raises(ArgumentError, match="1 images, 2 predictions"):
        plots.plot_predictions(fovea.rand(1, 3, 4, 4), [0, 1])
    with pytest.raises(ShapeError, match="cannot be drawn"):
        plots.plot_predictions(fovea.rand(1, 3, 4, 4), fovea.zeros(1, 2, 2, 2).int())


def test_top_losses_are_the_highest() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(12, 4))
    images, labels = fovea.rand(20, 3, 2, 2), fovea.from_numpy(rng().integers(0, 4, 20))
    batches = [(images[i : i + 6], labels[i : i + 6]) for i in range(0, 20, 6)]
    found = plots.top_losses(net, batches, k=5)
    assert net.training
    net.eval()
    each = nn.functional.cross_entropy(net(images), labels, reduction="none").detach().numpy()
    order = np.argsort(-each)[:5]
    assert [one.index for one in found] == order.tolist()
    np.testing.assert_allclose([one.loss for one in found], each[order], rtol=1e-5)
    for one in found:
        assert one.label == labels[one.index] and fovea.equal(one.image, images[one.index])
        assert one.probability == pytest.approx(np.exp(-one.loss), rel=1e-4)
    figure = plots.plot_top_losses(found, ["a", "b", "c", "d"])
    assert all(
        f"loss {one.loss:.2f}, sample {one.index}" in axis.get_title()
        for axis, one in zip(figure.axes, found, strict=True)
    )


def test_top_losses_of_probabilities_and_other_losses() -> None:
    softmax = nn.Softmax(1)
    x, labels = fovea.tensor([[2.0, 0.0], [0.0, 3.0]]), fovea.tensor([0, 0])
    (one,) = plots.top_losses(softmax, [(x, labels)], k=1)
    assert one.index == 1 and one.loss == pytest.approx(np.log(1 + np.exp(3)), rel=1e-5)
    (one,) = plots.top_losses(softmax, [(x, labels)], 1, lambda out, y: -out[:, 1])
    assert one.index == 0 and one.predicted == 0
    with pytest.raises(ShapeError, match="losses of shape"):
        plots.top_losses(softmax, [(x, labels)], 1, lambda out, y: out.sum())
    with pytest.raises(ArgumentError, match="no data"):
        plots.top_losses(softmax, [])
