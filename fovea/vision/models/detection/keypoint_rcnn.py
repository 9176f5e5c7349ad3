"""Keypoint R-CNN: Faster R-CNN with points on each object.

Source: K. He et al., "Mask R-CNN", 2017, section 5. Names, first values and the order of layers are
torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.detection.backbone_utils import load_detector, resnet50_fpn
from fovea.vision.models.detection.detector import needs_channels
from fovea.vision.models.detection.faster_rcnn import FasterRCNN
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.models.loading import WeightsLike
from fovea.vision.models.registry import register_model
from fovea.vision.ops.poolers import MultiScaleRoIAlign

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "KeypointRCNN",
    "KeypointRCNNHeads",
    "KeypointRCNNPredictor",
    "keypointrcnn_resnet50_fpn",
]

_SIZES = (640, 672, 704, 736, 768, 800)
_CHANNELS = 512  # of the maps of points
_LAYERS = 8
_POINTS = 17  # of a person, in COCO


class KeypointRCNN(FasterRCNN):
    """Proposals, then a class, a better box and points of each.

    Targets have ``keypoints`` (N, K, 3), x, y, visibility (0: not), beside ``boxes`` (N, 4) and
    ``labels`` (N,). In training ``model(images, targets)`` returns ``FasterRCNN``'s losses and
    ``loss_keypoint``; in evaluation what is found in an image also has ``keypoints`` (n, K, 3), the
    last of which is 1, and ``keypoints_scores`` (n, K).

    Args:
        backbone, num_classes: of ``FasterRCNN``.
        min_size: likewise; None: 640, 672, 704, 736, 768, 800.
        *args: further arguments of ``FasterRCNN``.
        keypoint_roi_pool, keypoint_head, keypoint_predictor: of ``RoIHeads``; None: a
            ``MultiScaleRoIAlign`` of 14×14, ``KeypointRCNNHeads`` of eight layers of 512 channels
            and a ``KeypointRCNNPredictor``.
        num_keypoints: points of an object; None: 17, a person's in COCO.
        **kwargs: further arguments of ``FasterRCNN``, by name.

    Raises:
        ArgumentError: both ``num_keypoints`` and ``keypoint_predictor``; both or neither of
            ``num_classes`` and ``box_predictor``.

    >>> import fovea
    >>> from fovea.vision.models.detection.anchor_utils import AnchorGenerator
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 16, 1))
    >>> net.out_channels = 8
    >>> model = KeypointRCNN(
    ...     net, 2, 64, 64, rpn_anchor_generator=AnchorGenerator(((16, 32),), ((1.0,),)),
    ...     box_roi_pool=MultiScaleRoIAlign(["0"], 2, 2), num_keypoints=5,
    ...     keypoint_roi_pool=MultiScaleRoIAlign(["0"], 2, 2),
    ...     keypoint_head=KeypointRCNNHeads(8, [512]),
    ... ).eval()
    >>> found = model([fovea.rand(3, 48, 60)])[0]
    >>> list(found), found["keypoints"].shape[1:]
    (['boxes', 'labels', 'scores', 'keypoints', 'keypoints_scores'], fovea.Size([5, 3]))
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int | None = None,
        min_size: int | Sequence[int] | None = None,
        *args: Any,
        keypoint_roi_pool: nn.Module | None = None,
        keypoint_head: nn.Module | None = None,
        keypoint_predictor: nn.Module | None = None,
        num_keypoints: int | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        channels = needs_channels(name, backbone)
        if num_keypoints is not None and keypoint_predictor is not None:
            raise ArgumentError(f"{name}: num_keypoints is keypoint_predictor's own.")
        sizes = _SIZES if min_size is None else min_size
        super().__init__(backbone, num_classes, sizes, *args, **kwargs)
        heads: Any = self.roi_heads
        if keypoint_roi_pool is None:
            keypoint_roi_pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
        if keypoint_head is None:
            keypoint_head = KeypointRCNNHeads(channels, [_CHANNELS] * _LAYERS)
        if keypoint_predictor is None:
            points = _POINTS if num_keypoints is None else num_keypoints
            keypoint_predictor = KeypointRCNNPredictor(_CHANNELS, points)
        heads.keypoint_roi_pool, heads.keypoint_head = keypoint_roi_pool, keypoint_head
        heads.keypoint_predictor = keypoint_predictor


class KeypointRCNNHeads(nn.Sequential):
    """3×3 convolutions with ReLU on what is read within a box.

    Args:
        in_channels: of what is read.
        layers: channels of the convolutions.

    >>> import fovea
    >>> KeypointRCNNHeads(8, [4, 6])(fovea.zeros(2, 8, 3, 3)).shape
    fovea.Size([2, 6, 3, 3])
    """

    def __init__(self, in_channels: int, layers: Sequence[int]) -> None:
        parts: list[nn.Module] = []
        for outputs in layers:
            parts += [nn.Conv2d(in_channels, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = outputs
        super().__init__(*parts)
        self.apply(fan_out_normal)


class KeypointRCNNPredictor(nn.Module):
    """A map for each point, four times as large as the maps that come in.

    Args:
        in_channels: of the maps, (N, in_channels, M, M).
        num_keypoints: points of an object.

    >>> import fovea
    >>> KeypointRCNNPredictor(8, 5)(fovea.zeros(2, 8, 7, 7)).shape
    fovea.Size([2, 5, 28, 28])
    """

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(in_channels, num_keypoints, 4, 2, 1)
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        self.up_scale = 2
        self.out_channels = num_keypoints

    def forward(self, x: Tensor) -> Tensor:
        x = self.kps_score_lowres(x)
        return F.interpolate(
            x, scale_factor=float(self.up_scale), mode="bilinear", align_corners=False
        )


@register_model()
def keypointrcnn_resnet50_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    num_keypoints: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> KeypointRCNN:
    """Keypoint R-CNN on ResNet-50 (59 million parameters), for images of 800 to 1333.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 2, with persons.
        num_keypoints: points of an object; None: 17, a person's in COCO.
        weights_backbone: the same for the backbone alone.
        trainable_backbone_layers: parts of the backbone that learn, counted from its end, if there
            are weights; None: 3.
        **kwargs: arguments of ``KeypointRCNN``.
    """
    backbone = resnet50_fpn(weights, weights_backbone, trainable_backbone_layers)
    classes = 2 if num_classes is None else num_classes
    model = KeypointRCNN(backbone, classes, num_keypoints=num_keypoints, **kwargs)
    load_detector(model, weights, "keypointrcnn_resnet50_fpn")
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
