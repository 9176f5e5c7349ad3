"""Networks for images, with torchvision's names and parameters; ``get_model`` makes one by name.

>>> from fovea.vision import models
>>> models.list_models("resnet*")
['resnet101', 'resnet152', 'resnet18', 'resnet34', 'resnet50']
>>> net = models.get_model("resnet18", num_classes=10, small_input=True)
>>> net.fc.out_features
10
"""

from fovea.vision.models.convnext import (
    CNBlock,
    CNBlockConfig,
    ConvNeXt,
    LayerNorm2d,
    convnext_base,
    convnext_large,
    convnext_small,
    convnext_tiny,
)
from fovea.vision.models.efficientnet import (
    EfficientNet,
    MBConv,
    MBConvConfig,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from fovea.vision.models.mobilenetv2 import InvertedResidual, MobileNetV2, mobilenet_v2
from fovea.vision.models.registry import get_model, get_model_builder, list_models, register_model
from fovea.vision.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from fovea.vision.models.simple import SimpleCNN, simple_cnn
from fovea.vision.models.unet import UNet, unet
from fovea.vision.models.vgg import VGG, vgg11_bn
from fovea.vision.models.vision_transformer import (
    ConvStemConfig,
    Encoder,
    EncoderBlock,
    MLPBlock,
    VisionTransformer,
    vit_b_16,
    vit_b_32,
    vit_h_14,
    vit_l_16,
    vit_l_32,
    vit_ti_16,
)

__all__ = [
    "VGG",
    "BasicBlock",
    "Bottleneck",
    "CNBlock",
    "CNBlockConfig",
    "ConvNeXt",
    "ConvStemConfig",
    "EfficientNet",
    "Encoder",
    "EncoderBlock",
    "InvertedResidual",
    "LayerNorm2d",
    "MBConv",
    "MBConvConfig",
    "MLPBlock",
    "MobileNetV2",
    "ResNet",
    "SimpleCNN",
    "UNet",
    "VisionTransformer",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "get_model",
    "get_model_builder",
    "list_models",
    "mobilenet_v2",
    "register_model",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "simple_cnn",
    "unet",
    "vgg11_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "vit_ti_16",
]
