"""The inputs that a symbolic tensor is computed from."""

from __future__ import annotations

from typing import Any

from fovea.keras.keras_tensor import KerasTensor

__all__ = ["get_source_inputs"]


def get_source_inputs(tensor: Any) -> Any:
    """The input tensors that are needed to compute a symbolic tensor, each once.

    What is not symbolic comes back as it is.

    >>> from fovea.keras import Input, layers
    >>> a, b = Input((2,)), Input((2,))
    >>> found = get_source_inputs(layers.Add()([layers.Dense(2)(a), b]))
    >>> [x is y for x, y in zip(found, (a, b))]
    [True, True]
    """
    if not isinstance(tensor, KerasTensor):
        return tensor
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        x = waiting.pop()
        history: Any = getattr(x, "keras_history", None)
        nodes = [] if history is None else history.operation._inbound_nodes
        if not nodes or nodes[history.node_index].is_input:
            found[id(x)] = x
            continue
        node = nodes[history.node_index]
        if id(node) not in seen:
            seen.add(id(node))
            waiting.extend(reversed(node.input_tensors))
    return list(found.values())
