"""What was found in an image, drawn onto it: boxes, masks, points."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.creation import from_numpy
from fovea.tensorbase import is_tensor
from fovea.vision.pillow import require_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.tensor import Tensor

__all__ = ["draw_bounding_boxes", "draw_keypoints", "draw_segmentation_masks"]

Array = np.ndarray[Any, Any]
Rgb = tuple[int, int, int]
Color = str | Rgb
Colors = Color | Sequence[Color] | None
_STEPS = (2**25 - 1, 2**15 - 1, 2**21 - 1)  # between one color of the palette and the next
_DASH = 5.0  # pixels


def draw_bounding_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: Sequence[str | None] | None = None,
    colors: Colors = None,
    fill: bool | None = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Colors = None,
    label_background_colors: Colors = None,
    fill_labels: bool = False,
) -> Tensor:
    """An image with boxes drawn onto it.

    Args:
        image: (1 or 3, H, W), uint8, or of floating-point numbers in [0, 1].
        boxes: (N, 4), x1, y1, x2, y2 in pixels; or (N, 8), the four corners of turned ones, whose
            first side is dashed.
        labels: a text for each; None for none.
        colors: one for all, or a list with one for each: names that Pillow knows, ``"#rrggbb"`` or
            (red, green, blue). None: of a palette.
        fill: whether boxes are filled, half transparent.
        width: of the lines, in pixels.
        font: a file of a TrueType font.
        font_size: its size; only with ``font``.
        label_colors: of the texts; None: of the boxes, or black on a background.
        label_background_colors: behind the texts, if they have one; None: of the boxes.
        fill_labels: whether they have one.

    Returns:
        (3, H, W), in the dtype of the image.

    Raises:
        DTypeError: an image of other numbers.
        ShapeError: shapes other than these, or another number of labels.
        ArgumentError: boxes whose corners are exchanged, or colors that are none.
        MissingExtraError: Pillow is not installed.

    >>> import fovea
    >>> image = fovea.zeros(3, 8, 8)
    >>> draw_bounding_boxes(image, fovea.tensor([[1, 1, 6, 5]]), colors="white")[0, 1].tolist()
    [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    """
    name = "draw_bounding_boxes"
    _check_image(name, image, (1, 3))
    if boxes.ndim != 2 or boxes.shape[-1] not in (4, 8):
        raise ShapeError(f"{name}: boxes are (N, 4) or (N, 8), got {describe(boxes)}.")
    places = boxes.detach().numpy()
    if places.shape[1] == 4 and (places[:, :2] > places[:, 2:]).any():
        raise ArgumentError(
            f"{name}: a box has x1 > x2 or y1 > y2.", fix="fovea.vision.ops.box_convert"
        )
    count = len(places)
    if not count:
        warnings.warn("boxes doesn't contain any box. No box was drawn", stacklevel=2)
        return image
    texts = [None] * count if labels is None else list(labels)
    if len(texts) != count:
        raise ShapeError(f"{name}: {count} boxes, but {len(texts)} labels.")
    lines = _colors(name, colors, count)
    inks = _colors(name, label_colors or "black", count) if label_colors or fill_labels else lines
    papers = (
        _colors(name, label_background_colors, count)
        if fill_labels and label_background_colors
        else lines
    )
    letters = _font(font, font_size)
    picture = _as_picture(image)
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture, "RGBA" if fill else None)
    for box, text, line, ink, paper in zip(
        places.astype(np.int64).tolist(), texts, lines, inks, papers, strict=True
    ):
        inside = (*line, 100) if fill else None
        if len(box) == 4:
            pen.rectangle(box, width=width, outline=line, fill=inside)
        else:
            _draw_turned(pen, box, line, inside, width)
        if text is not None:
            place = (box[0] + width + 1, box[1] + width + 1)
            if fill_labels:
                left, top, right, bottom = pen.textbbox(place, text, font=letters)
                pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=paper)
            pen.text(place, text, fill=ink, font=letters)
    return _as_tensor(picture, image)


def _font(file: str | None, size: int | None) -> Any:
    from PIL import ImageFont

    if file is not None:
        return ImageFont.truetype(font=file, size=size or 10)
    if size is not None:
        warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.", stacklevel=3)
    return ImageFont.load_default()


def _draw_turned(pen: Any, box: list[int], line: Rgb, inside: Any, width: int) -> None:
    """A box by its corners; the first side, the object's top, is dashed."""
    corners = list(zip(box[::2], box[1::2], strict=True))
    for start, end in _dashes(corners[0], corners[1]):
        pen.line([start, end], line, width)
    for i in range(1, 4):
        pen.line((corners[i], corners[(i + 1) % 4]), width=width, fill=line)
    pen.polygon(box, fill=inside, outline=None, width=0)


def _dashes(start: Any, end: Any) -> Iterator[tuple[Any, Any]]:
    """Every other piece of a line."""
    (x, y), length = start, math.dist(start, end)
    drawn = True
    while length > 0:
        angle = math.atan2(end[1] - y, end[0] - x)
        step = min(length, _DASH)
        then = (x + math.cos(angle) * step, y + math.sin(angle) * step)
        if drawn:
            yield (x, y), then
        (x, y), drawn, length = then, not drawn, length - step


def draw_segmentation_masks(
    image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Colors = None
) -> Tensor:
    """An image with masks laid over it; where several lie, it is black.

    Args:
        image: (3, H, W), uint8, or of floating-point numbers in [0, 1].
        masks: bool (N, H, W), or (H, W).
        alpha: 0 shows the image, 1 the masks.
        colors: one for all, or a list with one for each: names that Pillow knows, ``"#rrggbb"`` or
            (red, green, blue). None: of a palette.

    Returns:
        (3, H, W), in the dtype of the image.

    Raises:
        DTypeError: an image or masks of other numbers.
        ShapeError: shapes other than these.
        ArgumentError: colors that are none.

    >>> import fovea
    >>> masks = fovea.tensor([[[True, False]]])
    >>> draw_segmentation_masks(fovea.ones(3, 1, 2), masks, 0.5, "red")[1].tolist()
    [[0.5, 1.0]]
    """
    name = "draw_segmentation_masks"
    _check_image(name, image, (3,))
    if masks.dtype.name != "bool":
        raise DTypeError(f"{name}: masks are bool, got {describe(masks)}.", fix="masks > 0.5")
    chosen = masks.numpy()
    chosen = chosen[None] if chosen.ndim == 2 else chosen
    if chosen.ndim != 3 or chosen.shape[1:] != tuple(image.shape[1:]):
        raise ShapeError(
            f"{name}: masks are (N, H, W) of the image's size.",
            {"image": describe(image), "masks": describe(masks)},
        )
    if not len(chosen):
        warnings.warn("masks doesn't contain any mask. No mask was drawn", stacklevel=2)
        return image
    pixels = image.detach().numpy()
    whole = image.dtype.is_floating_point
    shown = pixels if whole else pixels.astype(np.float32)
    painted = shown.copy()
    for mask, color in zip(chosen, _colors(name, colors, len(chosen)), strict=True):
        painted[:, mask] = np.array(color)[:, None] / (255 if whole else 1)
    painted[:, chosen.sum(0) > 1] = 0
    mixed = (shown * (1 - alpha) + painted * alpha).astype(pixels.dtype)
    return from_numpy(np.ascontiguousarray(mixed))


def draw_keypoints(
    image: Tensor,
    keypoints: Tensor,
    connectivity: Sequence[tuple[int, int]] | None = None,
    colors: Color | None = None,
    radius: int = 2,
    width: int = 3,
    visibility: Tensor | None = None,
) -> Tensor:
    """An image with points of objects, and lines between them.

    Args:
        image: (3, H, W), uint8, or of floating-point numbers in [0, 1].
        keypoints: (objects, K, 2), x, y in pixels.
        connectivity: pairs of points to draw a line between, unless one cannot be seen.
        colors: of the points; None draws no points. Lines are white.
        radius: of the points, in pixels.
        width: of the lines, in pixels.
        visibility: (objects, K), which points to draw; None for all.

    Returns:
        (3, H, W), in the dtype of the image.

    Raises:
        DTypeError: an image of other numbers.
        ShapeError: shapes other than these.
        MissingExtraError: Pillow is not installed.

    >>> import fovea
    >>> point = fovea.tensor([[[2, 2]]])
    >>> draw_keypoints(fovea.zeros(3, 5, 5), point, colors="red", radius=1)[0, 2].tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """
    name = "draw_keypoints"
    _check_image(name, image, (3,))
    if keypoints.ndim != 3 or keypoints.shape[2] != 2:
        raise ShapeError(f"{name}: keypoints are (objects, K, 2), got {describe(keypoints)}.")
    shape = tuple(keypoints.shape[:2])
    seen = np.ones(shape, bool)
    if visibility is not None:
        seen = visibility.detach().numpy().astype(bool)
        seen = seen[..., 0] if seen.ndim == 3 else seen
        if seen.shape != shape:
            raise ShapeError(
                f"{name}: visibility is (objects, K).",
                {"keypoints": describe(keypoints), "visibility": describe(visibility)},
            )
    picture = _as_picture(image)
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture)
    for points, drawn in zip(
        keypoints.detach().numpy().astype(np.int64).tolist(), seen.tolist(), strict=True
    ):
        for (x, y), visible in zip(points, drawn, strict=True):
            if visible:
                edges = [x - radius, y - radius, x + radius, y + radius]
                pen.ellipse(edges, fill=colors, outline=None, width=0)
        for one, other in connectivity or ():
            if drawn[one] and drawn[other]:
                pen.line((*points[one], *points[other]), width=width)
    return _as_tensor(picture, image)


