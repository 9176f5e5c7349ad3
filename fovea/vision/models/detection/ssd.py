"""SSD: classes and boxes of default boxes on maps of several sizes.

Source: W. Liu et al., "SSD: Single Shot MultiBox Detector", 2016. Names, first values and the order
of layers are torchvision's, so its weights fit.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.creation import from_array, ones
from fovea.functions.joining import stack
from fovea.vision.models.detection._utils import (
    BoxCoder,
    SSDMatcher,
    box_loss,
    joined,
    retrieve_out_channels,
)
from fovea.vision.models.detection.anchor_utils import DefaultBoxGenerator
from fovea.vision.models.detection.backbone_utils import COCO, trainable_layers_of
from fovea.vision.models.detection.detector import Found, SingleStage, best_of, transform_of
from fovea.vision.models.loading import WeightsLike, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.models.vgg import VGG, vgg16
from fovea.vision.ops.boxes import batched_nms, box_iou, clip_boxes_to_image

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["SSD", "SSDFeatureExtractorVGG", "SSDHead", "SSDScoringHead", "ssd300_vgg16"]


def xavier(module: nn.Module) -> None:
    """A convolution's weights uniform after Xavier, its bias 0; for ``Module.apply``."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class SSDScoringHead(nn.Module):
    """A module for each map; results as rows (N, boxes of all maps, num_columns).

    Args:
        module_list: one for each map.
        num_columns: numbers that are predicted of a box.
    """

    def __init__(self, module_list: nn.ModuleList, num_columns: int) -> None:
        super().__init__()
        self.module_list, self.num_columns = module_list, num_columns

    def forward(self, x: list[Tensor]) -> Tensor:
        maps = [module(each) for module, each in zip(self.module_list, x, strict=True)]
        return joined(maps, self.num_columns)


class _ConvolutionHead(SSDScoringHead):
    def __init__(self, in_channels: list[int], num_anchors: list[int], columns: int) -> None:
        layers = (
            nn.Conv2d(channels, columns * anchors, 3, padding=1)
            for channels, anchors in zip(in_channels, num_anchors, strict=True)
        )
        super().__init__(nn.ModuleList(layers), columns)
        self.apply(xavier)


class SSDClassificationHead(_ConvolutionHead):
    """Logits of classes for each box; arguments as ``SSDHead``."""

    def __init__(self, in_channels: list[int], num_anchors: list[int], num_classes: int) -> None:
        super().__init__(in_channels, num_anchors, num_classes)


class SSDRegressionHead(_ConvolutionHead):
    """Differences from each box; arguments as ``SSDHead``."""

    def __init__(self, in_channels: list[int], num_anchors: list[int]) -> None:
        super().__init__(in_channels, num_anchors, 4)


class SSDHead(nn.Module):
    """Classes of default boxes and differences from them.

    Args:
        in_channels: of each map.
        num_anchors: at each place of each map.
        num_classes: how many there are, the background (0) among them.

    >>> import fovea
    >>> found = SSDHead([8], [4], 3)([fovea.zeros(1, 8, 5, 5)])
    >>> found["cls_logits"].shape, found["bbox_regression"].shape
    (fovea.Size([1, 100, 3]), fovea.Size([1, 100, 4]))
    """

    def __init__(self, in_channels: list[int], num_anchors: list[int], num_classes: int) -> None:
        super().__init__()
        self.classification_head = SSDClassificationHead(in_channels, num_anchors, num_classes)
        self.regression_head = SSDRegressionHead(in_channels, num_anchors)

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {
            "bbox_regression": self.regression_head(x),
            "cls_logits": self.classification_head(x),
        }


