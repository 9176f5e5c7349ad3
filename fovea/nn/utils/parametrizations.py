"""Ready-made parametrizations: weight, spectral and orthogonal."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import linalg
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, OutOfRangeError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.parts import cat
from fovea.functions.random import randn
from fovea.nn.functional.normalization import normalize
from fovea.nn.module import Module
from fovea.nn.utils import norms
from fovea.nn.utils.parametrize import register_parametrization
from fovea.tensor import Tensor
from fovea.tensorbase import is_tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

MAPS = ("matrix_exp", "cayley", "householder")


class _WeightNorm(Module):
    """``w = g v / |v|``, the norm over all dimensions but one."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return norms.rescaled(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """``g`` and ``v``."""
        return norms.norm_except_dim(weight, self.dim), weight


class _OldNames:
    """Before a module takes its part of a state: ``weight_g`` and ``weight_v`` have new names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        old = [f"{prefix}{self.name}_{part}" for part in "gv"]
        if all(key in state for key in old):
            for i, key in enumerate(old):
                state[f"{prefix}parametrizations.{self.name}.original{i}"] = state.pop(key)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn a weight's direction and its length apart: ``w = g v / |v|``.

    The lengths ``g`` are ``parametrizations.<name>.original0``, the directions ``v``
    ``original1``. States of ``fovea.nn.utils.weight_norm`` are read, too.

    Args:
        dim: the dimension that counts outputs, each of which has its own length; None for one
            length of the whole.

    Source: Salimans and Kingma, "Weight normalization", 2016.

    >>> import fovea
    >>> layer = weight_norm(fovea.nn.Linear(20, 40))
    >>> {k: tuple(v.shape) for k, v in layer.parametrizations.weight.named_parameters()}
    {'original0': (40, 1), 'original1': (40, 20)}
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(_OldNames(name))
    return module


