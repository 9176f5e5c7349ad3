"""Recurrent cells: one step of a recurrent network."""

from __future__ import annotations

import math
from typing import Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.nn.parts import chunks
from fovea.tensor import Tensor

__all__ = [
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "RNNCellBase",
    "gru_step",
    "lstm_step",
    "lstm_update",
    "rnn_step",
]


def rnn_step(gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Any:
    """The next hidden state; ``gates`` is the input's part."""
    total = gates + F.linear(hidden, weight, bias)
    return total.relu() if relu else total.tanh()


def lstm_step(
    gates: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The next hidden and cell states; gates are in, forget, cell, out."""
    return lstm_update(gates + F.linear(hidden, weight, bias), cell, Tensor.sigmoid, Tensor.tanh)


def lstm_update(
    gates: Tensor, cell: Tensor, gate: Any, inner: Any, dim: int = -1
) -> tuple[Tensor, Tensor]:
    """The next hidden and cell states from whole gates, with any two activations."""
    i, f, g, o = chunks(gates, 4, dim)
    cell = gate(f) * cell + gate(i) * inner(g)
    return gate(o) * inner(cell), cell


def gru_step(gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The next hidden state; gates are reset, update, new."""
    r, z, n = chunks(gates, 3)
    hr, hz, hn = chunks(F.linear(hidden, weight, bias), 3)
    update = (z + hz).sigmoid()
    new = (n + (r + hr).sigmoid() * hn).tanh()
    return new + update * (hidden - new)


class RNNCellBase(Module):
    """What cells share: weights for the input and for the hidden state.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether biases are learned.
        num_chunks: how many gates.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        as of the cell.

    Parameters:
        weight_ih (num_chunks * hidden_size, input_size), weight_hh (num_chunks * hidden_size,
        hidden_size), bias_ih and bias_hh (num_chunks * hidden_size), all uniform over
        [-1 / sqrt(hidden_size), 1 / sqrt(hidden_size)].

    >>> RNNCellBase(2, 3, True, 4).weight_hh.shape
    fovea.Size([12, 3])
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, factory = num_chunks * hidden_size, {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty((rows, input_size), **factory))
        self.weight_hh = Parameter(empty((rows, hidden_size), **factory))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty((rows,), **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _batched(self, input: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Input and state with a batch dimension; a state of zeros unless given."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input must be (N, {self.input_size}) or ({self.input_size},), got "
                f"{describe(input)}."
            )
        x = input if input.ndim == 2 else input.unsqueeze(0)
        if hidden is None:
            return x, x.new_zeros((x.shape[0], self.hidden_size))
        h = hidden if hidden.ndim == 2 else hidden.unsqueeze(0)
        if tuple(h.shape) != (x.shape[0], self.hidden_size) or hidden.ndim != input.ndim:
            raise ShapeError(
                f"{name}: the state must have {self.hidden_size} features and the input's batch.",
                {"input": describe(input), "state": describe(hidden)},
            )
        return x, h

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Args:
        input_size: features of x.
        hidden_size: features of h.
        bias: whether the biases are learned.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        x (N, input_size) and h (N, hidden_size), zeros unless given, to (N, hidden_size); also
        without N.

    >>> import fovea
    >>> RNNCell(2, 3)(fovea.ones(4, 2)).shape
    fovea.Size([4, 3])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {self.nonlinearity!r}."
            )
        x, h = self._batched(input, hx)
        gates = F.linear(x, self.weight_ih, self.bias_ih)
        y: Tensor = rnn_step(gates, h, self.weight_hh, self.bias_hh, self.nonlinearity == "relu")
        return y if input.ndim == 2 else y.squeeze(0)


class LSTMCell(RNNCellBase):
    """c' = f c + i g, h' = o tanh(c'), with gates i, f, o = sigmoid and g = tanh of
    W_ih x + b_ih + W_hh h + b_hh.

    Args:
        input_size: features of x.
        hidden_size: features of h and c.
        bias: whether the biases are learned.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        x (N, input_size) and the pair (h, c), both (N, hidden_size), zeros unless given, to such a
        pair; also without N.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.

    >>> import fovea
    >>> h, c = LSTMCell(2, 3)(fovea.ones(4, 2))
    >>> h.shape
    fovea.Size([4, 3])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        hidden, cell = (None, None) if hx is None else hx
        x, h = self._batched(input, hidden)
        _, c = self._batched(input, cell)
        gates = F.linear(x, self.weight_ih, self.bias_ih)
        h, c = lstm_step(gates, h, c, self.weight_hh, self.bias_hh)
        return (h, c) if input.ndim == 2 else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """h' = (1 - z) n + z h, with r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh) and
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)).

    Args:
        input_size: features of x.
        hidden_size: features of h.
        bias: whether the biases are learned.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        x (N, input_size) and h (N, hidden_size), zeros unless given, to (N, hidden_size); also
        without N.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.

    >>> import fovea
    >>> GRUCell(2, 3)(fovea.ones(4, 2)).shape
    fovea.Size([4, 3])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, h = self._batched(input, hx)
        gates = F.linear(x, self.weight_ih, self.bias_ih)
        y = gru_step(gates, h, self.weight_hh, self.bias_hh)
        return y if input.ndim == 2 else y.squeeze(0)
