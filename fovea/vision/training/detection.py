"""The recipe for detectors: how fast they learn, from which samples, and which weights are kept."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fovea.autograd import no_grad
from fovea.compiler import compile as compiled
from fovea.errors import ArgumentError
from fovea.functions.creation import zeros
from fovea.functions.parts import stack
from fovea.functions.pointwise import clamp
from fovea.nn.module import Module
from fovea.nn.utils.freezing import train_unfrozen
from fovea.optim.lr_scheduler import LambdaLR
from fovea.tensor import Tensor
from fovea.training.callbacks import Callback
from fovea.training.history import History
from fovea.training.lr_finder import LearningRates, lr_find
from fovea.training.trainer import Trainer
from fovea.utils.data import DataLoader
from fovea.vision.models.detection.glance import Glance
from fovea.vision.training.boxes import Augment, DetectionSamples, as_image
from fovea.vision.training.schedules import optimizer_of, scheduled
from fovea.vision.training.validating import ValidateDetector, measured_epochs

__all__ = ["DetectionRecipe", "detect", "find_detector_lr", "fit_detector", "prepare_detector"]


@dataclass(frozen=True)
class DetectionRecipe:
    """How a detector is trained; the defaults are for some thousand images of a few kinds.

    Args:
        epochs: passes over the data set.
        batch_size: images a step.
        lr: the highest learning rate (of AdamW); it rises over ``warmup`` steps and falls as
            ``schedule`` says.
        weight_decay: of filters; biases and normalizations have none.
        warmup: steps.
        average: the weight of the past in the moving average of weights, which is what is kept.
        plain: the share of epochs at the end without samples of four images.
        augment: how samples are varied; None: not at all.
        workers: threads that make samples.
        cache: keep the data set's images in memory.
        image_size: pixels a side of samples (Glance has its own).
        max_objects: of an image, likewise.
        optimizer: ``"adamw"``, ``"muon"`` (Muon for the filters between the first and the last,
            AdamW for the rest), or ``"sgd"`` (with momentum; its rates are higher, its decay
            lower: some 0.02 and 5e-4).
        schedule: ``"cosine"`` (to 1% of ``lr``), ``"step"`` (a tenth after half and after three
            quarters of the steps) or ``"constant"``.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``, as of ``fovea.Trainer``.
        accumulate: batches whose gradients make one update.
        clip: the largest norm of all gradients together.
        layer_decay: the factor of the rate from a layer to the one before; None: one rate for all.
    """

    epochs: int = 30
    batch_size: int = 16
    lr: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 100
    average: float = 0.998
    plain: float = 0.2
    augment: Augment | None = field(default_factory=Augment)
    workers: int = 1
    cache: bool = False
    image_size: int | None = None
    max_objects: int = 64
    optimizer: Literal["adamw", "muon", "sgd"] = "adamw"
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    precision: str = "float32"
    accumulate: int = 1
    clip: float | None = None
    layer_decay: float | None = None


def fit_detector(
    model: Module,
    dataset: Any,
    recipe: DetectionRecipe | None = None,
    callbacks: Any = None,
    verbose: int | str = "auto",
    *,
    validation: Any = None,
    validate_every: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
) -> History:
    """Train a detector; afterwards its weights are the moving average.

    Args:
        model: a `Glance`, or another detector that returns a dictionary of losses for lists of
            images and targets, such as ``fasterrcnn_resnet50_fpn`` (whose steps run uncompiled).
            Changed in place, and in evaluation mode afterwards.
        dataset: samples as `DetectionSamples` takes them.
        recipe: how; None: `DetectionRecipe()`.
        callbacks: of ``fovea.training``. During an epoch the model has its last weights; at the
            end of an epoch the moving average, so that what they look at is what will be kept.
        verbose: as of ``fovea.Trainer.fit``.
        validation: another data set of such samples: average precision on it is told as
            ``val_AP`` (of all overlaps, as COCO counts it) and ``val_AP50``.
        validate_every: after so many epochs; after the first and the last, too.
        checkpoint, checkpoint_every: as of ``fovea.Trainer.fit``: a run that was stopped goes on
            as if it had not been.

    Returns:
        The losses of all epochs.

    Raises:
        ArgumentError: a data set smaller than a batch; no ``image_size`` for a model that needs
            it; an unknown optimizer or schedule.

    >>> from fovea.vision.datasets import Shapes
    >>> from fovea.vision.models.detection import glance_n
    >>> model = glance_n(num_classes=7, image_size=64, widths=(4, 8, 8, 8, 8))
    >>> recipe = DetectionRecipe(epochs=1, batch_size=4, workers=0)
    >>> history = fit_detector(model, Shapes(8, image_size=64), recipe, verbose=0)
    >>> sorted(history.history)
    ['boxes', 'classes', 'distances', 'learning_rate', 'loss']
    """
    recipe = recipe or DetectionRecipe()
    trainer, loader = prepare_detector(model, dataset, recipe)
    if validation is not None:
        due = measured_epochs(recipe.epochs, validate_every)
        trainer.callbacks.append(ValidateDetector(model, validation, due))
    history = trainer.fit(
        loader, epochs=recipe.epochs, callbacks=callbacks, verbose=verbose, checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
    )  # fmt: skip
    model.eval()
    return history


def find_detector_lr(
    model: Module, dataset: Any, recipe: DetectionRecipe | None = None
) -> LearningRates:
    """What ``fovea.training.lr_find`` finds for what `fit_detector` would do; nothing is changed.

    >>> from fovea.vision.datasets import Shapes
    >>> from fovea.vision.models.detection import glance_n
    >>> model = glance_n(num_classes=7, image_size=64, widths=(4, 8, 8, 8, 8))
    >>> recipe = DetectionRecipe(batch_size=4, workers=0)
    >>> len(find_detector_lr(model, Shapes(8, image_size=64), recipe).rates) > 10
    True
    """
    recipe = recipe or DetectionRecipe()
    trainer, loader = prepare_detector(model, dataset, recipe)
    return lr_find(trainer, loader)


def prepare_detector(
    model: Module, dataset: Any, recipe: DetectionRecipe
) -> tuple[Trainer, DataLoader[Any]]:
    """What trains by a recipe, and what it learns from.

    Raises:
        ArgumentError: as `fit_detector`.
    """
    learner = _Losses(model, recipe)
    samples = DetectionSamples(
        dataset, learner.size, learner.max_objects, recipe.augment, recipe.cache
    )
    steps = len(samples) // recipe.batch_size
    if not steps:
        raise ArgumentError(
            f"detection: {len(samples)} samples make no batch of {recipe.batch_size}."
        )
    loader: DataLoader[Any] = DataLoader(
        samples, recipe.batch_size, shuffle=True, drop_last=True, num_workers=recipe.workers
    )
    updates = -(-steps // recipe.accumulate) * recipe.epochs
    trainer = Trainer(
        model if learner.fixed else learner,
        optimizer=optimizer_of(
            model, recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.layer_decay
        ),
        scheduler=lambda optimizer: LambdaLR(
            optimizer, scheduled(recipe.schedule, updates, recipe.warmup)
        ),
        schedule_by="step",
        callbacks=[_Average(learner.network, recipe.average), _Simplify(samples, recipe)],
        compile=learner.fixed,
        precision=recipe.precision,
        accumulate=recipe.accumulate,
        clip=recipe.clip,
    )
    return trainer, loader


def detect(model: Module, dataset: Any, batch_size: int = 16) -> list[dict[str, Any]]:
    """What a detector finds in each image (PIL images or tensors) of a data set of samples (image,
    ...): dictionaries of ``boxes``, ``labels`` and ``scores``.
    """
    training = model.training
    model.eval()
    found: list[dict[str, Any]] = []
    with no_grad():
        for first in range(0, len(dataset), batch_size):
            numbers = range(first, min(first + batch_size, len(dataset)))
            found += model([as_image(dataset[i][0]) for i in numbers])
    if training:
        train_unfrozen(model)
    return found


class _Losses(Module):
    """How a detector's losses come of batches of `DetectionSamples`.

    Attributes:
        fixed: whether all shapes of a step are the same, as Glance's are.
        network: what has the weights.
        size, max_objects: of samples.
    """

    def __init__(self, model: Module, recipe: DetectionRecipe) -> None:
        super().__init__()
        self.model = model
        self.fixed = isinstance(model, Glance)
        if isinstance(model, Glance):
            self.network: Module = model.network
            self.size, self.max_objects = model.transform.size, model.max_objects
            return
        if recipe.image_size is None:
            raise ArgumentError(
                f"fit_detector: how large samples of {type(model).__name__} are is not known.",
                fix="DetectionRecipe(image_size=...)",
            )
        self.network, self.max_objects = model, recipe.max_objects
        self.size = (recipe.image_size, recipe.image_size)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The sum of the losses as ``loss``, and each."""
        images, objects = batch
        targets = []
        for rows in objects:
            there = rows[rows[:, 0] > 0]
            targets.append({"boxes": there[:, 1:], "labels": there[:, 0].long()})
        losses: dict[str, Tensor] = self.model(list(images), targets)
        names = {name: name.removeprefix("loss_") for name in losses}
        total = stack(list(losses.values())).sum()
        return {"loss": total, **{names[k]: v.detach() for k, v in losses.items()}}