def _check_image(name: str, image: Any, channels: tuple[int, ...]) -> None:
    if not is_tensor(image):
        raise ArgumentError(f"{name}: image is a tensor, got {type(image).__name__}.")
    if image.dtype.name != "uint8" and not image.dtype.is_floating_point:
        raise DTypeError(
            f"{name}: image is uint8 or of floating-point numbers, got {describe(image)}."
        )
    if image.ndim != 3 or image.shape[0] not in channels:
        wanted = " or ".join(map(str, channels))
        raise ShapeError(f"{name}: image is ({wanted}, H, W), got {describe(image)}.")


def _as_picture(image: Tensor) -> Image:
    """A tensor as an RGB PIL image."""
    from fovea.vision.transforms.v2 import functional as F  # a chain of imports, only for drawing

    pil = require_pillow("drawing")
    pixels = F.to_dtype(image.detach(), dtypes.uint8, scale=True).numpy()
    pixels = np.repeat(pixels, 3, 0) if len(pixels) == 1 else pixels
    made: Image = pil.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return made


def _as_tensor(picture: Image, like: Tensor) -> Tensor:
    from fovea.vision.transforms.v2 import functional as F

    pixels = from_numpy(np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1)))
    made: Tensor = F.to_dtype(pixels, like.dtype, scale=True)
    return made


def _colors(name: str, colors: Colors, count: int) -> list[Rgb]:
    """(red, green, blue) of each of so many things."""
    each: Sequence[Color]
    if colors is None:
        return [tuple(i * step % 255 for step in _STEPS) for i in range(count)]  # type: ignore[misc]
    if isinstance(colors, list):
        each = colors
        if len(each) < count:
            raise ArgumentError(f"{name}: {count} colors are needed, got {len(each)}.")
    elif isinstance(colors, str) or (isinstance(colors, tuple) and len(colors) == 3):
        each = [colors] * count  # type: ignore[list-item]
    else:
        raise ArgumentError(
            f"{name}: colors are a name or (red, green, blue), or a list of them: got {colors!r}."
        )
    return [_rgb(name, color) for color in each[:count]]


def _rgb(name: str, color: Color) -> Rgb:
    if not isinstance(color, str):
        return color
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(color)[:3]
    except ValueError:
        raise ArgumentError(f"{name}: {color!r} is no color that Pillow knows.") from None