class SSD(SingleStage):
    """Classes and boxes of default boxes on maps of several sizes.

    In training ``model(images, targets)`` returns the losses ``bbox_regression`` and
    ``classification``; in evaluation ``model(images)`` returns for each image ``boxes`` (K, 4),
    ``scores`` and ``labels`` (K,), from the best.

    Args:
        backbone: makes a map or a dictionary of maps.
        anchor_generator: lays default boxes over the maps.
        size: (width, height) that every image is resized to.
        num_classes: how many there are, the background (0) among them.
        image_mean, image_std: of ``GeneralizedRCNNTransform``.
        head: makes the predictions; None: an ``SSDHead``.
        score_thresh: what is less likely is not found.
        nms_thresh: of the suppression within each class.
        detections_per_img: the most that is found in an image.
        iou_thresh: a default box that overlaps an object more is its.
        topk_candidates: the most of each class before suppression.
        positive_fraction: objects' boxes among those that count in training; the rest are the
            background's boxes that are most wrong.
        **kwargs: further arguments of ``GeneralizedRCNNTransform``.

    >>> import fovea
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, 16, 1))
    >>> model = SSD(net, DefaultBoxGenerator([[2]]), (64, 64), 3)
    >>> target = {"boxes": fovea.tensor([[4.0, 4, 30, 30]]), "labels": fovea.tensor([1])}
    >>> sorted(model([fovea.rand(3, 48, 64)], [target]))
    ['bbox_regression', 'classification']
    """

    def __init__(
        self,
        backbone: nn.Module,
        anchor_generator: DefaultBoxGenerator,
        size: tuple[int, int],
        num_classes: int,
        image_mean: Any = None,
        image_std: Any = None,
        head: nn.Module | None = None,
        score_thresh: float = 0.01,
        nms_thresh: float = 0.45,
        detections_per_img: int = 200,
        iou_thresh: float = 0.5,
        topk_candidates: int = 400,
        positive_fraction: float = 0.25,
        **kwargs: Any,
    ) -> None:
        if head is None:
            own = getattr(backbone, "out_channels", None)
            channels = own if isinstance(own, list) else retrieve_out_channels(backbone, size)
            counts = anchor_generator.num_anchors_per_location()
            if len(channels) != len(counts):
                raise ArgumentError(
                    f"SSD: the backbone makes {len(channels)} maps, anchor_generator is for "
                    f"{len(counts)}."
                )
            head = SSDHead(channels, counts, num_classes)
        fixed = {"size_divisible": 1, "fixed_size": size, **kwargs}
        transform = transform_of(min(size), max(size), image_mean, image_std, **fixed)
        super().__init__(backbone, anchor_generator, head, transform)
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.proposal_matcher = SSDMatcher(iou_thresh)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        self.neg_to_pos_ratio = (1.0 - positive_fraction) / positive_fraction

    def losses(
        self, targets: Found, outputs: dict[str, Tensor], anchors: list[Tensor], places: list[int]
    ) -> dict[str, Tensor]:
        matches = []
        for target, boxes in zip(targets, anchors, strict=True):
            match = np.full(boxes.shape[0], -1, np.int64)
            if target["boxes"].shape[0]:
                match = self.proposal_matcher(box_iou(target["boxes"], boxes)).numpy()
            matches.append(match)
        logits, codes = outputs["cls_logits"], outputs["bbox_regression"]
        labels, off = np.zeros(tuple(logits.shape[:2]), np.int64), []
        for i, (target, match) in enumerate(zip(targets, matches, strict=True)):
            own = np.flatnonzero(match >= 0)
            labels[i, own] = target["labels"].numpy()[match[own]] if len(own) else 0
            place = from_array(own)
            wanted = target["boxes"][from_array(match[own])].to(codes.dtype)
            chosen = anchors[i][place], wanted, codes[i][place]
            off.append(box_loss("smooth_l1", self.box_coder, *chosen))
        wrong = F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), from_array(labels.reshape(-1)), reduction="none"
        ).reshape(labels.shape)
        objects = np.stack([match >= 0 for match in matches])
        counted = self._hardest(wrong.detach().numpy(), objects)
        count = max(1, int(objects.sum()))
        return {
            "bbox_regression": stack(off, 0).sum() / count,
            "classification": (wrong * from_array(counted, wrong.dtype)).sum() / count,
        }

    def _hardest(self, wrong: Any, objects: Any) -> Any:
        """Which boxes count: those of objects, and of the others those that are most wrong."""
        counted = objects.copy()
        for row, own, losses in zip(counted, objects, wrong, strict=True):
            order = np.argsort(np.where(own, np.inf, -losses), kind="stable")
            row[order[: int(self.neg_to_pos_ratio * own.sum())]] = True
        return counted

    def detections(
        self,
        outputs: dict[str, Tensor],
        anchors: list[Tensor],
        places: list[int],
        image_sizes: list[tuple[int, int]],
    ) -> Found:
        scores = outputs["cls_logits"].softmax(-1)
        per_image = zip(
            outputs["bbox_regression"].unbind(0),
            scores.unbind(0),
            anchors,
            image_sizes,
            strict=True,
        )
        return [self._found(*each) for each in per_image]

    def _found(
        self, codes: Tensor, scores: Tensor, anchors: Tensor, size: tuple[int, int]
    ) -> dict[str, Any]:
        likely = scores.detach().numpy()
        best = [
            best_of(likely[:, label], self.score_thresh, self.topk_candidates)
            for label in range(1, likely.shape[1])
        ]
        labels = np.repeat(np.arange(1, likely.shape[1]), [len(b) for b in best])
        place, label = from_array(np.concatenate(best)), from_array(labels)
        boxes = clip_boxes_to_image(
            self.box_coder.decode_single(codes[place], anchors[place]), size
        )
        score = scores[place, label]
        keep = batched_nms(boxes, score, label, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": boxes[keep], "scores": score[keep], "labels": label[keep]}


class SSDFeatureExtractorVGG(nn.Module):
    """VGG-16 without its classifier, and coarser maps behind it.

    Args:
        backbone: the VGG's ``features``.
        highres: one more map, for images of 512.

    Takes (N, 3, H, W); returns an ordered dictionary of six maps, seven with ``highres``.
    """

    def __init__(self, backbone: nn.Module, highres: bool) -> None:
        super().__init__()
        layers: list[Any] = list(backbone.children())
        pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
        layers[pools[2]].ceil_mode = True  # 75 pixels become 38
        self.scale_weight = nn.Parameter(ones(512) * 20)
        self.features = nn.Sequential(*layers[: pools[3]])
        wide = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=False),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(inplace=True),
        )
        halving = {"padding": 1, "stride": 2}
        coarser = [_coarser(1024, 256, 512, 3, **halving), _coarser(512, 128, 256, 3, **halving)]
        coarser += [_coarser(256, 128, 256, 3), _coarser(256, 128, 256, 3)]
        if highres:
            coarser.append(_coarser(256, 128, 256, 4))
        for module in (wide, *coarser):
            module.apply(xavier)
        self.extra = nn.ModuleList([nn.Sequential(*layers[pools[3] : -1], wide), *coarser])

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        x = self.features(x)
        maps = [self.scale_weight.reshape(1, -1, 1, 1) * F.normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return OrderedDict((str(i), each) for i, each in enumerate(maps))


def _coarser(channels: int, inside: int, outputs: int, kernel: int, **config: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, inside, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(inside, outputs, kernel, **config),
        nn.ReLU(inplace=True),
    )


def _of_vgg(model: VGG, trainable_layers: int) -> SSDFeatureExtractorVGG:
    """A VGG's features, of which so many stages learn, counted from the end."""
    layers: list[nn.Module] = list(model.features.children())
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    starts = [0, *pools[:-1]]
    first = len(layers) if trainable_layers == 0 else starts[len(starts) - trainable_layers]
    for layer in layers[:first]:
        layer.requires_grad_(False)
    return SSDFeatureExtractorVGG(model.features, highres=False)


@register_model()
def ssd300_vgg16(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> SSD:
    """SSD on VGG-16 (36 million parameters), for images of 300.

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 91, COCO's.
        weights_backbone: the same for the VGG alone.
        trainable_backbone_layers: stages of the VGG that learn, counted from its end, if there are
            weights; None: 4.
        **kwargs: arguments of ``SSD``.
    """
    if "size" in kwargs:
        warnings.warn("ssd300_vgg16: the size is 300, whatever is given.", stacklevel=2)
        del kwargs["size"]
    trained = weights is not None or weights_backbone is not None
    layers = trainable_layers_of(trained, trainable_backbone_layers, 5, 4)
    vgg = vgg16(weights=weights_backbone if weights is None else None)
    anchors = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    usual = {"image_mean": [0.48235, 0.45882, 0.40784], "image_std": [1.0 / 255.0] * 3}
    classes = COCO if num_classes is None else num_classes
    model = SSD(_of_vgg(vgg, layers), anchors, (300, 300), classes, **{**usual, **kwargs})
    load_weights(model, weights)
    return model


def __getattr__(name: str) -> Any:
    """The published weights of these networks, by torchvision's names."""
    from fovea.vision.models.enumerations import own_attribute

    return own_attribute(__name__, name)
