"""Networks for images, with torchvision's names and parameters; ``get_model`` makes one by name.

>>> from fovea.vision import models
>>> models.list_models(include="convnext*")
['convnext_base', 'convnext_large', 'convnext_small', 'convnext_tiny']
>>> net = models.get_model("resnet18", num_classes=10, small_input=True)
>>> net.fc.out_features
10

Trained weights are torchvision's, fetched when a model asks for them by name and kept
(``fovea.hub``): ``resnet50(weights="DEFAULT")``, ``resnet50(weights=ResNet50_Weights.DEFAULT)``. An
enumeration tells what they are, and makes the transform that images need:

>>> weights = models.ResNet50_Weights.IMAGENET1K_V2
>>> weights.meta["_metrics"]
{'ImageNet-1K': {'acc@1': 80.858, 'acc@5': 95.434}}
>>> prepare = weights.transforms()

For other classes, ``get_model("resnet50", weights="DEFAULT", num_classes=10)`` loads all but the
last layer; ``replace_head`` gives a network that is there a new one.
"""

from fovea.vision.models import detection, segmentation
from fovea.vision.models.alexnet import AlexNet, alexnet
from fovea.vision.models.cifar_resnet import (
    CifarBlock,
    CifarResNet,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
    resnet1202,
)
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
from fovea.vision.models.densenet import (
    DenseNet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from fovea.vision.models.efficientnet import (
    EfficientNet,
    FusedMBConv,
    FusedMBConvConfig,
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
    efficientnet_v2_l,
    efficientnet_v2_m,
    efficientnet_v2_s,
)
from fovea.vision.models.enumerations import (
    Weights,
    WeightsEnum,
    attribute_of,
    get_weight,
    names_of,
)
from fovea.vision.models.googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from fovea.vision.models.heads import replace_head
from fovea.vision.models.inception import Inception3, InceptionOutputs, inception_v3
from fovea.vision.models.lenet import LeNet, lenet5
from fovea.vision.models.maxvit import MaxVit, maxvit_t
from fovea.vision.models.mnasnet import MNASNet, mnasnet0_5, mnasnet0_75, mnasnet1_0, mnasnet1_3
from fovea.vision.models.mobilenetv2 import InvertedResidual, MobileNetV2, mobilenet_v2
from fovea.vision.models.mobilenetv3 import MobileNetV3, mobilenet_v3_large, mobilenet_v3_small
from fovea.vision.models.registry import (
    get_model,
    get_model_builder,
    get_model_weights,
    list_models,
    register_model,
)
from fovea.vision.models.regnet import (
    RegNet,
    regnet_x_1_6gf,
    regnet_x_3_2gf,
    regnet_x_8gf,
    regnet_x_16gf,
    regnet_x_32gf,
    regnet_x_400mf,
    regnet_x_800mf,
    regnet_y_1_6gf,
    regnet_y_3_2gf,
    regnet_y_8gf,
    regnet_y_16gf,
    regnet_y_32gf,
    regnet_y_128gf,
    regnet_y_400mf,
    regnet_y_800mf,
)
from fovea.vision.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from fovea.vision.models.shufflenetv2 import (
    ShuffleNetV2,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    shufflenet_v2_x1_5,
    shufflenet_v2_x2_0,
)
from fovea.vision.models.simple import SimpleCNN, simple_cnn
from fovea.vision.models.squeezenet import SqueezeNet, squeezenet1_0, squeezenet1_1
from fovea.vision.models.swin_transformer import (
    PatchMerging,
    PatchMergingV2,
    ShiftedWindowAttention,
    ShiftedWindowAttentionV2,
    SwinTransformer,
    SwinTransformerBlock,
    SwinTransformerBlockV2,
    swin_b,
    swin_s,
    swin_t,
    swin_v2_b,
    swin_v2_s,
    swin_v2_t,
)
from fovea.vision.models.unet import UNet, unet
from fovea.vision.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
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
    "AlexNet",
    "BasicBlock",
    "Bottleneck",
    "CNBlock",
    "CNBlockConfig",
    "CifarBlock",
    "CifarResNet",
    "ConvNeXt",
    "ConvStemConfig",
    "DenseNet",
    "EfficientNet",
    "Encoder",
    "EncoderBlock",
    "FusedMBConv",
    "FusedMBConvConfig",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "Inception3",
    "InceptionOutputs",
    "InvertedResidual",
    "LayerNorm2d",
    "LeNet",
    "MBConv",
    "MBConvConfig",
    "MLPBlock",
    "MNASNet",
    "MaxVit",
    "MobileNetV2",
    "MobileNetV3",
    "PatchMerging",
    "PatchMergingV2",
    "RegNet",
    "ResNet",
    "ShiftedWindowAttention",
    "ShiftedWindowAttentionV2",
    "ShuffleNetV2",
    "SimpleCNN",
    "SqueezeNet",
    "SwinTransformer",
    "SwinTransformerBlock",
    "SwinTransformerBlockV2",
    "UNet",
    "VisionTransformer",
    "Weights",
    "WeightsEnum",
    "alexnet",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "detection",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_weight",
    "googlenet",
    "inception_v3",
    "lenet5",
    "list_models",
    "maxvit_t",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "register_model",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_8gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_128gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "replace_head",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnet1202",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "segmentation",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "simple_cnn",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
    "unet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "vit_ti_16",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
__all__ += names_of(__name__)


def __getattr__(name: str) -> type[WeightsEnum]:
    """An enumeration of published weights."""
    return attribute_of(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
