"""Padding layers: zeros, a constant, mirrored, repeated or wrapped edges."""

from __future__ import annotations

from typing import ClassVar

from fovea.nn import functional as F
from fovea.nn.functional.arguments import numbers
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

Ints = int | tuple[int, ...]


class _Pad(Module):
    """Pads the last ``spatial`` dimensions."""

    mode: ClassVar[str] = "constant"
    spatial: ClassVar[int] = 2

    def __init__(self, padding: Ints) -> None:
        super().__init__()
        self.padding = numbers(type(self).__name__, "padding", padding, 2 * self.spatial)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Ints, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Adds a constant before and after the last dimension.

    Args:
        padding: (left, right), or one number for both; negative ones crop.
        value: the constant.

    Shapes:
        (..., L) to (..., left + L + right).

    >>> import fovea
    >>> ConstantPad1d(1, 9.0)(fovea.ones(1, 1))
    tensor([[9., 1., 9.]])
    """

    spatial = 1


class ConstantPad2d(_ConstantPad):
    """Adds a constant around images.

    Args:
        padding: (left, right, top, bottom), or one number for all; negative ones crop.
        value: the constant.

    Shapes:
        (..., H, W) to (..., top + H + bottom, left + W + right).

    >>> import fovea
    >>> ConstantPad2d((1, 0, 0, 0), 9.0)(fovea.ones(1, 1, 1, 1))
    tensor([[[[9., 1.]]]])
    """


class ZeroPad1d(_Pad):
    """Adds zeros before and after the last dimension.

    Args:
        padding: (left, right), or one number for both; negative ones crop.

    Shapes:
        (..., L) to (..., left + L + right).

    >>> import fovea
    >>> ZeroPad1d(1)(fovea.ones(1, 1))
    tensor([[0., 1., 0.]])
    """

    spatial = 1


class ZeroPad2d(_Pad):
    """Adds zeros around images.

    Args:
        padding: (left, right, top, bottom), or one number for all; negative ones crop.

    Shapes:
        (..., H, W) to (..., top + H + bottom, left + W + right).

    >>> import fovea
    >>> ZeroPad2d(1)(fovea.ones(1, 1, 1, 1)).shape
    fovea.Size([1, 1, 3, 3])
    """


class ReflectionPad1d(_Pad):
    """Adds the mirrored elements before and after the last dimension, without the edge.

    Args:
        padding: (left, right), or one number for both; less than L.

    Shapes:
        (..., L) to (..., left + L + right).

    >>> import fovea
    >>> ReflectionPad1d(1)(fovea.tensor([[1.0, 2.0]]))
    tensor([[2., 1., 2., 1.]])
    """

    mode = "reflect"
    spatial = 1


class ReflectionPad2d(_Pad):
    """Adds mirrored pixels around images, without the edge.

    Args:
        padding: (left, right, top, bottom), or one number for all; less than the size.

    Shapes:
        (..., H, W) to (..., top + H + bottom, left + W + right).

    >>> import fovea
    >>> ReflectionPad2d((1, 0, 0, 0))(fovea.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[2., 1., 2.]]]])
    """

    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Repeats the first and the last element.

    Args:
        padding: (left, right), or one number for both.

    Shapes:
        (..., L) to (..., left + L + right).

    >>> import fovea
    >>> ReplicationPad1d(1)(fovea.tensor([[1.0, 2.0]]))
    tensor([[1., 1., 2., 2.]])
    """

    mode = "replicate"
    spatial = 1


class ReplicationPad2d(_Pad):
    """Repeats the pixels at the edges of images.

    Args:
        padding: (left, right, top, bottom), or one number for all.

    Shapes:
        (..., H, W) to (..., top + H + bottom, left + W + right).

    >>> import fovea
    >>> ReplicationPad2d((1, 0, 0, 0))(fovea.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[1., 1., 2.]]]])
    """

    mode = "replicate"


class CircularPad1d(_Pad):
    """Continues the last dimension at its other end.

    Args:
        padding: (left, right), or one number for both; at most L.

    Shapes:
        (..., L) to (..., left + L + right).

    >>> import fovea
    >>> CircularPad1d(1)(fovea.tensor([[1.0, 2.0]]))
    tensor([[2., 1., 2., 1.]])
    """

    mode = "circular"
    spatial = 1


class CircularPad2d(_Pad):
    """Continues images at their other side.

    Args:
        padding: (left, right, top, bottom), or one number for all; at most the size.

    Shapes:
        (..., H, W) to (..., top + H + bottom, left + W + right).

    >>> import fovea
    >>> CircularPad2d((1, 0, 0, 0))(fovea.tensor([[[[1.0, 2.0]]]]))
    tensor([[[[2., 1., 2.]]]])
    """

    mode = "circular"


class ConstantPad3d(_ConstantPad):
    """Adds a constant around volumes.

    Args:
        padding: (left, right, top, bottom, front, back), or one number for all; negative ones crop.
        value: the constant.

    Shapes:
        (..., D, H, W) to (..., front + D + back, top + H + bottom, left + W + right).

    >>> import fovea
    >>> ConstantPad3d(1, 9.0)(fovea.ones(1, 1, 1, 1, 1)).sum()
    tensor(235.)
    """

    spatial = 3


class ZeroPad3d(_Pad):
    """Adds zeros around volumes.

    Args:
        padding: (left, right, top, bottom, front, back), or one number for all; negative ones crop.

    Shapes:
        (..., D, H, W) to (..., front + D + back, top + H + bottom, left + W + right).

    >>> import fovea
    >>> ZeroPad3d(1)(fovea.ones(1, 1, 1, 1, 1)).sum()
    tensor(1.)
    """

    spatial = 3


class ReflectionPad3d(_Pad):
    """Adds mirrored elements around volumes, without the edge.

    Args:
        padding: (left, right, top, bottom, front, back), or one number for all; less than the size.

    Shapes:
        (..., D, H, W) to (..., front + D + back, top + H + bottom, left + W + right).

    >>> import fovea
    >>> ReflectionPad3d(1)(fovea.ones(1, 1, 2, 2, 2)).shape
    fovea.Size([1, 1, 4, 4, 4])
    """

    mode = "reflect"
    spatial = 3


class ReplicationPad3d(_Pad):
    """Repeats the elements at the sides of volumes.

    Args:
        padding: (left, right, top, bottom, front, back), or one number for all.

    Shapes:
        (..., D, H, W) to (..., front + D + back, top + H + bottom, left + W + right).

    >>> import fovea
    >>> ReplicationPad3d(1)(fovea.ones(1, 1, 2, 2, 2)).shape
    fovea.Size([1, 1, 4, 4, 4])
    """

    mode = "replicate"
    spatial = 3


class CircularPad3d(_Pad):
    """Continues volumes at their other side.

    Args:
        padding: (left, right, top, bottom, front, back), or one number for all; at most the size.

    Shapes:
        (..., D, H, W) to (..., front + D + back, top + H + bottom, left + W + right).

    >>> import fovea
    >>> CircularPad3d(1)(fovea.ones(1, 1, 2, 2, 2)).shape
    fovea.Size([1, 1, 4, 4, 4])
    """

    mode = "circular"
    spatial = 3
