"""Runs of ``fovea train`` that keep nothing: does it work, does it fit, how sure is it."""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.cli.classifier import build_model
from fovea.cli.fitting import Fitting, Plan, measure
from fovea.cli.folders import FolderImages
from fovea.cli.images import ArrayImages
from fovea.cli.progress import EpochTable
from fovea.training import folds, lr_find, memory_plan
from fovea.training.untouched import same_random_numbers

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.console import Console
    from fovea.cli.sources import Source
    from fovea.training.trainer import Trainer

__all__ = ["found_rate", "in_words", "labels_of", "run_trial", "said_rate", "tell_memory"]


def labels_of(dataset: Any) -> list[int]:
    """The class of each image, none of which is read."""
    if isinstance(dataset, FolderImages):
        return [label for _, label in dataset.samples]
    return [int(n) for n in dataset.labels]


def found_rate(console: Console, fitting: Fitting) -> float:
    """The learning rate that a range test suggests; the plan's own if the loss never falls."""
    with same_random_numbers():
        found = lr_find(fitting.trainer, fitting.batches, max_lr=1.0).suggestion
    return said_rate(console, found, fitting.plan.lr)


def said_rate(console: Console, found: float | None, usual: float) -> float:
    """The learning rate to take, and a line about it."""
    if found is None:
        console.say(f"no learning rate lets the loss fall: {usual:g} is kept\n")
        return usual
    console.say(f"learning rate found: {found:.2g}\n")
    return float(f"{found:.2g}")


def run_trial(
    console: Console,
    args: argparse.Namespace,
    classifier: Classifier,
    source: Source,
    plan: Plan,
) -> int:
    """Do what ``--plan-memory``, ``--fast-dev-run``, ``--overfit-batches`` or ``--folds`` asks
    for; returns the exit code.
    """
    if args.folds:
        return _cross_validate(console, args, classifier, source, plan)
    if args.overfit_batches:
        return _learn_by_heart(console, classifier, source, plan, args.overfit_batches)
    fitting = Fitting(classifier.model, source.train, source.validation, plan)
    if args.plan_memory:
        tell_memory(console, fitting.trainer, fitting.batches, plan.batch_size)
        return 0
    history = fitting.trainer.fit(
        fitting.batches, fitting.validation, fast_dev_run=True, verbose=0
    ).history
    told = {name: float(values[-1]) for name, values in history.items()}
    console.show("one batch of each part went through: " + in_words(told))
    console.document({"command": "train", "trial": "fast-dev-run", **told})
    return 0


def tell_memory(console: Console, trainer: Trainer, batches: Any, batch_size: int) -> None:
    """Say what memory a step takes."""
    with same_random_numbers():
        batch = next(iter(batches))
    taken = memory_plan(trainer, batch, batch_size)
    console.show(str(taken))
    facts = {**vars(taken), "total": taken.total}
    console.document({"command": "train", "trial": "memory", "bytes": facts})


def in_words(numbers: dict[str, float]) -> str:
    """Numbers for people.

    >>> in_words({"val_loss": 0.5, "accuracy": 1})
    'val loss 0.5000, accuracy 1.0000'
    """
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in numbers.items())


def _learn_by_heart(
    console: Console, classifier: Classifier, source: Source, plan: Plan, count: int
) -> int:
    """Train on a few batches: a network that is wired well learns them."""
    plain = replace(plan, schedule="constant", warmup=0.0, label_smoothing=0.0, swa=None)
    fitting = Fitting(classifier.model, source.train, None, plain)
    table = EpochTable(console, plan.epochs, count, False)
    history = fitting.trainer.fit(
        fitting.batches, epochs=plan.epochs, overfit_batches=count, callbacks=[table], verbose=0
    ).history
    told = {"loss": float(history["loss"][-1]), "accuracy": float(history["accuracy"][-1])}
    console.show(f"\n{count} batches, {plan.epochs} times: {in_words(told)}")
    console.document({"command": "train", "trial": "overfit-batches", **told})
    return 0


def _cross_validate(
    console: Console, args: argparse.Namespace, classifier: Classifier, source: Source, plan: Plan
) -> int:
    """Train as many networks as there are folds, each measured on the images that it has not
    seen.
    """
    drawn, plain = _whole(source)
    labels = labels_of(plain)
    scores: list[dict[str, float]] = []
    for number, (rest, held) in enumerate(folds(len(labels), args.folds, labels=labels), 1):
        model, _ = build_model(
            classifier.name, len(source.classes), source.preprocess, args.weights
        )
        fitting = Fitting(model, _picked(drawn, rest), None, plan)
        fitting.trainer.fit(fitting.batches, epochs=plan.epochs, verbose=0)
        with fitting.trainer._averaging():
            found = measure(model, _picked(plain, held), len(source.classes), plan.workers)
        scores.append({"accuracy": found.accuracy, "loss": found.loss})
        console.say(f"fold {number}/{args.folds}: {in_words(scores[-1])}")
    spread = {
        name: (float(np.mean(each)), float(np.std(each, ddof=1)))
        for name in ("accuracy", "loss")
        if (each := [s[name] for s in scores])
    }
    mean, deviation = spread["accuracy"]
    console.show(f"\naccuracy {mean:.2%} ± {deviation:.2%} over {args.folds} folds")
    summary = {n: {"mean": m, "std": d} for n, (m, d) in spread.items()}
    console.document({"command": "train", "trial": "folds", "folds": scores, **summary})
    return 0


def _whole(source: Source) -> tuple[Any, Any]:
    """All images but those of the test, as training draws them and as they are."""
    train, held = source.train, source.validation
    if isinstance(train, FolderImages):
        samples = [*train.samples, *(held.samples if held is not None else [])]
        plain = source.preprocess.transform()
        return (
            FolderImages(samples, train.mode, train.transform),
            FolderImages(samples, train.mode, plain),
        )
    drawn = copy.copy(train)
    if held is not None:
        drawn.images = np.concatenate([train.images, held.images])
        drawn.labels = np.concatenate([train.labels, held.labels])
    unmoved = copy.copy(drawn)
    unmoved.augment = None
    return drawn, unmoved


def _picked(dataset: Any, numbers: list[int]) -> Any:
    """Some images of a data set, as one of its kind."""
    found = copy.copy(dataset)
    if isinstance(dataset, ArrayImages):
        found.images, found.labels = dataset.images[numbers], dataset.labels[numbers]
    else:
        found.samples = [dataset.samples[i] for i in numbers]
    return found
