"""Samples turned, slanted and bent at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.functions.random import rand
from fovea.vision.transforms import affine, draws
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode
from fovea.vision.transforms.kernels import spatial
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.geometry import BILINEAR, Moving
from fovea.vision.transforms.v2.transform import (
    Fill,
    RandomlyApplied,
    checked_fill,
    fill_of,
    query_size,
)

__all__ = ["ElasticTransform", "RandomAffine", "RandomPerspective", "RandomRotation"]

NEAREST = InterpolationMode.NEAREST


class RandomRotation(Moving):
    """Turn a sample by a random angle.

    Args:
        degrees: (least, greatest), counter-clockwise, or one number for (-degrees, degrees).
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        expand: make the result large enough for the whole turned image.
        center: the point (x, y) to turn about (default: the middle).
        fill: value outside the image, one or one a channel, or a dictionary of these by types and
            ``"others"``.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ) -> None:
        plain = affine.RandomRotation(degrees, interpolation, expand, center)
        self.degrees, self.interpolation = plain.degrees, plain.interpolation
        self.expand, self.center = expand, plain.center
        self.fill = checked_fill("RandomRotation", fill)

    get_params = staticmethod(affine.RandomRotation.get_params)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"angle": self.get_params(self.degrees)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(self.fill, inpt)
        return F.rotate(inpt, params["angle"], self.interpolation, self.expand, self.center, fill)


class RandomAffine(Moving):
    """Turn, scale, shear and move a sample at random.

    Args:
        degrees: (least, greatest) angle, clockwise, or one number for (-degrees, degrees); 0 for
            none.
        translate: the greatest shift along x and y, as shares of width and height.
        scale: (least, greatest) factor.
        shear: one number or (least, greatest) along x in degrees; with four numbers along y, too.
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        fill: value outside the image, one or one a channel, or a dictionary of these by types and
            ``"others"``.
        center: the point (x, y) that stays but for the shift (default: the middle).
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Any = NEAREST,
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        plain = affine.RandomAffine(degrees, translate, scale, shear, interpolation, 0, center)
        self.degrees, self.translate, self.scale = plain.degrees, translate, scale
        self.shear, self.interpolation, self.center = plain.shear, plain.interpolation, center
        self.fill = checked_fill("RandomAffine", fill)

    get_params = staticmethod(affine.RandomAffine.get_params)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        chosen = self.get_params(
            self.degrees, self.translate, self.scale, self.shear, (width, height)
        )
        return dict(zip(("angle", "translate", "scale", "shear"), chosen, strict=True))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.affine(
            inpt,
            **params,
            interpolation=self.interpolation,
            fill=fill_of(self.fill, inpt),
            center=self.center,
        )


class RandomPerspective(RandomlyApplied):
    """Look at a sample from another side, with probability ``p``.

    Args:
        distortion_scale: how far corners move, from 0 to 1 (to the middle).
        p: the probability.
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        fill: value outside the image, one or one a channel, or a dictionary of these by types and
            ``"others"``.
    """

    _moves = True

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = BILINEAR,
        fill: Fill = 0,
    ) -> None:
        super().__init__(p)
        if not 0 <= distortion_scale <= 1:
            raise ArgumentError(
                f"RandomPerspective: distortion_scale must lie in [0, 1], got {distortion_scale}."
            )
        self.distortion_scale = distortion_scale
        self.interpolation = as_mode(interpolation)
        self.fill = checked_fill("RandomPerspective", fill)

    @staticmethod
    def get_params(
        width: int, height: int, distortion_scale: float
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The four corners, from the upper left one clockwise, and where they go."""
        x = int(distortion_scale * (width // 2)) + 1
        y = int(distortion_scale * (height // 2)) + 1
        right, bottom = width - 1, height - 1
        start = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
        end = [[abs(u - draws.integer(0, x)), abs(v - draws.integer(0, y))] for u, v in start]
        return start, end

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        start, end = self.get_params(width, height, self.distortion_scale)
        return {"startpoints": start, "endpoints": end}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(self.fill, inpt)
        return F.perspective(inpt, **params, interpolation=self.interpolation, fill=fill)


class ElasticTransform(Moving):
    """Bend a sample as if it were drawn on water.

    Args:
        alpha: how far, along x and y or both alike, in pixels before smoothing.
        sigma: how smoothly: the standard deviation, along x and y or both alike.
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        fill: value outside the image, one or one a channel, or a dictionary of these by types and
            ``"others"``.

    Source: Simard, Steinkraus, Platt, "Best practices for convolutional neural networks applied to
    visual document analysis", 2003.
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: Any = BILINEAR,
        fill: Fill = 0,
    ) -> None:
        self.alpha = _two("alpha", alpha)
        self.sigma = _two("sigma", sigma)
        self.interpolation = as_mode(interpolation)
        self.fill = checked_fill("ElasticTransform", fill)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = query_size(flat_inputs)
        beside = (rand(2, height, width) * 2 - 1).numpy()
        parts = []
        for part, alpha, sigma, length in zip(
            beside, self.alpha, self.sigma, (width, height), strict=True
        ):
            if sigma > 0:
                size = int(8 * sigma + 1) | 1
                sizes = [min(size, 2 * n - 1) for n in (width, height)]  # reflected at most once
                part = spatial.gaussian_blur(part[None], sizes, self.sigma)[0]
            parts.append(part * alpha / length)
        return {"displacement": from_numpy(np.stack(parts, -1)[None].astype(np.float32))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        fill = fill_of(self.fill, inpt)
        return F.elastic(inpt, params["displacement"], self.interpolation, fill)


def _two(name: str, value: float | Sequence[float]) -> list[float]:
    values = list(value) if isinstance(value, Sequence) else [value]
    if len(values) not in (1, 2) or any(v < 0 for v in values):
        raise ArgumentError(
            f"ElasticTransform: {name} is one or two numbers, not negative, got {value!r}."
        )
    return [float(v) for v in values * (2 // len(values))]
