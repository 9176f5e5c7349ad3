"""Transforms of whole samples: one call moves an image, its boxes, masks and points together.

Names and defaults are those of ``torchvision.transforms.v2``; `Letterbox` and `Mosaic` are
fovea's own. Parts of
a sample say what they are by their types (`fovea.vision.tv_tensors`).

>>> import fovea
>>> from fovea.vision import tv_tensors
>>> from fovea.vision.transforms import v2
>>> sample = {
...     "image": fovea.zeros(3, 40, 60),
...     "boxes": tv_tensors.BoundingBoxes([[0, 0, 30, 20]], format="XYXY", canvas_size=(40, 60)),
... }
>>> v2.Compose([v2.Resize((20, 30)), v2.RandomHorizontalFlip(p=1.0)])(sample)["boxes"].tolist()
[[15, 0, 30, 10]]
"""

from fovea.vision.transforms.interpolation import InterpolationMode
from fovea.vision.transforms.v2 import functional
from fovea.vision.transforms.v2.batches import CutMix, MixUp
from fovea.vision.transforms.v2.color import (
    JPEG,
    RGB,
    ColorJitter,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomChannelPermutation,
    RandomEqualize,
    RandomErasing,
    RandomGrayscale,
    RandomInvert,
    RandomPhotometricDistort,
    RandomPosterize,
    RandomSolarize,
)
from fovea.vision.transforms.v2.container import Compose, RandomApply, RandomChoice, RandomOrder
from fovea.vision.transforms.v2.convert import (
    ConvertImageDtype,
    Identity,
    Lambda,
    LinearTransformation,
    Normalize,
    PILToTensor,
    ToDtype,
    ToImage,
    ToPILImage,
    ToPureTensor,
    ToTensor,
    UniformTemporalSubsample,
)
from fovea.vision.transforms.v2.geometry import (
    CenterCrop,
    FiveCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResize,
    RandomResizedCrop,
    RandomShortestSize,
    RandomVerticalFlip,
    Resize,
    ScaleJitter,
    TenCrop,
)
from fovea.vision.transforms.v2.joining import Mosaic, SimpleCopyPaste
from fovea.vision.transforms.v2.objects import (
    ClampBoundingBoxes,
    ClampKeyPoints,
    ConvertBoundingBoxFormat,
    Letterbox,
    RandomIoUCrop,
    RandomZoomOut,
    SanitizeBoundingBoxes,
    SanitizeKeyPoints,
    SetClampingMode,
)
from fovea.vision.transforms.v2.policies import (
    AugMix,
    AutoAugment,
    AutoAugmentPolicy,
    RandAugment,
    TrivialAugmentWide,
)
from fovea.vision.transforms.v2.transform import (
    Transform,
    check_type,
    get_bounding_boxes,
    get_keypoints,
    has_all,
    has_any,
    query_chw,
    query_size,
)
from fovea.vision.transforms.v2.warps import (
    ElasticTransform,
    RandomAffine,
    RandomPerspective,
    RandomRotation,
)

__all__ = [
    "JPEG",
    "RGB",
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "CenterCrop",
    "ClampBoundingBoxes",
    "ClampKeyPoints",
    "ColorJitter",
    "Compose",
    "ConvertBoundingBoxFormat",
    "ConvertImageDtype",
    "CutMix",
    "ElasticTransform",
    "FiveCrop",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "Identity",
    "InterpolationMode",
    "Lambda",
    "Letterbox",
    "LinearTransformation",
    "MixUp",
    "Mosaic",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomIoUCrop",
    "RandomOrder",
    "RandomPerspective",
    "RandomPhotometricDistort",
    "RandomPosterize",
    "RandomResize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomShortestSize",
    "RandomSolarize",
    "RandomVerticalFlip",
    "RandomZoomOut",
    "Resize",
    "SanitizeBoundingBoxes",
    "SanitizeKeyPoints",
    "ScaleJitter",
    "SetClampingMode",
    "SimpleCopyPaste",
    "TenCrop",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToPureTensor",
    "ToTensor",
    "Transform",
    "TrivialAugmentWide",
    "UniformTemporalSubsample",
    "check_type",
    "functional",
    "get_bounding_boxes",
    "get_keypoints",
    "has_all",
    "has_any",
    "query_chw",
    "query_size",
]
