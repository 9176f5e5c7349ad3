"""What happened in each epoch."""

from __future__ import annotations

import importlib
import math
from typing import Any

from fovea.errors import ArgumentError, MissingExtraError
from fovea.training.callbacks import Callback

__all__ = ["History"]


class History(Callback):
    """The losses and metrics of every epoch; ``fit`` returns one.

    Attributes:
        history: name to a list with one value an epoch: ``loss``, ``accuracy``, ``val_loss`` ...
        epoch: the epochs' numbers, from 0.
        params: ``verbose``, ``epochs`` and ``steps`` as ``fit`` was given them.

    >>> h = History()
    >>> h.on_train_begin()
    >>> h.on_epoch_end(0, {"loss": 0.7})
    >>> h.on_epoch_end(1, {"loss": 0.4})
    >>> h.history, h.best("loss")
    ({'loss': [0.7, 0.4]}, (1, 0.4))
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def best(self, name: str, mode: str = "min") -> tuple[int, Any]:
        """The epoch (from 0) where ``name`` was lowest (mode "max": highest), and that value."""
        values = self._values(name)
        pick = (max if mode == "max" else min)(range(len(values)), key=values.__getitem__)
        return pick, values[pick]

    def to_frame(self) -> Any:
        """A pandas ``DataFrame`` with a row an epoch (from 0) and a column a name; epochs without
        validation have NaN there.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise MissingExtraError(
                "History.to_frame needs pandas.", fix="pip install pandas"
            ) from error
        rows = max(map(len, self.history.values()), default=0)
        columns = {k: [math.nan] * (rows - len(v)) + list(v) for k, v in self.history.items()}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(rows, name="epoch"))

    def plot(self, path: str | None = None, names: tuple[str, ...] | None = None) -> Any:
        """Draw the curves: training and validation values of a name in one panel.

        Args:
            path: a file to write (PNG, SVG ...); None only returns the figure.
            names: what to draw; by default everything that was recorded.

        Returns:
            A Matplotlib figure.

        Raises:
            MissingExtraError: Matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError(
                "History.plot needs Matplotlib.", fix="pip install 'fovea[vision]'"
            ) from error
        panels = names or tuple(n for n in self.history if not n.startswith("val_"))
        figure = Figure(figsize=(5.0 * max(1, len(panels)), 3.6), layout="constrained")
        axes = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
        for axis, name in zip(axes, panels, strict=False):
            epochs = [e + 1 for e in range(len(self._values(name)))]
            axis.plot(epochs, self.history[name], marker=".", label="training")
            validation = self.history.get(f"val_{name}")
            if validation:
                axis.plot(epochs[-len(validation) :], validation, marker=".", label="validation")
            axis.set(title=name.replace("_", " "), xlabel="epoch")
            axis.grid(alpha=0.3)
            axis.legend()
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _values(self, name: str) -> list[Any]:
        if not self.history.get(name):
            raise ArgumentError(
                f"History: nothing is recorded as {name!r}.",
                fix=f"one of {sorted(self.history)}" if self.history else "train first",
            )
        return self.history[name]
