"""Predictions from several views of each image: test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions import joining
from fovea.tensorbase import is_tensor
from fovea.training.feeding import as_loader
from fovea.training.learner import as_tensors, split_batch

if TYPE_CHECKING:
    from fovea.tensor import Tensor
    from fovea.training.trainer import Trainer

__all__ = ["VIEWS", "predict_views", "scores_of_views"]

View = Callable[[Any], Any]
VIEWS: dict[str, View] = {
    "same": lambda x: x,
    "hflip": lambda x: x.flip(-1),
    "vflip": lambda x: x.flip(-2),
    "rot90": lambda x: x.rot90(1, (-2, -1)),
    "rot180": lambda x: x.flip((-2, -1)),
    "rot270": lambda x: x.rot90(3, (-2, -1)),
}
_MERGES: dict[str, Callable[[Any], Any]] = {
    "mean": lambda p: p.mean(0),
    "max": lambda p: p.max(0).values,
    "gmean": lambda p: p.log().mean(0).exp(),
}


def predict_views(
    trainer: Trainer,
    data: Any,
    views: Sequence[str | View] = ("same", "hflip"),
    *,
    merge: str = "mean",
    logits: bool = True,
    batch_size: int = 32,
    verbose: int | str = 0,
) -> Tensor:
    """Class probabilities, each image's views taken together.

    Args:
        trainer: whose model classifies images.
        data: as ``Trainer.predict`` takes it; the images are the first input, (..., height, width).
        views: ``"same"``, ``"hflip"``, ``"vflip"``, ``"rot90"``, ``"rot180"``, ``"rot270"``
            (counterclockwise), or functions of batches.
        merge: ``"mean"``, ``"gmean"`` (the geometric mean, not normalized) or ``"max"`` of the
            views' probabilities.
        logits: whether the outputs, (n, classes), still need a softmax.
        batch_size: for data that is not batched yet.
        verbose: as for ``predict``.

    Raises:
        ArgumentError: an unknown view or merge, none, or outputs that are no batch of classes.

    >>> import fovea
    >>> from fovea import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> trainer = fovea.Trainer(model, nn.CrossEntropyLoss(), fovea.optim.SGD(model.parameters()))
    >>> x = fovea.randn(3, 1, 2, 2)
    >>> one, other = predict_views(trainer, x), predict_views(trainer, x.flip(-1))
    >>> bool(fovea.allclose(one, other)), one.shape
    (True, fovea.Size([3, 2]))
    """
    unknown = [v for v in views if not callable(v) and v not in VIEWS]
    if unknown or not views:
        raise ArgumentError(f"predict_views: unknown views {unknown}.", fix=f"some of {[*VIEWS]}")
    if merge not in _MERGES:
        raise ArgumentError(f"predict_views: unknown merge {merge!r}.", fix=f"one of {[*_MERGES]}")
    viewed = _Viewed(
        as_loader(data, batch_size, False), [v if callable(v) else VIEWS[v] for v in views]
    )
    found = trainer.predict(viewed, verbose=verbose)
    if not is_tensor(found) or found.ndim != 2:
        raise ArgumentError("predict_views: the outputs are no tensor of (n, classes).")
    if logits:
        found = found.softmax(1)
    parts = found.split(viewed.sizes)
    count = len(views)
    merged = [
        _MERGES[merge](joining.stack(list(parts[i : i + count])))
        for i in range(0, len(parts), count)
    ]
    return joining.cat(merged)


def scores_of_views(model: Callable[[Any], Any], images: Any, views: Sequence[str]) -> Tensor:
    """The logarithm of the mean of the class probabilities over views of a batch of images.

    Args:
        model: gives logits (n, classes).
        views: names, as of `predict_views`.

    >>> import fovea
    >>> x = fovea.rand(2, 3)
    >>> scores = scores_of_views(lambda x: x, x, ["same", "hflip"])
    >>> bool(fovea.allclose(scores.exp(), (x.softmax(1) + x.flip(-1).softmax(1)) / 2))
    True
    """
    found = [model(VIEWS[view](images)).softmax(1) for view in views]
    mean: Tensor = joining.stack(found).mean(0)
    return mean.log()


class _Viewed:
    """Each batch once a view.

    Attributes:
        sizes: how many samples each had.
    """

    def __init__(self, source: Any, views: Sequence[View]) -> None:
        self.source, self.views = source, views
        self.sizes: list[int] = []

    def __len__(self) -> int:
        return len(self.source) * len(self.views)

    def __iter__(self) -> Iterator[Any]:
        self.sizes = []
        for batch in self.source:
            (x, *rest), _ = split_batch(as_tensors(batch))
            for view in self.views:
                self.sizes.append(len(x))
                yield (view(x), *rest, None)
