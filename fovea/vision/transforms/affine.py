"""Random rotation and random affine maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.transforms import draws
from fovea.vision.transforms import functional as F
from fovea.vision.transforms.base import Transform, span
from fovea.vision.transforms.interpolation import InterpolationMode, as_mode

__all__ = ["RandomAffine", "RandomRotation"]

Fill = float | Sequence[float] | None


def _point(owner: str, center: Sequence[float] | None) -> Sequence[float] | None:
    if center is not None and len(center) != 2:
        raise ArgumentError(f"{owner}: center must be a point (x, y), got {center!r}.")
    return center


class RandomRotation(Transform):
    """Turn an image by a random angle.

    Args:
        degrees: (least, greatest), counter-clockwise, or one number for (-degrees, degrees).
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        expand: make the result large enough for the whole turned image.
        center: the point (x, y) to turn about (default: the middle).
        fill: value outside the image, one or one a channel.

    >>> import fovea
    >>> RandomRotation((90, 90))(fovea.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[[2.0, 4.0], [1.0, 3.0]]]
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ) -> None:
        self.degrees = span("RandomRotation", "degrees", degrees)
        self.interpolation = as_mode(interpolation)
        self.expand = expand
        self.center = _point("RandomRotation", center)
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle."""
        return draws.uniform(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        center = "" if self.center is None else f", center={self.center}"
        return (
            f"RandomRotation(degrees={list(self.degrees)},"
            f" interpolation={self.interpolation.value},"
            f" expand={self.expand}{center}, fill={self.fill})"
        )


class RandomAffine(Transform):
    """Turn, scale, shear and move an image at random.

    Args:
        degrees: (least, greatest) angle, clockwise, or one number for (-degrees, degrees); 0 for
            none.
        translate: the greatest shift along x and y, as shares of width and height.
        scale: (least, greatest) factor.
        shear: one number or (least, greatest) along x in degrees; with four numbers along y, too.
        interpolation: how values between pixels are found; tensors know nearest and bilinear.
        fill: value outside the image, one or one a channel.
        center: the point (x, y) that stays but for the shift (default: the middle).

    Raises:
        ArgumentError: values out of range.

    >>> import fovea
    >>> RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1))(fovea.zeros(1, 28, 28)).shape
    fovea.Size([1, 28, 28])
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        self.degrees = span("RandomAffine", "degrees", degrees)
        if translate is not None and (
            len(translate) != 2 or not all(0 <= t <= 1 for t in translate)
        ):
            raise ArgumentError(
                f"RandomAffine: translate must be two shares in [0, 1], got {translate}."
            )
        if scale is not None and (len(scale) != 2 or min(scale) <= 0):
            raise ArgumentError(f"RandomAffine: scale must be two positive factors, got {scale}.")
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else span("RandomAffine", "shear", shear, (2, 4))
        self.interpolation = as_mode(interpolation)
        self.fill = 0 if fill is None else fill
        self.center = _point("RandomAffine", center)

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """Random angle, shift (x, y), factor and shear (x, y); ``img_size`` is (width, height)."""
        angle = draws.uniform(degrees[0], degrees[1])
        shift = (0, 0)
        if translate is not None:
            most = (translate[0] * img_size[0], translate[1] * img_size[1])
            shift = (
                round(draws.uniform(-most[0], most[0])),
                round(draws.uniform(-most[1], most[1])),
            )
        factor = 1.0 if scale_ranges is None else draws.uniform(scale_ranges[0], scale_ranges[1])
        shear_x = shear_y = 0.0
        if shears is not None:
            shear_x = draws.uniform(shears[0], shears[1])
            if len(shears) == 4:
                shear_y = draws.uniform(shears[2], shears[3])
        return angle, shift, factor, (shear_x, shear_y)

    def forward(self, img: Any) -> Any:
        size = F.get_image_size(img)
        chosen = self.get_params(self.degrees, self.translate, self.scale, self.shear, size)
        return F.affine(
            img, *chosen, interpolation=self.interpolation, fill=self.fill, center=self.center
        )