class _SpectralNorm(Module):
    """``w / sigma``, sigma the largest singular value of w as a matrix."""

    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise OutOfRangeError(
                f"spectral_norm: dim {dim} is out of range for a weight of {weight.ndim} "
                "dimensions."
            )
        self.n_power_iterations = norms.check_iterations(n_power_iterations)
        self.dim, self.eps = dim % weight.ndim, eps
        if weight.ndim > 1:
            matrix = norms.as_matrix(weight.detach(), self.dim)
            u, v = norms.start(matrix, eps)
            norms.iterate(matrix, u, v, 15, eps, u_first=True)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = norms.as_matrix(weight, self.dim)
        if self.training:
            norms.iterate(matrix, self._u, self._v, self.n_power_iterations, self.eps, u_first=True)
        return weight / norms.sigma(matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself, which is taken to have norm 1."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, which power iteration estimates.

    In training mode every reading of the weight iterates.

    Args:
        n_power_iterations: iterations a reading.
        eps: a lower bound for norms that are divided by.
        dim: the dimension that counts outputs; 0, or 1 for transposed convolutions, unless given.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", 2018.

    >>> import fovea
    >>> layer = spectral_norm(fovea.nn.Linear(20, 40))
    >>> round(fovea.linalg.matrix_norm(layer.weight, 2).item(), 1)
    1.0
    """
    weight = _weight_of("spectral_norm", module, name)
    dim = norms.output_dim(module, dim)
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim, eps)
    )


def _weight_of(what: str, module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not is_tensor(weight):
        raise ArgumentError(f"{what}: {type(module).__name__} has no parameter or buffer {name!r}.")
    return weight


class _Orthogonal(Module):
    """A matrix with orthonormal columns (or rows, if there are more of them).

    With a ``base``, the map starts at it: ``base @ map(x)``, and x = -I means the base itself.
    """

    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ArgumentError("orthogonal: householder is for real matrices alone.")
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = x.mT
        q = _reflected(x) if self.orthogonal_map == "householder" else self._turned(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _turned(self, x: Tensor) -> Tensor:
        """A function of the skew-symmetric matrix with the lower triangle of x."""
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = cat([x, x.new_zeros((*x.shape[:-1], n - k))], -1)
        a = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = linalg.matrix_exp(a)
        else:
            eye = a.new_ones((n,)).diag()
            q = linalg.solve(eye - a * 0.5, eye + a * 0.5)
        return q[..., :k]

    def right_inverse(self, value: Tensor) -> Tensor:
        """What gives ``value``, made orthogonal."""
        if tuple(value.shape) != self.shape:
            raise ShapeError(f"orthogonal: the weight is {self.shape}, got {describe(value)}.")
        with no_grad():
            wide = value.shape[-2] < value.shape[-1]
            tall = value.mT if wide else value
            if hasattr(self, "base"):
                self.base = _completed(tall)
                x = value.new_zeros(value.shape)
                x.diagonal(dim1=-2, dim2=-1).fill_(-1)
                return x
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    f"the weight cannot be set: what {self.orthogonal_map} makes it of is not "
                    "unique. use_trivialization=True, or the map householder, allow it."
                )
            x = _reflectors(tall)
            return x.mT if wide else x


def _reflected(x: Tensor) -> Tensor:
    """The product of reflections at the columns of x below its diagonal, which holds the signs."""
    a = x.tril(-1)
    q = linalg.householder_product(a, 2 / (1 + (a * a).sum(-2)))
    return q * x.diagonal(dim1=-2, dim2=-1).detach().trunc().unsqueeze(-2)


def _reflectors(q: Tensor) -> Tensor:
    """x with ``_reflected(x)`` = q, for orthonormal columns q; otherwise for those of its QR."""
    raw, tau = np.linalg.qr(q.detach().numpy(), mode="raw")
    x = raw.swapaxes(-1, -2).copy()
    places = np.arange(tau.shape[-1])
    # LAPACK's q is the reflections' product, whose columns have the signs of R's diagonal.
    x[..., places, places] = np.sign(x[..., places, places]) * np.where(tau == 0, -1, 1)
    return from_array(x, q.dtype)


def _completed(q: Tensor) -> Tensor:
    """A square orthogonal matrix that starts with the columns of q, made orthogonal if need be."""
    n, k = q.shape[-2:]
    if n != k:
        q = cat([q, randn(*q.shape[:-1], n - k, dtype=q.dtype)], -1)
    elif _is_orthogonal(q):
        return q.clone()
    q, r = linalg.qr(q)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _is_orthogonal(q: Tensor) -> bool:
    n = q.shape[-1]
    error = (q.mH @ q - q.new_ones((n,)).diag()).abs().amax()
    return bool(error.item() <= 10 * n * np.finfo(q.dtype.numpy).eps)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a weight, as a (batch of) matrices, orthogonal while it is learned.

    Its columns are orthonormal, or its rows if there are more columns than rows. It starts as it
    is, made orthogonal.

    Args:
        orthogonal_map: how orthogonal matrices are made of free ones: ``"matrix_exp"`` (for square
            ones unless given), ``"cayley"`` or ``"householder"`` (for others unless given).
        use_trivialization: learn steps away from a base, the first weight, instead of the matrix
            itself.

    Raises:
        ValueError: no such tensor, fewer than 2 dimensions, or an unknown map.

    Source: Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds", 2019.

    >>> import fovea
    >>> layer = orthogonal(fovea.nn.Linear(20, 40))
    >>> q = layer.weight
    >>> fovea.allclose(q.T @ q, fovea.eye(20), atol=1e-5)
    True
    """
    weight = _weight_of("orthogonal", module, name)
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: at least 2 dimensions are needed, got {describe(weight)}.")
    square = weight.shape[-2] == weight.shape[-1]
    chosen = orthogonal_map or ("matrix_exp" if square or weight.is_complex() else "householder")
    if chosen not in MAPS:
        raise ArgumentError(f"orthogonal: orthogonal_map is one of {MAPS}, got {chosen!r}.")
    return register_parametrization(
        module, name, _Orthogonal(weight, chosen, use_trivialization), unsafe=True
    )
