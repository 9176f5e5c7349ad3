"""Layers that change images: Keras's preprocessing and augmentation layers."""

from fovea.keras.layers.augmentation.bending import RandomElasticTransform
from fovea.keras.layers.augmentation.color import (
    AutoContrast,
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomInvert,
    RandomPosterization,
    RandomSaturation,
    Solarization,
)
from fovea.keras.layers.augmentation.counting import MaxNumBoundingBoxes
from fovea.keras.layers.augmentation.equalizing import (
    ContrastLimitedAdaptiveHistogramEqualization,
    Equalization,
)
from fovea.keras.layers.augmentation.filtering import (
    RandomErasing,
    RandomGaussianBlur,
    RandomSharpness,
)
from fovea.keras.layers.augmentation.geometry import (
    RandomCrop,
    RandomFlip,
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from fovea.keras.layers.augmentation.mixing import CutMix, MixUp
from fovea.keras.layers.augmentation.policies import AugMix, RandAugment
from fovea.keras.layers.augmentation.sizing import CenterCrop, Resizing

__all__ = [
    "AugMix",
    "AutoContrast",
    "CenterCrop",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Equalization",
    "MaxNumBoundingBoxes",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
    "Solarization",
]
