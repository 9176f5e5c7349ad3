"""``fovea.layer_statistics``: what flows through a model's layers, forward and backward."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea import watching
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor

__all__ = ["LayerRow", "LayerStatistics", "Spread", "layer_statistics"]

_HEAD = (
    "Layer (path: type)", "calls", "output mean", "std", "max |x|", "zeros", "gradient rms",
    "weight rms", "its gradient", "",
)  # fmt: skip


@dataclass
class Spread:
    """How numbers are spread, summed up over as many arrays as are added.

    Attributes:
        count: how many numbers there were.
        nonfinite: how many of them were NaN or infinite; the others make all that follows.
        largest: the largest magnitude.
        zeros: how many were exactly zero.
    """

    count: int = 0
    nonfinite: int = 0
    zeros: int = 0
    largest: float = 0.0
    _sum: float = 0.0
    _squares: float = 0.0

    def add(self, t: Any) -> None:
        """Count in the numbers of a tensor."""
        x = t.detach().numpy().astype(np.float64).ravel()
        finite = x[np.isfinite(x)]
        self.count += x.size
        self.nonfinite += x.size - finite.size
        if finite.size:
            self.zeros += finite.size - int(np.count_nonzero(finite))
            self.largest = max(self.largest, float(np.abs(finite).max()))
            self._sum += float(finite.sum())
            self._squares += float(finite @ finite)

    @property
    def mean(self) -> float:
        """The mean; NaN of nothing."""
        return self._sum / self._finite if self._finite else math.nan

    @property
    def std(self) -> float:
        """The standard deviation, of the numbers as a whole population."""
        return math.sqrt(max(self.rms**2 - self.mean**2, 0.0)) if self._finite else math.nan

    @property
    def rms(self) -> float:
        """The root of the mean square."""
        return math.sqrt(self._squares / self._finite) if self._finite else math.nan

    @property
    def zero_share(self) -> float:
        """Which part of the numbers is exactly zero."""
        return self.zeros / self.count if self.count else math.nan

    @property
    def _finite(self) -> int:
        return self.count - self.nonfinite


@dataclass(eq=False)
class LayerRow:
    """A layer that holds no other layer that was called.

    Attributes:
        path, type: its dotted name within the model, and the name of its class.
        calls: how often it was called.
        output: its results.
        gradient: the loss's gradients with respect to them.
        weights, weight_gradient: its parameters and their gradients as they were when watching
            ended.
    """

    path: str
    type: str
    module: Module
    calls: int = 0
    output: Spread = field(default_factory=Spread)
    gradient: Spread = field(default_factory=Spread)
    weights: Spread = field(default_factory=Spread)
    weight_gradient: Spread = field(default_factory=Spread)

    @property
    def remark(self) -> str:
        """What a person should know: numbers that are no numbers, or that are all the same."""
        if self.output.nonfinite:
            return f"{self.output.nonfinite} of its outputs not finite"
        if self.gradient.nonfinite:
            return f"{self.gradient.nonfinite} of its gradients not finite"
        if self.output.count and self.output.zero_share == 1.0:
            return "dead: every output is zero"
        if self.gradient.count and self.gradient.zero_share == 1.0:
            return "no gradient arrives"
        return ""

    def cells(self) -> list[str]:
        """The row of the table."""
        out = self.output
        return [
            f"{self.path}: {self.type}" if self.path else self.type, str(self.calls),
            _number(out.mean), _number(out.std), _number(out.largest if out.count else math.nan),
            "--" if not out.count else f"{out.zero_share:.0%}", _number(self.gradient.rms),
            _number(self.weights.rms), _number(self.weight_gradient.rms), self.remark,
        ]  # fmt: skip


class LayerStatistics(watching.Observer):
    """What `layer_statistics` returns: watches while it is entered, and is a table afterwards.

    Attributes:
        rows: a `LayerRow` for each layer, in the order of their first calls.
    """

    def __init__(self, model: Module) -> None:
        self._names = {id(m): name for name, m in model.named_modules()}
        self._thread = threading.get_ident()
        self._rows: dict[int, LayerRow] = {}
        self._inner: list[bool] = []  # of the calls under way: did they call a layer?
        self._eager = False

    @property
    def rows(self) -> list[LayerRow]:
        return list(self._rows.values())

    def __enter__(self) -> LayerStatistics:
        self._eager, watching.eager = watching.eager, True
        super().__enter__()
        return self

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module, and look at what it returns if it called no other one."""
        if threading.get_ident() != self._thread or id(module) not in self._names:
            return module._call(args, kwargs)
        self._inner.append(False)
        try:
            out = module._call(args, kwargs)
        finally:
            holds_others = self._inner.pop()
            if self._inner:
                self._inner[-1] = True
        if not holds_others:
            self._note(module, out)
        return out

    def _note(self, module: Module, out: Any) -> None:
        row = self._rows.get(id(module))
        if row is None:
            row = LayerRow(self._names[id(module)], type(module).__name__, module)
            self._rows[id(module)] = row
        row.calls += 1
        for t in _floats(out):
            row.output.add(t)
            if t.requires_grad:
                t.register_hook(row.gradient.add)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        watching.eager = self._eager
        for row in self._rows.values():
            row.weights, row.weight_gradient = Spread(), Spread()
            for p in row.module.parameters():
                row.weights.add(p)
                if p.grad is not None:
                    row.weight_gradient.add(p.grad)

    def scalars(self) -> dict[str, float]:
        """The numbers of the table by name, as loggers take them: ``"conv1/output_std"`` ...

        Numbers that there are none of, such as gradients without backward, are left out.
        """
        found: dict[str, float] = {}
        for row in self.rows:
            for name, value in (
                ("output_mean", row.output.mean), ("output_std", row.output.std),
                ("output_zeros", row.output.zero_share), ("gradient_rms", row.gradient.rms),
                ("weight_rms", row.weights.rms), ("weight_gradient_rms", row.weight_gradient.rms),
            ):  # fmt: skip
                if not math.isnan(value):
                    found[f"{row.path or row.type}/{name}"] = value
        return found

    def __str__(self) -> str:
        table = [list(_HEAD), *(row.cells() for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(_HEAD))]
        lines = [
            "  ".join([
                cells[0].ljust(widths[0]), *map(str.rjust, cells[1:-1], widths[1:-1]), cells[-1],
            ]).rstrip()
            for cells in table
        ]  # fmt: skip
        rule = "=" * max(map(len, lines))
        return "\n".join([rule, lines[0], rule, *lines[1:], rule])

    __repr__ = __str__


def layer_statistics(model: Module) -> LayerStatistics:
    """Watch what a model's layers return and what gradients come back to them.

    Used as ``with layer_statistics(model) as seen:`` around forward and backward passes, of any
    number; afterwards ``seen`` is a table. It shows where signals fade or burst: a standard
    deviation that shrinks from layer to layer, units that are always zero, gradients that are
    none. Passes give what they would give unwatched; compiled functions run op by op meanwhile.

    Args:
        model: a module, or a Keras model.

    Returns:
        `LayerStatistics`; ``rows`` are its numbers, ``scalars()`` the same for loggers.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Linear(2, 3), fovea.nn.ReLU())
    >>> with fovea.layer_statistics(net) as seen:
    ...     net(fovea.ones(4, 2)).sum().backward()
    >>> [(row.path, row.type, row.output.count, row.gradient.rms) for row in seen.rows][1]
    ('1', 'ReLU', 12, 1.0)
    """
    return LayerStatistics(model)


def _floats(value: Any) -> Iterator[Any]:
    """The tensors of floating-point numbers in a structure."""
    if is_tensor(value):
        if value.dtype.is_floating_point:
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _floats(inner)


def _number(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.3g}"
