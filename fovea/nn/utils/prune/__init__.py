"""Pruning: weights under a mask of zeros and ones, which a module holds beside them.

``weight`` becomes ``weight_orig * weight_mask``, computed whenever it is read; names in
``state_dict`` are PyTorch's.
"""

from __future__ import annotations

from fovea.nn.utils.prune.functions import (
    custom_from_mask,
    global_unstructured,
    identity,
    is_pruned,
    l1_unstructured,
    ln_structured,
    random_structured,
    random_unstructured,
    remove,
)
from fovea.nn.utils.prune.method import BasePruningMethod, PruningContainer
from fovea.nn.utils.prune.ways import (
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)
