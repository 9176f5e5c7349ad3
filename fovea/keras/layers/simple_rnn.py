"""The plain recurrent network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import activations
from fovea.keras.layers.recurrent import CellNetwork, cell_kwargs
from fovea.keras.layers.recurrent_cells import RecurrentCell, States, by_gate
from fovea.keras.layers.spec import InputSpec
from fovea.ops.recurrent import RnnAttrs, rnn

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["SimpleRNN", "SimpleRNNCell"]


class SimpleRNNCell(RecurrentCell):
    """h' = activation(x @ kernel + h @ recurrent_kernel + bias)

    Args:
        units: features of h.
        activation: None for none.
        use_bias: whether there is a bias.
        kernel_..., recurrent_..., bias_...: what the weights start as, their penalties and
            constraints.
        dropout, recurrent_dropout: part of the input and of the state that training leaves out,
            the same in all steps.
        seed: for numbers of its own.

    Shapes: x (N, in) and h (N, units) to h' and [h']. Weights: kernel (in, units),
    recurrent_kernel (units, units), bias (units,).

    >>> import fovea
    >>> output, states = SimpleRNNCell(3)(fovea.ones(2, 4), [fovea.zeros(2, 3)])
    >>> output.shape, len(states)
    (fovea.Size([2, 3]), 1)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
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

    def advance(self, z: Tensor, states: States, recurrence: Any) -> States:
        weight, bias, scales = recurrence
        return (self.activation(z + by_gate(states[0], weight, bias, scales)),)

    def is_plain(self, training: bool) -> bool:
        return (
            type(self).advance is SimpleRNNCell.advance
            and self.activation in (activations.tanh, activations.relu)
            and not (training and self.recurrent_dropout)
        )

    def over_steps(
        self, z: Tensor, states: States, recurrence: Any, mask: Tensor | None, reverse: bool
    ) -> States:
        attrs = RnnAttrs.of(reverse, self.activation is activations.relu)
        return (rnn.bind((z, states[0], recurrence[0], mask), attrs),)


class SimpleRNN(CellNetwork):
    """``SimpleRNNCell`` over sequences.

    Args:
        units: features of the state.
        activation, use_bias, kernel_..., recurrent_..., bias_..., dropout, recurrent_dropout, seed:
            as of ``SimpleRNNCell``.
        activity_regularizer: a penalty on the output.
        return_sequences, return_state, go_backwards, stateful, unroll: as of ``RNN``.

    Shapes: (N, L, in) to (N, units), or (N, L, units).

    >>> import fovea
    >>> SimpleRNN(3)(fovea.ones(2, 5, 4)).shape
    fovea.Size([2, 3])
    """

    cell_class = SimpleRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
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
            **cell_kwargs(kwargs, "simple_rnn_cell"),
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
        self.input_spec = InputSpec(ndim=3)
