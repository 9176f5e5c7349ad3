"""Where the time of a loader goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fovea.errors import ArgumentError
from fovea.utils.data import DataLoader

__all__ = ["LoaderTimes", "profile_loader"]


@dataclass(frozen=True)
class LoaderTimes:
    """Seconds that a loader takes.

    Attributes:
        sample: to make a sample, in one thread.
        steps: the parts of that which could be told apart (``read``, each transform by its name).
        collate: to make a batch of samples.
        batch: between two batches that the loader gives, with its workers.
        step: of the training step that was assumed, and ``wait`` before each such step.
        batch_size: samples a batch.
    """

    sample: float
    steps: dict[str, float]
    collate: float
    batch: float
    step: float
    wait: float
    batch_size: int

    @property
    def samples_per_second(self) -> float:
        """What the loader gives, with its workers."""
        return self.batch_size / self.batch if self.batch else float("inf")

    def __str__(self) -> str:
        rows = [f"a sample  {1e3 * self.sample:8.2f} ms in one thread"]
        rows += [f"  {name:<22}{1e3 * t:8.2f} ms" for name, t in self.steps.items()]
        rows.append(f"collate   {1e3 * self.collate:8.2f} ms a batch of {self.batch_size}")
        rows.append(f"loader    {self.samples_per_second:8.0f} samples a second")
        if self.step:
            share = self.wait / (self.wait + self.step)
            rows.append(f"waiting   {1e3 * self.wait:8.2f} ms before each step ({share:.0%})")
        return "\n".join(rows)


def profile_loader(
    loader: DataLoader[Any], batches: int = 20, step: float = 0.0, samples: int = 32
) -> LoaderTimes:
    """Measure where the time of a loader goes.

    Args:
        loader: a loader of a dataset with an index.
        batches: how many to draw.
        step: seconds that a training step takes; the wait for data is measured beside it.
        samples: how many to make one by one, to see what a sample takes.

    Raises:
        ArgumentError: an empty dataset, or one without an index.
    """
    dataset = loader.dataset
    if not hasattr(dataset, "__getitem__") or not len(dataset):
        raise ArgumentError("profile_loader: a dataset with an index and samples is needed.")
    count = min(samples, len(dataset))
    picked = [i * len(dataset) // count for i in range(count)]
    made, whole = _timed(lambda i: dataset[i], picked)
    size = loader.batch_size or 1
    group = (made * (size // count + 1))[:size]
    collate = 0.0
    if loader.batch_size is not None:
        collate = _timed(lambda _: loader.collate_fn(group), range(5))[1]
    return LoaderTimes(
        whole, _steps(dataset, picked), collate, _waits(loader, batches, 0.0), step,
        _waits(loader, batches, step) if step else 0.0, size,
    )  # fmt: skip


def _waits(loader: Any, batches: int, step: float) -> float:
    """The median of the seconds before each batch, where each is followed by a step."""
    waits = []
    before = time.perf_counter()
    for number, _ in enumerate(loader):
        waits.append(time.perf_counter() - before)
        if number + 1 == batches:
            break
        time.sleep(step)
        before = time.perf_counter()
    return statistics.median(waits[1:] or waits)  # the first waits for the workers to begin


def _timed(call: Callable[[Any], Any], arguments: Iterable[Any]) -> tuple[list[Any], float]:
    """What a function returns, and the median of the seconds that it takes."""
    found, times = [], []
    for argument in arguments:
        began = time.perf_counter()
        found.append(call(argument))
        times.append(time.perf_counter() - began)
    return found, statistics.median(times)


def _steps(dataset: Any, picked: list[int]) -> dict[str, float]:
    """The parts of a sample of a data set that has ``samples``, ``loader`` and ``transform``."""
    if not all(hasattr(dataset, name) for name in ("samples", "loader", "transform")):
        return {}
    images, time_taken = _timed(lambda i: dataset.loader(dataset.samples[i][0]), picked)
    found = {"read": time_taken}
    transform = dataset.transform
    if transform is None:
        return found
    for number, part in enumerate(getattr(transform, "transforms", [transform]), 1):
        plain = getattr(part, "__name__", "step")
        name = type(part).__name__ if hasattr(part, "forward") else plain
        images, found[f"{number} {name}"] = _timed(part, images)
    return found
