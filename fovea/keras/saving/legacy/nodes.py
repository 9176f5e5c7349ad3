"""How the layers of a model are joined: the lists of Keras 1 and 2 as Keras 3's nodes."""

from __future__ import annotations

from typing import Any

from fovea.errors import FileFormatError

__all__ = ["Graph"]

Config = dict[str, Any]
_MODELS = ("Functional", "Model", "Sequential")
_RECURRENT = ("GRU", "LSTM", "SimpleRNN", "RNN", "ConvLSTM2D", "Bidirectional", "CuDNNGRU")
_OF_CALLS = ("training", "mask", "name")  # decided anew at each call


class Graph:
    """The calls of a functional model's layers, for one configuration.

    Args:
        config: of the model; its ``layers`` hold ``inbound_nodes``.
    """

    def __init__(self, config: Config) -> None:
        self._entries = {self.name_of(e): e for e in config["layers"]}
        lists = [e for e in config["layers"] if self._is_list(e)]
        # Keras 2 counts a model's own graph as its first call, and so do the names of its outputs.
        used: dict[str, int] = {}
        for place in self._places([[self._nodes(e) for e in lists], config.get("output_layers")]):
            used[place[0]] = min(used.get(place[0], place[1]), place[1])
        self._first = {
            name: first
            for name, first in used.items()
            if first == 1 and self._entries[name].get("class_name") in _MODELS
        }
        self._listed = bool(lists)

    @staticmethod
    def name_of(entry: Config) -> str:
        """The name of a layer."""
        name = entry.get("name", (entry.get("config") or {}).get("name"))
        if not isinstance(name, str):
            raise FileFormatError("the file describes a layer without a name.")
        return name

    @staticmethod
    def _nodes(entry: Config) -> list[Any]:
        nodes = entry.get("inbound_nodes") or []
        if not isinstance(nodes, list):
            raise FileFormatError("the file describes calls of a layer in no known form.")
        return nodes

    def _is_list(self, entry: Config) -> bool:
        return any(isinstance(node, list) for node in self._nodes(entry))

    def _is_place(self, value: Any) -> bool:
        """Whether a value says [layer, call, output], maybe with arguments of the call."""
        return (
            isinstance(value, list)
            and len(value) in (3, 4)
            and isinstance(value[0], str)
            and value[0] in self._entries
            and all(isinstance(n, int) for n in value[1:3])
        )

    def _places(self, value: Any) -> list[Any]:
        if self._is_place(value):
            return [value, *(self._places(value[3]) if len(value) == 4 else [])]
        if isinstance(value, dict):
            value = list(value.values())
        return [p for v in value for p in self._places(v)] if isinstance(value, list) else []

    # -- calls --------------------------------------------------------------------------------

    def calls_of(self, entry: Config) -> list[Any]:
        """The calls of a layer, each with its arguments."""
        return [self._call(entry, n) if isinstance(n, list) else n for n in self._nodes(entry)]

    def _call(self, entry: Config, node: list[Any]) -> Config:
        single = bool(node) and isinstance(node[0], str)  # a call whose first argument is no list
        parts = [node] if single else node
        if not all(isinstance(p, list) and len(p) in (3, 4) for p in parts):
            raise FileFormatError(
                f"the file describes a call of {self.name_of(entry)!r} in no known form."
            )
        tensors = [self._argument(p) for p in parts]
        given = next((p[3] for p in parts if len(p) == 4 and isinstance(p[3], dict)), {})
        kwargs = {k: self._value(v) for k, v in given.items() if k not in _OF_CALLS}
        if len(tensors) > 1 and entry.get("class_name") in _RECURRENT:
            return {"args": tensors[:1], "kwargs": {**kwargs, "initial_state": tensors[1:]}}
        return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": kwargs}

    def _argument(self, part: list[Any]) -> Any:
        if part[0] == "_CONSTANT_VALUE":
            return part[2]
        if not self._is_place(part):
            raise FileFormatError(f"the file joins a layer to {part[0]!r}, which is not there.")
        return self._value(part[:3])

    def _value(self, value: Any) -> Any:
        """An argument of a call, with tensors as a ``.keras`` file writes them."""
        if self._is_place(value) and len(value) == 3:
            name, call, output = value
            history = [name, call - self._first.get(name, 0), output]
            return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
        if isinstance(value, list):
            return [self._value(v) for v in value]
        if isinstance(value, dict) and "class_name" not in value:
            return {k: self._value(v) for k, v in value.items()}
        return value

    # -- inputs and outputs -------------------------------------------------------------------

    def ends(self, places: Any) -> Any:
        """The model's inputs or outputs; a single one as no list."""
        if not self._listed:
            return places
        if self._is_place(places):
            return self._end(places)
        if isinstance(places, dict):
            return {k: self.ends(v) for k, v in places.items()}
        if not isinstance(places, list) or not all(self._is_place(p) for p in places):
            raise FileFormatError("the file names inputs or outputs that are not there.")
        found = [self._end(p) for p in places]
        return found[0] if len(found) == 1 else found

    def _end(self, place: list[Any]) -> list[Any]:
        name, call, output = place[:3]
        kind = self._entries[name].get("class_name")
        functional = kind in ("Functional", "Model")  # which Keras 3 counts from 1 here, too
        return [name, call - self._first.get(name, 0) + functional, output]
