"""The images that a classifier is most wrong about, each with what it said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.vision.pillow import require_pillow

if TYPE_CHECKING:
    from PIL.Image import Image

    from fovea.cli.fitting import Guess
    from fovea.cli.preprocess import Preprocess

__all__ = ["worst_images"]

_SIDE, _TEXT, _COLUMNS = 150, 42, 6  # pixels of a cell, of the text under it; cells in a row
_PAPER, _INK, _RIGHT, _WRONG = "#202020", "#e5e7eb", "#34d399", "#f87171"


def worst_images(
    dataset: Any, guesses: Sequence[Guess], classes: Sequence[str], preprocess: Preprocess
) -> Image:
    """A picture of images with their class and the likeliest one.

    Args:
        dataset: its samples are (normalized image, class).
        guesses: which images, and what was said of them.
        classes: the classes' names.
        preprocess: how images were normalized.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    pil = require_pillow("drawing images")
    from PIL import ImageDraw, ImageFont

    columns = min(_COLUMNS, max(1, len(guesses)))
    rows = -(-len(guesses) // columns)
    sheet: Image = pil.new("RGB", (columns * _SIDE, rows * (_SIDE + _TEXT)), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, guess in enumerate(guesses):
        x, y = number % columns * _SIDE, number // columns * (_SIDE + _TEXT)
        image = _shown(pil, dataset[guess.index][0], preprocess)
        sheet.paste(image, (x + (_SIDE - image.width) // 2, y + (_SIDE - image.height) // 2))
        right = guess.predicted == guess.label
        said = f"said {classes[guess.predicted]} {guess.probability:.0%}"
        color = _RIGHT if right else _WRONG
        pen.text((x + 5, y + _SIDE + 1), _cut(pen, font, classes[guess.label]), _INK, font)
        pen.text((x + 5, y + _SIDE + 19), _cut(pen, font, said), color, font)
    return sheet


def _shown(pil: Any, image: Any, preprocess: Preprocess) -> Image:
    """A normalized image as it was, as large as a cell."""
    values = image.numpy()
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (preprocess.mean, preprocess.std))
    pixels = (np.clip(values * std + mean, 0, 1) * 255).round().astype(np.uint8)
    plain = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    scale = (_SIDE - 6) / max(plain.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in plain.shape[1::-1])
    smooth = pil.Resampling.BILINEAR if scale < 2 else pil.Resampling.NEAREST
    made: Image = pil.fromarray(plain).convert("RGB").resize(size, smooth)
    return made


def _cut(pen: Any, font: Any, text: str) -> str:
    """As much of a text as fits under an image."""
    shown = text
    while len(text) > 1 and pen.textlength(shown, font=font) > _SIDE - 8:
        text = text[:-1]
        shown = text + "…"
    return shown