class _Average(Callback):
    """Keeps a moving average of the weights, and puts it into the model between epochs.

    It forgets sooner in the beginning, when there is little worth keeping.
    """

    def __init__(self, network: Module, decay: float) -> None:
        super().__init__()
        self.network, self.decay = network, decay
        self.average = copy.deepcopy(network)
        self.count = zeros(())
        self._update = compiled(self._take)
        self._last: dict[str, Any] | None = None

    def wants_batch_logs(self) -> bool:
        return False

    def _take(self) -> None:
        held, given = self.average.state_dict(), self.network.state_dict()
        with no_grad():
            rate = 1 - clamp((1 + self.count) / (10 + self.count), max=self.decay)
            for name, value in given.items():
                if value.dtype.is_floating_point:
                    held[name].add_((value - held[name]) * rate)
                else:
                    held[name].copy_(value)
            self.count.add_(1)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._last is not None:
            self.network.load_state_dict(self._last)
            self._last = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """For a run that goes on."""
        return {"average": self.average.state_dict(), "count": self.count, "last": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
        with no_grad():
            self.count.copy_(state["count"])
        self._last = state["last"]


class _Simplify(Callback):
    """No samples of four images in the last epochs: they look unlike what there is to find."""

    def __init__(self, samples: DetectionSamples, recipe: DetectionRecipe) -> None:
        super().__init__()
        self.samples, self.recipe = samples, recipe

    def wants_batch_logs(self) -> bool:
        return False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        augment, left = self.recipe.augment, self.recipe.epochs - epoch
        if augment is not None and left <= self.recipe.plain * self.recipe.epochs:
            self.samples.augment = replace(augment, mosaic=0.0)
