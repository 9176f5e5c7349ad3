"""Tensors that say what of a sample they are: image, video, masks, boxes, points.

Transforms (`fovea.vision.transforms.v2`) move each kind as it must move. What is computed with one
is a plain tensor; ``clone``, ``detach``, ``to`` and ``requires_grad_`` keep the kind, and `wrap`
gives it back.

>>> import fovea
>>> boxes = BoundingBoxes([[0, 0, 4, 2]], format="XYXY", canvas_size=(10, 20))
>>> boxes
BoundingBoxes([[0, 0, 4, 2]], format=XYXY, canvas_size=(10, 20), clamping_mode=soft)
>>> type(boxes + 1) is fovea.Tensor, type(boxes.clone()).__name__
(True, 'BoundingBoxes')
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Self, TypeVar

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import as_tensor
from fovea.targets.base import blank
from fovea.tensor import Tensor
from fovea.vision.pillow import is_pil_image

__all__ = [
    "BoundingBoxFormat",
    "BoundingBoxes",
    "Image",
    "KeyPoints",
    "Mask",
    "TVTensor",
    "Video",
    "wrap",
]


class BoundingBoxFormat(Enum):
    """What the four numbers of a box are: two corners; a corner, width and height; or the middle,
    width and height.
    """

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"


class TVTensor(Tensor):
    """Base of tensors that are part of a sample.

    Args:
        data: what `fovea.as_tensor` takes; a tensor's memory is shared.
        dtype: the element type (default: the data's).
        device: accepted.
        requires_grad: whether backward computes its gradient.
    """

    fields: tuple[str, ...] = ()  # what is known besides the values

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return blank(cls)

    def __init__(
        self,
        data: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool | None = None,
    ) -> None:
        self._fill(as_tensor(data, dtype=dtype, device=device), requires_grad)

    def _fill(self, values: Tensor, requires_grad: bool | None = None) -> None:
        self.data = values.detach()
        if requires_grad is None:
            requires_grad = values.requires_grad
        if requires_grad:
            self.requires_grad = True

    def _like(self, values: Tensor) -> Self:
        """Other values of the same kind."""
        if type(values) is type(self):
            return values
        made = blank(type(self))
        TVTensor._fill(made, values)
        for name in self.fields:
            setattr(made, name, getattr(self, name))
        return made

    def clone(self, *args: Any, **kwargs: Any) -> Self:
        """A copy of the same kind."""
        return self._like(super().clone(*args, **kwargs))

    def detach(self) -> Self:
        """The same memory outside the tape, of the same kind."""
        return self._like(super().detach())

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Another dtype or device, of the same kind."""
        return self._like(super().to(*args, **kwargs))

    def as_tensor(self) -> Tensor:
        """The same memory as a plain tensor."""
        return super().detach()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = self.clone()
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        known = {name: getattr(self, name) for name in self.fields}
        return _restored, (type(self), self.as_tensor(), known, self.requires_grad)

    def __repr__(self) -> str:
        values = repr(self.as_tensor()).removeprefix("tensor(").removesuffix(")")
        known = "".join(f", {name}={_shown(getattr(self, name))}" for name in self.fields)
        return f"{type(self).__name__}({values}{known})"


def _shown(value: Any) -> str:
    return value.name if isinstance(value, Enum) else str(value)


def _restored(
    kind: type[TVTensor], values: Tensor, known: dict[str, Any], requires_grad: bool
) -> TVTensor:
    made: TVTensor = blank(kind)
    TVTensor._fill(made, values, requires_grad)
    for name, value in known.items():
        setattr(made, name, value)
    return made


Kind = TypeVar("Kind", bound=TVTensor)


def wrap(wrappee: Tensor, *, like: Kind, **kwargs: Any) -> Kind:
    """Values as the kind of tensor that ``like`` is, with what is known of it.

    Args:
        wrappee: the values.
        like: a tensor of the kind.
        **kwargs: what is known otherwise (``format``, ``canvas_size``, ``clamping_mode``).

    >>> mask = Mask([[0, 1]])
    >>> wrap(mask * 2, like=mask)
    Mask([[0, 2]])
    """
    made = like._like(wrappee) if type(wrappee) is not type(like) else wrappee.detach()
    for name in like.fields:
        setattr(made, name, kwargs.get(name, getattr(like, name)))
    return made


class Image(TVTensor):
    """An image (..., channels, height, width); of a PIL image or (height, width) values, too.

    >>> Image([[1, 2]]).shape
    fovea.Size([1, 1, 2])
    """

    def __init__(
        self,
        data: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool | None = None,
    ) -> None:
        if is_pil_image(data):
            from fovea.vision.transforms.functional.convert import pil_to_tensor

            data = pil_to_tensor(data)
        super().__init__(data, dtype=dtype, device=device, requires_grad=requires_grad)
        if self.ndim < 2:
            raise ShapeError(f"Image: an image has at least 2 dimensions, got {describe(self)}.")
        if self.ndim == 2:
            self.data = self.as_tensor().unsqueeze(0)


class Video(TVTensor):
    """A video (..., frames, channels, height, width)."""

    def __init__(self, data: Any, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        if self.ndim < 4:
            raise ShapeError(f"Video: a video has at least 4 dimensions, got {describe(self)}.")


class Mask(TVTensor):
    """Masks (..., height, width): classes of pixels, or one mask for each object; of a PIL image,
    too.
    """

    def __init__(self, data: Any, **kwargs: Any) -> None:
        if is_pil_image(data):
            from fovea.vision.transforms.functional.convert import pil_to_tensor

            data = pil_to_tensor(data)
        super().__init__(data, **kwargs)


class _Placed(TVTensor):
    """Of what lies in an image: its height and width are known."""

    canvas_size: tuple[int, int]


class BoundingBoxes(_Placed):
    """Boxes (N, 4) around objects, in pixels.

    Args:
        data: the boxes, or one of them.
        format: a `BoundingBoxFormat` or its name.
        canvas_size: height and width of the image.
        clamping_mode: None: transforms let boxes reach out of the image; ``"soft"``, ``"hard"``
            (the same, for boxes that are not turned): they are cut off at its edges.
        dtype, device, requires_grad: as for any tensor.

    Raises:
        ShapeError: values of another shape.
        ArgumentError: another format, or clamping mode.
    """

    fields = ("format", "canvas_size", "clamping_mode")
    format: BoundingBoxFormat
    clamping_mode: str | None

    def __init__(
        self,
        data: Any,
        *,
        format: BoundingBoxFormat | str,
        canvas_size: tuple[int, int],
        clamping_mode: str | None = "soft",
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool | None = None,
    ) -> None:
        super().__init__(data, dtype=dtype, device=device, requires_grad=requires_grad)
        if self.ndim == 1 and self.numel():
            self.data = self.as_tensor().unsqueeze(0)
        elif not self.numel():
            self.data = self.as_tensor().reshape(0, 4)
        if self.ndim != 2 or self.shape[1] != 4:
            raise ShapeError(f"BoundingBoxes: boxes are (N, 4), got {describe(self)}.")
        self.format = as_format(format)
        self.canvas_size = (int(canvas_size[0]), int(canvas_size[1]))
        if clamping_mode not in (None, "soft", "hard"):
            raise ArgumentError(
                f"BoundingBoxes: clamping_mode is None, 'soft' or 'hard', got {clamping_mode!r}."
            )
        self.clamping_mode = clamping_mode


def as_format(format: BoundingBoxFormat | str) -> BoundingBoxFormat:
    """A format by its name.

    Raises:
        ArgumentError: there is none of the name.
    """
    if isinstance(format, BoundingBoxFormat):
        return format
    known = BoundingBoxFormat.__members__
    if str(format).upper() not in known:
        raise ArgumentError(f"a format of boxes is one of {', '.join(known)}, got {format!r}.")
    return known[str(format).upper()]


class KeyPoints(_Placed):
    """Points (..., 2) as x and y, in pixels.

    Args:
        data: the points.
        canvas_size: height and width of the image.
        dtype, device, requires_grad: as for any tensor.

    Raises:
        ShapeError: values of another shape.
    """

    fields = ("canvas_size",)

    def __init__(
        self,
        data: Any,
        *,
        canvas_size: tuple[int, int],
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool | None = None,
    ) -> None:
        super().__init__(data, dtype=dtype, device=device, requires_grad=requires_grad)
        if self.ndim == 1 and self.numel():
            self.data = self.as_tensor().unsqueeze(0)
        if self.ndim < 2 or self.shape[-1] != 2:
            raise ShapeError(f"KeyPoints: points are (..., 2), got {describe(self)}.")
        self.canvas_size = (int(canvas_size[0]), int(canvas_size[1]))
