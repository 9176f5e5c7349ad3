"""Optimizer updates: the formulas of each, for one parameter (see ``update`` for the ops' form)."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from fovea.ops.update import UpdateAttrs, update_op

Array = np.ndarray[Any, Any]

__all__ = [
    "AdadeltaAttrs",
    "AdagradAttrs",
    "AdamAttrs",
    "AdamaxAttrs",
    "FtrlAttrs",
    "LionAttrs",
    "NadamAttrs",
    "RadamAttrs",
    "RmspropAttrs",
    "RpropAttrs",
    "SgdAttrs",
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "adamax_update",
    "ftrl_update",
    "lion_update",
    "nadam_update",
    "radam_update",
    "rmsprop_update",
    "rprop_update",
    "sgd_update",
]


@dataclass(frozen=True, eq=False)
class SgdAttrs(UpdateAttrs):
    """PyTorch's buffer sums gradients; with ``lr_in_velocity`` it is Keras's momentum * v - lr * g.

    ``first``: the buffers are new, and become the gradient whatever the dampening.
    """

    scalars = ("lr", "weight_decay", "momentum", "dampening", "skip")

    momentum: bool = False
    nesterov: bool = False
    lr_in_velocity: bool = False
    first: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()


@dataclass(frozen=True, eq=False)
class AdamAttrs(UpdateAttrs):
    """``eps_mode``: eps joins the root ``"corrected"`` for bias (PyTorch) or ``"raw"`` (Keras)."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "skip")

    amsgrad: bool = False
    eps_mode: str = "corrected"

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ()), "step")


@dataclass(frozen=True, eq=False)
class RmspropAttrs(UpdateAttrs):
    """``eps_mode``: eps is added ``"outside"`` the root (PyTorch) or ``"inside"`` (Keras).

    ``lr_in_velocity``: the momentum buffer sums lr * g / root (Keras) instead of g / root.
    """

    scalars = ("lr", "weight_decay", "alpha", "eps", "momentum", "skip")

    momentum: bool = False
    centered: bool = False
    eps_mode: str = "outside"
    lr_in_velocity: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if self.momentum else ()
        return ("square_avg", *momentum, *(("grad_avg",) if self.centered else ()), "step")


@dataclass(frozen=True, eq=False)
class AdagradAttrs(UpdateAttrs):
    """``eps_mode``: eps is added ``"outside"`` the root (PyTorch) or ``"inside"`` (Keras)."""

    scalars = ("lr", "weight_decay", "lr_decay", "eps", "skip")

    eps_mode: str = "outside"

    @property
    def states(self) -> tuple[str, ...]:
        return ("sum", "step")


@dataclass(frozen=True, eq=False)
class AdamaxAttrs(UpdateAttrs):
    """``eps_mode``: eps joins |g| in the ``"norm"`` (PyTorch) or the ``"ratio"`` (Keras)."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "skip")

    eps_mode: str = "norm"

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf", "step")


@dataclass(frozen=True, eq=False)
class NadamAttrs(UpdateAttrs):
    """PyTorch's; Keras's is the same with a momentum_decay of 1."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "momentum_decay", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "step", "mu_product")


@dataclass(frozen=True, eq=False)
class AdadeltaAttrs(UpdateAttrs):
    """PyTorch's and Keras's are the same."""

    scalars = ("lr", "weight_decay", "rho", "eps", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("square_avg", "acc_delta", "step")


@dataclass(frozen=True, eq=False)
class RadamAttrs(UpdateAttrs):
    """PyTorch's."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, eq=False)
class RpropAttrs(UpdateAttrs):
    """PyTorch's. A step size grows or shrinks by its factor within ``smallest`` and ``largest``."""

    scalars = ("lr", "weight_decay", "shrink", "grow", "smallest", "largest", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("prev", "step_size", "step")


@dataclass(frozen=True, eq=False)
class LionAttrs(UpdateAttrs):
    """Keras's, which is the paper's."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg",)


@dataclass(frozen=True, eq=False)
class FtrlAttrs(UpdateAttrs):
    """Keras's: ``l2`` holds what beta adds, ``l2_shrinkage`` joins the gradient."""

    scalars = ("lr", "weight_decay", "power", "l1", "l2", "l2_shrinkage", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("accumulator", "linear")


@update_op("sgd_update", SgdAttrs)
def sgd_update(p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: SgdAttrs) -> Array:
    """Polyak 1964; Nesterov's form as in Sutskever et al. 2013."""
    if not a.momentum:
        return p - c.lr * g
    if a.lr_in_velocity:
        s.momentum_buffer = c.momentum * s.momentum_buffer - c.lr * g
        return p + (c.momentum * s.momentum_buffer - c.lr * g if a.nesterov else s.momentum_buffer)
    if a.first:
        s.momentum_buffer = g
    else:
        s.momentum_buffer = c.momentum * s.momentum_buffer + (1 - c.dampening) * g
    return p - c.lr * (g + c.momentum * s.momentum_buffer if a.nesterov else s.momentum_buffer)


@update_op("adam_update", AdamAttrs)
def adam_update(p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdamAttrs) -> Array:
    """Kingma and Ba 2015; amsgrad: Reddi et al. 2018; decoupled: Loshchilov and Hutter 2019."""
    t = float(s.step)
    correction1, correction2 = 1 - c.beta1**t, 1 - c.beta2**t
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_avg_sq = c.beta2 * s.exp_avg_sq + (1 - c.beta2) * g * g
    square = s.exp_avg_sq
    if a.amsgrad:
        square = s.max_exp_avg_sq = np.maximum(s.max_exp_avg_sq, square)
    if a.eps_mode == "raw":
        return p - c.lr * correction2**0.5 / correction1 * s.exp_avg / (np.sqrt(square) + c.eps)
    return p - c.lr / correction1 * s.exp_avg / (np.sqrt(square) / correction2**0.5 + c.eps)


@update_op("rmsprop_update", RmspropAttrs)
def rmsprop_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: RmspropAttrs
) -> Array:
    """Tieleman and Hinton 2012; centered: Graves 2013."""
    s.square_avg = c.alpha * s.square_avg + (1 - c.alpha) * g * g
    square = s.square_avg
    if a.centered:
        s.grad_avg = s.grad_avg + (1 - c.alpha) * (g - s.grad_avg)
        square = square - s.grad_avg * s.grad_avg
    root = np.sqrt(square + c.eps) if a.eps_mode == "inside" else np.sqrt(square) + c.eps
    if not a.momentum:
        return p - c.lr * g / root
    if a.lr_in_velocity:
        s.momentum_buffer = c.momentum * s.momentum_buffer + c.lr * g / root
        return p - s.momentum_buffer
    s.momentum_buffer = c.momentum * s.momentum_buffer + g / root
    return p - c.lr * s.momentum_buffer


@update_op("adagrad_update", AdagradAttrs)
def adagrad_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdagradAttrs
) -> Array:
    """Duchi, Hazan and Singer 2011."""
    s.sum = s.sum + g * g
    root = np.sqrt(s.sum + c.eps) if a.eps_mode == "inside" else np.sqrt(s.sum) + c.eps
    return p - c.lr / (1 + (float(s.step) - 1) * c.lr_decay) * g / root


@update_op("adamax_update", AdamaxAttrs)
def adamax_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdamaxAttrs
) -> Array:
    """Kingma and Ba 2015, section 7."""
    in_norm, in_ratio = (0.0, c.eps) if a.eps_mode == "ratio" else (c.eps, 0.0)
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_inf = np.maximum(c.beta2 * s.exp_inf, np.abs(g) + in_norm)
    return p - c.lr / (1 - c.beta1 ** float(s.step)) * s.exp_avg / (s.exp_inf + in_ratio)


