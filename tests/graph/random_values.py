"""Random values to compute with: choices, leaves, and nodes made from what there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.graph import Value
from fovea.ops.op import numel
from tests.graph.builder import Builder

SIZES = (1, 1, 2, 3, 4, 5, 8)
FLOATS = (dtypes.float32, dtypes.float32, dtypes.float32, dtypes.float64, dtypes.bfloat16)
KINDS = (*FLOATS, *FLOATS, dtypes.float16, dtypes.int64, dtypes.int32, dtypes.uint8, dtypes.bool_)
LARGEST = 3000  # elements of a value


class Values:
    """The values of a graph in the making.

    Args:
        seed: what it depends on.
        smooth: leave out ops that jump, and float types of less than 32 bits.

    Attributes:
        alive: those that can be read; ``root``: whose memory each is a view of.
        held: for each state what it holds now.
    """

    def __init__(self, seed: int, *, smooth: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.smooth = smooth
        self.b = Builder()
        self.alive: list[Value] = []
        self.root: dict[Value, Value] = {}
        self.held: dict[Value, Value] = {}
        self._leaves()

    # -- choices ------------------------------------------------------------------------------

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def one(self, options: Any) -> Any:
        return options[self.below(len(options))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def value(self, accept: Callable[[Value], bool] = lambda v: True) -> Value:
        """A value to go on from; recent ones are likelier."""
        found = [v for v in self.alive if accept(v)]
        if not found:
            raise LookupError
        if self.chance(0.6):
            return found[-1 - min(self.one((0, 0, 0, 1, 2, 3)), len(found) - 1)]
        return self.one(found)

    def floating(self, rank: int | None = None) -> Value:
        return self.value(lambda v: v.dtype.is_floating_point and (rank is None or v.ndim == rank))

    # -- leaves -------------------------------------------------------------------------------

    def array(self, sizes: tuple[int, ...], dtype: DType) -> np.ndarray[Any, Any]:
        if dtype.is_floating_point:
            return self.rng.uniform(-1, 1, sizes).astype(dtype.numpy)
        return self.rng.integers(0, 2 if dtype is dtypes.bool_ else 7, sizes).astype(dtype.numpy)

    def kind(self) -> DType:
        kind: DType = self.one((dtypes.float32, dtypes.float64) if self.smooth else KINDS)
        return kind

    def sizes(self) -> tuple[int, ...]:
        return tuple(self.one(SIZES) for _ in range(self.below(5)))

    def _leaves(self) -> None:
        for _ in range(1 + self.below(3)):
            sizes = self.sizes()
            self.add(
                self.b.input(*sizes, dtype=self.kind(), nhwc=len(sizes) == 4 and self.chance(0.6))
            )
        image = (2, self.one((3, 4, 8)), self.one((4, 5, 7)), self.one((4, 6)))
        self.add(self.b.input(*image, nhwc=self.chance(0.6)))
        for _ in range(self.below(3)):
            value = self.b.state(self.array(self.sizes(), self.kind()))
            self.held[value] = value
            self.add(value)
        self.rng_state = self.b.state(np.array([self.below(99), 0]))
        self.held[self.rng_state] = self.rng_state
        for _ in range(self.below(4)):
            number = self.one((0.0, -0.0, 1.0, 0.5, -1.0))
            kind = self.kind()
            sizes = self.sizes() if self.chance(0.3) else ()
            values = self.array(sizes, kind) if self.chance(0.3) else np.full(sizes, number)
            self.add(self.b.constant(values.astype(kind.numpy)))

    def add(self, value: Value, base: Value | None = None) -> Value:
        self.alive.append(value)
        self.root[value] = value if base is None else self.root[base]
        return value

    # -- nodes --------------------------------------------------------------------------------

    def run(self, op: Any, *inputs: Value | None, **attrs: Any) -> Value:
        """Add a node; returns its first result."""
        a = op.attrs_class.from_keywords(attrs) if op.attrs_class is not None else None
        specs = op.specs(inputs, a)
        if any(numel(s.shape) > LARGEST for s in specs):
            raise LookupError
        made = self.b.bind(op, inputs, a)
        results: tuple[Value, ...] = made if isinstance(made, tuple) else (made,)
        for v in results[: len(specs)]:
            self.add(v, inputs[0] if op.view else None)
        return results[0]

    def scalar(self, number: float, dtype: DType) -> Value:
        return self.add(self.b.constant(np.asarray(number, dtype.numpy)))

    def changing(self, op: Any, inputs: tuple[Value, ...], attrs: Any) -> None:
        """A node that changes inputs in place: what lay in their memory is gone."""
        self.b.bind(op, inputs, attrs)
        node = self.b.nodes[-1]
        for v in node.results:
            self.add(v)
        for place, new in zip(node.mutated, node.renewed, strict=True):
            old = inputs[place]
            self.alive = [v for v in self.alive if self.root[v] is not old]
            self.held.update({state: new for state, now in self.held.items() if now is old})
            self.add(new)
