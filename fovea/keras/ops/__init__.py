"""``keras.ops``: functions that models and losses are written in, on tensors with values and on
symbolic ones.

>>> from fovea.keras import ops
>>> ops.softmax(ops.convert_to_tensor([[0.0, 0.0]]))
tensor([[0.5000, 0.5000]])
"""

from fovea.keras.ops import (
    arrangement,
    convolutions,
    core,
    elementwise,
    image,
    linalg,
    neural,
    nn,
    numpy,
    products,
    reductions,
    signals,
    statistics,
    transforms,
)
from fovea.keras.ops.arrangement import *  # noqa: F403
from fovea.keras.ops.convolutions import *  # noqa: F403
from fovea.keras.ops.core import *  # noqa: F403
from fovea.keras.ops.elementwise import BINARY, UNARY, clip, nan_to_num, round, where
from fovea.keras.ops.linalg import *  # noqa: F403
from fovea.keras.ops.neural import *  # noqa: F403
from fovea.keras.ops.nn import *  # noqa: F403
from fovea.keras.ops.numpy import *  # noqa: F403
from fovea.keras.ops.products import *  # noqa: F403
from fovea.keras.ops.reductions import *  # noqa: F403
from fovea.keras.ops.signals import *  # noqa: F403
from fovea.keras.ops.statistics import *  # noqa: F403
from fovea.keras.ops.transforms import *  # noqa: F403

globals().update(UNARY)
globals().update(BINARY)

# As in Keras, functions stand in submodules, too.
for _source, _target in (
    (neural, nn),
    (convolutions, nn),
    (arrangement, numpy),
    (statistics, numpy),
    (linalg, numpy),
    (products, numpy),
    (reductions, numpy),
    (transforms, core),
):
    for _name in _source.__all__:
        setattr(_target, _name, getattr(_source, _name))
for _name, _function in {**UNARY, **BINARY, "clip": clip, "where": where, "round": round}.items():
    setattr(numpy, _name, _function)
for _name in ("sigmoid", "polar"):
    setattr(nn, _name, globals()[_name])
for _name in ("copy", "nan_to_num", "ndim", "vectorize"):
    setattr(numpy, _name, globals()[_name])

__all__ = sorted(
    {
        *BINARY,
        *UNARY,
        *arrangement.__all__,
        *convolutions.__all__,
        *core.__all__,
        *linalg.__all__,
        *neural.__all__,
        *nn.__all__,
        *numpy.__all__,
        *products.__all__,
        *reductions.__all__,
        *signals.__all__,
        *statistics.__all__,
        *transforms.__all__,
        "clip",
        "nan_to_num",
        "round",
        "where",
    }
)
