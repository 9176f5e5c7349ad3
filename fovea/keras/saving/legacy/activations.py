"""Functions that Keras 1 and 2 defined otherwise than Keras 3 does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea.keras.objects import register_keras_serializable

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["hard_sigmoid_of_keras_2"]


@register_keras_serializable("fovea")  # type: ignore[untyped-decorator]
def hard_sigmoid_of_keras_2(x: Tensor) -> Tensor:
    """``0.2 x + 0.5`` between 0 and 1; in Keras 3 the slope of ``hard_sigmoid`` is 1/6.

    >>> import fovea
    >>> hard_sigmoid_of_keras_2(fovea.tensor([-3.0, 0.0, 1.0])).tolist()
    [0.0, 0.5, 0.699999988079071]
    """
    return (x * 0.2 + 0.5).clip(0.0, 1.0)
