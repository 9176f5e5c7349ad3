"""One function for every kind of tensor in a sample: which kernel does the work is decided by the
type of its first argument.

A function is defined by its kernel for images (PIL images, plain tensors, `Image`, `Video`). What
it does to masks, boxes and points is added beside it; what it leaves as it is, is said as well. A
kind that nothing is said of is refused, so that no box stays behind when its image moves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms.v2.functional.formats import clamped, from_corners, to_corners

__all__ = ["Array", "by_kind", "kernel_of", "leaves_places", "moves", "register_kernel"]

Array = np.ndarray[Any, Any]
Kernel = Callable[..., Any]
Size = tuple[int, int]  # height and width
# Points (..., 2) in an image of a size, and the arguments of the function: points and size after it
PointMap = Callable[..., tuple[Array, Size]]


def by_kind(image_kernel: Kernel) -> Any:
    """A function of any kind, from the one of images."""

    @functools.wraps(image_kernel)
    def call(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        return kernel_of(call, inpt)(inpt, *args, **kwargs)

    def on_image(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        made = image_kernel(inpt.as_tensor(), *args, **kwargs)
        if isinstance(made, tuple | list):
            return type(made)(tv_tensors.wrap(part, like=inpt) for part in made)
        return tv_tensors.wrap(made, like=inpt)

    call.image = image_kernel  # type: ignore[attr-defined]
    call.kernels = {tv_tensors.Image: on_image, tv_tensors.Video: on_image}  # type: ignore[attr-defined]
    return call


def kernel_of(function: Any, inpt: Any) -> Kernel:
    """The kernel of a function for an argument.

    Raises:
        TypeError: no image, and no kind of tensor that the function knows.
    """
    if isinstance(inpt, tv_tensors.TVTensor):
        for kind in type(inpt).__mro__:
            if kind in function.kernels:
                return function.kernels[kind]
    elif isinstance(inpt, Tensor) or is_pil_image(inpt):
        return function.image
    known = ", ".join(kind.__name__ for kind in function.kernels)
    raise TypeError(
        f"{function.__name__} does not know what to do with {type(inpt).__name__}; it knows PIL "
        f"images, tensors, {known}. register_kernel({function.__name__}, {type(inpt).__name__}) "
        "tells it."
    )


def register_kernel(functional: Any, tv_tensor_cls: type) -> Callable[[Kernel], Kernel]:
    """Decorate a kernel for another kind of tensor: it takes the tensor (a plain one of the same
    values) and the function's arguments; what it returns becomes of the kind again.

    Raises:
        ArgumentError: no function of transforms, or no subclass of `TVTensor`.

    >>> class Depth(tv_tensors.TVTensor): pass
    >>> from fovea.vision.transforms.v2 import functional
    >>> @register_kernel(functional.horizontal_flip, Depth)
    ... def flip_depth(depth): return depth.flip(-1)
    >>> functional.horizontal_flip(Depth([[1, 2]]))
    Depth([[2, 1]])
    """
    if not hasattr(functional, "kernels"):
        raise ArgumentError("register_kernel: the first argument is a function of transforms.")
    if not (isinstance(tv_tensor_cls, type) and issubclass(tv_tensor_cls, tv_tensors.TVTensor)):
        raise ArgumentError("register_kernel: the second argument is a subclass of TVTensor.")

    def register(kernel: Kernel) -> Kernel:
        def wrapped(inpt: Any, *args: Any, **kwargs: Any) -> Any:
            made = kernel(inpt.as_tensor(), *args, **kwargs)
            return tv_tensors.wrap(made, like=inpt)

        functional.kernels[tv_tensor_cls] = wrapped
        return kernel

    return register


def leaves_places(function: Any) -> Any:
    """Say that a function changes colors alone: masks, boxes and points stay."""
    for kind in (tv_tensors.Mask, tv_tensors.BoundingBoxes, tv_tensors.KeyPoints):
        function.kernels[kind] = _same
    return function


def _same(inpt: Any, *args: Any, **kwargs: Any) -> Any:
    return inpt


def moves(
    function: Any, points: PointMap, masks: Kernel | None = None, whole: bool = False
) -> None:
    """Say where a function takes points: boxes become the boxes around their corners.

    Args:
        function: one of images.
        points: (points, size, and the function's arguments) to (points, size).
        masks: the kernel of masks (default: that of images).
        whole: points of `KeyPoints` name pixels, so that the last column is the width less one.
    """
    masks_kernel = masks or function.image

    def on_mask(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        plain = inpt.as_tensor()
        flat = plain.unsqueeze(0) if plain.ndim == 2 else plain
        made = masks_kernel(flat, *args, **kwargs)
        return tv_tensors.wrap(made.squeeze(0) if plain.ndim == 2 else made, like=inpt)

    def on_boxes(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        values = inpt.as_tensor().numpy()
        box = _wide(to_corners(values, inpt.format))
        corners = box[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        moved, size = points(corners, inpt.canvas_size, *args, **kwargs)
        around = np.concatenate([moved.min(1), moved.max(1)], 1)
        if inpt.clamping_mode is not None:
            around = clamped(around, size)
        made = from_corners(around, inpt.format).astype(values.dtype)
        return tv_tensors.wrap(from_numpy(made), like=inpt, canvas_size=size)

    def on_points(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        values = inpt.as_tensor().numpy()
        if whole:
            kwargs["last"] = 1
        moved, size = points(_wide(values), inpt.canvas_size, *args, **kwargs)
        return tv_tensors.wrap(from_numpy(moved.astype(values.dtype)), like=inpt, canvas_size=size)

    function.kernels[tv_tensors.Mask] = on_mask
    function.kernels[tv_tensors.BoundingBoxes] = on_boxes
    function.kernels[tv_tensors.KeyPoints] = on_points


def _wide(values: Array) -> Array:
    return values.astype(np.float64)
