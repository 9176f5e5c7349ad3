"""How good what is being trained is, on images that it does not learn from."""

from __future__ import annotations

from typing import Any

from fovea.errors import ArgumentError
from fovea.nn.module import Module
from fovea.training.callbacks import Callback
from fovea.training.untouched import same_random_numbers

__all__ = ["ValidateDetector", "average_precision", "measured_epochs"]

_BATCH = 16


def measured_epochs(epochs: int, every: int) -> set[int]:
    """The epochs (from 1) after which is measured: the first, for what is wrong to show soon,
    every so many, and the last.

    Raises:
        ArgumentError: ``every`` below 1.

    >>> sorted(measured_epochs(10, 4))
    [1, 4, 8, 10]
    """
    if every < 1:
        raise ArgumentError(f"validate_every is at least 1 epoch, got {every}.")
    return {1, epochs, *range(every, epochs + 1, every)}


def average_precision(model: Module, dataset: Any, class_metrics: bool = False) -> dict[str, Any]:
    """COCO's numbers of a detector, as ``fovea.metrics.MeanAveragePrecision`` computes them.

    Args:
        model: what `detect` takes.
        dataset: samples (image, target); of targets ``boxes`` and ``labels`` are looked at.
        class_metrics: whether those of each class are there, too.
    """
    from fovea.metrics.detection import MeanAveragePrecision
    from fovea.vision.training.detection import detect

    metric = MeanAveragePrecision(class_metrics=class_metrics)
    for first in range(0, len(dataset), _BATCH):
        samples = [dataset[i] for i in range(first, min(first + _BATCH, len(dataset)))]
        truth = [{name: target[name] for name in ("boxes", "labels")} for _, target in samples]
        metric.update(detect(model, samples, _BATCH), truth)
    return metric.compute()


class ValidateDetector(Callback):
    """Tells average precision after epochs as ``val_AP`` and ``val_AP50``: to the callbacks that
    come after it, and to the history.

    Args:
        network: the detector, with the weights that are to be measured at the end of an epoch.
        dataset: of `average_precision`.
        epochs: after which, counted from 1.
    """

    def __init__(self, network: Module, dataset: Any, epochs: set[int]) -> None:
        super().__init__()
        self.network, self.dataset, self.epochs = network, dataset, epochs

    def wants_batch_logs(self) -> bool:
        return False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 not in self.epochs:
            return
        with same_random_numbers():
            found = average_precision(self.network, self.dataset)
        numbers = {"val_AP": float(found["map"]), "val_AP50": float(found["map_50"])}
        for name, value in numbers.items():
            self.model.history.history.setdefault(name, []).append(value)  # it has been told
        if logs is not None:
            logs.update(numbers)
