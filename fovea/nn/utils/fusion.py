"""Batch normalization folded into the layer before it, for evaluation.

A compiled program does this by itself; these functions make a model that does without the layers.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from fovea.errors import ArgumentError
from fovea.functions.creation import ones_like, zeros_like
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]

M = TypeVar("M", bound=Module)


def _check_evaluated(what: str, layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise ArgumentError(
            f"{what}: in training, batch normalization depends on the batch.",
            fix="call eval() of both layers",
        )
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError(f"{what}: the normalization has no running statistics.")


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A convolution that does what ``conv`` and the normalization ``bn`` after it do.

    Args:
        conv, bn: both in evaluation mode; they are not changed.
        transpose: whether the convolution is a transposed one.

    Raises:
        ValueError: training mode, or no running statistics.

    >>> import fovea
    >>> conv, bn = fovea.nn.Conv2d(3, 8, 1).eval(), fovea.nn.BatchNorm2d(8).eval()
    >>> fused, x = fuse_conv_bn_eval(conv, bn), fovea.randn(1, 3, 4, 4)
    >>> fovea.allclose(fused(x), bn(conv(x)), atol=1e-5)
    True
    """
    _check_evaluated("fuse_conv_bn_eval", conv, bn)
    fused: Any = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the two layers together.

    ``w' = w s, b' = (b - mean) s + bn_b, s = bn_w / sqrt(var + eps)``

    Args:
        conv_w, conv_b: (out, in / groups, ...), with ``transpose`` (in, out, ...); and (out) or
            None.
        bn_rm, bn_rv, bn_eps: running mean and variance (out), and what is added to it.
        bn_w, bn_b: (out), or None for ones and zeros.
    """
    scale = (ones_like(bn_rm) if bn_w is None else bn_w) * (bn_rv + bn_eps).rsqrt()
    lead = (1, -1) if transpose else (-1, 1)
    weight = conv_w * scale.reshape((*lead, *(1,) * (conv_w.ndim - 2)))
    return _parameters(conv_w, weight, conv_b, bn_rm, scale, bn_b)


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A linear layer that does what ``linear`` and the normalization ``bn`` after it do.

    Args:
        linear, bn: both in evaluation mode; they are not changed.

    Raises:
        ValueError: training mode, no running statistics, or another number of features.
    """
    _check_evaluated("fuse_linear_bn_eval", linear, bn)
    fused: Any = copy.deepcopy(linear)
    if bn.num_features not in (fused.out_features, 1):
        raise ArgumentError(
            f"fuse_linear_bn_eval: the layer has {fused.out_features} outputs, the normalization "
            f"{bn.num_features}."
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """Weight (out, in) and bias of the two layers together; see ``fuse_conv_bn_weights``."""
    scale = bn_w * (bn_rv + bn_eps).rsqrt()
    return _parameters(linear_w, linear_w * scale.unsqueeze(-1), linear_b, bn_rm, scale, bn_b)


def _parameters(
    before: Tensor, weight: Tensor, b: Tensor | None, mean: Tensor, scale: Tensor, shift: Any
) -> tuple[Parameter, Parameter]:
    bias = ((zeros_like(mean) if b is None else b) - mean) * scale
    bias = bias if shift is None else bias + shift
    return (
        Parameter(weight.detach().to(before.dtype), before.requires_grad),
        Parameter(
            bias.detach().to((before if b is None else b).dtype), b is not None and b.requires_grad
        ),
    )
