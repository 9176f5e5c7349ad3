"""``fovea.func``: functions that transform functions.

What they return can be transformed again: ``grad(grad(f))``, ``vmap(grad(f))``,
``jacfwd(jacrev(f))``.
"""

from __future__ import annotations

from fovea.func.gradients import grad, grad_and_value, jvp, linearize, value_and_grad, vjp
from fovea.func.jacobians import hessian, jacfwd, jacrev
from fovea.func.mapping import vmap
from fovea.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from fovea.func.rearranging import rearrange

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
