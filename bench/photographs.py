"""A folder of drawn JPEGs that cost a decoder what photographs do.

Textures have the spectrum of natural pictures (amplitudes fall with the frequency), with shapes of
other textures before them and a camera's noise. At 500×375 and this quality a file has some 105 kB,
as ImageNet's have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["draw", "write_folder"]

CLASSES, QUALITY = 4, 95
SHAPES = (4, 9)  # in a picture: from, to before

Pixels = np.ndarray[Any, Any]


def _texture(rng: np.random.Generator, height: int, width: int, power: float) -> Pixels:
    """Noise whose amplitudes fall with the frequency to this power; mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    waves = rng.standard_normal((2, *frequency.shape))
    values = np.fft.irfft2((waves[0] + 1j * waves[1]) / frequency**power, (height, width))
    return (values / values.std()).astype(np.float32)


def draw(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A picture: uint8 (height, width, 3)."""
    light = 128 + 45 * _texture(rng, height, width, 1.15)
    image = np.stack([light + 18 * _texture(rng, height, width, 1.6) for _ in range(3)], -1)
    y, x = np.mgrid[:height, :width]
    for _ in range(int(rng.integers(*SHAPES))):
        cy, cx = rng.random(2) * (height, width)
        ry, rx = rng.uniform(0.05, 0.4, 2) * min(height, width)
        inside = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        texture = rng.uniform(5, 30) * _texture(rng, height, width, rng.uniform(1.1, 1.8))
        image[inside] = (rng.uniform(20, 235, 3) + texture[..., None])[inside]
    image += rng.normal(0, 3, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def write_folder(folder: Path, images: int, size: tuple[int, int] = (375, 500)) -> None:
    """Write so many pictures, a folder a class; three in ten stand upright."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(images):
        height, width = size if rng.random() < 0.7 else size[::-1]
        place = folder / f"class {number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(draw(rng, height, width))
        picture.save(place / f"{number:05d}.jpg", "JPEG", quality=QUALITY)
