"""Samples' kinds, element types and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.tensor import Tensor
from fovea.vision import tv_tensors
from fovea.vision.pillow import is_pil_image
from fovea.vision.transforms.v2 import functional as F
from fovea.vision.transforms.v2.transform import Transform

__all__ = [
    "ConvertImageDtype",
    "Identity",
    "Lambda",
    "LinearTransformation",
    "Normalize",
    "PILToTensor",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToPureTensor",
    "ToTensor",
    "UniformTemporalSubsample",
]


class Identity(Transform):
    """Nothing is changed."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class Lambda(Transform):
    """A function of the parts of a sample.

    Args:
        lambd: the function. A ``lambda`` cannot go to worker processes; a named function can.
        *types: the types that it is for (default: all).

    >>> Lambda(lambda x: x + 1, int)((1, "one"))
    (2, 'one')
    """

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        if not callable(lambd):
            raise ArgumentError(f"Lambda: a function is needed, got {type(lambd).__name__}.")
        self.lambd, self.types = lambd, types or (object,)

    def changes(self, value: Any) -> bool:
        return isinstance(value, self.types)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt)

    def extra_repr(self) -> str:
        return ", ".join([getattr(self.lambd, "__name__", "function"),
                          f"types={[t.__name__ for t in self.types]}"])  # fmt: skip


class ToImage(Transform):
    """PIL images, arrays (height, width, channels) and plain tensors as `Image` of the same values.

    >>> import numpy as np
    >>> ToImage()(np.zeros((4, 6, 3), np.uint8)).shape
    fovea.Size([3, 4, 6])
    """

    def changes(self, value: Any) -> bool:
        return F.is_pure_tensor(value) or is_pil_image(value) or type(value).__name__ == "ndarray"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_image(inpt)


class PILToTensor(Transform):
    """PIL images as tensors (channels, height, width) of the same values."""

    def changes(self, value: Any) -> bool:
        return is_pil_image(value)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pil_to_tensor(inpt)


class ToTensor(Transform):
    """PIL images and arrays (height, width, channels) as tensors (channels, height, width), 8-bit
    values as floats in [0, 1]. ``Compose([ToImage(), ToDtype(float32, scale=True)])`` keeps the
    kind.
    """

    def changes(self, value: Any) -> bool:
        return is_pil_image(value) or type(value).__name__ == "ndarray"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_tensor(inpt)


class ToPILImage(Transform):
    """Images (tensors and arrays) as PIL images.

    Args:
        mode: the PIL mode (default: by channels and type).
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def changes(self, value: Any) -> bool:
        image = F.is_pure_tensor(value) or isinstance(value, tv_tensors.Image)
        return image or type(value).__name__ == "ndarray"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_pil_image(inpt, self.mode)


class ToPureTensor(Transform):
    """All that says what it is as plain tensors."""

    def changes(self, value: Any) -> bool:
        return isinstance(value, tv_tensors.TVTensor)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.as_tensor()


class ToDtype(Transform):
    """Another element type.

    Args:
        dtype: the new type: of images and videos; or a dictionary of these by types and
            ``"others"`` (None: leave it).
        scale: scale images' values: floats span [0, 1], integers from 0 to their greatest.

    >>> import fovea
    >>> ToDtype(fovea.float32, scale=True)(fovea.full((1, 1, 1), 255, dtype=fovea.uint8)).item()
    1.0
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        self.dtype, self.scale = dtype, scale

    def changes(self, value: Any) -> bool:
        return isinstance(value, Tensor)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        dtype = self._wanted(inpt)
        return inpt if dtype is None else F.to_dtype(inpt, dtype, self.scale)

    def _wanted(self, inpt: Any) -> Any:
        if not isinstance(self.dtype, dict):
            pictures = F.is_pure_tensor(inpt) or isinstance(
                inpt, tv_tensors.Image | tv_tensors.Video
            )
            return self.dtype if pictures else None
        for kind in type(inpt).__mro__:
            if kind in self.dtype:
                return self.dtype[kind]
        if "others" in self.dtype:
            return self.dtype["others"]
        raise ArgumentError(
            f"ToDtype: no dtype for {type(inpt).__name__}.", fix='add "others": None to leave it'
        )


class ConvertImageDtype(Transform):
    """Another element type of images with values scaled.

    Args:
        dtype: the new type.
    """

    def __init__(self, dtype: Any = dtypes.float32) -> None:
        self.dtype = dtype

    def changes(self, value: Any) -> bool:
        return F.is_pure_tensor(value) or isinstance(value, tv_tensors.Image)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_dtype(inpt, self.dtype, scale=True)


class Normalize(Transform):
    """``(image - mean) / std``, channel by channel, for tensors of floats.

    Args:
        mean, std: one value a channel.
        inplace: write into the image.

    Raises:
        TypeError: a PIL image.

    >>> import fovea
    >>> Normalize([0.5], [0.5])(fovea.ones(1, 2, 2)).max().item()
    1.0
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = list(mean), list(std), inplace

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if any(is_pil_image(part) for part in flat_inputs):
            raise TypeError("Normalize: a PIL image; ToImage() and ToDtype(float32) come before.")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.normalize(inpt, self.mean, self.std, self.inplace)


class LinearTransformation(Transform):
    """An image, flattened, less a mean, times a matrix: whitening.

    Args:
        transformation_matrix: (D, D), where D is channels x height x width.
        mean_vector: (D,).

    Raises:
        ShapeError: sizes that do not fit.
    """

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        rows, columns = transformation_matrix.shape
        if rows != columns or tuple(mean_vector.shape) != (rows,):
            raise ShapeError(
                "LinearTransformation: a matrix (D, D) and a mean (D,) are needed.",
                {"matrix": describe(transformation_matrix), "mean": describe(mean_vector)},
            )
        self.transformation_matrix, self.mean_vector = transformation_matrix, mean_vector

    def changes(self, value: Any) -> bool:
        return isinstance(value, Tensor)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, tv_tensors.BoundingBoxes | tv_tensors.Mask | tv_tensors.KeyPoints):
            return inpt
        shape = tuple(inpt.shape)
        if shape[-3] * shape[-2] * shape[-1] != self.mean_vector.shape[0]:
            raise ShapeError(
                f"LinearTransformation: an image of {self.mean_vector.shape[0]} values is needed, "
                f"got {describe(inpt)}."
            )
        plain = inpt.as_tensor() if isinstance(inpt, tv_tensors.TVTensor) else inpt
        flat = plain.reshape(-1, self.mean_vector.shape[0]) - self.mean_vector
        made = flat.matmul(self.transformation_matrix).reshape(shape)
        return tv_tensors.wrap(made, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else made


class UniformTemporalSubsample(Transform):
    """So many frames of a video, evenly spread.

    Args:
        num_samples: how many.
    """

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def changes(self, value: Any) -> bool:
        return isinstance(value, tv_tensors.Video) or F.is_pure_tensor(value)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.uniform_temporal_subsample(inpt, self.num_samples)
