"""RetinaFace: faces and five landmarks of each, in one look.

Source: J. Deng, J. Guo, Y. Zhou et al., "RetinaFace: Single-stage Dense Face Localisation in the
Wild", 2019. torchvision has none; parts and their names are those of the widely used
biubug6/Pytorch_Retinaface (``mobilenet0.25_Final.pth``, ``Resnet50_Final.pth``), so weights trained
with it fit. Its suppression counts a pixel more to each side of a box; this one does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.creation import from_array, ones
from fovea.functions.joining import cat
from fovea.vision.models import hints
from fovea.vision.models._utils import IntermediateLayerGetter
from fovea.vision.models.detection._utils import BoxCoder, joined
from fovea.vision.models.detection.detector import Detector, Found, best_of
from fovea.vision.models.detection.retinaface_losses import decode_points, face_losses
from fovea.vision.models.detection.retinaface_network import (
    FPN,
    SSH,
    FaceHead,
    MobileNetV1,
    prior_boxes,
)
from fovea.vision.models.detection.transform import GeneralizedRCNNTransform
from fovea.vision.models.loading import WeightsLike, first_values, load_weights
from fovea.vision.models.registry import register_model
from fovea.vision.models.resnet import resnet50
from fovea.vision.ops.boxes import batched_nms, clip_boxes_to_image, widened

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["FaceTransform", "RetinaFace", "retinaface_mobilenet025", "retinaface_resnet50"]

_MEAN = (123 / 255, 117 / 255, 104 / 255)  # red, green, blue


class FaceTransform(GeneralizedRCNNTransform):
    """What RetinaFace was trained on: blue, green, red from 0 to 255, less their means.

    Args:
        min_size: the shorter side after resizing; None: images keep their size.
        max_size: the most that the longer side may have after resizing.

    >>> import fovea
    >>> images, _ = FaceTransform()([fovea.zeros(3, 4, 4)])
    >>> images.tensors[0, :, 0, 0].round()
    tensor([-104., -117., -123.])
    """

    def __init__(self, min_size: int | None = None, max_size: int = 2150) -> None:
        sizes = () if min_size is None else (min_size,)
        super().__init__(sizes, max_size, _MEAN, (1 / 255,) * 3, size_divisible=1)

    def normalize(self, image: Tensor) -> Tensor:
        return super().normalize(image).flip(0)

    def resize(
        self, image: Tensor, target: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any] | None]:
        return super().resize(image, target) if self.min_size else (image, target)


class RetinaFace(Detector):
    """Faces, and landmarks of each, predicted from squares on three maps.

    In training ``model(images, targets)`` returns the losses ``bbox_regression``,
    ``classification`` and ``landmark_regression``; targets have ``boxes`` (N, 4), ``labels`` (N,),
    1 for a face, and, where they are known, ``keypoints`` (N, K, 3): x, y, visibility (0: not
    known). In evaluation ``model(images)`` returns for each image ``boxes`` (K, 4), ``scores`` and
    ``labels`` (K,), from the best, and ``keypoints`` (K, 5, 3): eyes, nose, corners of the mouth,
    those on the image's left first; the last of the three numbers is 1. Images (3, H, W), red,
    green, blue, have values from 0 to 1 and any sizes.

    ``model.predictions`` is a plain function of a batch of prepared images: ``model.predictions =
    fovea.compile(model.predictions)`` compiles all but what depends on values, in training, too.

    Args:
        backbone: its children must run one after the other.
        return_layers: from the names of three children to the names of their maps, at strides 8, 16
            and 32.
        in_channels_list: channels of these maps.
        out_channels: of the pyramid's maps, a multiple of 4.
        num_classes: how many there are, the background (0) among them.
        num_keypoints: landmarks of a face.
        score_thresh: what is less likely is not found.
        nms_thresh: the largest IoU of two faces.
        detections_per_img: the most that is found in an image.
        topk_candidates: the most of each class before suppression.
        min_size, max_size: of ``FaceTransform``.

    Raises:
        ArgumentError: other than three maps, or channels that are no multiple of 4.
        ShapeError: ``keypoints`` of another shape.

    >>> import fovea
    >>> model = retinaface_mobilenet025()
    >>> target = {"boxes": fovea.tensor([[4.0, 8.0, 30.0, 40.0]]), "labels": fovea.tensor([1])}
    >>> sorted(model([fovea.rand(3, 50, 60)], [target]))
    ['bbox_regression', 'classification', 'landmark_regression']
    >>> found = model.eval()([fovea.rand(3, 50, 60)])[0]
    >>> sorted(found), found["keypoints"].shape[1:]
    (['boxes', 'keypoints', 'labels', 'scores'], fovea.Size([5, 3]))
    """

    def __init__(
        self,
        backbone: nn.Module,
        return_layers: dict[str, str],
        in_channels_list: Sequence[int],
        out_channels: int,
        num_classes: int = 2,
        num_keypoints: int = 5,
        score_thresh: float = 0.02,
        nms_thresh: float = 0.4,
        detections_per_img: int = 750,
        topk_candidates: int = 5000,
        min_size: int | None = None,
        max_size: int = 2150,
    ) -> None:
        super().__init__()
        if not len(return_layers) == len(in_channels_list) == 3:
            raise ArgumentError(
                f"RetinaFace: three maps are needed, got {len(return_layers)} return_layers and "
                f"{len(in_channels_list)} in_channels_list."
            )
        if out_channels % 4 or out_channels < 4:
            raise ArgumentError(
                f"RetinaFace: out_channels must be a multiple of 4, got {out_channels}."
            )
        self.body = IntermediateLayerGetter(backbone, return_layers)
        self.fpn = FPN(in_channels_list, out_channels)
        self.ssh1, self.ssh2, self.ssh3 = (SSH(out_channels, out_channels) for _ in range(3))
        self.ClassHead = _heads(out_channels, num_classes)
        self.BboxHead = _heads(out_channels, 4)
        self.LandmarkHead = _heads(out_channels, 2 * num_keypoints)
        self.transform = FaceTransform(min_size, max_size)
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.num_classes, self.num_keypoints = num_classes, num_keypoints
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates

    def forward(self, images: Any, targets: Found | None = None) -> Any:
        batch, targets, sizes = self.prepared(images, targets)
        codes, logits, marks = (widened(x) for x in self.predictions(batch.tensors))
        height, width = batch.tensors.shape[2:]
        priors = from_array(prior_boxes(height, width), codes.dtype)
        if self.training:
            return face_losses(codes, logits, marks, priors, targets or [], self.box_coder)
        per_image = zip(codes, logits.softmax(-1), marks, batch.image_sizes, strict=True)
        found = [self._found(priors, *each) for each in per_image]
        return self.transform.postprocess(found, batch.image_sizes, sizes)

    def predictions(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Differences of boxes (N, P, 4), logits of classes (N, P, num_classes) and landmarks (N,
        P, 2 · num_keypoints) of a batch (N, 3, H, W) as ``FaceTransform`` makes it, for each of
        ``prior_boxes(H, W)``.
        """
        looks = (self.ssh1, self.ssh2, self.ssh3)
        maps = [look(m) for look, m in zip(looks, self.fpn(self.body(x)), strict=True)]
        columns = (4, self.num_classes, 2 * self.num_keypoints)
        heads = (self.BboxHead, self.ClassHead, self.LandmarkHead)
        codes, logits, marks = (
            joined([head(m) for head, m in zip(each, maps, strict=True)], n)
            for each, n in zip(heads, columns, strict=True)
        )
        return codes, logits, marks

    def _found(
        self, priors: Tensor, codes: Tensor, scores: Tensor, marks: Tensor, size: tuple[int, int]
    ) -> dict[str, Any]:
        """What is found in one image of a batch, in pixels of the batch."""
        likely = scores.detach().numpy()
        best = [
            best_of(likely[:, label], self.score_thresh, self.topk_candidates)
            for label in range(1, self.num_classes)
        ]
        labels = np.repeat(np.arange(1, self.num_classes), [len(b) for b in best])
        place, label = from_array(np.concatenate(best)), from_array(labels)
        whole = self.box_coder.decode_single(codes[place], priors[place])
        boxes, score = clip_boxes_to_image(whole, size), scores[place, label]
        # What lies beside the image is found in the borders of a batch of several sizes.
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1).nonzero().squeeze(1)
        keep = batched_nms(whole[inside], score[inside], label[inside], self.nms_thresh)
        keep = inside[keep[: self.detections_per_img]]
        points = decode_points(marks[place[keep]], priors[place[keep]])
        seen = ones(*points.shape[:2], 1, dtype=points.dtype)
        return {
            "boxes": boxes[keep],
            "scores": score[keep],
            "labels": label[keep],
            "keypoints": cat((points, seen), -1),
        }

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        return hints.of_retinaface(self.state_dict(), state)


