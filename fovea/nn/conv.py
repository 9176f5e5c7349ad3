"""Convolutional layers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fovea.errors import ArgumentError
from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.functional.arguments import numbers
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

Ints = int | tuple[int, ...]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What convolutions share: arguments, parameters and their first values."""

    spatial: ClassVar[int]
    transposed: ClassVar[bool] = False

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        sizes: dict[str, Any],
        padding: Ints | str,
        groups: int,
        bias: bool,
        padding_mode: str,
        factory: dict[str, Any],
    ) -> None:
        """Read the arguments, make the parameters and fill them."""
        name = type(self).__name__
        self._check(name, in_channels, out_channels, groups, padding_mode)
        self.in_channels, self.out_channels = in_channels, out_channels
        for key, value in sizes.items():
            setattr(self, key, numbers(name, key, value, self.spatial))
        self.padding = self._read_padding(name, padding)
        self.groups, self.padding_mode = groups, padding_mode
        outer, inner = out_channels, in_channels
        if self.transposed:
            outer, inner = inner, outer
        self.weight = Parameter(empty((outer, inner // groups, *self.kernel_size), **factory))
        if bias:
            self.bias = Parameter(empty((out_channels,), **factory))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check(
        self, name: str, in_channels: int, out_channels: int, groups: int, padding_mode: str
    ) -> None:
        if groups <= 0:
            raise ArgumentError(f"{name}: groups must be a positive integer, got {groups}.")
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: groups={groups} must divide in_channels={in_channels} and "
                f"out_channels={out_channels}.",
                fix=f"groups={math.gcd(in_channels, out_channels)} divides both",
            )
        if padding_mode not in PADDING_MODES:
            raise ArgumentError(
                f"{name}: padding_mode must be one of {', '.join(PADDING_MODES)}, "
                f"got {padding_mode!r}."
            )
        if self.transposed and padding_mode != "zeros":
            raise ArgumentError(f"{name}: padding_mode must be 'zeros', got {padding_mode!r}.")

    def _read_padding(self, name: str, padding: Any) -> Any:
        if not isinstance(padding, str):
            return numbers(name, "padding", padding, self.spatial)
        if padding not in ("same", "valid"):
            raise ArgumentError(
                f"{name}: padding must be 'same', 'valid' or integers, got {padding!r}."
            )
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ArgumentError(
                f"{name}: padding='same' needs stride 1, got {self.stride}.",
                fix="give the padding as a number",
            )
        return padding

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init.fans(self.weight)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _border(self) -> tuple[int, ...]:
        """The padding as ``F.pad`` takes it: last dimension first."""
        if self.padding == "valid":
            return (0,) * (2 * self.spatial)
        if self.padding == "same":
            sizes = zip(reversed(self.kernel_size), reversed(self.dilation), strict=True)
            totals = [d * (k - 1) for k, d in sizes]
            return tuple(p for n in totals for p in (n // 2, n - n // 2))
        return tuple(p for n in reversed(self.padding) for p in (n, n))

    def _padded(self, input: Tensor) -> Tensor:
        return F.pad(input, self._border(), mode=self.padding_mode)

    def extra_repr(self) -> str:
        zeros, ones = (0,) * self.spatial, (1,) * self.spatial
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class Conv2d(_Conv):
    """Slides a bank of kernels over images.

    y[n, o] = b[o] + sum over c of W[o, c] * x[n, c], where * is cross-correlation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output: the number of kernels.
        kernel_size: rows and columns of a kernel; one number for both.
        stride: steps between positions.
        padding: rows and columns added on each side; or ``"valid"`` (none) or ``"same"`` (the size
            stays; stride 1 only).
        dilation: steps between the elements of a kernel.
        groups: blocks of channels that do not mix; ``in_channels`` makes a depthwise convolution.
        bias: whether b is learned; without it, b = 0.
        padding_mode: what is added: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: ``None`` or the CPU.
        dtype: of the parameters; the default dtype unless given.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H', W') with
        H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, W' likewise;
        also without N. Floating point, the parameters' dtype. Any strides; the result lies
        channels-last in memory.

    Parameters:
        weight (out_channels, in_channels / groups, kernel rows, columns) and bias (out_channels),
        both uniform over [-1 / sqrt(n), 1 / sqrt(n)] with n the elements of one kernel.

    Raises:
        ShapeError: other channels than ``in_channels``, or an image smaller than the kernel.

    >>> import fovea
    >>> Conv2d(3, 8, 3, stride=2, padding=1)(fovea.ones(1, 3, 9, 9)).shape
    fovea.Size([1, 8, 5, 5])
    """

    spatial = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {
            "kernel_size": kernel_size,
            "stride": stride,
            "dilation": dilation,
            "output_padding": 0,
        }
        factory = {"device": device, "dtype": dtype}
        self._set_up(in_channels, out_channels, sizes, padding, groups, bias, padding_mode, factory)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """With another weight, as subclasses in PyTorch's programs call it."""
        if self.padding_mode == "zeros":
            padding = self.padding
        else:
            input, padding = self._padded(input), 0
        return F.conv2d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Slides a bank of kernels over sequences; see ``Conv2d``.

    y[n, o] = b[o] + sum over c of W[o, c] * x[n, c], where * is cross-correlation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: elements of a kernel.
        stride: steps between positions.
        padding: elements added on each side; or ``"valid"`` or ``"same"``.
        dilation: steps between the elements of a kernel.
        groups: blocks of channels that do not mix.
        bias: whether b is learned.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (N, in_channels, L) to (N, out_channels, L'), also without N.

    Parameters:
        weight (out_channels, in_channels / groups, kernel_size) and bias (out_channels).

    >>> import fovea
    >>> Conv1d(2, 4, 3)(fovea.ones(1, 2, 8)).shape
    fovea.Size([1, 4, 6])
    """

    spatial = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {
            "kernel_size": kernel_size,
            "stride": stride,
            "dilation": dilation,
            "output_padding": 0,
        }
        factory = {"device": device, "dtype": dtype}
        self._set_up(in_channels, out_channels, sizes, padding, groups, bias, padding_mode, factory)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """With another weight, as subclasses in PyTorch's programs call it."""
        if self.padding_mode == "zeros":
            padding = self.padding
        else:
            input, padding = self._padded(input), 0
        return F.conv1d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Conv):
    """What transposed convolutions share."""

    transposed = True

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """What must be added for the result to have ``output_size``."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)[-self.spatial :]
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-self.spatial :],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        )
        extra = tuple(w - n for w, n in zip(wanted, least, strict=True))
        if any(e < 0 or e >= s for e, s in zip(extra, self.stride, strict=True)):
            most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
            raise ArgumentError(
                f"{type(self).__name__}: output_size must lie between {least} and {most}, "
                f"got {wanted}."
            )
        return extra


class ConvTranspose2d(_ConvTranspose):
    """The gradient of ``Conv2d`` as a layer: enlarges images by its stride.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: rows and columns of a kernel.
        stride: steps between the places where kernels are added up.
        padding: rows and columns cut off on each side.
        output_padding: rows and columns added at the bottom and right; less than the stride.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        dilation: steps between the elements of a kernel.
        padding_mode: only ``"zeros"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (N, in_channels, H, W) to (N, out_channels, H', W') with
        H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1.

    Parameters:
        weight (in_channels, out_channels / groups, kernel rows, columns) and bias (out_channels).

    >>> import fovea
    >>> ConvTranspose2d(4, 2, 2, stride=2)(fovea.ones(1, 4, 5, 5)).shape
    fovea.Size([1, 2, 10, 10])
    """

    spatial = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {
            "kernel_size": kernel_size,
            "stride": stride,
            "dilation": dilation,
            "output_padding": output_padding,
        }
        factory = {"device": device, "dtype": dtype}
        self._set_up(in_channels, out_channels, sizes, padding, groups, bias, padding_mode, factory)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTranspose):
    """``ConvTranspose2d`` for sequences.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: elements of a kernel.
        stride: steps between the places where kernels are added up.
        padding: elements cut off on each side.
        output_padding: elements added at the end.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        dilation: steps between the elements of a kernel.
        padding_mode: only ``"zeros"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (N, in_channels, L) to (N, out_channels, L').

    Parameters:
        weight (in_channels, out_channels / groups, kernel_size) and bias (out_channels).

    >>> import fovea
    >>> ConvTranspose1d(4, 2, 2, stride=2)(fovea.ones(1, 4, 5)).shape
    fovea.Size([1, 2, 10])
    """

    spatial = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = {
            "kernel_size": kernel_size,
            "stride": stride,
            "dilation": dilation,
            "output_padding": output_padding,
        }
        factory = {"device": device, "dtype": dtype}
        self._set_up(in_channels, out_channels, sizes, padding, groups, bias, padding_mode, factory)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return F.conv_transpose1d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )
