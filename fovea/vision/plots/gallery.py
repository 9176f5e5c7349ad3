"""Images with what a model says of them, side by side: classes, boxes, masks, points, pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.tensorbase import is_tensor
from fovea.vision.plots.figures import BAD, DARK, GOOD, Path, new_figure, rgb_of, write

__all__ = ["plot_predictions", "show_image"]

Array = np.ndarray[Any, Any]
Names = Sequence[str] | Mapping[int, str] | None
_MAX_LEGEND = 12  # classes of pixels


def plot_predictions(
    images: Any,
    found: Any,
    truth: Any = None,
    classes: Names = None,
    *,
    threshold: float = 0.5,
    connectivity: Sequence[tuple[int, int]] = (),
    columns: int = 4,
    title: str = "",
    path: Path | None = None,
) -> Any:
    """Images with what a model says of each and, if it is given, what is true.

    ====================================  ==========================================================
    what is found in an image             what is drawn
    ====================================  ==========================================================
    a class's number, or its name         a line above it: green if it is true, else red, with it
    scores of classes, float (classes,)   the same for the highest, with its probability
    a dictionary as detectors give it     ``boxes`` with names and ``scores``, ``masks``,
                                          ``keypoints``; what is true in dashes
    classes of pixels, integers (H, W)    colors for all but class 0; what is true as outlines
    ====================================  ==========================================================

    Args:
        images: a batch, or a list of tensors, arrays or PIL images; numbers beyond [0, 1] are
            spread between an image's least and greatest.
        found: for each image one of these; a tensor of them, or a list.
        truth: the same.
        classes: names by number, as a list or a dictionary.
        threshold: objects with lower scores are not drawn.
        connectivity: pairs of points between which to draw lines.
        columns: images in a row.
        title: a line above the picture.
        path: the file to write (PNG, SVG or PDF by its ending); None writes none.

    Returns:
        The Matplotlib figure.

    Raises:
        ArgumentError: another number of things than images.
        ShapeError: no images, or nothing that can be drawn.
        MissingExtraError: Matplotlib is not installed.

    >>> import fovea
    >>> images, scores = fovea.rand(2, 3, 8, 8), fovea.tensor([[0.9, 0.1], [0.2, 0.8]])
    >>> figure = plot_predictions(images, scores, [0, 0], classes=["cat", "dog"])
    >>> [axis.get_title() for axis in figure.axes]
    ['cat 90%', 'dog 80%, is cat']
    """
    shown, said = list(images), list(found)
    true = [None] * len(shown) if truth is None else list(truth)
    if not len(shown) == len(said) == len(true) or not shown:
        raise ArgumentError(
            f"plot_predictions: {len(shown)} images, {len(said)} predictions, {len(true)} truths."
        )
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(2.1 * columns, 2.1 * rows)
    pixels: set[int] = set()
    cells = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis, image, one, other in zip(cells, shown, said, true, strict=False):
        axis.imshow(show_image(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        pixels |= _draw(axis, _form(one), None if other is None else _form(other), classes,
                        threshold, connectivity)  # fmt: skip
    for axis in cells:
        axis.set_axis_off()
    for axis in cells[len(shown) :]:
        axis.remove()
    heading = 0.2 if any(axis.get_title() for axis in figure.axes) else 0.0
    figure.set_figheight((2.05 + heading) * rows + (0.4 if title else 0.1) + bool(pixels) * 0.3)
    _add_legend(figure, sorted(pixels), classes)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    write(figure, path)
    return figure


def show_image(image: Any) -> Array:
    """An image as Matplotlib takes it: float (H, W) or (H, W, 3) from 0 to 1.

    Raises:
        ShapeError: no image.
    """
    array = image.detach().float().numpy() if is_tensor(image) else np.asarray(image, np.float32)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] in (1, 2):
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ShapeError(f"an image is (1 or 3, H, W) or (H, W, 1 or 3), got {array.shape}.")
    kind = str(getattr(image, "dtype", "uint8"))
    if "uint8" in kind:
        return array / 255
    low, high = float(array.min(initial=0)), float(array.max(initial=1))
    return (array - low) / (high - low) if low < 0 or high > 1 else array


def _form(value: Any) -> Any:
    """What is said of an image: a dictionary of arrays, a name, or an array."""
    if isinstance(value, Mapping):
        return {k: v.detach().numpy() if is_tensor(v) else np.asarray(v) for k, v in value.items()}
    if isinstance(value, str):
        return value
    array = value.detach().numpy() if is_tensor(value) else np.asarray(value)
    if array.ndim == 3 and array.dtype.kind == "f":  # scores of classes of pixels
        array = array.argmax(0)
    if array.ndim > 2:
        raise ShapeError(f"plot_predictions: of an image, {array.shape} cannot be drawn.")
    return array


def _draw(
    axis: Any,
    said: Any,
    true: Any,
    classes: Names,
    threshold: float,
    connectivity: Sequence[tuple[int, int]],
) -> set[int]:
    """Draw what is said of one image; returns the classes of pixels that it has."""
    if isinstance(said, dict):
        if isinstance(true, dict):
            _draw_truth(axis, true)
        _draw_objects(axis, said, classes, threshold, connectivity)
    elif not isinstance(said, str) and said.ndim == 2:
        return _draw_pixels(axis, said, true)
    else:
        text, color = _in_words(said, true, classes)
        axis.set_title(text, fontsize=8, color=color, pad=3)
    return set()


def _name(number: Any, classes: Names) -> str:
    number = int(number)
    if isinstance(classes, Mapping):
        return classes.get(number, str(number))
    return str(classes[number]) if classes is not None and number < len(classes) else str(number)


def _in_words(said: Any, true: Any, classes: Names) -> tuple[str, str]:
    """What is written above an image, and in which color."""
    share = ""
    if not isinstance(said, str) and said.ndim == 1:
        share = f" {probabilities(said[None])[0].max():.0%}"
        said = said.argmax()
    names = [v if v is None or isinstance(v, str) else _name(v, classes) for v in (said, true)]
    if names[1] is None:
        return f"{names[0]}{share}", DARK
    right = names[0] == names[1]
    return (f"{names[0]}{share}", GOOD) if right else (f"{names[0]}{share}, is {names[1]}", BAD)


def probabilities(scores: Array) -> Array:
    """Rows that are none yet become probabilities by softmax."""
    if (scores >= 0).all() and np.allclose(scores.sum(1), 1, atol=1e-3):
        return scores
    raised = np.exp(scores - scores.max(1, keepdims=True))
    made: Array = raised / raised.sum(1, keepdims=True)
    return made


def _draw_truth(axis: Any, true: dict[str, Array]) -> None:
    from matplotlib.patches import Rectangle

    for x1, y1, x2, y2 in true.get("boxes", np.zeros((0, 4))).tolist():
        for color, style in (("black", "-"), ("white", (0, (3, 2)))):
            axis.add_patch(
                Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=color, lw=0.9, ls=style)
            )


def _draw_objects(
    axis: Any,
    said: dict[str, Array],
    classes: Names,
    threshold: float,
    connectivity: Sequence[tuple[int, int]],
) -> None:
    """Boxes, masks and points of objects, the surest on top."""
    from matplotlib.patches import Rectangle

    parts = [said[k] for k in ("boxes", "masks", "keypoints") if k in said]
    count = len(parts[0]) if parts else 0
    scores = said.get("scores", np.ones(count))
    labels = said.get("labels", np.zeros(count, np.int64))
    masks, points = said.get("masks"), said.get("keypoints")
    several = len(set(labels.tolist())) > 1
    for n in np.argsort(scores, kind="stable"):
        if scores[n] < threshold:
            continue
        color = rgb_of(int(labels[n]) if several else int(n))
        if masks is not None:
            _lay_over(axis, np.squeeze(masks[n]) > (0.5 if masks.dtype.kind == "f" else 0), color)
        if "boxes" in said:
            x1, y1, x2, y2 = said["boxes"][n].tolist()
            axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=color, lw=1.4))
            text = _name(labels[n], classes) if "labels" in said else ""
            text += f" {scores[n]:.0%}" if "scores" in said else ""
            _write_at(axis, x1, y1, text.strip(), color)
        if points is not None:
            _draw_points(axis, points[n], connectivity, color)


def _write_at(axis: Any, x: float, y: float, text: str, color: Any) -> None:
    """A name on its color above a box, within the picture."""
    dark = np.dot(color, (0.299, 0.587, 0.114)) < 0.55
    axis.annotate(
        text, (max(x, 0), max(y, 0)), (1, 1), textcoords="offset points", fontsize=5.5,
        color="white" if dark else "black", va="bottom", annotation_clip=True,
        bbox={"facecolor": color, "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip


def _lay_over(axis: Any, mask: Array, color: Any) -> None:
    layer = np.zeros((*mask.shape, 4), np.float32)
    layer[mask] = (*color, 0.5)
    axis.imshow(layer, interpolation="nearest")


def _draw_points(
    axis: Any, points: Array, connectivity: Sequence[tuple[int, int]], color: Any
) -> None:
    seen = points[:, 2] > 0 if points.shape[1] > 2 else np.ones(len(points), bool)
    for a, b in connectivity:
        if seen[a] and seen[b]:
            axis.plot(points[[a, b], 0], points[[a, b], 1], color="white", lw=1, zorder=3)
    axis.scatter(
        points[seen, 0], points[seen, 1], s=9, color=[color], edgecolors="white", lw=0.5, zorder=4
    )


def _draw_pixels(axis: Any, said: Array, true: Any) -> set[int]:
    """Classes of pixels in colors; returns which there are."""
    numbers = {int(n) for n in np.unique(said)} - {0}
    for n in numbers:
        _lay_over(axis, said == n, rgb_of(n))
    if true is not None:
        wanted = {int(n) for n in np.unique(true)} - {0, 255}
        for n in wanted:
            for color, style in (("black", "solid"), ("white", "dashed")):
                axis.contour(true == n, [0.5], colors=color, linewidths=0.8, linestyles=style)
        right = float((said == true)[true != 255].mean())
        axis.set_title(f"{right:.1%} of pixels", fontsize=8, color=DARK, pad=3)
    return numbers


def _add_legend(figure: Any, numbers: Sequence[int], classes: Names) -> None:
    if not numbers:
        return
    from matplotlib.patches import Patch

    handles = [Patch(color=rgb_of(n), label=_name(n, classes)) for n in numbers[:_MAX_LEGEND]]
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=6,
        fontsize=8,
        frameon=False,
        handlelength=1,
    )
