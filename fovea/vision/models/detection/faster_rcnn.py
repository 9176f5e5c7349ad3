"""Faster R-CNN: proposals, then a class and a better box of each.

Source: S. Ren et al., "Faster R-CNN", 2015, on the pyramids of T.-Y. Lin et al., "Feature Pyramid
Networks for Object Detection", 2017; the second version after Y. Li et al., "Benchmarking
Detection Transfer Learning with Vision Transformers", 2021. Names, first values and the order of
layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.detection.anchor_utils import AnchorGenerator
from fovea.vision.models.detection.backbone_utils import (
    COCO,
    load_detector,
    mobilenet_features,
    resnet50_fpn,
    trainable_layers_of,
)
from fovea.vision.models.detection.detector import needs_channels, transform_of
from fovea.vision.models.detection.generalized_rcnn import GeneralizedRCNN
from fovea.vision.models.detection.roi_heads import RoIHeads
from fovea.vision.models.detection.rpn import RegionProposalNetwork, RPNHead
from fovea.vision.models.initial import fan_out_normal
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.mobilenetv3 import mobilenet_v3_large
from fovea.vision.models.registry import register_model
from fovea.vision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d, Layer
from fovea.vision.ops.poolers import MultiScaleRoIAlign

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "FastRCNNConvFCHead",
    "FastRCNNPredictor",
    "FasterRCNN",
    "TwoMLPHead",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
]

_FEATURES = 1024  # of a proposal
_RATIOS = (0.5, 1.0, 2.0)


class FasterRCNN(GeneralizedRCNN):
    """Proposals, then a class and a better box of each.

    In training ``model(images, targets)`` returns the losses ``loss_classifier``,
    ``loss_box_reg``, ``loss_objectness`` and ``loss_rpn_box_reg``; in evaluation ``model(images)``
    returns for each image ``boxes`` (K, 4), ``labels`` and ``scores`` (K,), from the best.

    Args:
        backbone: makes a map or a dictionary of maps of ``backbone.out_channels`` channels.
        num_classes: how many there are, the background (0) among them; None with a
            ``box_predictor``.
        min_size, max_size, image_mean, image_std: of ``GeneralizedRCNNTransform``.
        rpn_anchor_generator, rpn_head: of ``RegionProposalNetwork``; None: three anchors at each
            place of five maps, and an ``RPNHead``.
        rpn_pre_nms_top_n_train, rpn_pre_nms_top_n_test, rpn_post_nms_top_n_train,
            rpn_post_nms_top_n_test, rpn_nms_thresh, rpn_fg_iou_thresh, rpn_bg_iou_thresh,
            rpn_batch_size_per_image, rpn_positive_fraction, rpn_score_thresh: likewise.
        box_roi_pool, box_head, box_predictor: of ``RoIHeads``; None: a ``MultiScaleRoIAlign`` of
            7×7, a ``TwoMLPHead`` and a ``FastRCNNPredictor``.
        box_score_thresh, box_nms_thresh, box_detections_per_img, box_fg_iou_thresh,
            box_bg_iou_thresh, box_batch_size_per_image, box_positive_fraction, bbox_reg_weights:
            likewise.
        **kwargs: further arguments of ``GeneralizedRCNNTransform``.

    Raises:
        ArgumentError: both or neither of ``num_classes`` and ``box_predictor``.

    >>> import fovea
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 16, 1))
    >>> net.out_channels = 8
    >>> anchors = AnchorGenerator(((16, 32),), ((1.0,),))
    >>> pool = MultiScaleRoIAlign(["0"], 2, 2)
    >>> model = FasterRCNN(net, 3, 64, 64, rpn_anchor_generator=anchors, box_roi_pool=pool)
    >>> target = {"boxes": fovea.tensor([[4.0, 4, 30, 30]]), "labels": fovea.tensor([1])}
    >>> list(model([fovea.rand(3, 48, 64)], [target]))
    ['loss_classifier', 'loss_box_reg', 'loss_objectness', 'loss_rpn_box_reg']
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int | None = None,
        min_size: int | Sequence[int] = 800,
        max_size: int = 1333,
        image_mean: Any = None,
        image_std: Any = None,
        rpn_anchor_generator: AnchorGenerator | None = None,
        rpn_head: nn.Module | None = None,
        rpn_pre_nms_top_n_train: int = 2000,
        rpn_pre_nms_top_n_test: int = 1000,
        rpn_post_nms_top_n_train: int = 2000,
        rpn_post_nms_top_n_test: int = 1000,
        rpn_nms_thresh: float = 0.7,
        rpn_fg_iou_thresh: float = 0.7,
        rpn_bg_iou_thresh: float = 0.3,
        rpn_batch_size_per_image: int = 256,
        rpn_positive_fraction: float = 0.5,
        rpn_score_thresh: float = 0.0,
        box_roi_pool: nn.Module | None = None,
        box_head: nn.Module | None = None,
        box_predictor: nn.Module | None = None,
        box_score_thresh: float = 0.05,
        box_nms_thresh: float = 0.5,
        box_detections_per_img: int = 100,
        box_fg_iou_thresh: float = 0.5,
        box_bg_iou_thresh: float = 0.5,
        box_batch_size_per_image: int = 512,
        box_positive_fraction: float = 0.25,
        bbox_reg_weights: tuple[float, float, float, float] | None = None,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        channels = needs_channels(name, backbone)
        if (num_classes is None) == (box_predictor is None):
            raise ArgumentError(f"{name}: either num_classes or box_predictor is needed.")
        anchors = _anchors() if rpn_anchor_generator is None else rpn_anchor_generator
        if rpn_head is None:
            rpn_head = RPNHead(channels, anchors.num_anchors_per_location()[0])
        rpn = RegionProposalNetwork(
            anchors,
            rpn_head,
            rpn_fg_iou_thresh,
            rpn_bg_iou_thresh,
            rpn_batch_size_per_image,
            rpn_positive_fraction,
            {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test},
            rpn_nms_thresh,
            rpn_score_thresh,
        )
        pool: Any = box_roi_pool
        if pool is None:
            pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
        if box_head is None:
            side = pool.output_size[0]
            box_head = TwoMLPHead(channels * side * side, _FEATURES)
        if box_predictor is None:
            box_predictor = FastRCNNPredictor(_FEATURES, num_classes or 0)
        heads = RoIHeads(
            pool,
            box_head,
            box_predictor,
            box_fg_iou_thresh,
            box_bg_iou_thresh,
            box_batch_size_per_image,
            box_positive_fraction,
            bbox_reg_weights,
            box_score_thresh,
            box_nms_thresh,
            box_detections_per_img,
        )
        transform = transform_of(min_size, max_size, image_mean, image_std, **kwargs)
        super().__init__(backbone, rpn, heads, transform)


