"""How each dataset is trained unless options say otherwise: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

__all__ = [
    "DATASETS",
    "LEARNING_RATES",
    "OPTIMIZERS",
    "PRECISIONS",
    "RECIPES",
    "Augment",
    "Recipe",
    "fitted",
]


@dataclass(frozen=True)
class Augment:
    """How training images are moved about, each by its own draw.

    Args:
        rotate: degrees, to either side.
        scale: larger or smaller by up to this part.
        shift: pixels, in each direction.
        flip: left and right exchanged, every other time.
        share: how many of the images are moved; the others stay as they are.
    """

    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    flip: bool = False
    share: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """A model and how to train it.

    Args:
        model: a name that ``fovea.vision.models`` knows.
        epochs, batch_size, optimizer: the usual.
        lr: the highest learning rate of the one-cycle schedule.
        weight_decay: of the optimizer, where it has one.
        label_smoothing: of the loss.
        validation: which part of the training images is kept for validation, if no images are.
        image_size: pixels a side; None is as they come.
        augment: how training images are moved about.
    """

    model: str
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    validation: float = 0.1
    image_size: int | None = None
    augment: Augment = field(default_factory=Augment)


_FEW_STEPS = 300


def fitted(recipe: Recipe, images: int) -> Recipe:
    """The recipe for a folder with this many training images: few of them get smaller batches and
    more passes, so that there are some hundred steps in any case.

    >>> few = fitted(RECIPES["folder"], 100)
    >>> few.batch_size, few.epochs
    (8, 25)
    """
    if images >= 512:
        return recipe
    batch = min(recipe.batch_size, 8 if images < 128 else 16)
    steps = max(1, images // batch)
    return replace(recipe, batch_size=batch, epochs=max(recipe.epochs, -(-_FEW_STEPS // steps)))


DATASETS: Final = ("digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100")
OPTIMIZERS: Final = ("sgd", "adam", "adamw", "rmsprop")
PRECISIONS: Final = ("float32", "bf16", "fp16")

# The highest rate of the schedule, for an optimizer that is not the recipe's own.
LEARNING_RATES: Final = {"sgd": 0.1, "adam": 0.005, "adamw": 0.005, "rmsprop": 0.001}

_HANDWRITING = Augment(rotate=10, scale=0.1, shift=2)
_OBJECTS = Augment(shift=4, flip=True)

RECIPES: Final[dict[str, Recipe]] = {
    "digits": Recipe(
        "simple_cnn",
        15,
        64,
        "adamw",
        0.01,
        augment=Augment(rotate=10, scale=0.1, shift=0.8, share=0.5),
    ),
    "mnist": Recipe("simple_cnn", 6, 128, "adamw", 0.008, validation=0.05, augment=_HANDWRITING),
    "kmnist": Recipe("simple_cnn", 10, 128, "adamw", 0.008, validation=0.05, augment=_HANDWRITING),
    "fashion-mnist": Recipe(
        "simple_cnn", 12, 128, "adamw", 0.008, validation=0.05, augment=Augment(shift=2, flip=True)
    ),
    "cifar10": Recipe(
        "resnet18", 20, 128, "sgd", 0.1, 5e-4, 0.1, validation=0.05, augment=_OBJECTS
    ),
    "cifar100": Recipe(
        "resnet18", 30, 128, "sgd", 0.1, 5e-4, 0.1, validation=0.05, augment=_OBJECTS
    ),
    "folder": Recipe(
        "resnet18",
        20,
        32,
        "adamw",
        0.002,
        0.05,
        0.1,
        0.15,
        image_size=96,
        augment=Augment(flip=True),
    ),
}
