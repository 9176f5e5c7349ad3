"""``RNN``: a cell run over sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.parts import stack
from fovea.keras.layers.arguments import arguments_of
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.recurrent_cells import (
    Drops,
    RecurrentCell,
    StackedRNNCells,
    flat_states,
    initial_state,
    run_cell,
)
from fovea.keras.objects import deserialize_keras_object
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.keras.variables import Variable, assign
from fovea.nn.parts import steps

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["RNN", "CellNetwork"]


class RNN(Layer):
    """A cell run over sequences, its states handed from step to step.

    Args:
        cell: an object with ``call(inputs, states)``, which returns the output and the new states,
            and ``state_size``: the features of its state, or of each.
        return_sequences: return the outputs of all steps instead of the last one.
        return_state: return the final states, too.
        go_backwards: begin at the sequence's end; outputs are in the order of computation.
        stateful: begin where the batch before ended, until ``reset_state``.
        unroll: accepted for Keras's sake: loops are unrolled in any case.
        zero_output_for_mask: steps that the mask skips give zeros, instead of the output before.

    Shapes:
        (N, L, ...) to (N, features), or (N, L, features). A mask is (N, L).

    Raises:
        ArgumentError: no cell, or ``stateful`` without a fixed batch size.
        ShapeError: another batch size than that of the states.

    >>> import fovea
    >>> from fovea.keras.layers import GRUCell
    >>> RNN(GRUCell(3), return_sequences=True)(fovea.ones(2, 5, 4)).shape
    fovea.Size([2, 5, 3])
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, list | tuple):
            cell = StackedRNNCells(cell)
        if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
            raise ArgumentError(
                f"{type(self).__name__}: a cell has a call method and a state_size; {cell!r} "
                "has not."
            )
        super().__init__(**kwargs)
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.states: Any = None

    @property
    def state_size(self) -> list[Any]:
        """The features of each state; lists within for cells upon cells."""
        return list(flat_states(self.cell.state_size))

    @property
    def single_state(self) -> bool:
        """Whether the cell has one state."""
        return isinstance(self.cell.state_size, int)

    # -- shapes -------------------------------------------------------------------------------

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        if isinstance(self.cell, Layer):
            step = (sequences_shape[0], *sequences_shape[2:])
            self.cell.build_with({"input_shape": step})
        if self.stateful and self.states is None:
            self._make_states(sequences_shape[0])
        self.built = True

    def compute_output_shape(  # type: ignore[override]
        self, sequences_shape: Any, initial_state_shape: Any = None, **kwargs: Any
    ) -> Any:
        batch, length = sequences_shape[0], sequences_shape[1]
        size = getattr(self.cell, "output_size", None)
        size = flatten(self.state_size)[0] if size is None else size
        output = (batch, length, size) if self.return_sequences else (batch, size)
        return (output, *self._state_shapes(sequences_shape)) if self.return_state else output

    def _state_shapes(self, sequences_shape: Any) -> list[Any]:
        return [
            [(sequences_shape[0], n) for n in size]
            if isinstance(size, list | tuple)
            else (sequences_shape[0], size)
            for size in self.state_size
        ]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        mask = flatten(previous_mask)[0] if self.return_sequences else None
        return [mask, *(None for _ in self.state_size)] if self.return_state else mask

    # -- states -------------------------------------------------------------------------------

    def get_initial_state(self, batch_size: int | None) -> list[Any]:
        """What a sequence begins with."""
        found = initial_state(self.cell, batch_size, self._dtype)
        return list(found) if isinstance(found, list | tuple) else [found]

    def _make_states(self, batch_size: int | None) -> None:
        if batch_size is None:
            raise ArgumentError(
                f"{self.name}: a stateful network needs a fixed batch size.",
                fix="Input(batch_shape=(batch, steps, features))",
            )
        self.states = map_structure(
            lambda t: Variable(t, trainable=False, name="rnn_state"),
            self.get_initial_state(batch_size),
        )

    def reset_state(self) -> None:
        """Begin the next batch with zeros; of a ``stateful`` network."""
        for state in flatten(self.states) if self.states is not None else ():
            assign(state, state.detach() * 0)

    reset_states = reset_state

    def _first_states(self, sequences: Tensor, given: Any) -> list[Any]:
        batch = sequences.shape[0]
        if given is None and self.stateful:
            held = flatten(self.states)
            if held and held[0].shape[0] != batch:
                raise ShapeError(
                    f"{self.name}: the batch has {batch} sequences, the states are of "
                    f"{held[0].shape[0]}.",
                    fix="a stateful network needs the same batch size in each call",
                )
            return map_structure(lambda s: s.detach().clone().to(self._dtype), self.states)
        if given is None:
            given = self.get_initial_state(batch)
        given = given if isinstance(given, list | tuple) else [given]
        return map_structure(lambda s: s.to(self._dtype), list(given))

    # -- running ------------------------------------------------------------------------------

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        if not sequences.shape[1]:
            raise ShapeError(f"{self.name}: the sequences have no steps.")
        mask = flatten(mask)[0]
        states = self._first_states(sequences, initial_state)
        try:
            output, states = self._run_steps(sequences, states, mask, training)
        finally:
            _reset_drops(self.cell)
        if self.stateful:
            for held, state in zip(flatten(self.states), flatten(states), strict=True):
                assign(held, state)
        return (output, *states) if self.return_state else output

    def _run_steps(
        self, sequences: Tensor, states: list[Any], mask: Any, training: bool
    ) -> tuple[Tensor, list[Any]]:
        """The output, of all steps or the last, and the final states."""
        cell = self.cell
        if isinstance(cell, RecurrentCell) and type(cell).call is RecurrentCell.call:
            return cell.with_cast_weights(self._run_split, cell, sequences, states, mask, training)
        inputs = steps(sequences, 1)

        def step(t: int, now: list[Any]) -> tuple[Tensor, list[Any]]:
            output, after = run_cell(cell, inputs[t], now, training)
            return output, list(after) if isinstance(after, list | tuple) else [after]

        return self._walk(step, len(inputs), states, mask)

    def _run_split(
        self, cell: RecurrentCell, sequences: Tensor, states: list[Any], mask: Any, training: bool
    ) -> tuple[Tensor, list[Any]]:
        """With a cell in two parts: the inputs' part of all steps is one product."""
        plain = cell.is_plain(training)
        first = plain and not (training and cell.dropout)  # dropped is what begins with samples
        z = cell.project(sequences.transpose(0, 1) if first else sequences, training)
        z = z.transpose(0, 1) if plain and not first else z
        recurrence = cell.recurrence(states[0], training)
        if plain and all(t.dtype is z.dtype for t in (*states, recurrence[0])):
            return self._run_whole(cell, z, states, recurrence, mask)
        gates = steps(z, 0 if plain else 1)

        def step(t: int, now: list[Any]) -> tuple[Tensor, list[Any]]:
            after = cell.advance(gates[t], tuple(now), recurrence)
            return after[0], list(after)

        return self._walk(step, len(gates), states, mask)

    def _run_whole(
        self, cell: RecurrentCell, z: Tensor, states: list[Any], recurrence: Any, mask: Any
    ) -> tuple[Tensor, list[Any]]:
        """All steps by one op."""
        reverse = self.go_backwards
        mask = None if mask is None else mask.bool().transpose(0, 1)
        rows = cell.over_steps(z, tuple(states), recurrence, mask, reverse)
        y = rows[0][:-1] if reverse else rows[0][1:]
        y = y.flip(0) if reverse and self.return_sequences else y
        final = [t[0 if reverse else -1] for t in rows]
        if mask is not None:
            mask = mask.flip(0) if reverse else mask
            if not self.zero_output_for_mask:  # zeros up to the first step that is there
                mask = mask.long().cumsum(0) > 0
            if self.return_sequences:
                return y.where(mask.unsqueeze(-1), 0.0).transpose(0, 1), final
            return final[0].where(mask[-1].unsqueeze(-1), 0.0), final
        return (y.transpose(0, 1) if self.return_sequences else final[0]), final

    def _walk(
        self,
        step: Callable[[int, list[Any]], tuple[Tensor, list[Any]]],
        length: int,
        states: list[Any],
        mask: Any,
    ) -> tuple[Tensor, list[Any]]:
        """The output of all steps, in the order of computation, or the last, and the final
        states.
        """
        outputs: list[Tensor] = []
        for t in reversed(range(length)) if self.go_backwards else range(length):
            output, after = step(t, states)
            if mask is not None:
                here = mask[:, t]
                instead = output * 0 if self.zero_output_for_mask or not outputs else outputs[-1]
                output = _where(here, output, instead)
                kept = zip(flatten(after), flatten(states), strict=True)
                after = pack_as(states, [_where(here, new, old) for new, old in kept])
            states = after
            outputs.append(output)
        return (stack(outputs, 1) if self.return_sequences else outputs[-1]), states

    # -- writing down -------------------------------------------------------------------------

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        given = dict(config)
        return cls(deserialize_keras_object(given.pop("cell")), **given)


def _where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """``new`` for the samples that the mask holds, ``old`` for the others."""
    shape = (mask.shape[0],) + (1,) * (len(new.shape) - 1)
    return new.where(mask.reshape(shape).bool(), old)


def _reset_drops(cell: Any) -> None:
    if isinstance(cell, Drops):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    for inner in getattr(cell, "cells", ()):
        _reset_drops(inner)


class CellNetwork(RNN):
    """A network whose arguments, and attributes, are those of its cell and of ``RNN``."""

    cell_class: type[Layer]

    def __getattr__(self, name: str) -> Any:
        if name[0] != "_" and name != "cell" and name in arguments_of(self.cell_class):  # type: ignore[arg-type]
            return getattr(self.cell, name)
        return super().__getattr__(name)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k not in ("cell", "use_cudnn")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)


def cell_kwargs(kwargs: dict[str, Any], name: str) -> dict[str, Any]:
    """What a network tells its cell besides its own arguments."""
    given = {"implementation": kwargs.pop("implementation", 2), "name": name}
    return {**given, "dtype": kwargs.get("dtype"), "trainable": kwargs.get("trainable", True)}
