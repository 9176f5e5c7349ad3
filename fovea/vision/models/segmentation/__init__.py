"""Networks that give a class for each pixel: torchvision's, with its names, and DeepLabV3+.

Their result is a dictionary: ``out``, and with an auxiliary classifier ``aux``, both of shape
(N, num_classes, H, W).

>>> from fovea.vision import models
>>> models.list_models(module=models.segmentation, include="fcn*")
['fcn_resnet101', 'fcn_resnet50']
"""

from fovea.vision.models.enumerations import WeightsEnum, attribute_of, names_of
from fovea.vision.models.segmentation.deeplabv3 import (
    DeepLabV3,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)
from fovea.vision.models.segmentation.deeplabv3plus import (
    DeepLabV3Plus,
    deeplabv3plus_resnet50,
    deeplabv3plus_resnet101,
)
from fovea.vision.models.segmentation.fcn import FCN, fcn_resnet50, fcn_resnet101
from fovea.vision.models.segmentation.lraspp import LRASPP, lraspp_mobilenet_v3_large

__all__ = [
    "FCN",
    "LRASPP",
    "DeepLabV3",
    "DeepLabV3Plus",
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "deeplabv3plus_resnet50",
    "deeplabv3plus_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
    "lraspp_mobilenet_v3_large",
]
__all__ += names_of(__name__)


def __getattr__(name: str) -> type[WeightsEnum]:
    """An enumeration of published weights."""
    return attribute_of(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
