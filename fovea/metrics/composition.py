"""The metric that is computed from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fovea.errors import ArgumentError
from fovea.metrics.metric import Metric

__all__ = ["CompositionalMetric"]


class CompositionalMetric(Metric):
    """A function of the values of metrics; its batches go to all of them.

    Args:
        operator: the function.
        operands: metrics, and numbers.

    >>> from fovea.metrics import BinaryPrecision, BinaryRecall
    >>> mean = (BinaryPrecision() + BinaryRecall()) / 2
    >>> mean([0, 1, 1, 0], [0, 1, 0, 0])
    tensor(0.7500)
    """

    def __init__(self, operator: Callable[..., Any], *operands: Any, **kwargs: Any) -> None:
        super().__init__(compute_with_cache=False, **kwargs)
        self.operator, self.operands = operator, operands

    @property
    def parts(self) -> list[Metric]:
        """The metrics among the operands, each once."""
        found = [o for o in self.operands if isinstance(o, Metric)]
        return list({id(m): m for m in found}.values())

    def _applied(self, values: dict[int, Any]) -> Any:
        return self.operator(*(values.get(id(o), o) for o in self.operands))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch to all."""
        for part in self.parts:
            part.update(*args, **kwargs)

    def compute(self) -> Any:
        """The function of the values."""
        return self._applied({id(part): part.compute() for part in self.parts})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch to all, and return the function of the values over that batch alone."""
        values = {id(part): part.forward(*args, **kwargs) for part in self.parts}
        self._update_count += 1
        return self._applied(values)

    def reset(self) -> None:
        """Forget everything, in all."""
        for part in self.parts:
            part.reset()
        self._update_count = 0

    def merge_state(self, incoming_state: Any) -> None:
        """Add what another metric of the same parts has seen."""
        if not isinstance(incoming_state, CompositionalMetric):
            raise ArgumentError("merge_state: a metric composed in the same way is needed.")
        for part, other in zip(self.parts, incoming_state.parts, strict=True):
            part.merge_state(other)
        self._update_count += incoming_state._update_count

    def state_dict(self, prefix: str = "") -> dict[str, Any]:
        """The states of all parts."""
        result: dict[str, Any] = {f"{prefix}_update_count": self._update_count}
        for number, part in enumerate(self.parts):
            result.update(part.state_dict(f"{prefix}{number}."))
        return result

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, prefix: str = ""
    ) -> None:
        """Take over states that ``state_dict`` gave."""
        for number, part in enumerate(self.parts):
            part.load_state_dict(state_dict, strict, f"{prefix}{number}.")
        self._update_count = int(state_dict.get(f"{prefix}_update_count", 0))
