"""Samples that a model is most wrong about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.autograd import no_grad
from fovea.errors import ArgumentError, ShapeError
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor
from fovea.vision.explain.looking import evaluating
from fovea.vision.plots.figures import Path, write
from fovea.vision.plots.gallery import Names, plot_predictions, probabilities

__all__ = ["TopLoss", "plot_top_losses", "top_losses"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TopLoss:
    """A sample with a high loss.

    Attributes:
        index: its place in the data.
        loss: its loss.
        image: the image as the model took it.
        label: its class; ``probability`` what the model gives it.
        scores: what the model says, (classes,).
    """

    index: int
    loss: float
    image: Any
    label: int
    probability: float
    scores: Array

    @property
    def predicted(self) -> int:
        """The class with the highest score."""
        return int(self.scores.argmax())


def top_losses(
    model: Module,
    data: Iterable[Any],
    k: int = 9,
    loss: Callable[[Any, Any], Any] | None = None,
) -> list[TopLoss]:
    """The samples with the highest losses, the highest first: hard, rare, or labeled wrongly.

    Args:
        model: a classifier; a module, or a Keras model.
        data: batches of (images, labels), in a fixed order, such as a `DataLoader`.
        k: how many.
        loss: makes (N,) losses of the model's outputs and labels; None: the cross-entropy of
            logits, or of probabilities, whichever the outputs are.

    Raises:
        ShapeError: outputs that are not (N, classes), or another number of losses.
        ArgumentError: no data.

    >>> import fovea
    >>> x = fovea.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    >>> found = top_losses(fovea.nn.Identity(), [(x, fovea.tensor([0, 0, 0]))], k=2)
    >>> [(one.index, one.predicted, round(one.loss, 2)) for one in found]
    [(1, 1, 3.05), (2, 0, 0.31)]
    """
    kept: list[TopLoss] = []
    start = 0
    with evaluating(model), no_grad():
        for images, labels, *_ in data:
            outputs = model(images)
            if outputs.ndim != 2:
                raise ShapeError(f"top_losses: outputs are (N, classes): {tuple(outputs.shape)}.")
            scores = outputs.float().numpy()
            numbers = np.asarray(labels.numpy() if is_tensor(labels) else labels, np.int64)
            shares = probabilities(scores)
            likely = shares[np.arange(len(numbers)), numbers]
            values = -np.log(np.maximum(likely, 1e-30)) if loss is None else loss(outputs, labels)
            values = np.asarray(values.numpy() if is_tensor(values) else values)
            if values.shape != numbers.shape:
                raise ShapeError(
                    f"top_losses: {len(numbers)} samples, losses of shape {values.shape}.",
                    fix='a loss with reduction="none"',
                )
            for n in np.argsort(-values, kind="stable")[:k].tolist():
                made = TopLoss(start + n, float(values[n]), images[n], int(numbers[n]),
                               float(likely[n]), scores[n])  # fmt: skip
                kept.append(made)
            kept = sorted(kept, key=lambda one: -one.loss)[:k]
            start += len(numbers)
    if not start:
        raise ArgumentError("top_losses: there is no data.")
    return kept


def plot_top_losses(
    found: Sequence[TopLoss],
    classes: Names = None,
    *,
    columns: int = 3,
    title: str = "",
    path: Path | None = None,
) -> Any:
    """The samples that `top_losses` found: what was said, what it is with its probability, the
    loss, and the sample's place in the data.

    Args:
        found: of `top_losses`.
        classes: names by number.
        columns: images in a row.
        title: a line above the picture.
        path: the file to write (PNG, SVG or PDF by its ending); None writes none.

    Returns:
        The Matplotlib figure.

    Raises:
        ArgumentError: there are none.
        MissingExtraError: Matplotlib is not installed.
    """
    figure = plot_predictions(
        [one.image for one in found], [one.scores for one in found],
        [one.label for one in found], classes, columns=columns, title=title,
    )  # fmt: skip
    for axis, one in zip(figure.axes, found, strict=True):
        said = axis.get_title()
        share = f" {one.probability:.1%}" if one.predicted != one.label else ""
        axis.set_title(f"{said}{share}\nloss {one.loss:.2f}, sample {one.index}", fontsize=7,
                       color=axis.title.get_color(), pad=3)  # fmt: skip
    write(figure, path)
    return figure
