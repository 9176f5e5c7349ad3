"""Pictures of what was found: boxes with names, pixels in colors."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fovea.tensorbase import is_tensor
from fovea.vision.pillow import require_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.cli.learned import Learned
    from fovea.vision.models.detection import Glance

__all__ = ["found_in", "painted", "sheet"]

Color = tuple[int, int, int]
_CELL = 320  # pixels a side, on a sheet


def color_of(number: int) -> Color:
    """A color that others nearby are unlike."""
    r, g, b = colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.85, 0.95)
    return int(r * 255), int(g * 255), int(b * 255)


def as_picture(image: Any) -> Image:
    """A PIL image or a tensor (3, H, W) as an RGB PIL image."""
    pil = require_pillow("drawing what was found")
    if not is_tensor(image):
        picture: Image = image.convert("RGB")
        return picture
    values = image.numpy()
    if values.dtype != np.uint8:
        values = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    made: Image = pil.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0))).convert("RGB")
    return made


def found_in(learned: Learned, image: Any, threshold: float) -> Any:
    """Of a detector a list of dictionaries (class, score, box); of a segmenter the classes of
    pixels (H, W).
    """
    if learned.task == "segmentation":
        from fovea.vision.training import segment

        return segment(learned.model, image, learned.image_size)
    from fovea.vision.training import detect

    boxes = detect(cast("Glance", learned.model), [(image,)])[0]
    rows = zip(*(boxes[k].tolist() for k in ("labels", "scores", "boxes")), strict=True)
    return [
        {"class": learned.classes[label - 1], "score": score, "box": [round(v, 1) for v in box]}
        for label, score, box in rows
        if score >= threshold
    ]


def painted(learned: Learned, image: Any, found: Any) -> Image:
    """The image with what was found."""
    picture = as_picture(image)
    if learned.task == "detection":
        return _with_boxes(picture, found, learned.classes)
    return _with_pixels(picture, found)


def _with_boxes(picture: Image, found: list[dict[str, Any]], classes: list[str]) -> Image:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    line = max(1, round(max(picture.size) / 200))
    for entry in reversed(found):  # the surest on top
        color = color_of(classes.index(entry["class"]))
        x1, y1, x2, y2 = entry["box"]
        draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=color, width=line)
        text = f"{entry['class']} {entry['score']:.0%}"
        left, top, right, bottom = draw.textbbox((x1 + line, max(y1 - 11, 0)), text)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=color)
        draw.text((x1 + line, max(y1 - 11, 0)), text, fill=(0, 0, 0))
    return picture


def _with_pixels(picture: Image, classes: Any) -> Image:
    pil = require_pillow("drawing what was found")
    palette = np.array([(0, 0, 0), *(color_of(i) for i in range(255))], np.uint8)
    colors = palette[np.clip(classes, 0, 255)].astype(np.float32)
    pixels = np.asarray(picture, np.float32)
    share = np.where(np.asarray(classes)[..., None] > 0, 0.55, 0.0)
    mixed = pixels * (1 - share) + colors * share
    made: Image = pil.fromarray(mixed.round().astype(np.uint8))
    return made


def sheet(learned: Learned, images: list[Any], threshold: float = 0.4, columns: int = 4) -> Image:
    """Images with what was found in each, beside one another."""
    pil = require_pillow("drawing what was found")
    drawn = [painted(learned, image, found_in(learned, image, threshold)) for image in images]
    rows = -(-len(drawn) // columns)
    whole: Image = pil.new("RGB", (columns * _CELL, max(rows, 1) * _CELL), (32, 32, 32))
    for number, picture in enumerate(drawn):
        scale = min(_CELL / picture.width, _CELL / picture.height)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        whole.paste(small, (number % columns * _CELL, number // columns * _CELL))
    return whole
