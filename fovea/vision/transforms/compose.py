"""Transforms of transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.transforms import draws
from fovea.vision.transforms.base import Transform, check_probability
from fovea.vision.transforms.convert import Normalize, ToTensor, to_normalized
from fovea.vision.transforms.functional.geometry import resized_center
from fovea.vision.transforms.geometry import CenterCrop, Resize

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder"]

Step = Callable[[Any], Any]


class _Several(Transform):
    """A list of transforms, shown one a line."""

    transforms: Sequence[Step]

    def _lines(self) -> list[str]:
        return [f"    {step}".replace("\n", "\n    ") for step in self.transforms]

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__}(", *self._lines(), ")"])


def _checked(owner: str, transforms: Any) -> Any:
    if not isinstance(transforms, Sequence) and not hasattr(transforms, "__iter__"):
        raise ArgumentError(
            f"{owner}: transforms must be a list of transforms, got {transforms!r}."
        )
    return transforms


class Compose(_Several):
    """Transforms one after the other.

    Args:
        transforms: a list of functions of an image.

    >>> Compose([lambda x: x + 1, lambda x: x * 2])(3)
    8
    """

    def __init__(self, transforms: Sequence[Step]) -> None:
        self.transforms = _checked("Compose", transforms)

    def forward(self, img: Any) -> Any:
        at, steps = 0, self.transforms
        if not isinstance(steps, Sequence):
            steps = list(steps)
        while at < len(steps):
            as_one = _AS_ONE.get(tuple(map(type, steps[at : at + 2])))
            img = steps[at](img) if as_one is None else as_one(img, *steps[at : at + 2])
            at += 1 if as_one is None else 2
        return img


def _resized_center(img: Any, resize: Resize, crop: CenterCrop) -> Any:
    return resized_center(
        img, resize.size, crop.size, resize.interpolation, resize.max_size, resize.antialias
    )


def _to_normalized(img: Any, to_tensor: ToTensor, normalize: Normalize) -> Any:
    return to_normalized(img, normalize)


# Pairs of steps that are less work together, and what does both.
_AS_ONE: dict[tuple[type, ...], Callable[..., Any]] = {
    (Resize, CenterCrop): _resized_center,
    (ToTensor, Normalize): _to_normalized,
}


class Lambda(Transform):
    """A function as a transform.

    Args:
        lambd: a function of an image. A ``lambda`` cannot go to worker processes; a named function
            can.

    >>> Lambda(abs)(-1)
    1
    """

    def __init__(self, lambd: Step) -> None:
        if not callable(lambd):
            raise ArgumentError(f"Lambda: a function is needed, got {type(lambd).__name__}.")
        self.lambd = lambd

    def forward(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return "Lambda()"


class RandomApply(_Several):
    """All of the transforms with probability ``p``, else none.

    Args:
        transforms: a list of functions of an image.
        p: the probability.

    >>> RandomApply([abs], p=1.0)(-1)
    1
    """

    def __init__(self, transforms: Sequence[Step], p: float = 0.5) -> None:
        self.transforms = _checked("RandomApply", transforms)
        self.p = check_probability("RandomApply", p)

    def forward(self, img: Any) -> Any:
        if not draws.chance(self.p):
            return img
        for step in self.transforms:
            img = step(img)
        return img

    def __repr__(self) -> str:
        return "\n".join(["RandomApply(", f"    p={self.p}", *self._lines(), ")"])


class RandomChoice(_Several):
    """One of the transforms.

    Args:
        transforms: a list of functions of an image.
        p: how likely each is (weights; default: all alike).

    Raises:
        ArgumentError: no transforms, weights of another number, negative, or all 0.

    >>> RandomChoice([abs, str], p=[0, 1])(-1)
    '-1'
    """

    def __init__(self, transforms: Sequence[Step], p: Sequence[float] | None = None) -> None:
        self.transforms = _checked("RandomChoice", transforms)
        weights = [1.0] * len(transforms) if p is None else [float(w) for w in p]
        if len(weights) != len(transforms) or min(weights, default=-1) < 0 or sum(weights) <= 0:
            raise ArgumentError(
                f"RandomChoice: {len(transforms)} transforms need as many weights, none negative"
                f" and not all 0; got {p}."
            )
        self.p = p
        self._weights = weights

    def pick(self) -> int:
        """The number of a transform, drawn by the weights."""
        mark = draws.uniform(0.0, sum(self._weights))
        for number, weight in enumerate(self._weights):
            mark -= weight
            if mark < 0:
                return number
        # Rounding left the mark at the very end: the last one that can be chosen.
        return max(number for number, weight in enumerate(self._weights) if weight)

    def forward(self, img: Any) -> Any:
        return self.transforms[self.pick()](img)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


class RandomOrder(_Several):
    """All of the transforms, in random order.

    >>> RandomOrder([abs, abs])(-1)
    1
    """

    def __init__(self, transforms: Sequence[Step]) -> None:
        self.transforms = _checked("RandomOrder", transforms)

    def forward(self, img: Any) -> Any:
        for i in draws.permutation(len(self.transforms)):
            img = self.transforms[i](img)
        return img
