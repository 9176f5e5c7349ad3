"""Gradients of convolutions as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea.autograd import enable_grad, is_grad_enabled
from fovea.autograd import grad as gradient

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]


def _convolution(rank: int) -> Callable[..., Tensor]:
    from fovea.nn import functional  # which holds this module

    found: Callable[..., Tensor] = getattr(functional, f"conv{rank}d")
    return found


def _by(rank: int, inputs: tuple[Tensor, Tensor], which: int, g: Tensor, options: Any) -> Tensor:
    """The gradient of a convolution by its input or its weight; it has gradients, too."""
    differentiable = is_grad_enabled() and any(t.requires_grad for t in (*inputs, g))
    leaf = inputs[which].detach().requires_grad_()
    both = (leaf, inputs[1]) if which == 0 else (inputs[0], leaf)
    with enable_grad():
        y = _convolution(rank)(*both, None, *options)
    return gradient(y, leaf, g, create_graph=differentiable)[0]


def _input(
    rank: int, size: Sequence[int], weight: Tensor, grad_output: Tensor, options: Any
) -> Tensor:
    return _by(rank, (grad_output.new_zeros(size), weight), 0, grad_output, options)


def _weight(
    rank: int, input: Tensor, size: Sequence[int], grad_output: Tensor, options: Any
) -> Tensor:
    return _by(rank, (input, grad_output.new_zeros(size)), 1, grad_output, options)


def conv1d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of ``conv1d`` by its input, which has ``input_size``."""
    return _input(1, input_size, weight, grad_output, (stride, padding, dilation, groups))


def conv1d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of ``conv1d`` by its weight, which has ``weight_size``."""
    return _weight(1, input, weight_size, grad_output, (stride, padding, dilation, groups))


def conv2d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of ``conv2d`` by its input, which has ``input_size``.

    >>> import fovea
    >>> conv2d_input((1, 1, 2, 2), fovea.ones(1, 1, 1, 2), fovea.ones(1, 1, 2, 1))
    tensor([[[[1., 1.],
              [1., 1.]]]])
    """
    return _input(2, input_size, weight, grad_output, (stride, padding, dilation, groups))


def conv2d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of ``conv2d`` by its weight, which has ``weight_size``."""
    return _weight(2, input, weight_size, grad_output, (stride, padding, dilation, groups))


def conv3d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of ``conv3d`` by its input, which has ``input_size``."""
    return _input(3, input_size, weight, grad_output, (stride, padding, dilation, groups))


def conv3d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of ``conv3d`` by its weight, which has ``weight_size``."""
    return _weight(3, input, weight_size, grad_output, (stride, padding, dilation, groups))