class TwoMLPHead(nn.Module):
    """Two linear layers with ReLU on what is read within a box.

    Args:
        in_channels: numbers that are read.
        representation_size: features that come out.

    >>> import fovea
    >>> TwoMLPHead(8 * 2 * 2, 5)(fovea.zeros(3, 8, 2, 2)).shape
    fovea.Size([3, 5])
    """

    def __init__(self, in_channels: int, representation_size: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc7(self.fc6(x.flatten(1)).relu()).relu()


class FastRCNNConvFCHead(nn.Sequential):
    """3×3 convolutions, then linear layers with ReLU, on what is read within a box.

    Args:
        input_size: (channels, height, width) of what is read.
        conv_layers: channels of the convolutions.
        fc_layers: features of the linear layers.
        norm_layer: makes normalizations of the convolutions; None: none.

    >>> import fovea
    >>> FastRCNNConvFCHead((8, 3, 3), [4], [6, 5])(fovea.zeros(2, 8, 3, 3)).shape
    fovea.Size([2, 5])
    """

    def __init__(
        self,
        input_size: tuple[int, int, int],
        conv_layers: list[int],
        fc_layers: list[int],
        norm_layer: Layer | None = None,
    ) -> None:
        channels, height, width = input_size
        layers: list[nn.Module] = []
        for outputs in conv_layers:
            layers.append(Conv2dNormActivation(channels, outputs, norm_layer=norm_layer))
            channels = outputs
        layers.append(nn.Flatten())
        features = channels * height * width
        for outputs in fc_layers:
            layers += [nn.Linear(features, outputs), nn.ReLU(inplace=True)]
            features = outputs
        super().__init__(*layers)
        self.apply(fan_out_normal)


class FastRCNNPredictor(nn.Module):
    """A linear layer to the classes, another to a box for each class.

    Args:
        in_channels: features that come in, (K, in_channels) or with two dimensions of 1.
        num_classes: how many there are, the background among them.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_classes * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        return self.cls_score(x), self.bbox_pred(x)


def _anchors() -> AnchorGenerator:
    return AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), (_RATIOS,) * 5)


@register_model()
def fasterrcnn_resnet50_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> FasterRCNN:
    """Faster R-CNN on ResNet-50 (42 million parameters), for images of 800 to 1333.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 91, COCO's.
        weights_backbone: the same for the backbone alone.
        trainable_backbone_layers: parts of the backbone that learn, counted from its end, if there
            are weights; None: 3.
        **kwargs: arguments of ``FasterRCNN``.
    """
    backbone = resnet50_fpn(weights, weights_backbone, trainable_backbone_layers)
    model = FasterRCNN(backbone, COCO if num_classes is None else num_classes, **kwargs)
    load_detector(model, weights, "fasterrcnn_resnet50_fpn")
    return model


@register_model()
def fasterrcnn_resnet50_fpn_v2(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> FasterRCNN:
    """Faster R-CNN on ResNet-50 with deeper, normalized heads (44 million parameters); arguments as
    ``fasterrcnn_resnet50_fpn``.
    """
    backbone, parts = second_version(weights, weights_backbone, trainable_backbone_layers)
    classes = COCO if num_classes is None else num_classes
    model = FasterRCNN(backbone, classes, **{**parts, **kwargs})
    load_detector(model, weights, "fasterrcnn_resnet50_fpn_v2")
    return model


def second_version(
    weights: WeightsLike, weights_backbone: WeightsLike, trainable: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A backbone with normalized pyramids, and deeper heads, as arguments of ``FasterRCNN``."""
    norm = nn.BatchNorm2d
    backbone = resnet50_fpn(weights, weights_backbone, trainable, frozen=False, norm_layer=norm)
    channels, anchors = backbone.out_channels, _anchors()
    return backbone, {
        "rpn_anchor_generator": anchors,
        "rpn_head": RPNHead(channels, anchors.num_anchors_per_location()[0], conv_depth=2),
        "box_head": FastRCNNConvFCHead((channels, 7, 7), [channels] * 4, [_FEATURES], norm),
    }


def _on_mobilenet(
    weights: WeightsLike,
    num_classes: int | None,
    weights_backbone: WeightsLike,
    trainable: int | None,
    config: dict[str, Any],
) -> FasterRCNN:
    trained = weights is not None or weights_backbone is not None
    layers = trainable_layers_of(trained, trainable, 6, 3)
    norm: Layer = FrozenBatchNorm2d if trained else nn.BatchNorm2d
    own = weights_backbone if weights is None else None
    net = mobilenet_v3_large(weights=own, norm_layer=norm)
    sizes = ((32, 64, 128, 256, 512),) * 3
    usual = {
        "rpn_anchor_generator": AnchorGenerator(sizes, (_RATIOS,) * len(sizes)),
        "rpn_score_thresh": 0.05,
    }
    classes = COCO if num_classes is None else num_classes
    model = FasterRCNN(mobilenet_features(net, True, layers), classes, **{**usual, **config})
    load_weights(model, weights)
    return model


@register_model()
def fasterrcnn_mobilenet_v3_large_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> FasterRCNN:
    """Faster R-CNN on MobileNetV3 (19 million parameters), for images of 800 to 1333; arguments as
    ``fasterrcnn_resnet50_fpn``.
    """
    return _on_mobilenet(weights, num_classes, weights_backbone, trainable_backbone_layers, kwargs)


@register_model()
def fasterrcnn_mobilenet_v3_large_320_fpn(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> FasterRCNN:
    """Faster R-CNN on MobileNetV3 (19 million parameters), for images of 320 to 640; arguments as
    ``fasterrcnn_resnet50_fpn``.
    """
    usual = {
        "min_size": 320,
        "max_size": 640,
        "rpn_pre_nms_top_n_test": 150,
        "rpn_post_nms_top_n_test": 150,
    }
    return _on_mobilenet(
        weights, num_classes, weights_backbone, trainable_backbone_layers, {**usual, **kwargs}
    )


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
