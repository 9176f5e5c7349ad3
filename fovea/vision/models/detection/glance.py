"""Glance: fovea's own detector, which finds objects at one look, without anchors.

The network is in `glance_network`, how it learns in `glance_losses`; here is what makes both a
detector with the interface of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_array
from fovea.functions.joining import stack
from fovea.vision.models.detection.detector import Detector, Found, best_of
from fovea.vision.models.detection.glance_losses import glance_losses, pad_targets
from fovea.vision.models.detection.glance_network import STRIDES, GlanceNetwork
from fovea.vision.models.detection.transform import GeneralizedRCNNTransform
from fovea.vision.models.registry import variant
from fovea.vision.ops.boxes import batched_nms, clip_boxes_to_image, widened

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Glance", "Letterbox", "glance_m", "glance_n", "glance_s"]

_GRAY = 0.5  # around images


class Letterbox(GeneralizedRCNNTransform):
    """Resizes images until they fit into one size, with gray to the right of and below them.

    Args:
        size: (height, width) of the batch.

    >>> import fovea
    >>> images, _ = Letterbox((64, 96))([fovea.rand(3, 20, 20), fovea.rand(3, 100, 300)])
    >>> images.tensors.shape, images.image_sizes
    (fovea.Size([2, 3, 64, 96]), [(64, 64), (32, 96)])
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(min(size), max(size), [0.0] * 3, [1.0] * 3)
        self.size = size

    def _size(self, height: int, width: int) -> tuple[int, int]:
        scale = min(self.size[0] / height, self.size[1] / width)
        return max(round(height * scale), 1), max(round(width * scale), 1)

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> Tensor:
        """Images (C, H, W) as one tensor, gray to the right of and below each."""
        if not images:
            raise ArgumentError("there is no image.")
        batch = images[0].new_full((len(images), images[0].shape[0], *self.size), _GRAY)
        for place, image in zip(batch, images, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        return batch


class Glance(Detector):
    """A detector of one stage without anchors: at each place of three maps it tells classes, and
    how far each side of a box is, as a distribution.

    In training ``model(images, targets)`` returns losses ``classes``, ``boxes`` and ``distances``;
    in evaluation ``model(images)`` returns for each image a dictionary of ``boxes`` (K, 4),
    ``labels`` (K,) and ``scores`` (K,), the best first. Images (3, H, W) have values from 0 to 1
    and any sizes. Classes are counted as in torchvision's detectors: ``num_classes`` includes the
    background, which is label 0, so labels of objects begin with 1.

    All shapes are fixed, so that training compiles: `training_step` takes a batch (images (N, 3, H,
    W), targets (N, max_objects, 5)) of ``prepare``, and is what ``fovea.Trainer`` runs.
    ``model.network`` is the plain function of one tensor that is exported.

    Args:
        num_classes: how many there are, with the background.
        widths: channels of the maps at strides 2, 4, 8, 16 and 32.
        depth: blocks of a stage.
        image_size: what images are resized to, a side or (height, width): multiples of 32.
        score_thresh: the least score of what is found.
        nms_thresh: the largest IoU of two boxes of a class.
        detections_per_img: the most that is found in an image.
        max_objects: the most objects of an image in training.

    Raises:
        ArgumentError: a size that is no multiple of 32; more objects than ``max_objects``.

    Cost: ``glance_n`` has 2.9 million parameters, ``glance_s`` 11.6 and ``glance_m`` 26.8.

    >>> import fovea
    >>> model = glance_n(num_classes=4, image_size=64)
    >>> target = {"boxes": fovea.tensor([[4.0, 8.0, 30.0, 40.0]]), "labels": fovea.tensor([2])}
    >>> sorted(model([fovea.rand(3, 50, 60)], [target]))
    ['boxes', 'classes', 'distances']
    >>> found = model.eval()([fovea.rand(3, 50, 60)])
    >>> sorted(found[0])
    ['boxes', 'labels', 'scores']
    """

    def __init__(
        self,
        num_classes: int = 91,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        depth: int = 1,
        image_size: int | tuple[int, int] = 640,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.6,
        detections_per_img: int = 100,
        max_objects: int = 64,
    ) -> None:
        super().__init__()
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(size) != 2 or any(side < 1 or side % STRIDES[-1] for side in size):
            raise ArgumentError(
                f"Glance: image_size must be made of multiples of {STRIDES[-1]}, got {image_size}."
            )
        if num_classes < 2:
            raise ArgumentError(
                f"Glance: num_classes={num_classes} leaves none: label 0 is the background.",
                fix="num_classes=1 + the number of kinds of objects",
            )
        self.widths, self.depth = tuple(widths), depth
        self.transform = Letterbox((size[0], size[1]))
        self.network = GlanceNetwork(self.widths, depth, num_classes - 1)
        self.score_thresh, self.nms_thresh = score_thresh, nms_thresh
        self.detections_per_img, self.max_objects = detections_per_img, max_objects

    def forward(self, images: Any, targets: Found | None = None) -> Any:
        batch, targets, sizes = self.prepared(images, targets)
        if self.training:
            return self.losses(batch.tensors, pad_targets(targets or [], self.max_objects))
        scores, boxes = self.network(batch.tensors)
        found = self.detections(scores, boxes, batch.image_sizes)
        return self.transform.postprocess(found, batch.image_sizes, sizes)

    def prepare(self, images: Any, targets: Found) -> tuple[Tensor, Tensor]:
        """Images and targets, as ``forward`` takes them, as the batch of ``training_step``."""
        batch, given, _ = self.prepared(images, targets)
        return batch.tensors, pad_targets(given or [], self.max_objects)

    def losses(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The losses of a batch of ``prepare``: nothing but tensors of fixed shapes."""
        logits, sides, boxes = (widened(x) for x in self.network.predictions(images))
        return glance_losses(logits, sides, boxes, (images.shape[2], images.shape[3]), targets)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The sum of the losses as ``loss``, and each, of a batch of ``prepare``."""
        losses = self.losses(*batch)
        return {"loss": stack(list(losses.values()), 0).sum(), **losses}

    def detections(self, scores: Tensor, boxes: Tensor, sizes: Sequence[tuple[int, int]]) -> Found:
        """What is found in each image, in pixels of the batch.

        Args:
            scores: (N, P, classes).
            boxes: (N, P, 4).
            sizes: (height, width) of what the images fill of the batch.
        """
        found = []
        for chances, corners, size in zip(scores.detach(), boxes.detach(), sizes, strict=True):
            flat = chances.float().numpy().reshape(-1)
            best = best_of(flat, self.score_thresh, 10 * self.detections_per_img)
            place, kind = np.divmod(best, chances.shape[1])
            near = clip_boxes_to_image(corners[from_array(place)].float(), size)
            labels, values = from_array(kind + 1), from_array(flat[best])
            kept = batched_nms(near, values, labels, self.nms_thresh)[: self.detections_per_img]
            found.append({"boxes": near[kept], "labels": labels[kept], "scores": values[kept]})
        return found


_TEXT = """Glance, {}: a detector of one stage without anchors, fovea's own; the one to begin with.
    For images of 128 to 640 pixels (``image_size``)."""

glance_n = variant("glance_n", Glance, _TEXT.format("nano"), widths=(16, 32, 64, 128, 256), depth=1)
glance_s = variant(
    "glance_s", Glance, _TEXT.format("small"), widths=(32, 64, 128, 256, 512), depth=1
)
glance_m = variant(
    "glance_m", Glance, _TEXT.format("medium"), widths=(48, 96, 192, 384, 576), depth=2
)
