"""Gated recurrent units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import activations
from fovea.keras.layers.lstm import refuse_cudnn
from fovea.keras.layers.recurrent import CellNetwork, cell_kwargs
from fovea.keras.layers.recurrent_cells import RecurrentCell, States, by_gate
from fovea.keras.layers.spec import InputSpec
from fovea.nn.parts import chunks
from fovea.ops.recurrent import GruAttrs, gru

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["GRU", "GRUCell"]


class GRUCell(RecurrentCell):
    """h' = z h + (1 - z) n, with the update gate z, the reset gate r and the candidate n.

    ``z, r = recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)``, and n likewise with
    ``activation``, where r scales the state's part: after its product (``reset_after``), or h
    before it.

    Args:
        units: features of h.
        activation, recurrent_activation: None for none.
        use_bias: whether there is a bias.
        kernel_..., recurrent_..., bias_...: what the weights start as, their penalties and
            constraints.
        dropout, recurrent_dropout: part of the input and of h that training leaves out, the same in
            all steps.
        reset_after: where the reset gate acts.
        seed: for numbers of its own.

    Shapes: x (N, in) and h (N, units) to h' and [h']. Weights: kernel (in, 3 * units),
    recurrent_kernel (units, 3 * units), bias (2, 3 * units) of the input's and the state's part, or
    (3 * units,) without ``reset_after``.

    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014.

    >>> import fovea
    >>> output, states = GRUCell(3)(fovea.ones(2, 4), fovea.zeros(2, 3))
    >>> output.shape, states.shape
    (fovea.Size([2, 3]), fovea.Size([2, 3]))
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        reset_after: bool = True,
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
        self.reset_after = bool(reset_after)

    def _add_bias(self, shape: tuple[int, ...], initializer: Any) -> None:
        super()._add_bias((2, *shape) if self.reset_after else shape, initializer)

    def _input_bias(self) -> Tensor | None:
        bias = super()._input_bias()
        return bias[0] if bias is not None and self.reset_after else bias

    def recurrence(self, state: Tensor, training: bool) -> Any:
        weight, _, scales = super().recurrence(state, training)
        bias = super()._input_bias()
        if self.reset_after:
            return weight, None if bias is None else bias[1], scales
        n = 2 * self.units
        return (weight[:n], weight[n:]), None, scales

    def advance(self, z: Tensor, states: States, recurrence: Any) -> States:
        weight, bias, scales = recurrence
        (h,) = states
        input_z, input_r, input_n = chunks(z, 3)
        if self.reset_after:
            state_z, state_r, state_n = chunks(by_gate(h, weight, bias, scales), 3)
            update, reset = self._gates(input_z + state_z, input_r + state_r)
            state_n = reset * state_n
        else:
            last = [scales[2]] if scales and len(scales) == 3 else scales
            first = scales[:2] if scales and len(scales) == 3 else scales
            state_z, state_r = chunks(by_gate(h, weight[0], None, first), 2)
            update, reset = self._gates(input_z + state_z, input_r + state_r)
            state_n = by_gate(reset * h, weight[1], None, last)
        new = self.activation(input_n + state_n)
        return (new + update * (h - new),)

    def is_plain(self, training: bool) -> bool:
        return self.reset_after and self._is_usual(GRUCell, training)

    def over_steps(
        self, z: Tensor, states: States, recurrence: Any, mask: Tensor | None, reverse: bool
    ) -> States:
        weight, bias, _ = recurrence
        rows = gru.bind((z, states[0], weight, bias, mask), GruAttrs.of(reverse, True))
        return (rows[0],)

    def _gates(self, update: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        return self.recurrent_activation(update), self.recurrent_activation(reset)


class GRU(CellNetwork):
    """``GRUCell`` over sequences.

    Args:
        units: features of the state.
        activation, recurrent_activation, use_bias, kernel_..., recurrent_..., bias_..., dropout,
            recurrent_dropout, seed, reset_after: as of ``GRUCell``.
        activity_regularizer: a penalty on the output.
        return_sequences, return_state, go_backwards, stateful, unroll: as of ``RNN``.
        use_cudnn: accepted for Keras's sake; True is refused.

    Shapes: (N, L, in) to (N, units), or (N, L, units).

    >>> import fovea
    >>> GRU(3)(fovea.ones(2, 5, 4)).shape
    fovea.Size([2, 3])
    """

    cell_class = GRUCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        refuse_cudnn("GRU", use_cudnn)
        cell = GRUCell(
            units,
            activation,
            recurrent_activation,
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
            reset_after,
            seed,
            **cell_kwargs(kwargs, "gru_cell"),
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
