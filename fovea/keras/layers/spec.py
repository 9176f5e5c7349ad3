"""What a layer demands of its input's shape."""

from __future__ import annotations

from typing import Any

from fovea.errors import ShapeError
from fovea.keras.keras_tensor import is_shape

__all__ = ["InputSpec"]


class InputSpec:
    """Rank and sizes that a layer's input must have.

    Args:
        dtype: accepted for Keras's sake.
        shape: all sizes; None for any.
        ndim, max_ndim, min_ndim: how many dimensions.
        axes: dimension to the size it must have.

    >>> InputSpec(ndim=4).problem((None, 28, 28))
    'expected ndim=4, found ndim=3'
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype, self.shape = dtype, None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.axes = dict(axes or {})
        if self.shape is not None:
            self.axes |= {i: n for i, n in enumerate(self.shape) if n is not None}
        self.name, self.optional = name, optional

    def problem(self, shape: Any) -> str | None:
        """What is wrong with a shape, or None."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            return f"expected ndim={self.ndim}, found ndim={rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"expected min_ndim={self.min_ndim}, found ndim={rank}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"expected max_ndim={self.max_ndim}, found ndim={rank}"
        for axis, size in self.axes.items():
            found = shape[axis] if -rank <= axis < rank else None
            if size is not None and found is not None and found != size:
                return f"expected axis {axis} of the input to have size {size}, found {found}"
        return None


def check_input(layer: Any, spec: Any, shapes: Any) -> None:
    """Check the shape (or shapes) that a layer is called with.

    Raises:
        ShapeError: it does not fit; names the layer.
    """
    if is_shape(shapes):
        problem = spec.problem(shapes) if isinstance(spec, InputSpec) else None
        if problem:
            raise ShapeError(
                f'Input 0 of layer "{layer.name}" is incompatible with the layer: {problem}.',
                {"input": str(tuple(shapes))},
            )
