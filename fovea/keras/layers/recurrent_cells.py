"""What recurrent cells share, and several of them as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.functions.creation import ones, zeros
from fovea.functions.parts import cat
from fovea.keras import activations, constraints, initializers, regularizers
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.arguments import single
from fovea.keras.layers.layer import Layer
from fovea.keras.objects import deserialize_keras_object
from fovea.keras.variables import store_as
from fovea.nn.functional import dropout
from fovea.ops.linalg import linear
from fovea.random import Generator

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["RecurrentCell", "StackedRNNCells", "flat_states"]

States = tuple["Tensor", ...]


def flat_states(states: Any) -> States:
    """A cell's states as a tuple, also if there is one that stands alone."""
    return tuple(states) if isinstance(states, list | tuple) else (states,)


class Drops:
    """Random zeros that stay where they are for all steps of a sequence, one set a gate or one for
    all. Mixed into cells with ``dropout``, ``recurrent_dropout`` and a seed.
    """

    dropout: float
    recurrent_dropout: float
    drop_count: int

    def _seed(self, seed: Any) -> None:
        own = self.__dict__
        own["seed"] = None if seed is None else int(seed)
        own["_generator"] = None if seed is None else Generator().manual_seed(own["seed"])
        own["_dropped"] = {}

    def _scales(self, name: str, rate: float, like: Tensor) -> list[Tensor] | None:
        """Zeros, and 1 / (1 - rate) elsewhere, in the shape of one step's input or state."""
        if rate <= 0:
            return None
        kept: dict[str, list[Tensor]] = self.__dict__["_dropped"]
        if name not in kept:
            kept[name] = [self._draw(like, rate) for _ in range(self.drop_count)]
        return kept[name]

    def _draw(self, like: Tensor, rate: float) -> Tensor:
        generator = self.__dict__["_generator"]
        if generator is None:
            return dropout(ones(like.shape, dtype=like.dtype), rate)
        from fovea.functions.random import rand

        if rate >= 1:
            return zeros(like.shape, dtype=like.dtype)
        kept = rand(like.shape, generator=generator) >= rate
        return kept.to(like.dtype) * (1.0 / (1.0 - rate))

    def get_dropout_mask(self, step_input: Tensor) -> list[Tensor] | None:
        """What the input of each step is multiplied with, drawn once until it is reset."""
        return self._scales("input", self.dropout, step_input)

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> list[Tensor] | None:
        """What the state of each step is multiplied with, drawn once until it is reset."""
        return self._scales("state", self.recurrent_dropout, step_input)

    def reset_dropout_mask(self) -> None:
        """Draw anew for the next input."""
        self.__dict__["_dropped"].pop("input", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Draw anew for the next state."""
        self.__dict__["_dropped"].pop("state", None)


class RecurrentCell(Drops, Layer):
    """A step of a recurrent network, in two parts: what follows from the input, which can be
    computed for all steps at once (``project``), and what follows from the states (``advance``).
    """

    gates = 1
    state_size: Any
    recurrent_activation: Any  # of cells with gates

    def _configure(
        self,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
    ) -> None:
        self.units = self.state_size = self.output_size = single(
            type(self).__name__, "units", units
        )
        self.activation, self.use_bias = activations.get(activation), bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self._seed(seed)

    @property
    def drop_count(self) -> int:  # type: ignore[override]
        """How many sets of zeros there are: Keras draws one a gate if states are dropped, too."""
        return self.gates if self.recurrent_dropout or self.implementation == 1 else 1

    def _set_implementation(self, kwargs: dict[str, Any]) -> None:
        self.__dict__["implementation"] = kwargs.pop("implementation", 2)

    # -- weights ------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        self._add_kernels(need_size(input_shape, -1, self))
        if self.use_bias:
            self._add_bias((self.gates * self.units,), self.bias_initializer)
        self.built = True

    def _add_kernels(self, features: int) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features, self.gates * self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, self.gates * self.units),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        store_as(self.kernel, (1, 0))
        store_as(self.recurrent_kernel, (1, 0))

    def _add_bias(self, shape: tuple[int, ...], initializer: Any) -> None:
        self.bias = self.add_weight(
            name="bias",
            shape=shape,
            initializer=initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    # -- a step -------------------------------------------------------------------------------

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> Any:
        given = flat_states(states)
        z = self.project(inputs, training)
        after = self.advance(z, given, self.recurrence(given[0], training))
        return after[0], list(after) if isinstance(states, list | tuple) else after[0]

    def project(self, x: Tensor, training: bool) -> Tensor:
        """The input's part of the gates, (..., features) to (..., gates * units)."""
        weights = self.used_weights
        step = x if len(x.shape) == 2 else x[:, 0]
        scales = self.get_dropout_mask(step) if training else None
        if scales is not None and len(x.shape) == 3:
            scales = [s.unsqueeze(1) for s in scales]
        return by_gate(x, weights["kernel"].t(), self._input_bias(), scales)

    def _input_bias(self) -> Tensor | None:
        bias: Tensor | None = self.used_weights.get("bias")
        return bias

    def recurrence(self, state: Tensor, training: bool) -> Any:
        """What ``advance`` needs at every step: the states' weights, their bias and scales."""
        scales = self.get_recurrent_dropout_mask(state) if training else None
        return self.used_weights["recurrent_kernel"].t(), None, scales

    def advance(self, z: Tensor, states: States, recurrence: Any) -> States:
        """The states after a step, the output first; ``z`` is the input's part of the gates."""
        raise NotImplementedError

    def is_plain(self, training: bool) -> bool:
        """Whether ``over_steps`` does what ``advance`` does."""
        return False

    def _is_usual(self, kind: type[RecurrentCell], training: bool) -> bool:
        """Whether a step is that of this class of cells with gates, with Keras's activations, and
        no part of the states is dropped.
        """
        return (
            type(self).advance is kind.advance
            and self.recurrent_activation is activations.sigmoid
            and self.activation is activations.tanh
            and not (training and self.recurrent_dropout)
        )

    def over_steps(
        self, z: Tensor, states: States, recurrence: Any, mask: Tensor | None, reverse: bool
    ) -> States:
        """The states before all steps and after each, as of `fovea.ops.recurrent`; ``z`` and the
        mask begin with the steps.
        """
        raise NotImplementedError

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        """Zeros."""
        sizes = flat_states(self.state_size)
        return [zeros((batch_size, n), dtype=self._dtype) for n in sizes]

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> Any:
        shape = (input_shape[0], self.units)
        return shape, [shape for _ in flat_states(self.state_size)]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return linear.bind((x, weight, bias))


def by_gate(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    scales: list[Tensor] | None,
    product: Callable[..., Tensor] = _linear,
    dim: int = -1,
) -> Tensor:
    """``product(x, weight, bias)``, each gate's part (along ``dim``) from ``x`` times its scale."""
    if scales is None:
        return product(x, weight, bias)
    if len(scales) == 1:
        return product(x * scales[0], weight, bias)
    n = len(scales)
    weights = weight.chunk(n, 0)
    biases = [None] * n if bias is None else bias.chunk(n, 0)
    parts = zip(scales, weights, biases, strict=True)
    return cat([product(x * s, w.contiguous(), b) for s, w, b in parts], dim)


class StackedRNNCells(Layer):
    """Cells one upon another, as one cell: each gets what the one below gives.

    Args:
        cells: the cells, lowest first.

    >>> import fovea
    >>> from fovea.keras.layers import LSTMCell, RNN
    >>> RNN(StackedRNNCells([LSTMCell(3), LSTMCell(2)]))(fovea.ones(1, 5, 4)).shape
    fovea.Size([1, 2])
    """

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for cell in cells:
            if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
                raise ArgumentError(
                    f"StackedRNNCells: a cell has a call method and a state_size; {cell!r} has not."
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The sizes of each cell's states."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The features that the last cell gives."""
        return _output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """What each cell begins with."""
        return [initial_state(cell, batch_size, self._dtype) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer):
                cell.build_with({"input_shape": input_shape})
            input_shape = (input_shape[0], _output_size(cell))
        self.built = True

    def call(self, inputs: Tensor, states: Any, training: bool = False, **kwargs: Any) -> Any:
        after = []
        for cell, state in zip(self.cells, states, strict=True):
            nested = isinstance(state, list | tuple)
            inputs, new = run_cell(cell, inputs, list(flat_states(state)), training, kwargs)
            new = list(flat_states(new))
            after.append(new if nested or len(new) > 1 else new[0])
        return inputs, after

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> Any:
        batch = input_shape[0]
        states = [
            [(batch, n) for n in size] if isinstance(size, list | tuple) else (batch, size)
            for size in self.state_size
        ]
        return (batch, self.output_size), states

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        cells = [deserialize_keras_object(cell) for cell in config["cells"]]
        return cls(cells, **{k: v for k, v in config.items() if k != "cells"})


def _output_size(cell: Any) -> int:
    size = getattr(cell, "output_size", None)
    return int(flat_states(cell.state_size)[0] if size is None else size)


def run_cell(cell: Any, x: Any, states: Any, training: bool, kwargs: Any = None) -> Any:
    """One step of a cell, which may be a layer or any object with a ``call``."""
    given = dict(kwargs or {})
    if getattr(cell, "_takes_training", False):
        given["training"] = training
    return (cell if callable(cell) else cell.call)(x, states, **given)


def initial_state(cell: Any, batch_size: int | None, dtype: Any) -> Any:
    """What a cell begins with: what it says, or zeros of its ``state_size``."""
    get = getattr(cell, "get_initial_state", None)
    if get is not None:
        return get(batch_size=batch_size)
    if isinstance(cell.state_size, list | tuple):
        return [zeros((batch_size, n), dtype=dtype) for n in cell.state_size]
    return zeros((batch_size, cell.state_size), dtype=dtype)
