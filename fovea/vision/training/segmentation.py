"""The recipe for networks that tell the class of each pixel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fovea import dtypes
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, LabelError, ShapeError
from fovea.functions.creation import from_numpy, tensor
from fovea.functions.ranges import arange
from fovea.nn import functional as F
from fovea.nn.module import Module
from fovea.nn.utils.freezing import train_unfrozen
from fovea.optim.lr_scheduler import LambdaLR
from fovea.tensor import Tensor
from fovea.training.history import History
from fovea.training.lr_finder import LearningRates, lr_find
from fovea.training.metrics import ConfusionMatrix
from fovea.training.trainer import Trainer
from fovea.utils.data import DataLoader, Dataset
from fovea.vision import tv_tensors
from fovea.vision.training.schedules import optimizer_of, scheduled
from fovea.vision.training.validating import measured_epochs
from fovea.vision.transforms import v2

__all__ = [
    "MeanIoU",
    "SegmentationRecipe",
    "SegmentationSamples",
    "find_segmenter_lr",
    "fit_segmenter",
    "held_batches",
    "prepare_segmenter",
    "segment",
    "segmentation_loss",
]

Array = np.ndarray[Any, Any]
IGNORED = 255  # a class that is not counted
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of photographs at large


@dataclass(frozen=True)
class SegmentationRecipe:
    """How a network is trained; the defaults are for some thousand images of a few classes.

    Args:
        image_size: pixels a side of what is learned from.
        epochs: passes over the data set.
        batch_size: images a step.
        lr: the highest learning rate (of AdamW); it rises over ``warmup`` steps and falls as
            ``schedule`` says.
        weight_decay: of filters; biases and normalizations have none.
        warmup: steps.
        dice: the weight of the overlap's loss beside that of pixels.
        scale: the least and the largest share of an image that is cut out and resized; None: the
            whole image.
        flip: whether left and right are exchanged at random.
        color: the most by which brightness, contrast and saturation change.
        workers: processes that make samples.
        optimizer: ``"adamw"``, ``"sgd"`` (with momentum; its rates are higher, its decay lower), or
            ``"muon"``: Muon for the filters between the first and the last, AdamW for the rest: for
            networks that begin with random weights, which learn about as much in half the steps; a
            step takes longer, by what matters little for large images.
        schedule: ``"cosine"`` (to 1% of ``lr``), ``"step"`` (a tenth after half and after three
            quarters of the steps) or ``"constant"``.
        average: the decay of a moving average of weights, which is measured and kept; None: the
            weights themselves.
        precision: ``"float32"``, ``"bf16"`` or ``"fp16"``, as of ``fovea.Trainer``.
        accumulate: batches whose gradients make one update.
        clip: the largest norm of all gradients together.
        layer_decay: the factor of the rate from a layer to the one before; None: one rate for all.
        label_smoothing: the share of each pixel that all classes have alike in cross entropy.
        class_weights: how much pixels of each class count there; None: all alike.
        swa: the last so many epochs' weights have their mean taken, which is kept; None: not.
    """

    image_size: int = 128
    epochs: int = 20
    batch_size: int = 16
    lr: float = 3e-3
    weight_decay: float = 0.01
    warmup: int = 50
    dice: float = 0.5
    scale: tuple[float, float] | None = (0.5, 1.0)
    flip: bool = True
    color: float = 0.2
    workers: int = 1
    optimizer: Literal["adamw", "muon", "sgd"] = "adamw"
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    average: float | None = None
    precision: str = "float32"
    accumulate: int = 1
    clip: float | None = None
    layer_decay: float | None = None
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    swa: int | None = None


class SegmentationSamples(Dataset[Any]):
    """A data set of images and masks as samples of one size: float32 images (3, S, S), normalized,
    and int64 masks (S, S).

    Args:
        dataset: its samples are (image, mask): a PIL image or a tensor (3, H, W), and a PIL image
            or a tensor (H, W) of classes; 255 is not counted.
        size: pixels a side.
        recipe: how samples are varied; None: the whole image, resized.

    >>> from fovea.vision.datasets import Shapes
    >>> samples = SegmentationSamples(Shapes(4, "segmentation", image_size=64), 32)
    >>> image, mask = samples[0]
    >>> image.shape, mask.shape
    (fovea.Size([3, 32, 32]), fovea.Size([32, 32]))
    """

    def __init__(self, dataset: Any, size: int, recipe: SegmentationRecipe | None = None) -> None:
        self.dataset, self.size = dataset, size
        steps: list[Any] = [v2.Resize((size, size))]
        if recipe is not None:
            if recipe.scale is not None:
                steps = [v2.RandomResizedCrop(size, recipe.scale)]
            if recipe.flip:
                steps.append(v2.RandomHorizontalFlip())
            if recipe.color:
                steps.append(v2.ColorJitter(recipe.color, recipe.color, recipe.color))
        self.steps = v2.Compose(steps)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.steps(*as_pair(self.dataset[index]))
        return normalized(image), mask.as_tensor().to(dtypes.int64)


def as_pair(sample: Any) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """A sample as an image (3, H, W) and a mask (H, W)."""
    if not isinstance(sample, tuple | list) or len(sample) < 2:
        raise ArgumentError("a sample for segmentation is (image, mask).")
    image = tv_tensors.Image(sample[0])
    if image.shape[0] == 1:
        image = tv_tensors.Image(image.as_tensor().expand(3, *image.shape[1:]))
    mask = sample[1]
    values = mask.numpy() if isinstance(mask, Tensor) else np.array(mask)
    values = values.reshape(values.shape[-2:])
    if tuple(values.shape) != tuple(image.shape[1:]):
        raise ShapeError(
            f"a mask of {values.shape} for an image of {tuple(image.shape[1:])} pixels."
        )
    return image, tv_tensors.Mask(from_numpy(np.ascontiguousarray(values)))


def normalized(image: Any) -> Tensor:
    """float32 (3, H, W), less the mean of photographs, over their deviation."""
    plain = v2.functional.to_dtype(image, dtypes.float32, scale=True)
    made: Tensor = v2.functional.normalize(plain, _MEAN, _STD).as_tensor()
    return made


def segmentation_loss(
    dice: float = 0.5,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Callable[[Any, Tensor], Tensor]:
    """Cross entropy of pixels (in which classes may be weighted and smoothed) and, weighted by
    ``dice``, 1 less the overlap of each class.

    The function takes logits (N, C, H, W), or a dictionary with them as ``out``, and classes (N, H,
    W); 255 is not counted.

    Source: Milletari, Navab, Ahmadi, "V-Net", 2016.
    """
    weights = None if class_weights is None else tensor(class_weights, dtype=dtypes.float32)

    def loss(outputs: Any, target: Tensor) -> Tensor:
        logits = outputs["out"] if isinstance(outputs, dict) else outputs
        weight = None if weights is None else weights.to(logits.dtype)
        total = F.cross_entropy(
            logits, target, weight, ignore_index=IGNORED, label_smoothing=label_smoothing
        )
        if not dice:
            return total
        counted = (target != IGNORED).unsqueeze(1)
        every = arange(logits.shape[1]).reshape(1, -1, 1, 1)
        truth = (target.unsqueeze(1) == every).to(logits.dtype)
        chances = logits.softmax(1) * counted
        common = (chances * truth).sum((0, 2, 3))
        both = chances.sum((0, 2, 3)) + truth.sum((0, 2, 3))
        return total + dice * (1 - (2 * common + 1) / (both + 1)).mean()

    return loss


class MeanIoU(ConfusionMatrix):
    """The mean over classes of intersection over union, of all pixels together; classes that
    neither occur nor are predicted are left out.

    >>> import fovea
    >>> metric = MeanIoU(2)
    >>> logits = fovea.tensor([[[[2.0, 0.0]], [[0.0, 1.0]]]])
    >>> metric.update_state(fovea.tensor([[[0, 0]]]), logits)
    >>> metric.value()
    0.25
    """

    direction = "up"

    def __init__(self, classes: int, name: str = "mean_iou") -> None:
        super().__init__(classes, name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        scores = y_pred["out"] if isinstance(y_pred, dict) else y_pred
        self.add(y_true.detach().numpy(), scores.detach().argmax(1).numpy())

    def add(self, truth: Array, found: Array) -> None:
        """Take in classes of pixels, and those that were found.

        Raises:
            LabelError: a class that there is not.
        """
        truth, found = truth.reshape(-1), found.reshape(-1)
        kept = truth != IGNORED
        highest = int(truth[kept].max(initial=0))
        if highest >= self.classes:
            raise LabelError(
                f"a mask has the class {highest}; there are 0 ... {self.classes - 1}, and "
                f"{IGNORED} is not counted."
            )
        places = truth[kept].astype(np.int64) * self.classes + found[kept]
        count = np.bincount(places, minlength=self.classes**2)
        self.counts += count.reshape(self.classes, self.classes)

    def per_class(self) -> Array:
        """Intersection over union of each class; NaN where there is none."""
        right = self.counts.diagonal().astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - right
        with np.errstate(invalid="ignore"):
            return np.where(union > 0, right / union, np.nan)

    def value(self) -> Any:
        found = self.per_class()
        return float(np.nanmean(found)) if not np.isnan(found).all() else 0.0


def fit_segmenter(
    model: Module,
    dataset: Any,
    recipe: SegmentationRecipe | None = None,
    validation: Any = None,
    *,
    classes: int,
    callbacks: Any = None,
    verbose: int | str = "auto",
    validate_every: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
) -> History:
    """Train a network of logits (N, classes, H, W), such as ``unet``, ``lraspp_...``, ``fcn_...``.

    Args:
        model: changed in place, and in evaluation mode afterwards.
        dataset: samples as `SegmentationSamples` takes them.
        recipe: how; None: `SegmentationRecipe()`.
        validation: another data set: its loss and mean IoU, at the size that is learned from, are
            told as ``val_loss`` and ``val_mean_iou``.
        classes: how many there are, with the background.
        callbacks: of ``fovea.training``.
        verbose: as of ``fovea.Trainer.fit``.
        validate_every: validation comes after so many epochs, and after the first and the last.
        checkpoint, checkpoint_every: as of ``fovea.Trainer.fit``: a run that was stopped goes on
            as if it had not been.

    Returns:
        Losses and mean IoU of all epochs.

    Raises:
        ArgumentError: a data set smaller than a batch, an unknown optimizer or schedule.

    >>> from fovea.vision.datasets import Shapes
    >>> from fovea.vision.models import unet
    >>> data = Shapes(4, "segmentation", image_size=32)
    >>> model = unet(num_classes=7, base_channels=4, depth=2)
    >>> recipe = SegmentationRecipe(image_size=32, epochs=1, batch_size=2, workers=0)
    >>> sorted(fit_segmenter(model, data, recipe, classes=7, verbose=0).history)
    ['learning_rate', 'loss', 'mean_iou']
    """
    recipe = recipe or SegmentationRecipe()
    trainer, loader = prepare_segmenter(model, dataset, recipe, classes)
    history = trainer.fit(
        loader,
        None if validation is None else held_batches(validation, recipe),
        recipe.epochs,
        validation_freq=measured_epochs(recipe.epochs, validate_every),
        callbacks=callbacks,
        verbose=verbose,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
    )
    if trainer.averaged is not model:
        model.load_state_dict(trainer.averaged.state_dict())
    return history


def find_segmenter_lr(
    model: Module, dataset: Any, recipe: SegmentationRecipe | None = None, *, classes: int
) -> LearningRates:
    """What ``fovea.training.lr_find`` finds for what `fit_segmenter` would do; nothing is changed.

    >>> from fovea.vision.datasets import Shapes
    >>> from fovea.vision.models import unet
    >>> recipe = SegmentationRecipe(image_size=16, batch_size=2, workers=0)
    >>> model = unet(num_classes=7, base_channels=2, depth=2)
    >>> found = find_segmenter_lr(model, Shapes(4, "segmentation", 32), recipe, classes=7)
    >>> len(found.rates) > 10
    True
    """
    recipe = recipe or SegmentationRecipe()
    return lr_find(*prepare_segmenter(model, dataset, recipe, classes))


def held_batches(validation: Any, recipe: SegmentationRecipe) -> DataLoader[Any]:
    """What a recipe measures on, at the size that is learned from."""
    plain = SegmentationSamples(validation, recipe.image_size)
    # Threads: little is done to these images, and processes take a second to start each time.
    return DataLoader(plain, recipe.batch_size, num_workers=recipe.workers)


def prepare_segmenter(
    model: Module, dataset: Any, recipe: SegmentationRecipe, classes: int
) -> tuple[Trainer, DataLoader[Any]]:
    """What trains by a recipe, and what it learns from.

    Raises:
        ArgumentError: as `fit_segmenter`.
    """
    samples = SegmentationSamples(dataset, recipe.image_size, recipe)
    steps = len(samples) // recipe.batch_size
    if not steps:
        raise ArgumentError(
            f"segmentation: {len(samples)} samples make no batch of {recipe.batch_size}."
        )
    kind: Literal["process"] | None = "process" if recipe.workers else None
    loader: DataLoader[Any] = DataLoader(
        samples, recipe.batch_size, shuffle=True, drop_last=True, num_workers=recipe.workers,
        worker_type=kind,
    )  # fmt: skip
    learned = segmentation_loss(recipe.dice, recipe.class_weights, recipe.label_smoothing)
    measured = segmentation_loss(recipe.dice)
    updates = -(-steps // recipe.accumulate) * recipe.epochs
    trainer = Trainer(
        model,
        lambda outputs, target: (learned if model.training else measured)(outputs, target),
        optimizer_of(model, recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.layer_decay),
        metrics=[MeanIoU(classes)],
        scheduler=lambda o: LambdaLR(o, scheduled(recipe.schedule, updates, recipe.warmup)),
        schedule_by="step",
        precision=recipe.precision,
        accumulate=recipe.accumulate,
        clip=recipe.clip,
        ema=recipe.average,
        swa=None if recipe.swa is None else max(1, recipe.epochs - recipe.swa + 1),
    )
    return trainer, loader


def segment(model: Module, image: Any, size: int | None = None) -> Array:
    """The class of each pixel of an image (a PIL image or a tensor (3, H, W)), int64 (H, W).

    Args:
        model: in evaluation mode while it looks.
        image: of any size.
        size: pixels a side that the model sees; None: the image's own.
    """
    whole = tv_tensors.Image(image)
    seen = v2.functional.resize(whole, [size, size]) if size is not None else whole
    before = model.training
    model.eval()
    with no_grad():
        outputs = model(normalized(seen).unsqueeze(0))
        logits = outputs["out"] if isinstance(outputs, dict) else outputs
        if tuple(logits.shape[2:]) != tuple(whole.shape[1:]):
            logits = F.interpolate(logits, tuple(whole.shape[1:]), mode="bilinear")
    if before:
        train_unfrozen(model)
    found: Array = logits[0].argmax(0).numpy()
    return found
