"""Training and measuring a classifier, by way of the training engine's loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fovea import autograd, dtypes, nn, optim
from fovea.errors import FoveaError
from fovea.functions.creation import tensor
from fovea.nn import functional as F
from fovea.nn.utils import freeze, param_groups_layer_decay, train_unfrozen, unfreeze
from fovea.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from fovea.training import (
    Accuracy,
    Batches,
    Callback,
    ConfusionMatrix,
    EarlyStopping,
    History,
    Loop,
    Mean,
)
from fovea.training.statistics import refresh_statistics
from fovea.training.trainer import Trainer
from fovea.training.views import scores_of_views
from fovea.utils.data import DataLoader
from fovea.vision.models.heads import class_layers

if TYPE_CHECKING:
    from pathlib import Path

    from fovea.optim.optimizer import Optimizer

__all__ = [
    "STEPS_KEPT",
    "DivergedError",
    "Fitting",
    "Guess",
    "Measured",
    "Plan",
    "make_loader",
    "measure",
]

STEPS_KEPT = 200  # of training, after which a run's state is written in the middle of an epoch
_WORST = 16  # images that are kept to be shown
_FEW_STEPS = 40  # training steps an epoch, below which running statistics lag too far behind


class DivergedError(FoveaError):
    """The loss became infinite or NaN."""


@dataclass(frozen=True)
class Plan:
    """How to train: what a recipe and the options together say."""

    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float
    label_smoothing: float
    workers: int
    precision: str = "float32"
    frozen: int = 0  # epochs at the start in which only the layers that count classes are trained
    schedule: str = "one-cycle"
    warmup: float | None = None  # the share of steps in which the rate rises; None: as usual
    layer_decay: float | None = None
    class_weights: tuple[float, ...] | None = None
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None
    swa: int | None = None  # so many epochs at the end
    patience: int | None = None


@dataclass(frozen=True)
class Guess:
    """What was said of an image of a data set: its number, its class, the loss, the class that was
    likeliest and how likely it was.
    """

    index: int
    label: int
    loss: float
    predicted: int
    probability: float


@dataclass(frozen=True)
class Measured:
    """How a classifier did on a set of images; ``worst`` are those with the largest losses."""

    loss: float
    accuracy: float
    counts: Any
    worst: tuple[Guess, ...] = ()

    @property
    def total(self) -> int:
        """How many images there were."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """How many were classified as they are labeled."""
        return int(self.counts.trace())


def make_loader(
    dataset: Any, batch_size: int, workers: int, train: bool = False
) -> DataLoader[Any]:
    """Batches of a dataset, in random order for training."""
    full = len(dataset) >= batch_size  # else dropping the last batch would leave none
    return DataLoader(
        dataset, batch_size, shuffle=train, num_workers=workers, drop_last=train and full
    )


def _make_optimizer(model: nn.Module, plan: Plan) -> Optimizer:
    rate, decay = plan.lr, plan.weight_decay
    if plan.layer_decay is not None:
        groups = param_groups_layer_decay(model, decay, layer_decay=plan.layer_decay, lr=rate)
    else:  # biases and the parameters of normalizations are not drawn towards zero
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
    makers: dict[str, Callable[..., Optimizer]] = {
        "sgd": lambda: optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True),
        "adam": lambda: optim.Adam(groups, lr=rate),
        "adamw": lambda: optim.AdamW(groups, lr=rate),
        "rmsprop": lambda: optim.RMSprop(groups, lr=rate),
    }
    return makers[plan.optimizer]()


def _make_schedule(optimizer: Optimizer, plan: Plan, steps: int) -> LRScheduler:
    """How the rate of each group goes over so many updates."""
    warmup = plan.warmup
    if plan.schedule == "one-cycle":
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=max(2, steps),
            pct_start=0.25 if warmup is None else warmup,
            cycle_momentum=plan.optimizer in ("sgd", "adam", "adamw"),
        )
    rising = round(steps * (0.05 if warmup is None else warmup))
    from fovea.vision.training.schedules import scheduled

    return LambdaLR(optimizer, scheduled(plan.schedule, steps, rising))


class _Watch(Callback):
    """Running statistics for validation, and an end to a run gone wrong.

    Args:
        batches: the training batches, if there are so few in an epoch that the running statistics
            of batch normalization cannot follow; they are then taken anew before each validation.
    """

    def __init__(self, batches: Any = None) -> None:
        super().__init__()
        self.batches = batches

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.batches is not None:
            refresh_statistics(self.model.model, self.batches)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise DivergedError(
                f"the loss became {(logs or {})['loss']} in epoch {epoch + 1}.",
                fix="try a lower learning rate with --lr; --locate-nan says where it went wrong",
            )


class _FrozenStart(Callback):
    """Trains the layers that count classes alone in the first epochs, then all."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model = self.model.model
        if epoch < self.epochs:
            freeze(model)
            unfreeze(model, list(class_layers(model)))
        else:
            unfreeze(model)
        train_unfrozen(model)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        unfreeze(self.model.model)


