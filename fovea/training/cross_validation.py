"""k-fold cross-validation: every sample is held out once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.tensorbase import is_tensor
from fovea.training.history import History
from fovea.utils.data import Subset, TensorDataset

__all__ = ["CrossValidation", "folds", "kfold"]


@dataclass
class CrossValidation:
    """What ``kfold`` found.

    Attributes:
        splits: each fold's indices of the samples to train on and of those held out.
        scores: each fold's losses and metrics over what was held out.
        histories: each fold's history.
        trainers: each fold's trainer.
    """

    splits: list[tuple[list[int], list[int]]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    trainers: list[Any] = field(default_factory=list)

    def mean(self, name: str) -> float:
        """The mean of a loss or metric over the folds."""
        return float(np.mean([s[name] for s in self.scores]))

    def std(self, name: str) -> float:
        """Its standard deviation over the folds (the sample's: over k - 1)."""
        return float(np.std([s[name] for s in self.scores], ddof=1))

    def __str__(self) -> str:
        names = self.scores[0] if self.scores else ()
        return ", ".join(f"{n}: {self.mean(n):.4f} ± {self.std(n):.4f}" for n in names)


def folds(
    count: int,
    k: int,
    *,
    labels: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    seed: int = 0,
) -> list[tuple[list[int], list[int]]]:
    """Indices of the samples to train on and of those held out, for each of ``k`` folds.

    Without ``groups`` the sizes of folds differ by at most 1, and with ``labels`` so do the numbers
    of each class. Samples of one group are held out together, and large groups are dealt first,
    each to the fold that it makes most even.

    Args:
        count: how many samples there are.
        k: how many folds.
        labels: each sample's class.
        groups: each sample's group, such as the patient or the video that it is from.
        seed: of the order in which samples are dealt.

    Raises:
        ArgumentError: fewer than 2 folds, more folds than samples or groups, lists of another
            length.

    >>> [held for _, held in folds(6, 3, labels="aaabbb")]
    [[2, 3], [0, 5], [1, 4]]
    """
    for name, given in (("labels", labels), ("groups", groups)):
        if given is not None and len(given) != count:
            raise ArgumentError(f"kfold: {len(given)} {name} for {count} samples.")
    members = _numbered(range(count) if groups is None else groups)
    if not 2 <= k <= members.max(initial=-1) + 1:
        raise ArgumentError(
            f"kfold: {k} folds of {members.max(initial=-1) + 1} "
            f"{'samples' if groups is None else 'groups'}.",
            fix="k from 2 to their number",
        )
    classes = _numbered([0] * count if labels is None else labels)
    draw = np.random.default_rng(seed)
    fold = _dealt(classes, k, draw) if groups is None else _grouped(members, classes, k, draw)
    return [
        (np.flatnonzero(fold != f).tolist(), np.flatnonzero(fold == f).tolist()) for f in range(k)
    ]


def _numbered(values: Any) -> Any:
    """Numbers from 0 in place of values, in order of appearance."""
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(v, len(seen)) for v in values], dtype=np.int64)


def _dealt(classes: Any, k: int, draw: Any) -> Any:
    """Each sample's fold: class by class, dealt like cards, on from where the last one ended."""
    shuffled = draw.permutation(len(classes))
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(len(classes), np.int64)
    fold[order] = np.arange(len(classes)) % k
    return fold


def _grouped(members: Any, classes: Any, k: int, draw: Any) -> Any:
    """Each sample's fold; groups stay whole."""
    counts = np.zeros((members.max() + 1, classes.max() + 1))
    np.add.at(counts, (members, classes), 1)
    shares = counts / counts.sum(0)  # rare classes weigh as much as common ones
    order = draw.permutation(len(counts))
    order = order[np.argsort(-shares[order].max(1), kind="stable")]
    held, home = np.zeros((k, counts.shape[1])), np.empty(len(counts), np.int64)
    for group in order:
        spread = [
            (np.square(held[f] + shares[group]).sum() - np.square(held[f]).sum(), held[f].sum(), f)
            for f in range(k)
        ]
        home[group] = min(spread)[2]
        held[home[group]] += shares[group]
    return home[members]


def kfold(
    make_trainer: Callable[[], Any],
    dataset: Any,
    k: int = 5,
    *,
    stratified: bool = True,
    groups: Sequence[Any] | None = None,
    labels: Sequence[Any] | None = None,
    seed: int = 0,
    **fit: Any,
) -> CrossValidation:
    """Train ``k`` trainers, each on all but one fold of the data, and evaluate each on that fold.

    Args:
        make_trainer: makes a new trainer with a new model; nothing is shared between folds.
        dataset: a dataset of ``(input, ..., target)``, or a tuple of tensors or arrays.
        k: how many folds.
        stratified: let each fold have the same share of each class.
        groups: each sample's group, none of which is split.
        labels: each sample's class; unless given, ``dataset.targets``, ``dataset.labels``, or the
            targets themselves.
        seed: of the split.
        **fit: for ``fit``: ``epochs``, ``batch_size``, ``callbacks`` (a function without arguments
            makes new ones for each fold) ...

    Raises:
        ArgumentError: see `folds`; targets that are no classes.

    >>> import fovea
    >>> from fovea import nn
    >>> x = fovea.randn(60, 3)
    >>> y = (x.sum(1) > 0).long()
    >>> def make():
    ...     model = nn.Linear(3, 2)
    ...     optimizer = fovea.optim.SGD(model.parameters(), lr=1.0)
    ...     return fovea.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    >>> found = kfold(make, (x, y), 3, epochs=5, verbose=0)
    >>> len(found.scores), found.mean("accuracy") > 0.8
    (3, True)
    """
    if isinstance(dataset, tuple):
        from fovea.functions.creation import as_tensor

        dataset = TensorDataset(*(as_tensor(part) for part in dataset))
    if labels is None and stratified:
        labels = _labels(dataset)
    found = CrossValidation(
        folds(len(dataset), k, labels=labels if stratified else None, groups=groups, seed=seed)
    )
    callbacks = fit.pop("callbacks", None)
    for rest, held in found.splits:
        trainer = make_trainer()
        out: Subset[Any] = Subset(dataset, held)
        own = callbacks() if callable(callbacks) else callbacks
        found.histories.append(trainer.fit(Subset(dataset, rest), out, callbacks=own, **fit))
        options = {name: fit[name] for name in ("batch_size", "verbose") if name in fit}
        found.scores.append(trainer.evaluate(out, **options))
        found.trainers.append(trainer)
    return found


def _labels(dataset: Any) -> list[Any]:
    """The class of each sample."""
    given = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if isinstance(dataset, TensorDataset):
        given = dataset.tensors[-1]
    if given is None:
        given = [dataset[i][-1] for i in range(len(dataset))]
    values = given.tolist() if is_tensor(given) or isinstance(given, np.ndarray) else list(given)
    plain = [v.tolist() if hasattr(v, "tolist") else v for v in values]
    if any(
        isinstance(v, list | tuple | dict) or (isinstance(v, float) and v != math.floor(v))
        for v in plain
    ):
        raise ArgumentError(
            "kfold: the targets are no classes to stratify by.",
            fix="stratified=False, or labels=",
        )
    return plain
