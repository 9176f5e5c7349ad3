"""Layers of vision models that PyTorch has no name for, under timm's names, defaults and names of
weights: programs that say ``from timm.layers import DropPath, trunc_normal_`` find them here.

>>> from fovea.vision.layers import DropPath, PatchEmbed, trunc_normal_
"""

from fovea.nn.init import trunc_normal_
from fovea.vision.layers.convolutions import (
    Conv2dSame,
    ConvNormAct,
    SeparableConv2d,
    SeparableConvNormAct,
)
from fovea.vision.layers.gates import (
    EcaModule,
    EffectiveSEModule,
    EffectiveSqueezeExcite,
    SEModule,
    SqueezeExcite,
)
from fovea.vision.layers.helpers import make_divisible, to_2tuple, to_3tuple, to_ntuple
from fovea.vision.layers.mlp import ConvMlp, GlobalResponseNormMlp, Mlp
from fovea.vision.layers.norms import GlobalResponseNorm, LayerNorm2d
from fovea.vision.layers.patches import PatchEmbed, resample_abs_pos_embed
from fovea.vision.layers.paths import DropPath, LayerScale, LayerScale2d, drop_path
from fovea.vision.layers.pooling import (
    AdaptiveAvgMaxPool2d,
    AdaptiveCatAvgMaxPool2d,
    BlurPool2d,
    GeMPool2d,
    SelectAdaptivePool2d,
)
from fovea.vision.layers.pyramids import SPPF

__all__ = [
    "SPPF",
    "AdaptiveAvgMaxPool2d",
    "AdaptiveCatAvgMaxPool2d",
    "BlurPool2d",
    "Conv2dSame",
    "ConvMlp",
    "ConvNormAct",
    "DropPath",
    "EcaModule",
    "EffectiveSEModule",
    "EffectiveSqueezeExcite",
    "GeMPool2d",
    "GlobalResponseNorm",
    "GlobalResponseNormMlp",
    "LayerNorm2d",
    "LayerScale",
    "LayerScale2d",
    "Mlp",
    "PatchEmbed",
    "SEModule",
    "SelectAdaptivePool2d",
    "SeparableConv2d",
    "SeparableConvNormAct",
    "SqueezeExcite",
    "drop_path",
    "make_divisible",
    "resample_abs_pos_embed",
    "to_2tuple",
    "to_3tuple",
    "to_ntuple",
    "trunc_normal_",
]
