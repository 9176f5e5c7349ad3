"""Networks for whole images as the features that detection starts from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models import mobilenetv2, mobilenetv3, resnet
from fovea.vision.models._utils import IntermediateLayerGetter
from fovea.vision.models.detection._utils import overwrite_eps
from fovea.vision.models.loading import WeightsLike, load_weights, source_of
from fovea.vision.ops.fpn import ExtraFPNBlock, FeaturePyramidNetwork, LastLevelMaxPool
from fovea.vision.ops.misc import FrozenBatchNorm2d, Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "COCO",
    "BackboneWithFPN",
    "frozen_below",
    "halving_layers",
    "load_detector",
    "mobilenet_backbone",
    "mobilenet_features",
    "resnet50_fpn",
    "resnet_features",
    "resnet_fpn_backbone",
    "trainable_layers_of",
]

CHANNELS = 256  # of the maps that come out
COCO = 91  # its classes, the background among them
_WITH_EPS = "keypointrcnn_resnet50_fpn_coco-9f466800"  # COCO_LEGACY


class BackboneWithFPN(nn.Module):
    """Some layers of a network, and a feature pyramid of what they return.

    Args:
        backbone: its children must run one after the other.
        return_layers: from the names of children to the names of maps.
        in_channels_list: channels of these maps.
        out_channels: of the pyramid's maps.
        extra_blocks: makes coarser maps; None: one by ``LastLevelMaxPool``.
        norm_layer: makes normalizations in the pyramid; None: none.

    Takes (N, C, H, W) and returns an ordered dictionary of maps.

    >>> import fovea
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1))
    >>> pyramid = BackboneWithFPN(net, {"0": "0", "1": "1"}, [8, 16], 4)
    >>> [(k, tuple(m.shape)) for k, m in pyramid(fovea.zeros(1, 3, 16, 16)).items()]
    [('0', (1, 4, 8, 8)), ('1', (1, 4, 4, 4)), ('pool', (1, 4, 2, 2))]
    """

    def __init__(
        self,
        backbone: nn.Module,
        return_layers: dict[str, str],
        in_channels_list: list[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.body = IntermediateLayerGetter(backbone, return_layers)
        extra = LastLevelMaxPool() if extra_blocks is None else extra_blocks
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels, extra, norm_layer)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.body(x))


def resnet_fpn_backbone(
    *,
    backbone_name: str,
    weights: WeightsLike,
    norm_layer: Layer = FrozenBatchNorm2d,
    trainable_layers: int = 3,
    returned_layers: list[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> BackboneWithFPN:
    """A ResNet with a feature pyramid.

    Args:
        backbone_name: such as ``"resnet50"``.
        weights: the ResNet's, as ``resnet50`` takes them.
        norm_layer: makes the ResNet's normalizations.
        trainable_layers: parts of the ResNet that learn, counted from its end; 5: all.
        returned_layers: numbers of the stages, 1 to 4, that the pyramid sees; None: all.
        extra_blocks: makes coarser maps; None: one by pooling.

    >>> resnet_fpn_backbone(backbone_name="resnet18", weights=None).out_channels
    256
    """
    model = getattr(resnet, backbone_name)(weights=weights, norm_layer=norm_layer)
    return resnet_features(model, trainable_layers, returned_layers, extra_blocks)


def frozen_below(model: nn.Module, names: Sequence[str]) -> None:
    """Stop all parameters from learning but those whose names start with one of ``names``."""
    for name, parameter in model.named_parameters():
        if not name.startswith(tuple(names)):
            parameter.requires_grad_(False)


def resnet_features(
    model: resnet.ResNet,
    trainable_layers: int,
    returned_layers: list[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Layer | None = None,
) -> BackboneWithFPN:
    """A pyramid over a ResNet that exists; arguments as ``resnet_fpn_backbone``.

    Raises:
        ArgumentError: numbers of layers that there are not.
    """
    if not 0 <= trainable_layers <= 5:
        raise ArgumentError(f"trainable_layers lies between 0 and 5, got {trainable_layers}.")
    parts = ["layer4", "layer3", "layer2", "layer1", "conv1", "bn1"]
    frozen_below(model, parts if trainable_layers == 5 else parts[:trainable_layers])
    stages = [1, 2, 3, 4] if returned_layers is None else returned_layers
    if min(stages) < 1 or max(stages) > 4:
        raise ArgumentError(f"returned_layers are some of 1, 2, 3, 4, got {returned_layers}.")
    names = {f"layer{stage}": str(i) for i, stage in enumerate(stages)}
    channels = [model.inplanes // 8 * 2 ** (stage - 1) for stage in stages]
    return BackboneWithFPN(model, names, channels, CHANNELS, extra_blocks, norm_layer)


def mobilenet_backbone(
    *,
    backbone_name: str,
    weights: WeightsLike,
    fpn: bool,
    norm_layer: Layer = FrozenBatchNorm2d,
    trainable_layers: int = 2,
    returned_layers: list[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> nn.Module:
    """A MobileNet with a feature pyramid, or with one map of 256 channels.

    Args:
        backbone_name: ``"mobilenet_v2"``, ``"mobilenet_v3_large"`` or ``"mobilenet_v3_small"``.
        weights: the MobileNet's, as ``mobilenet_v2`` takes them.
        fpn: whether there is a pyramid.
        norm_layer: makes the MobileNet's normalizations.
        trainable_layers: stages that learn, counted from the end.
        returned_layers: numbers of the stages that the pyramid sees; None: the last two.
        extra_blocks: makes coarser maps; None: one by pooling.
    """
    file = mobilenetv2 if backbone_name == "mobilenet_v2" else mobilenetv3
    model = getattr(file, backbone_name)(weights=weights, norm_layer=norm_layer)
    return mobilenet_features(model, fpn, trainable_layers, returned_layers, extra_blocks)


def halving_layers(layers: nn.Module) -> list[int]:
    """Numbers of the layers of a MobileNet with which a stage starts, and of its last layer."""
    blocks: list[Any] = list(layers.children())
    inner = [
        i
        for i, block in enumerate(blocks)
        if getattr(block, "_is_cn", getattr(block, "stride", 1) not in (1, (1, 1)))
    ]
    return [0, *inner, len(blocks) - 1]


def mobilenet_features(
    model: Any,
    fpn: bool,
    trainable_layers: int,
    returned_layers: list[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Layer | None = None,
) -> nn.Module:
    """Features of a MobileNet that exists; arguments as ``mobilenet_backbone``.

    Raises:
        ArgumentError: numbers of stages that there are not.
    """
    layers = model.features
    stages = halving_layers(layers)
    count = len(stages)
    if not 0 <= trainable_layers <= count:
        raise ArgumentError(f"trainable_layers lies between 0 and {count}, got {trainable_layers}.")
    first = len(layers) if trainable_layers == 0 else stages[count - trainable_layers]
    for layer in list(layers.children())[:first]:
        layer.requires_grad_(False)
    if not fpn:
        net = nn.Sequential(layers, nn.Conv2d(layers[-1].out_channels, CHANNELS, 1))
        net.out_channels = CHANNELS
        return net
    wanted = [count - 2, count - 1] if returned_layers is None else returned_layers
    if min(wanted) < 0 or max(wanted) >= count:
        raise ArgumentError(f"returned_layers lie between 0 and {count - 1}, got {wanted}.")
    names = {str(stages[stage]): str(i) for i, stage in enumerate(wanted)}
    channels = [layers[stages[stage]].out_channels for stage in wanted]
    return BackboneWithFPN(layers, names, channels, CHANNELS, extra_blocks, norm_layer)


def trainable_layers_of(trained: bool, wanted: int | None, most: int, usual: int) -> int:
    """How many layers learn: all where no weights are given, else ``wanted``, else ``usual``.

    Raises:
        ArgumentError: ``wanted`` lies outside 0 to ``most``.
    """
    if not trained:
        if wanted is not None:
            warnings.warn(
                "trainable_backbone_layers has no effect without weights: all layers learn.",
                stacklevel=3,
            )
        return most
    layers = usual if wanted is None else wanted
    if not 0 <= layers <= most:
        raise ArgumentError(f"trainable_backbone_layers lies between 0 and {most}, got {layers}.")
    return layers


def resnet50_fpn(
    weights: WeightsLike,
    weights_backbone: WeightsLike,
    trainable_layers: int | None,
    *,
    frozen: bool = True,
    **config: Any,
) -> BackboneWithFPN:
    """ResNet-50 with a feature pyramid, for a detector whose weights are still to be loaded.

    Args:
        weights: of the whole detector; those of the backbone are then not read.
        weights_backbone: the same for the ResNet.
        trainable_layers: parts that learn if there are weights of either kind; None: 3.
        frozen: whether normalizations keep their statistics if there are weights.
        **config: further arguments of ``resnet_features``.
    """
    trained = weights is not None or weights_backbone is not None
    layers = trainable_layers_of(trained, trainable_layers, 5, 3)
    norm: Layer = FrozenBatchNorm2d if trained and frozen else nn.BatchNorm2d
    own = weights_backbone if weights is None else None
    return resnet_features(resnet.resnet50(weights=own, norm_layer=norm), layers, **config)


def load_detector(model: nn.Module, weights: WeightsLike, name: str) -> None:
    """Fill a detector with weights; None leaves it as it is.

    torchvision's files of the first versions, ``NAME_coco-....pth``, were trained with nothing
    added to the variance in frozen normalizations; with them it is so again, but for one.
    """
    load_weights(model, weights)
    file = "" if weights is None else source_of(weights).file_name
    if file.startswith(f"{name}_coco") and not file.startswith(_WITH_EPS):
        overwrite_eps(model, 0.0)
