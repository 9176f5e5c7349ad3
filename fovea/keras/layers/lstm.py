"""Long short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.creation import ones
from fovea.functions.parts import cat
from fovea.keras import activations
from fovea.keras.layers.recurrent import CellNetwork, cell_kwargs
from fovea.keras.layers.recurrent_cells import RecurrentCell, States, by_gate
from fovea.keras.layers.spec import InputSpec
from fovea.nn.recurrent_cells import lstm_update
from fovea.ops.recurrent import RecurrentAttrs, lstm

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LSTM", "LSTMCell", "with_unit_forget_bias"]


class LSTMCell(RecurrentCell):
    """c' = f c + i g, h' = o activation(c'), with the gates i, f and o and the candidate g.

    ``i, f, g, o = x @ kernel + h @ recurrent_kernel + bias``, then ``recurrent_activation`` of the
    gates and ``activation`` of g.

    Args:
        units: features of h and c.
        activation, recurrent_activation: None for none.
        use_bias: whether there is a bias.
        unit_forget_bias: let the forget gate's bias start at one.
        kernel_..., recurrent_..., bias_...: what the weights start as, their penalties and
            constraints.
        dropout, recurrent_dropout: part of the input and of h that training leaves out, the same in
            all steps.
        seed: for numbers of its own.

    Shapes: x (N, in) and [h, c], each (N, units), to h' and [h', c']. Weights: kernel
    (in, 4 * units), recurrent_kernel (units, 4 * units), bias (4 * units,).

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997.

    >>> import fovea
    >>> output, states = LSTMCell(3)(fovea.ones(2, 4), [fovea.zeros(2, 3)] * 2)
    >>> output.shape, len(states)
    (fovea.Size([2, 3]), 2)
    """

    gates = 4

    def __init__(
        self,
        units: int,
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
        self._set_implementation(kwargs)
        super().__init__(**kwargs)
        self._configure(
            units,
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
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.state_size = [self.units, self.units]

    def _add_bias(self, shape: tuple[int, ...], initializer: Any) -> None:
        if self.unit_forget_bias:
            initializer = with_unit_forget_bias(initializer, self.units)
        super()._add_bias(shape, initializer)

    def advance(self, z: Tensor, states: States, recurrence: Any) -> States:
        weight, bias, scales = recurrence
        gates = z + by_gate(states[0], weight, bias, scales)
        return lstm_update(gates, states[1], self.recurrent_activation, self.activation)

    def is_plain(self, training: bool) -> bool:
        return self._is_usual(LSTMCell, training)

    def over_steps(
        self, z: Tensor, states: States, recurrence: Any, mask: Tensor | None, reverse: bool
    ) -> States:
        hidden, cell = states
        rows = lstm.bind((z, hidden, cell, recurrence[0], mask), RecurrentAttrs.of(reverse))
        return rows[0], rows[1]


def with_unit_forget_bias(initializer: Any, units: int) -> Any:
    """An initializer for the bias of all gates that starts the forget gate's at one."""

    def initialize(shape: Any, dtype: Any = None) -> Tensor:
        first, rest = initializer((units,), dtype=dtype), initializer((2 * units,), dtype=dtype)
        return cat([first, ones((units,), dtype=first.dtype), rest])

    return initialize


class LSTM(CellNetwork):
    """``LSTMCell`` over sequences.

    Args:
        units: features of the states.
        activation, recurrent_activation, use_bias, unit_forget_bias, kernel_..., recurrent_...,
            bias_..., dropout, recurrent_dropout, seed: as of ``LSTMCell``.
        activity_regularizer: a penalty on the output.
        return_sequences, return_state, go_backwards, stateful, unroll: as of ``RNN``. The states
            are [h, c].
        use_cudnn: accepted for Keras's sake; True is refused.

    Shapes: (N, L, in) to (N, units), or (N, L, units).

    >>> import fovea
    >>> output, h, c = LSTM(3, return_sequences=True, return_state=True)(fovea.ones(2, 5, 4))
    >>> output.shape, c.shape
    (fovea.Size([2, 5, 3]), fovea.Size([2, 3]))
    """

    cell_class = LSTMCell

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        refuse_cudnn("LSTM", use_cudnn)
        cell = LSTMCell(
            units,
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
            **cell_kwargs(kwargs, "lstm_cell"),
        )
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.use_cudnn = use_cudnn
        self.input_spec = InputSpec(ndim=3)


def refuse_cudnn(layer: str, use_cudnn: Any) -> None:
    """ArgumentError unless ``use_cudnn`` lets the layer run without."""
    if use_cudnn not in ("auto", False):
        raise ArgumentError(
            f"{layer}: use_cudnn must be 'auto' or False: there is no cuDNN here, got "
            f"{use_cudnn!r}."
        )
