"""Layers that learn from their first input how many features it has, and then are ordinary ones."""

from __future__ import annotations

from typing import Any, ClassVar

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import empty
from fovea.nn.conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Ints
from fovea.nn.linear import Linear
from fovea.nn.module import Module
from fovea.nn.parameter import Buffer, Parameter
from fovea.nn.volume import Conv3d, ConvTranspose3d

__all__ = [
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyLinear",
    "UninitializedBuffer",
    "UninitializedParameter",
]


class _Uninitialized:
    """A tensor without a shape yet."""

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Take a shape, of memory that is still to be filled."""
        self.data = empty(tuple(shape), device=device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet.

    Args:
        requires_grad: whether backward computes its gradient.
        device: ``None`` or the CPU.
        dtype: of its elements.

    Shapes:
        none, until ``materialize`` gives it one.

    >>> p = UninitializedParameter()
    >>> p.materialize((2, 3))
    >>> type(p).__name__, p.shape
    ('Parameter', fovea.Size([2, 3]))
    """

    cls_to_become: ClassVar[type] = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer whose shape is not known yet.

    Args:
        requires_grad: taken for compatibility; buffers are not learned.
        device: ``None`` or the CPU.
        dtype: of its elements.
        persistent: whether it is part of the module's ``state_dict``.

    Shapes:
        none, until ``materialize`` gives it one.

    >>> b = UninitializedBuffer()
    >>> b.materialize((2,))
    >>> b.shape
    fovea.Size([2])
    """

    cls_to_become: ClassVar[type] = Buffer

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        super().__init__(empty(0, device=device, dtype=dtype), persistent=persistent)


class _Lazy(Module):
    """Before the first call: parameters get their shapes, and the layer its final class."""

    becomes: ClassVar[type[Module]]

    def has_uninitialized_params(self) -> bool:
        """Whether shapes are still to be learned."""
        held = (*self._parameters.values(), *self._buffers.values())
        return any(isinstance(t, _Uninitialized) for t in held)

    def initialize_parameters(self, input: Any) -> None:
        """Take the shapes that an input tells, and draw the parameters."""
        self._learn(input)
        if self.has_uninitialized_params():
            with no_grad():
                for name, shape in self._shapes().items():
                    held = self._parameters.get(name)
                    held = self._buffers.get(name) if held is None else held
                    if isinstance(held, _Uninitialized):
                        held.materialize(shape)
                self.reset_parameters()

    def _learn(self, input: Any) -> None:
        raise NotImplementedError

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw the parameters anew, if they have shapes."""
        if all(p.numel() for p in self._parameters.values() if p is not None):
            super().reset_parameters()  # type: ignore[misc]

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.initialize_parameters(*args, **{k: v for k, v in kwargs.items() if k == "input"})
        self.__class__ = self.becomes  # type: ignore[assignment]
        return self._call(args, kwargs)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **options: Any
    ) -> None:
        for name, held in (*self._parameters.items(), *self._buffers.items()):
            if isinstance(held, _Uninitialized) and prefix + name in state_dict:
                given = state_dict[prefix + name]
                if not isinstance(given, _Uninitialized):
                    held.materialize(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest, **options)


class LazyLinear(_Lazy, Linear):
    """A ``Linear`` that learns ``in_features`` from its first input.

    Args:
        out_features: size of the last dimension of the output.
        bias: whether a bias is learned.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (..., any) to (..., out_features).

    >>> import fovea
    >>> layer = LazyLinear(2)
    >>> layer(fovea.ones(3, 4)).shape
    fovea.Size([3, 2])
    >>> layer
    Linear(in_features=4, out_features=2, bias=True)
    """

    becomes = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def _learn(self, input: Any) -> None:
        self.in_features = input.shape[-1]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}