class Fitting:
    """One training run.

    Args:
        model: what to train.
        train, validation: datasets of (image, class); validation may be None.
        plan: how.
    """

    def __init__(self, model: nn.Module, train: Any, validation: Any, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.batches = make_loader(train, plan.batch_size, plan.workers, train=True)
        self.validation = None
        if validation is not None:
            self.validation = make_loader(validation, max(plan.batch_size, 256), plan.workers)
        weights = plan.class_weights
        self._weights = None if weights is None else tensor(weights, dtype=dtypes.float32)
        self.trainer = Trainer(
            model, self._loss, _make_optimizer(model, plan), metrics=[Accuracy()],
            scheduler=self._schedule, schedule_by="step", precision=plan.precision,
            accumulate=plan.accumulate, clip=plan.clip, ema=plan.ema,
            swa=None if plan.swa is None else max(1, plan.epochs - plan.swa + 1),
        )  # fmt: skip

    def _loss(self, logits: Any, labels: Any) -> Any:
        """Of labels smoothed and classes weighted for training, as they are for validation."""
        if not self.model.training:
            return F.cross_entropy(logits, labels)
        smoothing = self.plan.label_smoothing
        return F.cross_entropy(logits, labels, self._weights, label_smoothing=smoothing)

    def _schedule(self, optimizer: Optimizer) -> LRScheduler:
        updates = -(-len(self.batches) // self.plan.accumulate)
        return _make_schedule(optimizer, self.plan, self.plan.epochs * updates)

    def run(self, callbacks: list[Callback], state: Path) -> History:
        """Train.

        Args:
            callbacks: their ``model`` is a trainer.
            state: the file that the run is kept in, to go on from if it is there.

        Raises:
            DivergedError: the loss became infinite or NaN.
            KeyboardInterrupt: Ctrl-C, after the callbacks have been told.
        """
        few = len(self.batches) < _FEW_STEPS and self.plan.swa is None  # which sees to it itself
        watched = "loss" if self.validation is None else "val_loss"
        patience = self.plan.patience
        return self.trainer.fit(
            self.batches,
            self.validation,
            self.plan.epochs,
            callbacks=[
                *([_FrozenStart(self.plan.frozen)] if self.plan.frozen else []),
                _Watch(self.batches if few else None),
                *callbacks,
                *([EarlyStopping(watched, patience=patience)] if patience else []),
            ],
            checkpoint=state,
            checkpoint_every=STEPS_KEPT,
            verbose=0,
        )


def measure(
    model: nn.Module,
    dataset: Any,
    classes: int,
    workers: int,
    callbacks: list[Callback] | None = None,
    views: Sequence[str] = ("same",),
) -> Measured:
    """Loss, accuracy and confusion matrix of a model over a dataset; of several views of each
    image (``fovea.training.views.VIEWS``) the probabilities' mean counts.
    """
    loss, matrix = Mean("loss"), ConfusionMatrix(classes)
    criterion = nn.CrossEntropyLoss(reduction="none")
    seen, worst = 0, list[Guess]()

    def step(batch: Any) -> dict[str, Any]:
        nonlocal seen, worst
        images, labels = batch
        with autograd.no_grad():
            alone = tuple(views) == ("same",)
            logits = model(images) if alone else scores_of_views(model, images, views)
            losses = criterion(logits, labels)
            loss.update_state(losses.mean(), sample_weight=len(labels))
        matrix.update_state(labels, logits)
        worst = sorted([*worst, *_guesses(seen, labels, losses, logits)], key=lambda g: -g.loss)
        worst = worst[:_WORST]
        seen += len(labels)
        return {"loss": loss}

    model.eval()
    loader = make_loader(dataset, 256, workers)
    Loop(model, step, step).evaluate(Batches(loader), callbacks=callbacks or [], verbose=0)
    counts = matrix.value()
    accuracy = float(counts.trace() / max(1, counts.sum()))
    return Measured(float(loss.value()), accuracy, counts, tuple(worst))


def _guesses(first: int, labels: Any, losses: Any, logits: Any) -> list[Guess]:
    """The worst of a batch, whose first image has this number."""
    order = losses.argsort(descending=True)[:_WORST]
    likely = logits[order].softmax(1).max(1)
    rows = (order, labels[order], losses[order], likely.indices, likely.values)
    return [
        Guess(first + i, label, value, predicted, probability)
        for i, label, value, predicted, probability in zip(
            *(row.tolist() for row in rows), strict=True
        )
    ]
