"""Networks for images, with torchvision's names and parameters; ``get_model`` makes one by name.

>>> from fovea.vision import models
>>> models.list_models()
['resnet18', 'resnet34', 'simple_cnn', 'vgg11_bn']
>>> net = models.get_model("resnet18", num_classes=10, small_input=True)
>>> net.fc.out_features
10
"""

from fovea.vision.models.registry import get_model, get_model_builder, list_models, register_model
from fovea.vision.models.resnet import BasicBlock, ResNet, resnet18, resnet34
from fovea.vision.models.simple import SimpleCNN, simple_cnn
from fovea.vision.models.vgg import VGG, vgg11_bn

__all__ = [
    "VGG",
    "BasicBlock",
    "ResNet",
    "SimpleCNN",
    "get_model",
    "get_model_builder",
    "list_models",
    "register_model",
    "resnet18",
    "resnet34",
    "simple_cnn",
    "vgg11_bn",
]