@update_op("nadam_update", NadamAttrs)
def nadam_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: NadamAttrs
) -> Array:
    """Dozat 2016."""
    t = float(s.step)
    mu = c.beta1 * (1 - 0.5 * 0.96 ** (t * c.momentum_decay))
    mu_next = c.beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * c.momentum_decay))
    s.mu_product = s.mu_product * np.float32(mu)
    product = float(s.mu_product)
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_avg_sq = c.beta2 * s.exp_avg_sq + (1 - c.beta2) * g * g
    root = np.sqrt(s.exp_avg_sq / (1 - c.beta2**t)) + c.eps
    now = c.lr * (1 - mu) / (1 - product)
    ahead = c.lr * mu_next / (1 - product * mu_next)
    return p - now * g / root - ahead * s.exp_avg / root


@update_op("adadelta_update", AdadeltaAttrs)
def adadelta_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdadeltaAttrs
) -> Array:
    """Zeiler 2012."""
    s.square_avg = c.rho * s.square_avg + (1 - c.rho) * g * g
    delta = np.sqrt(s.acc_delta + c.eps) / np.sqrt(s.square_avg + c.eps) * g
    s.acc_delta = c.rho * s.acc_delta + (1 - c.rho) * delta * delta
    return p - c.lr * delta


@update_op("radam_update", RadamAttrs)
def radam_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: RadamAttrs
) -> Array:
    """Liu et al. 2020: plain momentum until the variance of the divisor is known well enough."""
    t = float(s.step)
    correction2 = 1 - c.beta2**t
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_avg_sq = c.beta2 * s.exp_avg_sq + (1 - c.beta2) * g * g
    step = c.lr / (1 - c.beta1**t) * s.exp_avg
    limit = 2 / (1 - c.beta2) - 1
    length = limit - 2 * t * c.beta2**t / correction2  # of the average that it amounts to
    if length <= 5:
        return p - step
    ratio = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
    return p - step * (ratio * correction2) ** 0.5 / (np.sqrt(s.exp_avg_sq) + c.eps)


@update_op("rprop_update", RpropAttrs)
def rprop_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: RpropAttrs
) -> Array:
    """Riedmiller and Braun 1993: after a change of sign, nothing moves and the step shrinks."""
    agreement = g * s.prev
    factor = np.where(agreement > 0, c.grow, np.where(agreement < 0, c.shrink, 1.0))
    s.step_size = np.clip(s.step_size * factor.astype(p.dtype), c.smallest, c.largest)
    s.prev = np.where(agreement < 0, np.zeros_like(g), g)
    return p - np.sign(s.prev) * s.step_size


@update_op("lion_update", LionAttrs)
def lion_update(p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: LionAttrs) -> Array:
    """Chen et al. 2023."""
    direction = np.sign(c.beta1 * s.exp_avg + (1 - c.beta1) * g)
    s.exp_avg = c.beta2 * s.exp_avg + (1 - c.beta2) * g
    return p - c.lr * direction


@update_op("ftrl_update", FtrlAttrs)
def ftrl_update(p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: FtrlAttrs) -> Array:
    """McMahan et al. 2013: follow the regularized leader."""
    before, s.accumulator = s.accumulator, s.accumulator + g * g
    raised = s.accumulator**-c.power
    change = (raised - before**-c.power) / c.lr
    s.linear = s.linear + g + 2 * c.l2_shrinkage * p - change * p
    divisor = raised / c.lr + 2 * c.l2
    return (np.clip(s.linear, -c.l1, c.l1) - s.linear) / divisor
