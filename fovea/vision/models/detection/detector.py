"""What all networks that find objects do before and after their own part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import nn
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.vision.models.detection.image_list import ImageList
from fovea.vision.models.detection.transform import GeneralizedRCNNTransform

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Detector", "SingleStage", "best_of", "needs_channels", "require", "transform_of"]

Array = np.ndarray[Any, Any]
Found = list[dict[str, Any]]
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class Detector(nn.Module):
    """Checks images and targets and makes a batch of them."""

    transform: nn.Module

    def prepared(
        self, images: Any, targets: Found | None
    ) -> tuple[ImageList, Found | None, list[tuple[int, int]]]:
        """A batch, its targets, and the images' sizes before.

        Raises:
            ArgumentError: no targets in training; targets without boxes or labels; boxes without
                width or height; images that are no tensors.
            ShapeError: images that are not (C, H, W), boxes that are not (N, 4), labels that are
                not (N,).
            DTypeError: images of integers.
        """
        if self.training:
            _check_targets(type(self).__name__, images, targets)
        batch, targets = self.transform(images, targets)
        sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        for i, target in enumerate(targets or []):
            corners = target["boxes"].detach().numpy()
            flat = (corners[:, 2:] <= corners[:, :2]).any(1)
            if flat.any():
                raise ArgumentError(
                    f"{type(self).__name__}: boxes must have a width and a height, image {i} has "
                    f"{corners[flat][0].tolist()} (after resizing).",
                    fix="boxes as x1, y1, x2, y2 with x1 < x2 and y1 < y2",
                )
        return batch, targets, sizes


def _check_targets(name: str, images: Any, targets: Found | None) -> None:
    if targets is None:
        raise ArgumentError(
            f"{name}: training needs targets.", fix="model(images, targets), or model.eval()"
        )
    if len(targets) != len(images):
        raise ArgumentError(f"{name}: {len(images)} images have {len(targets)} targets.")
    for i, target in enumerate(targets):
        require(f"{name}: targets[{i}]", target, "boxes", "labels")
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[-1] != 4:
            raise ShapeError(
                f"{name}: targets[{i}]['boxes'] must be (N, 4), got {describe(boxes)}."
            )
        if tuple(labels.shape) != (boxes.shape[0],):
            raise ShapeError(
                f"{name}: targets[{i}]['labels'] must be ({boxes.shape[0]},), one for each of its "
                f"boxes, got {describe(labels)}."
            )


def require(what: str, target: dict[str, Any], *keys: str) -> None:
    """
    Raises:
        ArgumentError: a target lacks one of the keys.
    """
    missing = [key for key in keys if key not in target]
    if missing:
        raise ArgumentError(f"{what} has no {' and no '.join(missing)}.")


class SingleStage(Detector):
    """Classes and boxes predicted straight from anchors on each map.

    Args:
        backbone: makes a map, or a dictionary of maps.
        anchor_generator: lays boxes over the maps.
        head: makes a dictionary of predictions (N, boxes, ...) of the list of maps.
        transform: makes the batch.

    A class of it gives ``compute_loss`` and ``postprocess_detections``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        anchor_generator: nn.Module,
        head: nn.Module,
        transform: nn.Module,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.anchor_generator = anchor_generator
        self.head = head
        self.transform = transform

    def forward(self, images: Any, targets: Found | None = None) -> Any:
        batch, targets, sizes = self.prepared(images, targets)
        features = self.backbone(batch.tensors)
        maps = list(features.values()) if isinstance(features, dict) else [features]
        outputs = self.head(maps)
        anchors = self.anchor_generator(batch, maps)
        places = [m.shape[2] * m.shape[3] for m in maps]
        if self.training:
            return self.losses(targets or [], outputs, anchors, places)
        found = self.detections(outputs, anchors, places, batch.image_sizes)
        return self.transform.postprocess(found, batch.image_sizes, sizes)

    def losses(
        self, targets: Found, outputs: dict[str, Tensor], anchors: list[Tensor], places: list[int]
    ) -> dict[str, Tensor]:
        """What training lessens; ``places`` are the numbers of pixels of the maps."""
        raise NotImplementedError(f"{type(self).__name__} must define losses().")

    def detections(
        self,
        outputs: dict[str, Tensor],
        anchors: list[Tensor],
        places: list[int],
        image_sizes: list[tuple[int, int]],
    ) -> Found:
        """What is found in each image, in pixels of the batch."""
        per_place = anchors[0].shape[0] // sum(places)
        counts = [n * per_place for n in places]
        split = {name: list(x.split(counts, 1)) for name, x in outputs.items()}
        return self.postprocess_detections(
            split, [list(each.split(counts, 0)) for each in anchors], image_sizes
        )

    def postprocess_detections(
        self,
        head_outputs: dict[str, list[Tensor]],
        anchors: list[list[Tensor]],
        image_shapes: list[tuple[int, int]],
    ) -> Found:
        """``detections`` of predictions split by maps."""
        raise NotImplementedError(f"{type(self).__name__} must define postprocess_detections().")


def transform_of(
    min_size: Any, max_size: int, image_mean: Any, image_std: Any, **config: Any
) -> GeneralizedRCNNTransform:
    """The usual transformation; mean and deviation are ImageNet's if they are None."""
    mean = list(_MEAN) if image_mean is None else image_mean
    std = list(_STD) if image_std is None else image_std
    return GeneralizedRCNNTransform(min_size, max_size, mean, std, **config)


def needs_channels(name: str, backbone: nn.Module) -> int:
    """The channels of the maps that a backbone makes.

    Raises:
        ArgumentError: it does not tell.
    """
    if not hasattr(backbone, "out_channels"):
        raise ArgumentError(
            f"{name}: the backbone must tell the channels of its maps.",
            fix="backbone.out_channels = 256",
        )
    return int(backbone.out_channels)


def best_of(scores: Array, threshold: float, most: int) -> Array:
    """Places of the highest scores above a threshold in a flat array, from the best."""
    above = np.flatnonzero(scores > threshold)
    return above[np.argsort(-scores[above], kind="stable")[:most]]
