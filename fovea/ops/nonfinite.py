"""Whether any element of many tensors is infinite or not a number: what a loss scale hangs on."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dtypes
from fovea.ops.op import Op, Shaped, Spec
from fovea.ops.rules import require_floating

Array = np.ndarray[Any, Any]

__all__ = ["nonfinite"]

nonfinite = Op("nonfinite", ("*tensors",), nondifferentiable="it is a flag")


@nonfinite.shape
def _(*tensors: Shaped) -> Spec:
    for t in tensors:
        require_floating("nonfinite", tensor=t)
    return Spec((), dtypes.float32)


@nonfinite.reference
def _(*tensors: Array) -> Array:
    return np.array(not all(np.isfinite(t).all() for t in tensors), np.float32)
