"""Training and measuring a classifier, by way of the training engine's loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fovea import autograd, nn, optim
from fovea.errors import FoveaError
from fovea.nn.utils import freeze, train_unfrozen, unfreeze
from fovea.optim.lr_scheduler import OneCycleLR
from fovea.training import (
    Accuracy,
    Batches,
    Callback,
    ConfusionMatrix,
    History,
    Loop,
    Mean,
    Validation,
)
from fovea.training.learner import Learner
from fovea.utils.data import DataLoader
from fovea.vision.models.heads import class_layers

if TYPE_CHECKING:
    from fovea.optim.optimizer import Optimizer

__all__ = [
    "DivergedError",
    "Fitting",
    "Guess",
    "Measured",
    "Plan",
    "make_loader",
    "measure",
    "refresh_statistics",
]

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
    # Biases and the parameters of normalizations are not drawn towards zero.
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    makers: dict[str, Callable[..., Optimizer]] = {
        "sgd": lambda: optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True),
        "adam": lambda: optim.Adam(model.parameters(), lr=rate),
        "adamw": lambda: optim.AdamW(groups, lr=rate),
        "rmsprop": lambda: optim.RMSprop(model.parameters(), lr=rate),
    }
    return makers[plan.optimizer]()


class _Modes(Callback):
    """Training mode for training, evaluation mode for validation; an end to a run gone wrong.

    Args:
        batches: the training batches, if there are so few in an epoch that the running statistics
            of batch normalization cannot follow; they are then taken anew before each validation.
    """

    def __init__(self, batches: Any = None) -> None:
        super().__init__()
        self.batches = batches

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        train_unfrozen(self.model)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.batches is not None:
            refresh_statistics(self.model, self.batches)
        self.model.eval()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        train_unfrozen(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            raise DivergedError(
                f"the loss became {(logs or {})['loss']} in epoch {epoch + 1}.",
                fix="try a lower learning rate with --lr",
            )


class _FrozenStart(Callback):
    """Trains the layers that count classes alone in the first epochs, then all."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        freeze(self.model)
        unfreeze(self.model, list(class_layers(self.model)))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == self.epochs:
            unfreeze(self.model)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        unfreeze(self.model)


def refresh_statistics(model: nn.Module, batches: Any) -> None:
    """Give batch normalization the mean and variance over these batches, with today's weights."""
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    layers = [m for m in layers if not m.affine or any(p.requires_grad for p in m.parameters())]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    with autograd.no_grad():
        for images, _ in batches:
            model(images)
    for layer, momentum in zip(layers, before, strict=True):
        layer.momentum = momentum


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
            held = make_loader(validation, max(plan.batch_size, 256), plan.workers)
            self.validation = Validation(Batches(held))
        self.optimizer = _make_optimizer(model, plan)
        self.schedule = OneCycleLR(
            self.optimizer,
            max_lr=plan.lr,
            total_steps=max(2, plan.epochs * len(self.batches)),
            pct_start=0.25,
            cycle_momentum=plan.optimizer in ("sgd", "adam", "adamw"),
        )
        self.criterion = nn.CrossEntropyLoss(label_smoothing=plan.label_smoothing)
        self.plain_criterion = nn.CrossEntropyLoss()
        # Weights, and validation with them, stay float32: so is the checkpoint.
        self.learner = Learner(model, self.criterion, self.optimizer, precision=plan.precision)
        self.loss, self.accuracy = Mean("loss"), Accuracy()

    @property
    def steps(self) -> int:
        """Training steps in all."""
        return self.plan.epochs * len(self.batches)

    def run(self, callbacks: list[Callback]) -> History:
        """Train.

        Raises:
            DivergedError: the loss became infinite or NaN.
            KeyboardInterrupt: Ctrl-C, after the callbacks have been told.
        """
        loop = Loop(self.model, self._train_step, self._test_step, self._reset)
        few = len(self.batches) < _FEW_STEPS
        return loop.fit(
            Batches(self.batches),
            epochs=self.plan.epochs,
            validation=self.validation,
            callbacks=[
                *([_FrozenStart(self.plan.frozen)] if self.plan.frozen else []),
                _Modes(self.batches if few else None),
                *callbacks,
            ],
            verbose=0,
        )

    def _train_step(self, batch: Any) -> dict[str, Any]:
        images, labels = batch
        loss, _, logits = self.learner.learn((images, labels), 0, True, True)
        self.schedule.step()
        return self._note(loss, logits, labels)

    def _test_step(self, batch: Any) -> dict[str, Any]:
        images, labels = batch
        with autograd.no_grad():
            logits = self.model(images)
            return self._note(self.plain_criterion(logits, labels), logits, labels)

    def _note(self, loss: Any, logits: Any, labels: Any) -> dict[str, Any]:
        self.loss.update_state(loss, sample_weight=len(labels))
        self.accuracy.update_state(labels, logits)
        return {"loss": self.loss, "accuracy": self.accuracy}

    def _reset(self) -> None:
        self.loss.reset_state()
        self.accuracy.reset_state()


def measure(
    model: nn.Module,
    dataset: Any,
    classes: int,
    workers: int,
    callbacks: list[Callback] | None = None,
) -> Measured:
    """Loss, accuracy and confusion matrix of a model over a dataset."""
    loss, matrix = Mean("loss"), ConfusionMatrix(classes)
    criterion = nn.CrossEntropyLoss(reduction="none")
    seen, worst = 0, list[Guess]()

    def step(batch: Any) -> dict[str, Any]:
        nonlocal seen, worst
        images, labels = batch
        with autograd.no_grad():
            logits = model(images)
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
