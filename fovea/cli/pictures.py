"""Pictures of what was found: boxes with names, pixels in colors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fovea
from fovea.tensorbase import is_tensor
from fovea.vision.pillow import require_pillow
from fovea.vision.plots.figures import color_of
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.utils import draw_bounding_boxes, draw_segmentation_masks

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.cli.learned import Learned

__all__ = ["found_in", "painted", "sheet"]

_CELL = 320  # pixels a side, on a sheet


def as_picture(image: Any) -> Image:
    """A PIL image or a tensor (3, H, W) as an RGB PIL image."""
    made: Image = (F.to_pil_image(image) if is_tensor(image) else image).convert("RGB")
    return made


def found_in(learned: Learned, image: Any, threshold: float) -> Any:
    """Of a detector a list of dictionaries (class, score, box); of a segmenter the classes of
    pixels (H, W).
    """
    if learned.task == "segmentation":
        from fovea.vision.training import segment

        return segment(learned.model, image, learned.image_size)
    from fovea.vision.training import detect

    boxes = detect(learned.model, [(image,)])[0]
    rows = zip(*(boxes[k].tolist() for k in ("labels", "scores", "boxes")), strict=True)
    return [
        {"class": learned.classes[label - 1], "score": score, "box": [round(v, 1) for v in box]}
        for label, score, box in rows
        if score >= threshold
    ]


def painted(learned: Learned, image: Any, found: Any, side: int = 0) -> Image:
    """The image with what was found; of boxes so many pixels a side or more, for their names."""
    picture = as_picture(image)
    if learned.task == "detection":
        return _with_boxes(picture, found, learned.classes, side)
    return _with_pixels(picture, found)


def _with_boxes(
    picture: Image, found: list[dict[str, Any]], classes: list[str], side: int
) -> Image:
    scale = max(1, round(side / max(picture.size)))
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale))
    if not found:
        return picture
    shown = found[::-1]  # the surest on top
    corners = [(min(x1, x2), min(y1, y2), x2, y2) for x1, y1, x2, y2 in (e["box"] for e in shown)]
    drawn = draw_bounding_boxes(
        F.pil_to_tensor(picture),
        fovea.tensor(corners) * scale,
        [f"{entry['class']} {entry['score']:.0%}" for entry in shown],
        [color_of(classes.index(entry["class"])) for entry in shown],
        width=max(1, round(max(picture.size) / 200)),
        fill_labels=True,
    )
    made: Image = F.to_pil_image(drawn)
    return made


def _with_pixels(picture: Image, classes: Any) -> Image:
    numbers = [int(n) for n in np.unique(classes) if n]
    if not numbers:
        return picture
    masks = fovea.from_numpy(np.stack([classes == n for n in numbers]))
    colors: list[Any] = [color_of(n - 1) for n in numbers]
    made: Image = F.to_pil_image(
        draw_segmentation_masks(F.pil_to_tensor(picture), masks, 0.55, colors)
    )
    return made


def sheet(learned: Learned, images: list[Any], threshold: float = 0.4, columns: int = 4) -> Image:
    """Images with what was found in each, beside one another."""
    pil = require_pillow("drawing what was found")
    found = [found_in(learned, image, threshold) for image in images]
    drawn = [painted(learned, i, f, _CELL) for i, f in zip(images, found, strict=True)]
    rows = -(-len(drawn) // columns)
    whole: Image = pil.new("RGB", (columns * _CELL, max(rows, 1) * _CELL), (32, 32, 32))
    for number, picture in enumerate(drawn):
        scale = min(_CELL / picture.width, _CELL / picture.height)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        whole.paste(small, (number % columns * _CELL, number // columns * _CELL))
    return whole
