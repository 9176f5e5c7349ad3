"""Mask R-CNN: Faster R-CNN with a mask of each object.

Source: K. He et al., "Mask R-CNN", 2017; the second version after Y. Li et al., "Benchmarking
Detection Transfer Learning with Vision Transformers", 2021. Names, first values and the order of
layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.detection.backbone_utils import COCO, load_detector, resnet50_fpn
from fovea.vision.models.detection.detector import needs_channels
from fovea.vision.models.detection.faster_rcnn import FasterRCNN, second_version
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.models.loading import WeightsLike
from fovea.vision.models.registry import register_model
from fovea.vision.ops.misc import Conv2dNormActivation, Layer
from fovea.vision.ops.poolers import MultiScaleRoIAlign

__all__ = [
    "MaskRCNN",
    "MaskRCNNHeads",
    "MaskRCNNPredictor",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
]

_CHANNELS = 256  # of the maps of masks


class MaskRCNN(FasterRCNN):
    """Proposals, then a class, a better box and a mask of each.

    Targets have ``masks`` (N, H, W) of 0 and 1 beside ``boxes`` (N, 4) and ``labels`` (N,). In
    training ``model(images, targets)`` returns ``FasterRCNN``'s losses and ``loss_mask``; in
    evaluation what is found in an image also has ``masks`` (K, 1, H, W), from 0 to 1: a pixel is
    the object's from 0.5 on.

    Args:
        backbone, num_classes: of ``FasterRCNN``; no ``num_classes`` with predictors of one's own.
        *args: further arguments of ``FasterRCNN``.
        mask_roi_pool, mask_head, mask_predictor: of ``RoIHeads``; None: a ``MultiScaleRoIAlign`` of
            14×14, ``MaskRCNNHeads`` of four layers of 256 channels and a ``MaskRCNNPredictor``.
        **kwargs: further arguments of ``FasterRCNN``, by name.

    Raises:
        ArgumentError: both or neither of ``num_classes`` and ``mask_predictor``, or of
            ``num_classes`` and ``box_predictor``.

    >>> import fovea
    >>> from fovea.vision.models.detection.anchor_utils import AnchorGenerator
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 16, 1))
    >>> net.out_channels = 8
    >>> model = MaskRCNN(
    ...     net, 3, 64, 64, rpn_anchor_generator=AnchorGenerator(((16, 32),), ((1.0,),)),
    ...     box_roi_pool=MultiScaleRoIAlign(["0"], 2, 2),
    ...     mask_roi_pool=MultiScaleRoIAlign(["0"], 2, 2), mask_head=MaskRCNNHeads(8, [256], 1),
    ... ).eval()
    >>> found = model([fovea.rand(3, 48, 60)])[0]
    >>> list(found), found["masks"].shape[1:]
    (['boxes', 'labels', 'scores', 'masks'], fovea.Size([1, 48, 60]))
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int | None = None,
        *args: Any,
        mask_roi_pool: nn.Module | None = None,
        mask_head: nn.Module | None = None,
        mask_predictor: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        channels = needs_channels(name, backbone)
        if (num_classes is None) == (mask_predictor is None):
            raise ArgumentError(f"{name}: either num_classes or mask_predictor is needed.")
        super().__init__(backbone, num_classes, *args, **kwargs)
        heads: Any = self.roi_heads
        if mask_roi_pool is None:
            mask_roi_pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
        if mask_head is None:
            mask_head = MaskRCNNHeads(channels, [_CHANNELS] * 4, 1)
        if mask_predictor is None:
            mask_predictor = MaskRCNNPredictor(_CHANNELS, _CHANNELS, num_classes or 0)
        heads.mask_roi_pool, heads.mask_head = mask_roi_pool, mask_head
        heads.mask_predictor = mask_predictor


class MaskRCNNHeads(nn.Sequential):
    """3×3 convolutions with ReLU on what is read within a box.

    Args:
        in_channels: of what is read.
        layers: channels of the convolutions.
        dilation: of the convolutions, whose padding keeps sizes.
        norm_layer: makes normalizations; None: none.

    >>> import fovea
    >>> MaskRCNNHeads(8, [4, 6], 1)(fovea.zeros(2, 8, 3, 3)).shape
    fovea.Size([2, 6, 3, 3])
    """

    def __init__(
        self,
        in_channels: int,
        layers: Sequence[int],
        dilation: int,
        norm_layer: Layer | None = None,
    ) -> None:
        inputs = (in_channels, *layers)
        super().__init__(
            *(
                Conv2dNormActivation(a, b, dilation=dilation, norm_layer=norm_layer)
                for a, b in zip(inputs, layers, strict=False)
            )
        )
        self.apply(fan_out_normal)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Takes weights of the time when convolutions stood alone, too."""
        for i in range(len(self)):
            for kind in ("weight", "bias"):
                old = f"{prefix}mask_fcn{i + 1}.{kind}"
                if old in state_dict:
                    state_dict[f"{prefix}{i}.0.{kind}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class MaskRCNNPredictor(nn.Sequential):
    """A mask for each class, twice as large as the maps that come in.

    Args:
        in_channels: of the maps, (K, in_channels, M, M).
        dim_reduced: channels in between.
        num_classes: how many there are, the background among them.

    >>> import fovea
    >>> MaskRCNNPredictor(8, 4, 3)(fovea.zeros(2, 8, 7, 7)).shape
    fovea.Size([2, 3, 14, 14])
    """

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int) -> None:
        super().__init__(
            OrderedDict(
                conv5_mask=nn.ConvTranspose2d(in_channels, dim_reduced, 2, 2),
                relu=nn.ReLU(inplace=True),
                mask_fcn_logits=nn.Conv2d(dim_reduced, num_classes, 1),
            )
        )
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")


@register_model()
def maskrcnn_resnet50_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> MaskRCNN:
    """Mask R-CNN on ResNet-50 (44 million parameters), for images of 800 to 1333.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 91, COCO's.
        weights_backbone: the same for the backbone alone.
        trainable_backbone_layers: parts of the backbone that learn, counted from its end, if there
            are weights; None: 3.
        **kwargs: arguments of ``MaskRCNN``.
    """
    backbone = resnet50_fpn(weights, weights_backbone, trainable_backbone_layers)
    model = MaskRCNN(backbone, COCO if num_classes is None else num_classes, **kwargs)
    load_detector(model, weights, "maskrcnn_resnet50_fpn")
    return model


@register_model()
def maskrcnn_resnet50_fpn_v2(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> MaskRCNN:
    """Mask R-CNN on ResNet-50 with deeper, normalized heads (46 million parameters); arguments as
    ``maskrcnn_resnet50_fpn``.
    """
    backbone, parts = second_version(weights, weights_backbone, trainable_backbone_layers)
    channels = needs_channels("maskrcnn_resnet50_fpn_v2", backbone)
    parts["mask_head"] = MaskRCNNHeads(channels, [_CHANNELS] * 4, 1, nn.BatchNorm2d)
    classes = COCO if num_classes is None else num_classes
    model = MaskRCNN(backbone, classes, **{**parts, **kwargs})
    load_detector(model, weights, "maskrcnn_resnet50_fpn_v2")
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
