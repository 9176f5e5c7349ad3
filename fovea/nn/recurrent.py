"""Recurrent networks over sequences: RNN, LSTM and GRU."""

from __future__ import annotations

import math
import warnings
from typing import Any

from fovea import casting
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import empty
from fovea.functions.parts import cat, stack
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.nn.parts import steps
from fovea.nn.recurrent_cells import gru_step, lstm_step, rnn_step
from fovea.nn.utils.rnn import PackedSequence, mask_of, pack_padded_sequence, pad_packed_sequence
from fovea.ops import recurrent as ops
from fovea.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
States = tuple[Tensor, ...]


class RNNBase(Module):
    """Layers of recurrent cells, run over sequences; what ``RNN``, ``LSTM`` and ``GRU`` share.

    Args:
        mode: ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``.
        input_size: features of the sequences.
        hidden_size: features of the states.
        num_layers: how many layers; each reads what the one below gives.
        bias: whether biases are learned.
        batch_first: (N, L, features) instead of (L, N, features); states are not concerned.
        dropout: part of what goes from a layer to the next that training leaves out.
        bidirectional: a second set of cells reads the sequence from its end.
        proj_size: features that an LSTM's hidden state is projected to; 0: none.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        sequences (L, N, input_size), (L, input_size) or packed, and states
        (directions * num_layers, N, hidden_size), zeros unless given, to the last layer's states
        (L, N, directions * hidden_size) and the final states.

    Parameters:
        weight_ih_l0 (gates * hidden_size, input_size), weight_hh_l0 (gates * hidden_size,
        hidden_size), bias_ih_l0, bias_hh_l0 (gates * hidden_size), weight_hr_l0 (proj_size,
        hidden_size) and so on, uniform over [-1 / sqrt(hidden_size), 1 / sqrt(hidden_size)].

    >>> len(list(RNNBase("GRU", 2, 3, num_layers=2).parameters()))
    8
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        self._check()
        out, rows = proj_size or hidden_size, GATES[mode] * hidden_size
        for layer in range(num_layers):
            inner = input_size if layer == 0 else out * (1 + bidirectional)
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inner)}
            shapes["weight_hh"] = (rows, out)
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in self._suffixes(layer):
                for name, shape in shapes.items():
                    value = Parameter(empty(shape, device=device, dtype=dtype))
                    self.register_parameter(name + suffix, value)
        self.reset_parameters()

    def _check(self) -> None:
        name = type(self).__name__
        if self.mode not in GATES:
            raise ArgumentError(f"{name}: mode must be one of {', '.join(GATES)}.")
        if self.hidden_size <= 0 or self.num_layers <= 0:
            raise ArgumentError(f"{name}: hidden_size and num_layers must be positive.")
        if not 0 <= self.dropout <= 1:
            raise ArgumentError(f"{name}: dropout must lie in [0, 1], got {self.dropout}.")
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"{name}: dropout is between layers, and there is one layer alone.", stacklevel=4
            )
        if self.proj_size and self.mode != "LSTM":
            raise ArgumentError(f"{name}: only an LSTM has a proj_size.")
        if not 0 <= self.proj_size < self.hidden_size:
            raise ArgumentError(f"{name}: proj_size must be smaller than hidden_size.")

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}"] + [f"_l{layer}_reverse"] * self.bidirectional

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: there is no layout to restore."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction."""
        suffixes = (s for layer in range(self.num_layers) for s in self._suffixes(layer))
        return [list(self._weights(suffix).values()) for suffix in suffixes]

    def _weights(self, suffix: str) -> dict[str, Tensor]:
        """The weights of one layer and direction."""
        names = ["weight_ih", "weight_hh"]
        names += ["bias_ih", "bias_hh"] if self.bias else []
        names += ["weight_hr"] if self.proj_size else []
        return {name: getattr(self, name + suffix) for name in names}

    # -- one call -----------------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The last layer's states at each step, and the final states of all layers."""
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: input must be 2-D or 3-D with {self.input_size} features, "
                f"got {describe(input)}.",
                fix=f"{type(self).__name__}(input_size={input.shape[-1]}, ...)"
                if input.ndim in (2, 3)
                else None,
            )
        lone = input.ndim == 2
        x = input.unsqueeze(1) if lone else input
        x = x.transpose(0, 1) if self.batch_first and not lone else x
        y, final = self._layers(x, self._states(hx, x, lone), None)
        if lone:
            return y.squeeze(1), self._unwrapped(tuple(t.squeeze(1) for t in final))
        return (y.transpose(0, 1) if self.batch_first else y), self._unwrapped(final)

    def _packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        plain = packed._replace(sorted_indices=None, unsorted_indices=None)
        x, lengths = pad_packed_sequence(plain)
        states = self._states(hx, x, False)
        if packed.sorted_indices is not None:
            states = tuple(t.index_select(1, packed.sorted_indices) for t in states)
        y, final = self._layers(x, states, mask_of(lengths, x.shape[0]))
        if packed.unsorted_indices is not None:
            final = tuple(t.index_select(1, packed.unsorted_indices) for t in final)
        data = pack_padded_sequence(y, lengths).data
        return packed._replace(data=data), self._unwrapped(final)

    def _states(self, hx: Any, x: Tensor, lone: bool) -> States:
        """The given states with a batch dimension, or zeros."""
        n = self.num_layers * (1 + self.bidirectional)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: 1 + (self.mode == "LSTM")]
        if hx is None:
            return tuple(x.new_zeros((n, x.shape[1], size)) for size in sizes)
        given = tuple(hx) if self.mode == "LSTM" else (hx,)
        given = tuple(t.unsqueeze(1) for t in given) if lone else given
        for t, size in zip(given, sizes, strict=True):
            if tuple(t.shape) != (n, x.shape[1], size):
                raise ShapeError(
                    f"{type(self).__name__}: a state must be {(n, x.shape[1], size)}, got "
                    f"{describe(t)}."
                )
        return given

    def _unwrapped(self, states: States) -> Any:
        return states if self.mode == "LSTM" else states[0]

    def _layers(self, x: Tensor, states: States, mask: Tensor | None) -> tuple[Tensor, States]:
        finals: list[States] = []
        for layer in range(self.num_layers):
            outs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                first = tuple(t[layer * (1 + self.bidirectional) + direction] for t in states)
                y, last = self._run(x, first, suffix, direction == 1, mask)
                outs.append(y)
                finals.append(last)
            x = outs[0] if len(outs) == 1 else cat(outs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        if x.requires_grad and x._base is not None:
            x = x.clone()  # users may change it in place, and backward reads the states
        return x, tuple(stack(parts) for parts in zip(*finals, strict=True))

    def _run(
        self, x: Tensor, states: States, suffix: str, reverse: bool, mask: Tensor | None
    ) -> tuple[Tensor, States]:
        """One layer in one direction. The inputs' part of all steps is one product."""
        own = self._weights(suffix)  # once: some may be computed (`nn.utils.parametrize`)
        if self._is_plain(x, states, own):
            return self._run_whole(x, states, own, reverse, mask)
        gates = F.linear(x, own["weight_ih"], own.get("bias_ih"))
        order, inputs, out = list(range(x.shape[0])), steps(gates), []
        for t in reversed(order) if reverse else order:
            after = self._step(inputs[t], states, own)
            if mask is not None:
                after = tuple(
                    new.where(mask[t], old) for new, old in zip(after, states, strict=True)
                )
            states = after
            out.append(states[0])
        return stack(out[::-1] if reverse else out), states

    def _is_plain(self, x: Tensor, states: States, own: dict[str, Tensor]) -> bool:
        """Whether an op of all steps does what this layer does step by step."""
        if not x.shape[0] or "weight_hr" in own or x.dtype.is_complex:
            return False
        if casting.enabled():  # PyTorch runs an LSTM as one op there, the others in parts
            return self.mode == "LSTM"
        return all(t.dtype is x.dtype for t in (*states, *own.values()))

    def _run_whole(
        self, x: Tensor, states: States, own: dict[str, Tensor], reverse: bool, mask: Tensor | None
    ) -> tuple[Tensor, States]:
        """All steps by one op."""
        weight, bias, state_bias = own["weight_hh"], own.get("bias_ih"), own.get("bias_hh")
        if mask is not None:
            mask = mask.squeeze(-1)
        if self.mode == "GRU":
            gates = F.linear(x, own["weight_ih"], bias)
            given = (gates, states[0], weight, state_bias, mask)
            rows = ops.gru.bind(given, ops.GruAttrs.of(reverse, False))[:1]
        else:
            both = None if bias is None or state_bias is None else bias + state_bias
            gates = F.linear(x, own["weight_ih"], both)
            if self.mode == "LSTM":
                a = ops.RecurrentAttrs.of(reverse)
                rows = ops.lstm.bind((gates, *states, weight, mask), a)[:2]
            else:
                a = ops.RnnAttrs.of(reverse, self.mode == "RNN_RELU")
                rows = (ops.rnn.bind((gates, states[0], weight, mask), a),)
        y = rows[0][:-1] if reverse else rows[0][1:]
        return y, tuple(t[0 if reverse else -1] for t in rows)

    def _step(self, gates: Tensor, states: States, own: dict[str, Tensor]) -> States:
        weight, bias = own["weight_hh"], own.get("bias_hh")
        if self.mode == "GRU":
            return (gru_step(gates, states[0], weight, bias),)
        if self.mode != "LSTM":
            return (rnn_step(gates, states[0], weight, bias, self.mode == "RNN_RELU"),)
        hidden, cell = states
        hidden, cell = lstm_step(gates, hidden, cell, weight, bias)
        projection = own.get("weight_hr")
        return (hidden if projection is None else F.linear(hidden, projection)), cell

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        plain = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        for name, usual in plain.items():
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), layer upon layer

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: how many layers.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether the biases are learned.
        batch_first: (N, L, features) instead of (L, N, features).
        dropout: part of what goes from a layer to the next that training leaves out.
        bidirectional: a second set of cells reads the sequence from its end.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (L, N, input_size) to (L, N, directions * hidden_size) and the final states
        (directions * num_layers, N, hidden_size); also without N, or packed.

    Parameters:
        as of ``RNNBase``.

    >>> import fovea
    >>> y, h = RNN(2, 3)(fovea.ones(5, 4, 2))
    >>> y.shape, h.shape
    (fovea.Size([5, 4, 3]), fovea.Size([1, 4, 3]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}."
            )
        rest = (input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0)
        super().__init__(f"RNN_{nonlinearity.upper()}", *rest, device, dtype)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t), layer upon layer; see ``LSTMCell``

    Args:
        input_size: features of x.
        hidden_size: features of c, and of h unless it is projected.
        num_layers: how many layers.
        bias: whether the biases are learned.
        batch_first: (N, L, features) instead of (L, N, features).
        dropout: part of what goes from a layer to the next that training leaves out.
        bidirectional: a second set of cells reads the sequence from its end.
        proj_size: features that h is projected to; 0: none.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (L, N, input_size) to (L, N, directions * hidden_size) and the pair of final states h and c,
        (directions * num_layers, N, hidden_size); also without N, or packed.

    Parameters:
        as of ``RNNBase``.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.

    >>> import fovea
    >>> y, (h, c) = LSTM(2, 3, bidirectional=True)(fovea.ones(5, 4, 2))
    >>> y.shape, c.shape
    (fovea.Size([5, 4, 6]), fovea.Size([2, 4, 3]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        rest = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, *rest)


class GRU(RNNBase):
    """h_t = (1 - z) n + z h_(t-1), layer upon layer; see ``GRUCell``

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: how many layers.
        bias: whether the biases are learned.
        batch_first: (N, L, features) instead of (L, N, features).
        dropout: part of what goes from a layer to the next that training leaves out.
        bidirectional: a second set of cells reads the sequence from its end.
        device: ``None`` or the CPU.
        dtype: of the parameters.

    Shapes:
        (L, N, input_size) to (L, N, directions * hidden_size) and the final states
        (directions * num_layers, N, hidden_size); also without N, or packed.

    Parameters:
        as of ``RNNBase``.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.

    >>> import fovea
    >>> y, h = GRU(2, 3, num_layers=2)(fovea.ones(5, 4, 2))
    >>> y.shape, h.shape
    (fovea.Size([5, 4, 3]), fovea.Size([2, 4, 3]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        rest = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, *rest)
