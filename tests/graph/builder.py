"""Writes graphs by hand: each call of an op adds a node whose outputs are what the op promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fovea
from fovea import dtypes
from fovea.dtypes import DType
from fovea.graph import Constant, Graph, Node, Source, State, Value
from fovea.graph.graph import NOWHERE, spec_of
from fovea.ops.op import Op, Spec
from fovea.ops.rules import channels_last_strides
from fovea.ops.update import by_parameter


class Builder:
    """Collects the parts of a graph: ``b = Builder(); x = b.input(2, 3); b.graph(b(relu, x))``."""

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.states: list[State] = []
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.source: Source = NOWHERE

    def input(
        self,
        *shape: int,
        dtype: DType = dtypes.float32,
        name: str = "",
        nhwc: bool = False,
        strides: tuple[int, ...] | None = None,
    ) -> Value:
        """An argument of the graph."""
        layout = channels_last_strides(shape) if nhwc else strides
        self.inputs.append(Value(Spec(shape, dtype, layout), name))
        return self.inputs[-1]

    def state(self, data: Any, name: str = "") -> Value:
        """A tensor (or what becomes one) from before the call."""
        tensor = data if fovea.is_tensor(data) else fovea.from_numpy(np.array(data))
        self.states.append(State(Value(spec_of(tensor)), tensor, name))
        return self.states[-1].value

    def constant(self, data: Any, name: str = "") -> Value:
        """A row-major constant; Python numbers are float32."""
        array = np.array(data, None if isinstance(data, np.ndarray) else np.float32)
        value = Value(Spec(array.shape, dtypes.as_dtype(array.dtype)), name)
        self.constants.append(Constant(value, array))
        return value

    def __call__(self, op: Op, *inputs: Value | None, name: str = "", **attrs: Any) -> Any:
        """Run an op; returns its outputs and the new values of what it changes, alone if it is
        one."""
        a = op.attrs_class.from_keywords(attrs) if op.attrs_class is not None else None
        return self.bind(op, inputs, a, name)

    def bind(self, op: Op, inputs: Sequence[Value | None], attrs: Any, name: str = "") -> Any:
        """The same with ready-made attributes."""
        places = mutated_places(op, len(inputs), attrs)
        specs = [*op.specs(inputs, attrs), *(inputs[i].spec for i in places)]  # type: ignore[union-attr]
        outputs = tuple(Value(s, name if i == 0 else "") for i, s in enumerate(specs))
        self.nodes.append(Node(op, tuple(inputs), attrs, outputs, places, self.source))
        return outputs[0] if len(outputs) == 1 else outputs

    def graph(self, *outputs: Value, updates: Sequence[tuple[Value, Value]] = ()) -> Graph:
        """The graph of what was collected."""
        return Graph(
            tuple(self.inputs),
            tuple(self.states),
            tuple(self.constants),
            tuple(self.nodes),
            outputs,
            tuple(updates),
        )


def mutated_places(op: Op, count: int, attrs: Any) -> tuple[int, ...]:
    """Which inputs an op writes."""
    if op.mutates == ("tensors",):  # an optimizer's update: all but the scalars and the gradients
        groups = by_parameter(range(1, count), attrs)
        columns = list(zip(*groups, strict=True))
        return tuple(i for k, column in enumerate(columns) if k != 1 for i in column)
    return tuple(op.inputs.index(name) for name in op.mutates)
