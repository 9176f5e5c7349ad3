"""``keras.ops``: functions that models and losses are written in, on tensors with values and on
symbolic ones.

>>> from fovea.keras import ops
>>> ops.softmax(ops.convert_to_tensor([[0.0, 0.0]]))
tensor([[0.5000, 0.5000]])
"""

from fovea.keras.ops import core, elementwise, nn, numpy
from fovea.keras.ops.core import *  # noqa: F403
from fovea.keras.ops.elementwise import BINARY, UNARY, clip, nan_to_num, round, where
from fovea.keras.ops.nn import *  # noqa: F403
from fovea.keras.ops.numpy import *  # noqa: F403

globals().update(UNARY)
globals().update(BINARY)

__all__ = [
    *BINARY,
    *UNARY,
    *core.__all__,
    *nn.__all__,
    *numpy.__all__,
    "clip",
    "nan_to_num",
    "round",
    "where",
]
