"""What transforms of samples share: a sample is taken apart, its parts are changed alike, and it is
put together again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from fovea.errors import ArgumentError
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms import draws
from fovea.vision.transforms.base import AsModule, check_probability, own_values
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.sample import flatten

__all__ = [
    "Fill",
    "RandomlyApplied",
    "Transform",
    "check_type",
    "checked_fill",
    "fill_of",
    "get_bounding_boxes",
    "get_keypoints",
    "has_all",
    "has_any",
    "is_image",
    "query_chw",
    "query_size",
]

Fill = Any  # a number, one a channel, None, or a dictionary of these by types and "others"
_PLACED = ("boxes", "bboxes", "bounding_boxes", "masks", "mask", "keypoints")


def is_image(value: Any) -> bool:
    """Whether a value says that it is an image or a video."""
    return isinstance(value, tv_tensors.Image | tv_tensors.Video) or is_pil_image(value)


class Transform(AsModule):
    """Base of transforms of samples: any nesting of tuples, lists and dictionaries.

    All images, videos, masks, boxes and points in a sample are changed alike. Of tensors that do
    not say what they are the first is taken for an image, if nothing else is one; the others, and
    whatever else is in the sample, stay.

    A transform is a module, so that it can be a model's first layer. Subclasses define
    ``transform(inpt, params)``, and ``make_params(flat_inputs)`` if they draw
    something.

    >>> class Negative(Transform):
    ...     def transform(self, inpt, params): return F.invert(inpt)
    >>> import fovea
    >>> Negative()({"image": fovea.zeros(1, 1, 1), "label": 3})
    {'image': tensor([[[1.]]]), 'label': 3}
    """

    _moves = False  # whether things change their places

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise if a sample lacks something."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is drawn once for a sample."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """A part of a sample, changed."""
        raise NotImplementedError(
            f"{type(self).__name__} should define transform(self, inpt, params)."
        )

    def changes(self, value: Any) -> bool:
        """Whether a part of a sample is for ``transform``."""
        return isinstance(value, Tensor) or is_pil_image(value)

    def forward(self, *inputs: Any) -> Any:
        """The sample, changed."""
        parts, names, rebuild = flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(parts)
        return rebuild(self._changed(parts, names))

    def _changed(self, parts: list[Any], names: list[str | None]) -> list[Any]:
        chosen = self._chosen(parts)
        if self._moves:
            self._refuse_left_behind(parts, names, chosen)
        params = self.make_params([p for p, c in zip(parts, chosen, strict=True) if c])
        pairs = zip(parts, chosen, strict=True)
        return [self.transform(p, params) if c else p for p, c in pairs]

    def _chosen(self, parts: list[Any]) -> list[bool]:
        """Which parts are changed."""
        pure = not any(is_image(p) for p in parts)
        chosen = []
        for part in parts:
            wanted = self.changes(part)
            if wanted and F.is_pure_tensor(part):
                wanted, pure = pure, False
            chosen.append(wanted)
        return chosen

    def _refuse_left_behind(
        self, parts: list[Any], names: list[str | None], chosen: list[bool]
    ) -> None:
        """Boxes that do not say that they are boxes would stay where they are."""
        for part, name, moved in zip(parts, names, chosen, strict=True):
            if not moved and name in _PLACED and F.is_pure_tensor(part):
                kind = "BoundingBoxes" if "box" in name else name.rstrip("s").capitalize()
                kind = "KeyPoints" if name == "keypoints" else kind
                raise ArgumentError(
                    f"{type(self).__name__}: {name!r} is a plain tensor and would not move with "
                    "its image.",
                    fix=f"make it a fovea.vision.tv_tensors.{kind}",
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The arguments, as they are shown."""
        shown = (bool, int, float, str, tuple, list, Enum)
        return ", ".join(
            f"{name}={value}" for name, value in own_values(self) if isinstance(value, shown)
        )


class RandomlyApplied(Transform):
    """Base of transforms that change a sample with a probability.

    Args:
        p: the probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability(type(self).__name__, p)

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        parts, names, rebuild = flatten(sample)
        self.check_inputs(parts)
        if not draws.chance(self.p):
            return sample
        return rebuild(self._changed(parts, names))


def query_size(flat_inputs: Sequence[Any]) -> tuple[int, int]:
    """Height and width of a sample's image, masks or boxes.

    Raises:
        ArgumentError: none of them is there, or their sizes differ.
    """
    sizes = {
        (int(height), int(width))
        for height, width in (
            F.get_size(part)
            for part in flat_inputs
            if isinstance(part, Tensor) or is_pil_image(part)
        )
    }
    if len(sizes) != 1:
        found = ", ".join(map(str, sorted(sizes))) or "no image, mask or box"
        raise ArgumentError(f"a sample of one (height, width) is needed, found {found}.")
    return sizes.pop()


def query_chw(flat_inputs: Sequence[Any]) -> tuple[int, int, int]:
    """Channels, height and width of a sample's images.

    Raises:
        ArgumentError: there is none, or they differ.
    """
    found = {
        tuple(F.get_dimensions(part))
        for part in flat_inputs
        if is_image(part) or F.is_pure_tensor(part)
    }
    if len(found) != 1:
        raise ArgumentError(f"images of one shape are needed, found {sorted(found) or 'none'}.")
    channels, height, width = found.pop()
    return channels, height, width


def get_bounding_boxes(flat_inputs: Sequence[Any]) -> tv_tensors.BoundingBoxes:
    """The boxes of a sample.

    Raises:
        ArgumentError: there are none.
    """
    return _only(flat_inputs, tv_tensors.BoundingBoxes)


def get_keypoints(flat_inputs: Sequence[Any]) -> tv_tensors.KeyPoints:
    """The points of a sample.

    Raises:
        ArgumentError: there are none.
    """
    return _only(flat_inputs, tv_tensors.KeyPoints)


def _only(flat_inputs: Sequence[Any], kind: type) -> Any:
    for part in flat_inputs:
        if isinstance(part, kind):
            return part
    raise ArgumentError(f"the sample has no {kind.__name__}.")


def fill_of(fill: Fill, inpt: Any) -> Any:
    """The fill for a part of a sample, of one for all or a dictionary by types and ``"others"``."""
    if not isinstance(fill, dict):
        return fill
    for kind in type(inpt).__mro__:
        if kind in fill:
            return fill[kind]
    return fill.get("others")


def checked_fill(owner: str, fill: Fill) -> Fill:
    """A fill, after a check.

    Raises:
        ArgumentError: no number, sequence of numbers, None, or dictionary of these.
    """
    values: Sequence[Any] = list(fill.values()) if isinstance(fill, dict) else [fill]
    for value in values:
        if value is not None and not isinstance(value, int | float | Sequence):
            raise ArgumentError(f"{owner}: fill must be numbers, or a dictionary, got {fill!r}.")
    return fill


def has_any(flat_inputs: Sequence[Any], *kinds: type | Callable[[Any], bool]) -> bool:
    """Whether a part of a sample is of one of the types, or what a function says yes to."""
    return any(check_type(part, kinds) for part in flat_inputs)


def has_all(flat_inputs: Sequence[Any], *kinds: type | Callable[[Any], bool]) -> bool:
    """Whether a sample has a part of each of the types."""
    return all(has_any(flat_inputs, kind) for kind in kinds)


def check_type(obj: Any, types_or_checks: Sequence[type | Callable[[Any], bool]]) -> bool:
    """Whether a value is of one of the types, or what a function says yes to."""
    return any(
        isinstance(obj, kind) if isinstance(kind, type) else kind(obj) for kind in types_or_checks
    )