class _LazyConv(_Lazy):
    """What lazy convolutions share."""

    def _make_lazy(self: Any, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def _learn(self: Any, input: Any) -> None:
        if input.ndim <= self.spatial:
            raise ArgumentError(f"{type(self).__name__}: the input has no channels.")
        self.in_channels = input.shape[-1 - self.spatial]
        self._check(
            type(self).__name__,
            self.in_channels,
            self.out_channels,
            self.groups,
            self.padding_mode,
        )

    def _shapes(self: Any) -> dict[str, tuple[int, ...]]:
        outer, inner = self.out_channels, self.in_channels
        if self.transposed:
            outer, inner = inner, outer
        weight = (outer, inner // self.groups, *self.kernel_size)
        return {"weight": weight, "bias": (self.out_channels,)}


class LazyConv1d(_LazyConv, Conv1d):  # type: ignore[misc]
    """A ``Conv1d`` that learns ``in_channels`` from its first input.

    Args:
        out_channels: channels of the output.
        kernel_size: of ``Conv1d``.
        stride: of ``Conv1d``.
        padding: of ``Conv1d``.
        dilation: of ``Conv1d``.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        padding_mode: of ``Conv1d``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of ``Conv1d``.

    >>> import fovea
    >>> LazyConv1d(2, 1)(fovea.ones(1, 3, 4)).shape
    fovea.Size([1, 2, 4])
    """

    becomes = Conv1d

    def __init__(
        self,
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
        rest = (stride, padding, dilation, groups, False, padding_mode, device, dtype)
        super().__init__(0, 0, kernel_size, *rest)
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConv2d(_LazyConv, Conv2d):  # type: ignore[misc]
    """A ``Conv2d`` that learns ``in_channels`` from its first input.

    Args:
        out_channels: channels of the output.
        kernel_size: of ``Conv2d``.
        stride: of ``Conv2d``.
        padding: of ``Conv2d``.
        dilation: of ``Conv2d``.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        padding_mode: of ``Conv2d``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of ``Conv2d``.

    >>> import fovea
    >>> LazyConv2d(2, 1)(fovea.ones(1, 3, 4, 4)).shape
    fovea.Size([1, 2, 4, 4])
    """

    becomes = Conv2d

    def __init__(
        self,
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
        rest = (stride, padding, dilation, groups, False, padding_mode, device, dtype)
        super().__init__(0, 0, kernel_size, *rest)
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConv3d(_LazyConv, Conv3d):  # type: ignore[misc]
    """A ``Conv3d`` that learns ``in_channels`` from its first input.

    Args:
        out_channels: channels of the output.
        kernel_size: of ``Conv3d``.
        stride: of ``Conv3d``.
        padding: of ``Conv3d``.
        dilation: of ``Conv3d``.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        padding_mode: of ``Conv3d``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of ``Conv3d``.

    >>> import fovea
    >>> LazyConv3d(2, 1)(fovea.ones(1, 3, 4, 4, 4)).shape
    fovea.Size([1, 2, 4, 4, 4])
    """

    becomes = Conv3d

    def __init__(
        self,
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
        rest = (stride, padding, dilation, groups, False, padding_mode, device, dtype)
        super().__init__(0, 0, kernel_size, *rest)
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):  # type: ignore[misc]
    """A ``ConvTranspose1d`` that learns ``in_channels`` from its first input.

    Args:
        out_channels: channels of the output.
        kernel_size: of ``ConvTranspose1d``.
        stride: of ``ConvTranspose1d``.
        padding: of ``ConvTranspose1d``.
        output_padding: of ``ConvTranspose1d``.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        dilation: of ``ConvTranspose1d``.
        padding_mode: only ``"zeros"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of ``ConvTranspose1d``.

    >>> import fovea
    >>> LazyConvTranspose1d(2, 1)(fovea.ones(1, 3, 4)).shape
    fovea.Size([1, 2, 4])
    """

    becomes = ConvTranspose1d

    def __init__(
        self,
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
        shape = (stride, padding, output_padding, groups, False, dilation, padding_mode)
        super().__init__(0, 0, kernel_size, *shape, device, dtype)
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):  # type: ignore[misc]
    """A ``ConvTranspose2d`` that learns ``in_channels`` from its first input.

    Args:
        out_channels: channels of the output.
        kernel_size: of ``ConvTranspose2d``.
        stride: of ``ConvTranspose2d``.
        padding: of ``ConvTranspose2d``.
        output_padding: of ``ConvTranspose2d``.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        dilation: of ``ConvTranspose2d``.
        padding_mode: only ``"zeros"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of ``ConvTranspose2d``.

    >>> import fovea
    >>> LazyConvTranspose2d(2, 1)(fovea.ones(1, 3, 4, 4)).shape
    fovea.Size([1, 2, 4, 4])
    """

    becomes = ConvTranspose2d

    def __init__(
        self,
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
        shape = (stride, padding, output_padding, groups, False, dilation, padding_mode)
        super().__init__(0, 0, kernel_size, *shape, device, dtype)
        self._make_lazy(out_channels, bias, device, dtype)


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):  # type: ignore[misc]
    """A ``ConvTranspose3d`` that learns ``in_channels`` from its first input.

    Args:
        out_channels: channels of the output.
        kernel_size: of ``ConvTranspose3d``.
        stride: of ``ConvTranspose3d``.
        padding: of ``ConvTranspose3d``.
        output_padding: of ``ConvTranspose3d``.
        groups: blocks of channels that do not mix.
        bias: whether a bias is learned.
        dilation: of ``ConvTranspose3d``.
        padding_mode: only ``"zeros"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of ``ConvTranspose3d``.

    >>> import fovea
    >>> LazyConvTranspose3d(2, 1)(fovea.ones(1, 3, 4, 4, 4)).shape
    fovea.Size([1, 2, 4, 4, 4])
    """

    becomes = ConvTranspose3d

    def __init__(
        self,
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
        shape = (stride, padding, output_padding, groups, False, dilation, padding_mode)
        super().__init__(0, 0, kernel_size, *shape, device, dtype)
        self._make_lazy(out_channels, bias, device, dtype)
