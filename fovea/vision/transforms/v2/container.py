"""Transforms of transforms, for samples of several parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.transforms import compose, draws
from fovea.vision.transforms.base import check_probability
from fovea.vision.transforms.v2.transform import Transform

__all__ = ["Compose", "RandomApply", "RandomChoice", "RandomOrder"]

Step = Callable[..., Any]


class _Several(Transform):
    transforms: Sequence[Step]

    def _run(self, steps: Sequence[Step], inputs: tuple[Any, ...]) -> Any:
        for step in steps:
            made = step(*inputs)
            inputs = made if len(inputs) > 1 else (made,)
        return inputs if len(inputs) > 1 else inputs[0]

    def __repr__(self) -> str:
        rows = [f"    {step}".replace("\n", "\n    ") for step in self.transforms]
        return "\n".join([f"{type(self).__name__}(", *self._more(), *rows, ")"])

    def _more(self) -> list[str]:
        return []


def _checked(owner: str, transforms: Any) -> Any:
    checked = compose._checked(owner, transforms)
    if not len(checked):
        raise ArgumentError(f"{owner}: transforms must not be empty.")
    return checked


class Compose(_Several):
    """Transforms one after the other.

    Args:
        transforms: a list of transforms.

    >>> import fovea
    >>> from fovea.vision.transforms import v2
    >>> steps = Compose([v2.Resize((4, 4)), v2.RandomHorizontalFlip(p=1.0)])
    >>> steps({"image": fovea.zeros(3, 8, 8), "label": 1})["image"].shape
    fovea.Size([3, 4, 4])
    """

    def __init__(self, transforms: Sequence[Step]) -> None:
        self.transforms = _checked("Compose", transforms)

    def forward(self, *inputs: Any) -> Any:
        return self._run(self.transforms, inputs)


class RandomApply(_Several):
    """All of the transforms with probability ``p``, else none.

    Args:
        transforms: a list of transforms.
        p: the probability.
    """

    def __init__(self, transforms: Sequence[Step], p: float = 0.5) -> None:
        self.transforms = _checked("RandomApply", transforms)
        self.p = check_probability("RandomApply", p)

    def forward(self, *inputs: Any) -> Any:
        return self._run(self.transforms if draws.chance(self.p) else (), inputs)

    def _more(self) -> list[str]:
        return [f"    p={self.p}"]


class RandomChoice(_Several):
    """One of the transforms.

    Args:
        transforms: a list of transforms.
        p: how likely each is (weights; default: all alike).
    """

    def __init__(self, transforms: Sequence[Step], p: Sequence[float] | None = None) -> None:
        self.transforms = _checked("RandomChoice", transforms)
        self._choice = compose.RandomChoice(range(len(transforms)), p)  # type: ignore[arg-type]
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        return self._run([self.transforms[self._choice.pick()]], inputs)


class RandomOrder(_Several):
    """All of the transforms, in random order.

    Args:
        transforms: a list of transforms.
    """

    def __init__(self, transforms: Sequence[Step]) -> None:
        self.transforms = _checked("RandomOrder", transforms)

    def forward(self, *inputs: Any) -> Any:
        order = draws.permutation(len(self.transforms))
        return self._run([self.transforms[i] for i in order], inputs)
