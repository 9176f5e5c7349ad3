"""Trial runs that leave no trace on a trainer."""

from __future__ import annotations

import copy
import itertools
import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import random
from fovea.errors import ArgumentError
from fovea.training.arguments import listed
from fovea.training.backup import BackupAndRestore
from fovea.training.checkpoint import ModelCheckpoint
from fovea.training.feeding import as_loader
from fovea.training.history import History
from fovea.training.json_logger import JSONLogger
from fovea.training.loggers import CSVLogger
from fovea.training.monitor import EarlyStopping
from fovea.training.remote import RemoteMonitor
from fovea.training.resuming import KeepState
from fovea.training.tensorboard import TensorBoard
from fovea.training.trackers import MLflowLogger, WandbLogger

if TYPE_CHECKING:
    from fovea.training.trainer import Trainer

__all__ = ["First", "drawn", "rehearse", "same_random_numbers", "untouched"]

_ATTRIBUTES = (
    "epoch", "history", "callbacks", "scheduler", "stop_training", "_begun", "_resumed",
    "_batches", "_own_callbacks", "_step", "_number", "_gathered",
)  # fmt: skip
_LEFT_OUT = (
    ModelCheckpoint, KeepState, BackupAndRestore, EarlyStopping, CSVLogger, RemoteMonitor,
    TensorBoard, JSONLogger, MLflowLogger, WandbLogger,
)  # fmt: skip


class First:
    """The first batches of data, pass by pass.

    >>> list(First(range(9), 2)), len(First([1, 2, 3], 5))
    ([0, 1], 3)
    """

    def __init__(self, source: Any, count: int) -> None:
        if count < 1:
            raise ArgumentError(f"fit: at least 1 batch is needed, got {count}.")
        self.source, self.count = source, count

    def __len__(self) -> int:
        return min(self.count, len(self.source))

    def __iter__(self) -> Iterator[Any]:
        running = iter(self.source)
        try:
            yield from itertools.islice(running, self.count)
        finally:
            if running is not self.source and hasattr(running, "close"):
                running.close()  # a loader's workers


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Random numbers (of Python and NumPy, too) go on after the block as if it were not there."""
    ours, python, numpy = random.get_rng_state(), python_random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.set_rng_state(ours)
        python_random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def untouched(trainer: Trainer) -> Iterator[None]:
    """Whatever is trained within the block, the trainer is then what it was, to the same bits:
    weights, averages, optimizer, gradients, schedule, history, modes, random numbers.
    """
    state = copy.deepcopy(trainer.state_dict())
    kept = {name: getattr(trainer, name) for name in _ATTRIBUTES}
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    gradients = [None if p.grad is None else p.grad.detach().clone() for p in parameters]
    modes = [(module, module.training) for module in trainer.model.modules()]
    trainer.history = History()
    try:
        with same_random_numbers():
            yield
    finally:
        trainer.scheduler, trainer.history = kept["scheduler"], History()
        with same_random_numbers():
            trainer.load_state_dict(state)
        vars(trainer).update(kept)
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = gradient
        for module, training in modes:
            module.training = training
        trainer._reset_metrics()


def rehearse(
    trainer: Trainer, train: Any, validation: Any, count: int, *,
    batch_size: int, callbacks: Any, verbose: int | str,
) -> History:  # fmt: skip
    """A run of ``count`` batches of training and of validation, for errors to show; callbacks that
    write files or stop runs stay out, and the trainer is left as it was.
    """
    train = First(as_loader(train, batch_size, True), count)
    if validation is not None:
        validation = First(as_loader(validation, batch_size, False), count)
    with untouched(trainer):
        trainer.callbacks = [
            c for c in listed(trainer.callbacks, callbacks) if not isinstance(c, _LEFT_OUT)
        ]
        trainer._begun = True
        return trainer.fit(train, validation, trainer.epoch + 1, verbose=verbose)


def drawn(data: Any, count: int, batch_size: int) -> list[Any]:
    """The first batches of data, always the same ones and in one order, for a model to learn by
    heart; random numbers go on as they were.
    """
    with same_random_numbers():
        random.manual_seed(0)
        return list(First(as_loader(data, batch_size, False), count))
