"""Well-known image models with Keras's layers, names and published weights.

>>> from fovea.keras import applications
>>> model = applications.MobileNetV2(
...     weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3)
... )
>>> model.output_shape
(None, 1280)
"""

from fovea.keras.applications import (
    densenet,
    imagenet_utils,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    resnet50,
    resnet_v2,
    vgg16,
    vgg19,
)
from fovea.keras.applications.densenet import DenseNet121, DenseNet169, DenseNet201
from fovea.keras.applications.mobilenet import MobileNet
from fovea.keras.applications.mobilenet_v2 import MobileNetV2
from fovea.keras.applications.mobilenet_v3 import MobileNetV3Large, MobileNetV3Small
from fovea.keras.applications.resnet import ResNet50, ResNet101, ResNet152
from fovea.keras.applications.resnet_v2 import ResNet50V2, ResNet101V2, ResNet152V2
from fovea.keras.applications.vgg16 import VGG16
from fovea.keras.applications.vgg19 import VGG19

__all__ = [
    "VGG16",
    "VGG19",
    "DenseNet121",
    "DenseNet169",
    "DenseNet201",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "ResNet50",
    "ResNet50V2",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "densenet",
    "imagenet_utils",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3",
    "resnet",
    "resnet50",
    "resnet_v2",
    "vgg16",
    "vgg19",
]
