"""``fovea.keras.mixed_precision``: computation in a half type, weights in float32.

>>> from fovea.keras import layers
>>> set_global_policy("mixed_bfloat16")
>>> dense = layers.Dense(2)
>>> set_global_policy("float32")
>>> dense.compute_dtype, dense.variable_dtype
('bfloat16', 'float32')
"""

from __future__ import annotations

from fovea.keras.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from fovea.keras.optimizers.loss_scale import LossScaleOptimizer

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]

Policy = DTypePolicy
set_global_policy, global_policy = set_dtype_policy, dtype_policy
