"""Image transforms, with torchvision's names and defaults, on PIL images and on tensors (...,
channels, height, width).

Random ones draw from fovea's generator: seeds make them repeatable, in a loader's workers, too.

>>> import fovea
>>> from fovea.vision import transforms
>>> augment = transforms.Compose([
...     transforms.RandomCrop(32, padding=4),
...     transforms.RandomHorizontalFlip(),
...     transforms.Normalize([0.5], [0.5]),
... ])
>>> augment(fovea.rand(3, 32, 32)).shape
fovea.Size([3, 32, 32])
"""

import importlib

from fovea.vision.transforms import functional
from fovea.vision.transforms.affine import RandomAffine, RandomRotation
from fovea.vision.transforms.base import Transform
from fovea.vision.transforms.color import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    RandomErasing,
    RandomGrayscale,
)
from fovea.vision.transforms.compose import Compose, Lambda, RandomApply, RandomChoice, RandomOrder
from fovea.vision.transforms.convert import (
    ConvertImageDtype,
    Normalize,
    PILToTensor,
    ToDtype,
    ToPILImage,
    ToTensor,
)
from fovea.vision.transforms.geometry import (
    CenterCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
)
from fovea.vision.transforms.interpolation import InterpolationMode
from fovea.vision.transforms.presets import (
    ImageClassification,
    ObjectDetection,
    SemanticSegmentation,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "GaussianBlur",
    "Grayscale",
    "ImageClassification",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "ObjectDetection",
    "PILToTensor",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomOrder",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "SemanticSegmentation",
    "ToDtype",
    "ToPILImage",
    "ToTensor",
    "Transform",
    "functional",
    "v2",
]


# What is written once for samples, and takes an image as well: `fovea.vision.transforms.v2`.
_OF_SAMPLES = (
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "ElasticTransform",
    "FiveCrop",
    "LinearTransformation",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterize",
    "RandomSolarize",
    "TenCrop",
    "TrivialAugmentWide",
)
__all__ += _OF_SAMPLES


def __getattr__(name: str) -> object:
    if name == "v2":
        return importlib.import_module("fovea.vision.transforms.v2")
    if name in _OF_SAMPLES:
        return getattr(importlib.import_module("fovea.vision.transforms.v2"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
