"""Long short-term memory of images: all products are convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.functions.creation import zeros
from fovea.keras import activations, config
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.arguments import choice, several
from fovea.keras.layers.images import (
    from_channels_first,
    spatial_sizes,
    to_channels_first,
    window_sizes,
    with_channels,
)
from fovea.keras.layers.lstm import with_unit_forget_bias
from fovea.keras.layers.recurrent import CellNetwork
from fovea.keras.layers.recurrent_cells import RecurrentCell, States, by_gate
from fovea.keras.layers.spec import InputSpec
from fovea.keras.layers.windows import KERNELS_FIRST, ConvWindows
from fovea.keras.variables import store_as
from fovea.nn.recurrent_cells import lstm_update
from fovea.ops.shape import permute

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]


class ConvLSTMCell(RecurrentCell):
    """``LSTMCell`` with convolutions for products.

    Args:
        rank: how many dimensions the images have.
        filters: channels of h and c.
        kernel_size, strides, padding, dilation_rate: of the input's convolution; the states' has
            stride 1 and keeps sizes.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        activation, recurrent_activation, use_bias, unit_forget_bias, kernel_..., recurrent_...,
            bias_..., dropout, recurrent_dropout, seed: as of ``LSTMCell``.

    Weights: kernel (..., C, 4 * filters), recurrent_kernel (..., filters, 4 * filters), bias
    (4 * filters,).
    """

    gates = 4
    drop_count = 4

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._configure(
            filters,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
        )
        self.rank, self.filters = rank, self.units
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.state_size = [self.filters, self.filters]
        self._set_windows(kernel_size, strides, padding, data_format, dilation_rate)

    def _set_windows(
        self, kernel_size: Any, strides: Any, padding: Any, data_format: Any, dilation_rate: Any
    ) -> None:
        name, rank = f"ConvLSTM{self.rank}D", self.rank
        self.kernel_size = several(name, "kernel_size", kernel_size, rank)
        self.strides = several(name, "strides", strides, rank)
        self.padding = choice(name, "padding", padding, ("valid", "same"))
        self.data_format = config.standardize_data_format(data_format)
        self.dilation_rate = several(name, "dilation_rate", dilation_rate, rank)
        self._of_input = ConvWindows(
            self.kernel_size, self.strides, self.padding, self.dilation_rate
        )
        ones = (1,) * rank
        self._of_state = ConvWindows(self.kernel_size, ones, "same", ones)
        self._axis = 1 if self.data_format == "channels_first" else -1

    def build(self, input_shape: Any) -> None:
        channels = need_size(input_shape, self._axis, self)
        for axis in range(1, self.rank + 2):
            need_size(input_shape, axis, self)
        rank, n = self.rank, self.filters
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, 4 * n),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(*self.kernel_size, n, 4 * n),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        for kernel in (self.kernel, self.recurrent_kernel):
            store_as(kernel, (rank + 1, rank, *range(rank)))
        if self.use_bias:
            initializer = self.bias_initializer
            if self.unit_forget_bias:
                initializer = with_unit_forget_bias(initializer, n)
            self._add_bias((4 * n,), initializer)
        self.__dict__["_state_shape"] = self._after(input_shape)[1:]
        self.built = True

    def _after(self, shape: Any) -> Any:  # type: ignore[override]
        sizes = window_sizes(
            self,
            spatial_sizes(shape, self.data_format),
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation_rate,
        )
        return with_channels(shape, sizes, self.filters, self.data_format)

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> Any:
        shape = self._after(input_shape)
        return shape, [shape, shape]

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        shape = (batch_size, *self.__dict__["_state_shape"])
        return [zeros(shape, dtype=self._dtype) for _ in range(2)]

    # -- a step -------------------------------------------------------------------------------

    def project(self, x: Tensor, training: bool) -> Tensor:
        steps = x.ndim - self.rank - 2  # 1 for sequences, else 0
        scales = None
        if training:
            scales = self.get_dropout_mask(x[:, 0] if steps else x)
        if steps and scales is not None:
            scales = [s.unsqueeze(1) for s in scales]
        kernel = permute.bind((self.used_weights["kernel"],), KERNELS_FIRST[self.rank])
        dim = self._axis + steps if self._axis > 0 else self._axis

        def product(t: Tensor, weight: Tensor, bias: Any) -> Tensor:
            flat = t.reshape((-1, *t.shape[2:])) if steps else t
            y = self._convolved(self._of_input, flat, weight, bias)
            return y.reshape((*t.shape[:2], *y.shape[1:])) if steps else y

        return by_gate(x, kernel, self._input_bias(), scales, product, dim)

    def _convolved(self, windows: ConvWindows, x: Tensor, weight: Tensor, bias: Any) -> Tensor:
        y = windows.convolve(to_channels_first(x, self.data_format), weight, bias)
        return from_channels_first(y, self.data_format)

    def recurrence(self, state: Tensor, training: bool) -> Any:
        kernel = permute.bind((self.used_weights["recurrent_kernel"],), KERNELS_FIRST[self.rank])
        return kernel, None, self.get_recurrent_dropout_mask(state) if training else None

    def advance(self, z: Tensor, states: States, recurrence: Any) -> States:
        weight, bias, scales = recurrence

        def product(t: Tensor, weight: Tensor, bias: Any) -> Tensor:
            return self._convolved(self._of_state, t, weight, bias)

        gates = z + by_gate(states[0], weight, bias, scales, product, self._axis)
        outer, inner = self.recurrent_activation, self.activation
        return lstm_update(gates, states[1], outer, inner, self._axis)


class _ConvLSTM(CellNetwork):
    """``ConvLSTMCell`` over sequences of images."""

    cell_class = ConvLSTMCell
    rank = 2

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = ConvLSTMCell(
            self.rank,
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            unit_forget_bias,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            seed,
            name="conv_lstm_cell",
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def compute_output_shape(  # type: ignore[override]
        self, sequences_shape: Any, initial_state_shape: Any = None, **kwargs: Any
    ) -> Any:
        batch, steps, *rest = sequences_shape
        state = self.cell.compute_output_shape((batch, *rest))[0]
        output = (batch, steps, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output


class ConvLSTM1D(_ConvLSTM):
    """``LSTM`` of sequences of rows (N, T, L, C), with convolutions for products.

    Args:
        filters: channels of the states.
        kernel_size, strides, padding, dilation_rate: of the input's convolution.
        data_format: ``"channels_last"`` or ``"channels_first"`` (N, T, C, L).
        activation and all that follow: as of ``LSTM``.

    Source: Shi et al., "Convolutional LSTM Network", 2015.
    """

    rank = 1


class ConvLSTM2D(_ConvLSTM):
    """``LSTM`` of sequences of images (N, T, H, W, C), with convolutions for products.

    Args:
        filters: channels of the states.
        kernel_size, strides, padding, dilation_rate: of the input's convolution.
        data_format: ``"channels_last"`` or ``"channels_first"`` (N, T, C, H, W).
        activation and all that follow: as of ``LSTM``.

    Source: Shi et al., "Convolutional LSTM Network", 2015.

    >>> import fovea
    >>> ConvLSTM2D(4, 3)(fovea.ones(1, 5, 8, 8, 3)).shape
    fovea.Size([1, 6, 6, 4])
    """


class ConvLSTM3D(_ConvLSTM):
    """``LSTM`` of sequences of volumes (N, T, D, H, W, C), with convolutions for products.

    Args:
        filters: channels of the states.
        kernel_size, strides, padding, dilation_rate: of the input's convolution.
        data_format: ``"channels_last"`` or ``"channels_first"`` (N, T, C, D, H, W).
        activation and all that follow: as of ``LSTM``.
    """

    rank = 3
