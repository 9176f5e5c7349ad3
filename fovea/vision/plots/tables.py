"""Precision, recall and F1 of each class: as text, in notebooks, as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.tensorbase import is_tensor
from fovea.vision.plots.figures import FIRST, Path, axes_of, tidy, write

__all__ = ["ClassTable", "class_table"]

Array = np.ndarray[Any, Any]
_HEAD = ("class", "precision", "recall", "F1", "samples", "most often taken for")


@dataclass(frozen=True)
class ClassTable:
    """What `class_table` makes; ``str()`` of it is the table, notebooks show it as one.

    Attributes:
        classes: the names.
        counts: (classes, classes): of row i, how many were predicted as column j.
        precision, recall, f1: float64 (classes,); 0 where there is nothing to divide.
        samples: of each class, integers (classes,).
    """

    classes: tuple[str, ...]
    counts: Array
    precision: Array
    recall: Array
    f1: Array
    samples: Array

    @property
    def accuracy(self) -> float:
        """The share of samples that are right."""
        return float(np.trace(self.counts) / max(self.counts.sum(), 1))

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of each class, then the mean over classes."""
        wrong = self.counts - np.diag(np.diag(self.counts))
        for n, name in enumerate(self.classes):
            other = int(wrong[n].argmax())
            mistake = f"{self.classes[other]} ({wrong[n, other]})" if wrong[n, other] else ""
            shares = (f"{v[n]:.2%}" for v in (self.precision, self.recall, self.f1))
            yield name, *shares, f"{self.samples[n]:,}", mistake
        means = (f"{v.mean():.2%}" for v in (self.precision, self.recall, self.f1))
        yield "mean", *means, f"{self.samples.sum():,}", f"accuracy {self.accuracy:.2%}"

    def __str__(self) -> str:
        rows = [_HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
        lines = []
        for row in rows:
            middle = "  ".join(row[i].rjust(widths[i]) for i in range(1, 5))
            lines.append(f"{row[0]:<{widths[0]}}  {middle}  {row[5]}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def plot(
        self, ax: Any = None, title: str = "", path: Path | None = None, worst: int = 30
    ) -> Any:
        """F1 of each class as bars, the lowest on top, with dots of precision and recall.

        Args:
            ax: Matplotlib axes to draw into; None: new ones.
            title: a line above the picture.
            path: the file to write (PNG, SVG or PDF by its ending); None writes none.
            worst: so many classes at most, those with the lowest F1.

        Returns:
            The Matplotlib figure.
        """
        order = np.argsort(self.f1, kind="stable")[:worst]
        axis = axes_of(ax, 5.2, 1.0 + 0.24 * len(order))
        places = np.arange(len(order))
        axis.barh(places, self.f1[order], 0.7, color=FIRST, alpha=0.55, label="F1")
        axis.plot(self.precision[order], places, "|", color="#b91c1c", ms=9, mew=2,
                  label="precision")  # fmt: skip
        axis.plot(self.recall[order], places, ".", color="#15803d", ms=8, label="recall")
        axis.set_yticks(places, [self.classes[n] for n in order], fontsize=8)
        axis.set_ylim(len(order) - 0.4, -0.6)
        axis.set_xlim(0, 1.02)
        if title:
            axis.set_title(title, loc="left", fontsize=10)
        tidy(axis, "x")
        axis.tick_params(axis="y", length=0)
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.06 - 0.5 / (1 + len(order))), ncols=3,
            fontsize=8, frameon=False,
        )  # fmt: skip
        write(axis.figure, path)
        return axis.figure


def class_table(counts: Any, classes: Sequence[str]) -> ClassTable:
    """Precision, recall, F1 and the commonest mistake of each class.

    Args:
        counts: integers (classes, classes): of row i, how many were predicted as column j, such as
            `fovea.metrics.functional.confusion_matrix` makes.
        classes: the classes' names.

    Raises:
        ArgumentError: the counts are not square, or of another size than ``classes``.

    >>> print(class_table([[8, 2], [1, 9]], ["cat", "dog"]))
    class  precision  recall      F1  samples  most often taken for
    cat       88.89%  80.00%  84.21%       10  dog (2)
    dog       81.82%  90.00%  85.71%       10  cat (1)
    mean      85.35%  85.00%  84.96%       20  accuracy 85.00%
    """
    plain = counts.numpy() if is_tensor(counts) else np.asarray(counts)
    if plain.shape != (len(classes), len(classes)) or not len(classes):
        raise ArgumentError(
            f"class_table: counts of shape {plain.shape} for {len(classes)} classes."
        )
    right, predicted, true = np.diag(plain), plain.sum(0), plain.sum(1)
    return ClassTable(
        tuple(classes),
        plain,
        right / np.maximum(predicted, 1),
        right / np.maximum(true, 1),
        2 * right / np.maximum(predicted + true, 1),
        true,
    )
