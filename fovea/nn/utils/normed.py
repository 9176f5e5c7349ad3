"""Weight and spectral normalization as older programs ask for it.

The module keeps its class; ``weight`` is computed from ``weight_g`` and ``weight_v``, or from
``weight_orig``, ``weight_u`` and ``weight_v``, whenever it is read.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from fovea import linalg
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.nn.computed import Computed, compute, computed, restore
from fovea.nn.lazy import UninitializedParameter
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.nn.utils import norms
from fovea.tensorbase import RemovableHandle

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def _learned(what: str, module: Module, name: str) -> Parameter:
    """The parameter of a module that is to be computed from others, if it can be."""
    if isinstance(computed(module).get(name), WeightNorm | SpectralNorm):
        raise RuntimeError(f"{what}: {name!r} of {type(module).__name__} is normalized already.")
    weight = module._parameters.get(name)
    if weight is None:
        raise ArgumentError(f"{what}: {type(module).__name__} has no parameter {name!r}.")
    if isinstance(weight, UninitializedParameter):
        raise ArgumentError(
            f"{what}: {name!r} of {type(module).__name__} has no values yet.",
            fix="call the module once before",
        )
    return weight


class WeightNorm(Computed):
    """``weight = g v / |v|``, the norm over all dimensions but one."""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    def value(self, module: Module) -> Tensor:
        g, v = (getattr(module, f"{self.name}_{part}") for part in "gv")
        return norms.rescaled(v, g, self.dim)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn a weight's direction ``weight_v`` and its length ``weight_g`` apart.

    Deprecated, as in PyTorch, in favor of ``parametrizations.weight_norm``.

    Args:
        dim: the dimension that counts outputs, each of which has its own length; None for one
            length of the whole.

    >>> import fovea, warnings
    >>> warnings.simplefilter("ignore")
    >>> [name for name, _ in weight_norm(fovea.nn.Linear(2, 3)).named_parameters()]
    ['bias', 'weight_g', 'weight_v']
    """
    warnings.warn(
        "nn.utils.weight_norm is deprecated: use nn.utils.parametrizations.weight_norm.",
        FutureWarning,
        stacklevel=2,
    )
    weight = _learned("weight_norm", module, name)
    how = WeightNorm(name, -1 if dim is None else dim)
    delattr(module, name)
    g = norms.norm_except_dim(weight.detach(), how.dim)
    module.register_parameter(f"{name}_g", Parameter(g))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    compute(module, name, how)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight a parameter again, with the value that it has now.

    Raises:
        ValueError: it is not normalized by ``weight_norm``.
    """
    if not isinstance(computed(module).get(name), WeightNorm):
        raise ArgumentError(f"weight_norm of {name!r} not found in {type(module).__name__}.")
    _back(module, name, ("_g", "_v"))
    return module


def _back(module: Module, name: str, suffixes: tuple[str, ...]) -> None:
    """Make a computed weight a parameter again, and drop what it was computed from."""
    value = getattr(module, name).detach()
    restore(module, name)
    for suffix in suffixes:
        delattr(module, name + suffix)
    module.register_parameter(name, Parameter(value))


class SpectralNorm(Computed):
    """``weight = orig / (u^T orig v)``; u and v follow the largest singular value's vectors.

    Its ``handles`` take the hooks off: one before ``forward`` that iterates, and two that read and
    write states of older versions.
    """

    _version = 1

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.dim, self.eps = name, dim, eps
        self.n_power_iterations = norms.check_iterations(n_power_iterations)
        self.handles: list[RemovableHandle] = []

    def parts(self, module: Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weight before, the same as a matrix, u and v."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        return weight, norms.as_matrix(weight, self.dim), u, v

    def value(self, module: Module) -> Tensor:
        weight, matrix, u, v = self.parts(module)
        return weight / norms.sigma(matrix, u, v)

    def iterate(self, module: Module, _: Any) -> None:
        """Before ``forward``: power iterations, in training mode."""
        if module.training:
            _, matrix, u, v = self.parts(module)
            norms.iterate(matrix, u, v, self.n_power_iterations, self.eps, u_first=False)

    def note_version(self, module: Module, state: Any, prefix: str, metadata: Any) -> None:
        """After a state is collected: that it holds v instead of the weight."""
        metadata.setdefault("spectral_norm", {})[f"{self.name}.version"] = self._version

    def read_old(
        self,
        module: Module,
        state: dict[str, Any],
        prefix: str,
        metadata: dict[str, Any],
        strict: bool,
        missing: list[str],
        *_: Any,
    ) -> None:
        """Before a state is taken: the oldest ones hold the weight, which v follows from."""
        version = metadata.get("spectral_norm", {}).get(f"{self.name}.version")
        key = prefix + self.name
        old = [key + "_orig", key, key + "_u"]
        if version is not None or (key not in state and key + "_v" in state):
            return
        absent = [k for k in old if k not in state]
        if absent:
            missing += absent
            return
        with no_grad():
            original, weight, u = state[old[0]], state.pop(key), state[old[2]]
            matrix = norms.as_matrix(original, self.dim)
            v = linalg.pinv(matrix) @ u
            target = (original / weight).mean()
            state[key + "_v"] = v * (target / norms.sigma(matrix, u, v))


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value, which power iteration estimates.

    In training mode every call of the module iterates. New programs use
    ``parametrizations.spectral_norm``.

    Args:
        n_power_iterations: iterations a call.
        eps: a lower bound for norms that are divided by.
        dim: the dimension that counts outputs; 0, or 1 for transposed convolutions, unless given.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", 2018.

    >>> import fovea
    >>> list(spectral_norm(fovea.nn.Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = _learned("spectral_norm", module, name)
    how = SpectralNorm(name, n_power_iterations, norms.output_dim(module, dim), eps)
    u, v = norms.start(norms.as_matrix(weight.detach(), how.dim), eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    compute(module, name, how)
    how.handles = [
        module.register_forward_pre_hook(how.iterate),
        module.register_state_dict_post_hook(how.note_version),
        module.register_load_state_dict_pre_hook(how.read_old),
    ]
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight a parameter again, with the value that it has now.

    Raises:
        ValueError: it is not normalized by ``spectral_norm``.
    """
    how = computed(module).get(name)
    if not isinstance(how, SpectralNorm):
        raise ArgumentError(f"spectral_norm of {name!r} not found in {type(module).__name__}.")
    _back(module, name, ("_orig", "_u", "_v"))
    for handle in how.handles:
        handle.remove()
    return module
