"""`Call`: an op on samples, as its rule sees it; and the rules that most ops share."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from fovea import dispatch
from fovea.errors import ShapeError
from fovea.func.batching.batched import Batched, at_level, current, split
from fovea.functions.parts import stack
from fovea.functions.shaping import reshape
from fovea.ops.op import Attrs, Op

__all__ = [
    "RULES",
    "Call",
    "Rule",
    "aligned",
    "each_sample",
    "in_parts",
    "pointwise",
    "shifted",
    "together",
]


class Call:
    """An op on samples.

    Args:
        op, attrs: what runs.
        given: its inputs.
        level: the number of the `vmap`.

    Attributes:
        inputs: all samples of each input, along a first dimension; or the input itself if all
            samples share it.
        batched: for each input whether it has samples.
        size: how many samples there are.
    """

    def __init__(self, op: Op, attrs: Attrs | None, given: tuple[Any, ...], level: int) -> None:
        self.op, self.attrs, self.given, self.level = op, attrs, given, level
        pairs = [split(t, level) for t in given]
        self.inputs: list[Any] = [t for t, _ in pairs]
        self.batched = [b for _, b in pairs]
        self.size = current(level).size

    def rank(self, i: int) -> int:
        """The number of a sample's dimensions."""
        t = self.given[i]
        return -1 if t is None else len(t.shape)

    def front(self, i: int) -> Any:
        """All samples of an input, also of one that they share."""
        return None if self.given[i] is None else at_level(self.given[i], self.level)

    def fronts(self) -> tuple[Any, ...]:
        """All samples of all inputs."""
        return tuple(self.front(i) for i in range(len(self.given)))

    def bind(self, inputs: Sequence[Any], attrs: Attrs | None = None) -> Any:
        """Run the op; with attributes of its own unless others are given."""
        return dispatch.bind(self.op, tuple(inputs), self.attrs if attrs is None else attrs)


Rule = Callable[[Call], Any]
RULES: dict[Op, Rule] = {}


_FIRST: dict[str, Callable[[Any, int], Any]] = {
    **dict.fromkeys(("dim", "dim1", "dim2", "axis"), lambda d, n: d + 1 if d >= 0 else d),
    "dims": lambda dims, n: tuple(d + 1 if d >= 0 else d for d in dims),
    **dict.fromkeys(("shape", "length"), lambda shape, n: (n, *shape)),
    **dict.fromkeys(("start", "before", "after"), lambda row, n: (0, *row)),
    "step": lambda steps, n: (1, *steps) if isinstance(steps, tuple) else steps,
}


@functools.lru_cache(maxsize=8192)
def shifted(attrs: Any, size: int) -> Any:
    """Attributes of an op for inputs with one more dimension in front, of ``size`` samples: fields
    that name or list dimensions say so by their names.
    """
    if attrs is None:
        return None
    values = {f.name: getattr(attrs, f.name) for f in fields(attrs)}
    return type(attrs).of(
        *(_FIRST[name](v, size) if name in _FIRST else v for name, v in values.items())
    )


def aligned(call: Call) -> list[Any]:
    """Inputs that broadcast: dimensions of size 1 between the batch and shorter samples."""
    rank = max(call.rank(i) for i in range(len(call.given)))
    found = []
    for i, t in enumerate(call.inputs):
        short = rank - call.rank(i)
        if call.batched[i] and short:
            t = reshape(t, (t.shape[0], *(1,) * short, *t.shape[1:]))
        found.append(t)
    return found


def pointwise(call: Call) -> Any:
    """Element by element, with broadcasting."""
    return call.bind(aligned(call))


def together(call: Call) -> Any:
    """All inputs with a batch in front; attributes that speak of dimensions follow."""
    inputs = call.fronts()
    if not any(call.rank(i) == 0 for i in range(len(inputs))) or not hasattr(call.attrs, "dim"):
        return call.bind(inputs, shifted(call.attrs, call.size))
    # "Along dimension 0" of single numbers: along one of size 1.
    rows = [reshape(t, (call.size, 1)) for t in inputs]
    attrs = shifted(call.attrs, call.size)
    out = call.bind(rows, attrs)
    if isinstance(out, tuple):
        return tuple(reshape(t, (call.size,)) for t in out)
    return reshape(out, (call.size,))


_slow: set[str] = set()


def one_by_one(call: Call) -> Any:
    """For ops without a rule: sample by sample."""
    if call.op.name not in _slow:
        _slow.add(call.op.name)
        warnings.warn(
            f"vmap: {call.op.name} runs sample by sample: it has no rule for all at once.",
            stacklevel=2,
        )
    found: list[Any] = []
    for n in range(call.size):
        rows = [t[n] if b else t for t, b in zip(call.inputs, call.batched, strict=True)]
        out = call.bind(rows)
        found.append(out if isinstance(out, tuple) else (out,))
    if not found:
        raise ShapeError(f"vmap: {call.op.name} cannot run on no samples.")
    return tuple(stack(column) for column in zip(*found, strict=True))


def each_sample(function: Callable[..., Any], tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    """The results of a function that cannot take samples: it is called for one after the other."""
    level = max([t._level for t in tensors if t is not None])
    pairs = [split(t, level) for t in tensors]
    found = [
        function(tuple([t[n] if batched else t for t, batched in pairs]))
        for n in range(current(level).size)
    ]
    return tuple(
        None if column[0] is None else Batched.of(stack(column), level)
        for column in zip(*found, strict=True)
    )


def in_parts(call: Call) -> Any:
    """For ops that are made of others: those have rules."""
    assert call.op.decomposition is not None
    more = (call.attrs,) if call.op.attrs_class else ()
    out = call.op.decomposition(*call.given, *more)
    outs = out if isinstance(out, tuple) else (out,)
    return tuple(None if t is None else at_level(t, call.level) for t in outs)


class Shared:
    """A result that all samples share."""

    def __init__(self, value: Any) -> None:
        self.value = value