def _heads(in_channels: int, columns: int) -> nn.ModuleList:
    return nn.ModuleList([FaceHead(in_channels, columns) for _ in range(3)])


@register_model()
def retinaface_mobilenet025(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    **kwargs: Any,
) -> RetinaFace:
    """RetinaFace on MobileNet of a quarter of the width (0.43 million parameters), for images of
    any size.

    Args:
        weights: a path, or an address, such as ``"mobilenet0.25_Final.pth"``.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 2, with faces.
        weights_backbone: the same for the MobileNet alone: ``"mobilenetV1X0.25_pretrain.tar"``.
        **kwargs: arguments of ``RetinaFace``.
    """
    with first_values(weights):
        backbone = MobileNetV1()
        load_weights(backbone, weights_backbone)
        layers = {"stage1": "1", "stage2": "2", "stage3": "3"}
        classes = 2 if num_classes is None else num_classes
        model = RetinaFace(backbone, layers, (64, 128, 256), 64, classes, **kwargs)
    load_weights(model, weights)
    return model


@register_model()
def retinaface_resnet50(
    *,
    weights: WeightsLike = None,
    progress: bool = True,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = None,
    **kwargs: Any,
) -> RetinaFace:
    """RetinaFace on ResNet-50 (27.3 million parameters), for images of any size.

    Args:
        weights: a path, or an address, such as ``"Resnet50_Final.pth"``.
        progress: show progress on a terminal if they must be fetched.
        num_classes: how many there are, the background among them; None: 2, with faces.
        weights_backbone: the ResNet's, as ``resnet50`` takes them.
        **kwargs: arguments of ``RetinaFace``.
    """
    with first_values(weights):
        backbone = resnet50(weights=weights_backbone)
        layers = {"layer2": "1", "layer3": "2", "layer4": "3"}
        classes = 2 if num_classes is None else num_classes
        model = RetinaFace(backbone, layers, (512, 1024, 2048), 256, classes, **kwargs)
    load_weights(model, weights)
    return model
